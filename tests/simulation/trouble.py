"""What goes wrong: between any two awaits, as the seed says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Final, Protocol
from uuid import UUID

from tests.simulation.server import Server
from tests.simulation.stage import Stage
from tests.simulation.turns import Process, Turn
from tests.simulation.wires import Wire

_STOPS_SECONDS: Final = (0.005, 0.05, 0.5, 2.0, 5.0)
_IDLE_MAX_SECONDS: Final = 3.0
"""After this long, Postgres ends the transaction of a process that does nothing."""

_PUT_BACK_MAX: Final = 2
_PUTTING_BACK_SECONDS: Final = 6.0
"""As if there were little to put back; longer than messages of the feed are believed."""

_SOON_READS: Final = 8
_READS_MAILBOXES: Final = "XREAD"

_MORTAL: Final = ("gateway", "worker", "background")


class Shop(Protocol):
    """What trouble tells the world."""

    def start_again(self, process: Process) -> None: ...
    def before_it_is_put_back(self) -> None: ...


class Trouble:
    """Spoils turns of one world, some more than others; none before `begin` and after `end`."""

    def __init__(self, random: Random, stage: Stage, server: Server, shop: Shop) -> None:
        self.happened: Counter[str] = Counter()
        self.is_over = True
        self.undone: set[UUID] = set()
        """The commands whose effects Postgres has forgotten since."""
        self._random = random
        self._stage = stage
        self._server = server
        self._shop = shop
        self._share = random.choice([0.0, 0.003, 0.01, 0.04])
        self._put_back_left = random.choice([0, 0, 1, _PUT_BACK_MAX])
        self._reads_until_put_back = 0
        self._ways: list[tuple[int, Callable[[Turn], bool]]] = [
            (6, self._cut_before),
            (6, self._cut_after),
            (4, self._kill_before),
            (4, self._kill_after),
            (6, self._stop),
            (1, self._cut_all),
            (2, self._back_up),
            (2, self._put_back),
        ]
        self._weights = [weight for weight, _ in self._ways]

    def begin(self) -> None:
        """Things may go wrong from now on."""
        self.is_over = False
        if self._put_back_left:
            self._back_up_now()

    def end(self) -> None:
        """Nothing goes wrong any more."""
        self.is_over = True

    def before(self, turn: Turn) -> bool:
        if self.is_over or turn.process.name not in _MORTAL:
            return True
        if self._reads_until_put_back and _READS_MAILBOXES in turn.what:
            self._reads_until_put_back -= 1
            if not self._reads_until_put_back:
                return self._put_back(turn)
        if self._random.random() >= self._share:
            return True
        ((_, way),) = self._random.choices(self._ways, self._weights)
        return way(turn)

    def _count(self, what: str) -> None:
        self.happened[f"fault: {what}"] += 1

    def _cut_before(self, turn: Turn) -> bool:
        self._count("connection lost before")
        if turn.wire is not None:
            self._stage.cut([turn.wire])
            return False
        turn.cut_at = 0
        return True

    def _cut_after(self, turn: Turn) -> bool:
        self._count("connection lost after")
        turn.cut_at = self._random.choice([1.0, self._random.uniform(0.01, 1.0)])
        return True

    def _kill_before(self, turn: Turn) -> bool:
        self._count(f"{turn.process.name} killed before")
        self._stage.kill(turn.process)
        self._shop.start_again(turn.process)
        return False

    def _kill_after(self, turn: Turn) -> bool:
        self._count(f"{turn.process.name} killed after")
        turn.dies_after = True
        self._shop.start_again(turn.process)
        return True

    def _stop(self, turn: Turn) -> bool:
        process, seconds = turn.process, self._random.choice(_STOPS_SECONDS)
        self._count(f"{process.name} stopped")
        self._stage.note(f"{process} is stopped for {seconds} s")
        process.is_stopped = True
        process.stops += 1

        def go_on() -> None:
            process.is_stopped = False

        def end_transactions() -> None:
            if process.is_stopped:
                self._stage.cut([wire for wire in self._open() if wire.process is process and wire.is_in_transaction()])

        self._stage.loop.call_later(seconds, go_on)
        if seconds > _IDLE_MAX_SECONDS:
            self._stage.loop.call_later(_IDLE_MAX_SECONDS, end_transactions)
        return False

    def _cut_all(self, turn: Turn) -> bool:
        self._count("all connections to Postgres lost")
        self._stage.cut(self._open())
        return False

    def _back_up(self, turn: Turn) -> bool:
        if not self._put_back_left:
            return True
        self._back_up_now()
        if self._random.random() < 0.5:
            self._put_back_soon()
        return False

    def _put_back_soon(self) -> None:
        """While a worker is between two batches, and before every mailbox has moved on: a worker that does not check
        the log's position takes it for the same log."""
        self._reads_until_put_back = self._random.randint(1, _SOON_READS)

    def _back_up_now(self) -> None:
        self._count("backup")
        self._stage.note("backup")
        self._stage.cut(self._open())
        self._server.back_up()

    def _put_back(self, turn: Turn) -> bool:
        if not self._put_back_left:
            return True
        self._count("Postgres put back")
        self._stage.note("Postgres is put back")
        self._put_back_left -= 1
        self._stage.cut(self._open())
        self._shop.before_it_is_put_back()
        before = self._recorded()
        self._server.put_back()
        self._stage.now += _PUTTING_BACK_SECONDS
        self.undone |= before - self._recorded()
        return False

    def _recorded(self) -> set[UUID]:
        return {UUID(int=row["id"].int) for row in self._server.fetch("SELECT id FROM commands")}

    def _open(self) -> list[Wire]:
        return [wire for wire in self._stage.wires if not wire.connection.is_closed()]
