"""Shows the output of several child processes on one console, each line with its time and the child's name."""

import threading
from datetime import datetime
from typing import Final

from rich.console import Console
from rich.text import Text

from ops.children import Child

_COLOURS: Final = {"gateway": "cyan", "worker": "green", "scheduler": "magenta", "demo": "yellow", "sandbox": "blue"}
_NAME_CHARS: Final = max(map(len, _COLOURS))
_LAST_WORDS_SECONDS: Final = 1.0


class Output:
    """Prints children's output; they must have been started with a pipe for it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._threads: list[threading.Thread] = []

    def show(self, child: Child) -> None:
        """Prints the child's lines as they arrive, until it ends."""
        thread = threading.Thread(target=self._copy, args=(child,), name=f"output of {child.name}", daemon=True)
        thread.start()
        self._threads.append(thread)

    def finish(self) -> None:
        """Waits until everything is printed that ended children have written."""
        for thread in self._threads:
            thread.join(_LAST_WORDS_SECONDS)

    def _copy(self, child: Child) -> None:
        assert child.process.stdout is not None
        with child.process.stdout as lines:
            for line in lines:
                said = Text.from_ansi(line.decode(errors="replace").rstrip("\r\n"))
                now = datetime.now().astimezone()
                head = Text(f"{now:%H:%M:%S} {child.name:<{_NAME_CHARS}} | ", _COLOURS.get(child.name, ""))
                self._console.print(head + said, soft_wrap=True)
