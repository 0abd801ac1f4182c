"""A gateway that is told to stop: who is told when, and what a second signal does."""

import asyncio
import signal
from collections.abc import Iterator
from types import FrameType, SimpleNamespace

import pytest
from prometheus_client import REGISTRY

from gateway.server import stopping
from gateway.server.stopping import CLOSES_PER_SECOND, Stopping, turn
from runtime.settings import Settings

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Server:
    """The previous handler of the signals, as uvicorn's is."""

    def __init__(self) -> None:
        self.heard: list[int] = []

    def handle(self, number: int, frame: FrameType | None) -> None:
        self.heard.append(number)


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    before = {number: signal.signal(number, found.handle) for number in _SIGNALS}
    yield found
    for number, handler in before.items():
        signal.signal(number, handler)


async def _soon() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.mark.parametrize("number", _SIGNALS)
async def test_a_signal_is_obeyed_and_passed_on(server: Server, number: signal.Signals) -> None:
    told: list[str] = []
    process = Stopping(notice_seconds=0, at_close=lambda: told.append("closed"))
    with process.heeding_signals():
        assert not process.begun
        signal.raise_signal(number)
        assert process.begun
        assert (server.heard, told) == ([], []), "not from within the signal handler"
        await asyncio.sleep(0.01)
        assert (server.heard, told) == ([number], ["closed"])
        assert REGISTRY.get_sample_value("tidegate_processes_stopping", {"role": "gateway"}) == 1


async def test_the_server_continues_until_balancers_have_noticed(server: Server) -> None:
    process = Stopping(notice_seconds=3_600, at_close=lambda: pytest.fail("too early"))
    with process.heeding_signals():
        signal.raise_signal(signal.SIGTERM)
        await _soon()
        assert process.begun
        assert server.heard == []


async def test_one_request_from_both_terminal_and_parent_counts_once(server: Server) -> None:
    process = Stopping(notice_seconds=3_600, at_close=lambda: None)
    with process.heeding_signals():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGTERM):
            signal.raise_signal(number)
        await _soon()
        assert server.heard == []


async def test_a_second_request_stops_it_at_once(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(stopping, "time", SimpleNamespace(monotonic=lambda: now[0]))
    process = Stopping(notice_seconds=3_600, at_close=lambda: None)
    with process.heeding_signals():
        signal.raise_signal(signal.SIGTERM)
        now[0] += 10
        signal.raise_signal(signal.SIGTERM)
        assert server.heard == [signal.SIGTERM, signal.SIGINT], "the second one is what uvicorn calls `force`"


async def test_afterwards_signals_go_to_their_previous_handlers(server: Server) -> None:
    with Stopping(notice_seconds=0, at_close=lambda: None).heeding_signals():
        pass
    for number in _SIGNALS:
        assert signal.getsignal(number) == server.handle


def test_many_sockets_take_turns_and_few_do_not_wait() -> None:
    longest = Settings.model_fields["socket_close_seconds"].default
    many = [turn(1_000_000) for _ in range(1_000)]
    assert 0 <= min(many) < longest * 0.1
    assert longest * 0.9 < max(many) <= longest
    assert max(turn(2) for _ in range(100)) <= 2 / CLOSES_PER_SECOND
