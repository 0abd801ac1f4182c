"""What a person sees while a command works through its steps: the step it is at, and how long each has taken."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import Progress, ProgressColumn
from rich.text import Text


@dataclass
class Step:
    """A step under way; `detail` is what its line says besides its name."""

    detail: str = ""


@contextmanager
def step(console: Console, name: str) -> Iterator[Step]:
    """One line when the step is done; on a terminal, a spinner until then. A step that raises leaves no line."""
    begun = time.monotonic()
    current = Step()
    with console.status(name):
        yield current
    seconds = time.monotonic() - begun
    line = Text.assemble(("✓ ", "green"), f"{name:<12} {current.detail}  ", (f"{seconds:.1f} s", "dim"))
    console.print(line, soft_wrap=True)


def bars(*columns: str | ProgressColumn) -> Progress:
    """Progress bars on standard error; none at all where that is not a terminal, for nobody watches a file."""
    console = Console(stderr=True)
    return Progress(*columns, console=console, disable=not console.is_terminal)
