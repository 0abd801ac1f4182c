"""Adapts the Procfile's processes to `ops.keeper`."""

from collections.abc import Callable
from typing import Final

from ops.children import Child
from ops.processes import READY_TIMEOUT_SECONDS, Processes, commands


class KeptProcess:
    """A running process of the Procfile."""

    start_timeout_seconds: Final = READY_TIMEOUT_SECONDS

    def __init__(
        self,
        processes: Processes,
        name: str,
        output: int,
        show: Callable[[Child], None],
        is_up: Callable[[], bool] = lambda: True,
    ) -> None:
        """`show` is called with each child that is started, whose output goes to `output`. A process that does not
        listen on a port counts as up as soon as it runs: the work that waits for it is found later."""
        self.title = name.capitalize()
        self._processes = processes
        self._name = name
        self._output = output
        self._show = show
        self.is_up = is_up

    @property
    def ended_by_itself(self) -> int | None:
        return self._processes.child(self._name).returncode

    def kill(self) -> None:
        self._processes.child(self._name).kill()

    def launch(self) -> None:
        self._show(self._processes.start(self._name, commands(sandbox=True)[self._name], self._output))

    def last_words(self) -> str:
        """Empty, because its output has already been shown."""
        return ""
