"""How test processes share the work: few of them open the shop of the e2e tests, and each compiles a share of a new
checkout's modules for all.
"""

import math
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Final

from xdist.scheduler import LoadFileScheduling
from xdist.workermanage import WorkerController

_ROOT: Final = Path(__file__).parents[1]
_OF_THE_SHOP: Final = "tests/e2e/"

# Opening the shop takes as long as a hundred tests, and it is not free while it is open.
_OPEN_IT_SHARE: Final = 2 / 3


def opens_shop(number: int, processes: int) -> bool:
    """Whether the test process of this number, from 0 on, is one of those that open the shop."""
    return number < math.ceil(processes * _OPEN_IT_SHARE)


class Scheduling(LoadFileScheduling):  # type: ignore[misc]  # it has no types here
    """pytest-xdist's `loadfile`, except that a test process which does not open the shop is given e2e tests only when
    nothing else is left."""

    def _assign_work_unit(self, node: WorkerController) -> None:
        if not opens_shop(self.nodes.index(node), len(self.nodes)):
            others = (file for file in self.workqueue if not file.startswith(_OF_THE_SHOP))
            if (other := next(others, None)) is not None:
                self.workqueue.move_to_end(other, last=False)
        super()._assign_work_unit(node)


def import_in_turn(files: Sequence[Path], number: int, processes: int) -> None:
    """Imports test files, beginning elsewhere than the other test processes: what one has compiled, the others find
    compiled. In the same order, all would compile everything at the same time. What fails is imported again, and
    reported, when its tests are collected."""
    begin = len(files) * number // processes
    for file in (*files[begin:], *files[:begin]):
        with suppress(Exception, SystemExit):
            import_module(".".join(file.relative_to(_ROOT).with_suffix("").parts))
