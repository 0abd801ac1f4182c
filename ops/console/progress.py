"""Shows the progress of a command: the current step, and how long each one took."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import Progress, ProgressColumn
from rich.text import Text


@dataclass
class Step:
    """The current step; `detail` is shown after its name."""

    detail: str = ""


@contextmanager
def step(console: Console, name: str) -> Iterator[Step]:
    """Shows a line once the step is done, and until then a spinner on a terminal. A step that raises leaves no line."""
    begun = time.monotonic()
    current = Step()
    with console.status(name):
        yield current
    seconds = time.monotonic() - begun
    line = Text.assemble(("✓ ", "green"), f"{name:<12} {current.detail}  ", (f"{seconds:.1f} s", "dim"))
    console.print(line, soft_wrap=True)


def bars(*columns: str | ProgressColumn) -> Progress:
    """Progress bars on standard error, but only if it is a terminal."""
    console = Console(stderr=True)
    return Progress(*columns, console=console, disable=not console.is_terminal)
