"""Send queues: in order, batched, bounded, and independent of one another."""

import asyncio
from uuid import UUID

import pytest

from gateway.realtime import send_queue
from gateway.realtime.packets import Packet, array, events_message, packets, server_sent
from gateway.realtime.send_queue import NOTICES_MAX, Lane, SendQueue
from runtime.records import CHUNK_MAX_BYTES, CHUNK_MAX_EVENTS


def packet(*seqs: int) -> Packet:
    return Packet(seqs, [str(seq) for seq in seqs])


class Receiver:
    """Takes what is sent while `open`, and records it."""

    def __init__(self) -> None:
        self.got: list[str] = []
        self.open = asyncio.Event()
        self.open.set()
        self.ended = 0

    async def send(self, text: str) -> None:
        await self.open.wait()
        self.got.append(text)

    def end(self) -> None:
        self.ended += 1


def queue_to(receiver: Receiver, max_events: int = 10, max_bytes: int = 1_000) -> SendQueue:
    return SendQueue(receiver.send, receiver.end, array, max_events=max_events, max_bytes=max_bytes)


async def test_messages_are_sent_in_order_and_together() -> None:
    receiver = Receiver()
    queue, a, b = queue_to(receiver), Lane('"a"', 0), Lane('"b"', 0)
    queue.put(a, packet(1, 2))
    queue.put(a, packet(3))
    queue.notify("hello")
    queue.put(a, packet(4))
    queue.put(b, packet(4))
    await queue.flushed()
    assert receiver.got == ["[1,2,3]", "hello", "[4]", "[4]"]
    assert (a.sent, b.sent) == (4, 4)
    assert queue.waiting == 0


@pytest.mark.parametrize("bounds", [(3, 1_000), (1_000, 3)], ids=["events", "bytes"])
async def test_a_slow_reader_is_closed_and_gets_nothing_from_after_a_gap(bounds: tuple[int, int]) -> None:
    receiver = Receiver()
    receiver.open.clear()
    queue, lane = queue_to(receiver, *bounds), Lane('"a"', 0)
    queue.put(lane, packet(1))
    await asyncio.sleep(0)  # the first is being sent, and stuck
    queue.put(lane, packet(2, 3))
    queue.put(lane, packet(4, 5))
    queue.put(lane, packet(6))
    assert (receiver.ended, queue.overflowed) == (1, True)
    assert lane.sent == 0, "the stuck one was not sent"
    receiver.open.set()
    await queue.flushed()
    assert receiver.got == ["[1]", "[2,3]"]
    assert lane.sent == 3


async def test_what_was_not_sent_at_the_end_is_not_counted_as_sent() -> None:
    receiver = Receiver()
    queue, lane = queue_to(receiver), Lane('"a"', 7)
    queue.put(lane, packet(8))
    await queue.flushed()
    receiver.open.clear()
    queue.put(lane, packet(9))
    await asyncio.sleep(0)
    queue.close()
    receiver.open.set()
    await queue.flushed()
    assert (receiver.got, lane.sent) == (["[8]"], 8)


async def test_there_is_room_for_one_packet_however_large() -> None:
    receiver = Receiver()
    queue = queue_to(receiver, max_events=1, max_bytes=1)
    queue.put(Lane('"a"', 0), packet(1, 2, 3))
    await queue.flushed()
    assert receiver.got == ["[1,2,3]"]


async def test_past_events_take_no_room_from_live_ones() -> None:
    """A client that follows one thing while another's past is being sent is not too slow, however large its pages
    are."""
    receiver = Receiver()
    queue, past, live = queue_to(receiver, max_events=2), Lane('"a"', 0), Lane('"b"', 7)
    queue.put(past, packet(*range(1, 8)), live=False)
    queue.put(live, packet(8))
    queue.put(live, packet(9))
    assert (receiver.ended, queue.waiting) == (0, 2)
    await queue.flushed()
    assert receiver.got == ["[1,2,3,4,5,6,7]", "[8,9]"]
    assert (past.sent, live.sent, queue.waiting) == (7, 9, 0)


async def test_it_is_crowded_before_it_is_full() -> None:
    receiver = Receiver()
    receiver.open.clear()
    queue = queue_to(receiver)
    while not queue.crowded:
        assert not receiver.ended
        queue.notify("pong")
    receiver.open.set()
    await queue.flushed()
    assert (queue.crowded, receiver.ended) == (False, 0)


async def test_a_notice_can_say_how_far_it_has_come() -> None:
    """A subscription that sees nothing for long need not resume from long ago."""
    receiver = Receiver()
    queue, quiet, busy = queue_to(receiver), Lane('"a"', 0), Lane('"b"', 0)
    queue.put(busy, packet(5, 9))
    queue.notify("heartbeat", 8, [quiet, busy])
    assert (quiet.sent, busy.sent) == (0, 0)
    await queue.flushed()
    assert (quiet.sent, busy.sent) == (8, 9)


async def test_waiting_for_earlier_messages_does_not_wait_for_later_ones() -> None:
    receiver = Receiver()
    receiver.open.clear()
    queue, lane = queue_to(receiver), Lane('"a"', 0)
    queue.put(lane, packet(1))
    await asyncio.sleep(0)
    flushed = asyncio.create_task(queue.flushed())
    await asyncio.sleep(0)
    receiver.open.set()
    seq = 1
    while not flushed.done():
        seq += 1
        queue.put(lane, packet(seq))
        await asyncio.sleep(0)
    assert seq < 10
    queue.close()


async def test_a_sealed_queue_takes_nothing_more_and_sends_the_rest() -> None:
    receiver = Receiver()
    queue, lane = queue_to(receiver), Lane('"a"', 0)
    queue.put(lane, packet(1))
    queue.seal()
    queue.put(lane, packet(2))
    queue.notify("hello")
    await queue.flushed()
    assert receiver.got == ["[1]"]


async def test_answers_are_bounded_too() -> None:
    receiver = Receiver()
    receiver.open.clear()
    queue = queue_to(receiver)
    for _ in range(NOTICES_MAX + 1):
        queue.notify("pong")
    assert receiver.ended == 1
    queue.close()


async def test_a_disconnected_receiver_ends_it_once() -> None:
    receiver = Receiver()

    async def broken(text: str) -> None:
        raise OSError("gone")

    queue, lane = SendQueue(broken, receiver.end, array, max_events=10, max_bytes=10), Lane('"a"', 0)
    queue.put(lane, packet(1))
    await queue.flushed()
    queue.put(lane, packet(2))
    assert receiver.ended == 1
    assert not queue.overflowed
    assert lane.sent == 0


async def test_a_receiver_that_reads_nothing_is_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(send_queue, "SEND_MAX_SECONDS", 0.01)
    receiver = Receiver()
    receiver.open.clear()
    queue = queue_to(receiver)
    queue.put(Lane('"a"', 0), packet(1))
    await queue.flushed()
    assert (receiver.ended, queue.overflowed) == (1, True)


def test_packets_are_bounded() -> None:
    many = list(packets([(seq, "{}") for seq in range(1, 2 * CHUNK_MAX_EVENTS + 2)]))
    assert [len(each.bodies) for each in many] == [CHUNK_MAX_EVENTS, CHUNK_MAX_EVENTS, 1]
    large = list(packets([(seq, "x" * (CHUNK_MAX_BYTES - 1)) for seq in (1, 2)]))
    assert [each.seq for each in large] == [1, 2]
    assert list(packets([])) == []


def test_events_already_seen_are_removed_from_a_packet() -> None:
    whole = packet(3, 5, 8)
    assert whole.after(2) is whole
    assert [whole.after(seq).seqs for seq in (3, 4, 5, 7)] == [(5, 8), (5, 8), (8,), (8,)]  # type: ignore[union-attr]  # there is some
    assert whole.after(8) is None


def test_the_forms() -> None:
    assert (
        events_message('"a"', [1, 2], ["{}", "{}"]) == '{"type":"events","subscription":"a","seq":2,"events":[{},{}]}'
    )
    assert array('"a"', [1], ["{}"]) == "[{}]"
    log = UUID(int=7)
    sent = f"id: 1@{log}\ndata: {{}}\n\nid: 2@{log}\ndata: []\n\n"
    assert server_sent(log)('"a"', [1, 2], ["{}", "[]"]) == sent
    assert server_sent(log) is server_sent(UUID(int=7)), "followers of one log share its text"
    shared = packet(1)
    assert shared.written(array, "x") is shared.written(array, "x")


def test_clients_own_names_are_not_kept() -> None:
    shared = packet(1)
    names = [str(number) for number in range(100)]
    assert {shared.written(events_message, name) for name in names} == {
        events_message(name, [1], ["1"]) for name in names
    }
    assert len(shared._written) < 10
