"""Repetitions: a command is applied once however often it is posted, and an idempotency key is used once."""

import asyncio
from uuid import UUID

import msgspec
import pytest

from domain.orders import CancelOrder
from domain.stock import ReceiveStock
from runtime.envelope import Envelope
from tests.integration.gates import gate_before
from tests.integration.shopfloor import ANN, BOB, STAFF, Shopfloor, retries

SAME, OTHER = b"the same request", b"another request"


async def _first_command_of(floor: Shopfloor, command_id: UUID) -> UUID:
    """The command that this one repeats."""
    data = await floor.pool.fetchval(
        "SELECT data::text FROM events WHERE command_id = $1 AND type = 'command.repeated'", command_id
    )
    return UUID(msgspec.json.decode(data)["first_command_id"])


def _commands(floor: Shopfloor) -> dict[str, Envelope]:
    """One command of each kind that changes something."""
    cancelled = floor.place(0, MUG=2)
    return {
        "place": floor.envelope(floor.place(0, MUG=3)),
        "placed first": floor.envelope(cancelled),
        "cancel": floor.envelope(CancelOrder(cancelled.order_id)),
        "receive": floor.envelope(ReceiveStock("MUG", 5), actor=STAFF),
        "refused": floor.envelope(floor.place(0, MUG=10_000)),
    }


@pytest.mark.parametrize("drained", ["together", "apart"])
async def test_the_same_command_posted_twice_is_applied_once(floor: Shopfloor, drained: str) -> None:
    await floor.fill(MUG=100)
    before = await floor.verified()
    commands = _commands(floor)
    for _ in range(2):
        for envelope in commands.values():
            await floor.post_envelope(envelope, mailbox=0)
        if drained == "apart":
            await floor.drain(0)
    for envelope in commands.values():
        await floor.post_envelope(envelope, mailbox=0)
        await floor.post_envelope(envelope, mailbox=0)
    await floor.drain(0)
    assert await floor.statuses([envelope.command_id for envelope in commands.values()]) == [
        *["applied"] * 4,
        "rejected: insufficient_stock",
    ]
    assert await floor.stock("MUG") == (105, 3)
    counts = await floor.verified()
    assert counts["commands"] - before["commands"] == len(commands)
    entries = counts["mailbox_entries_applied"] - before["mailbox_entries_applied"]
    assert entries == 4 * len(commands), "the repetitions are processed, too"


async def test_a_repetition_among_new_commands_does_not_affect_them(floor: Shopfloor) -> None:
    await floor.fill(MUG=100)
    old = floor.envelope(floor.place(0, MUG=1))
    await floor.post_envelope(old)
    await floor.drain(0)
    repeated = retries("repeated")
    new = await floor.post_all(floor.place(0, MUG=1) for _ in range(10))
    await floor.post_envelope(old)
    new += await floor.post_all(floor.place(0, MUG=1) for _ in range(10))
    await floor.drain(0)
    assert await floor.statuses(new) == ["applied"] * 20
    assert await floor.stock("MUG") == (100, 21)
    assert retries("repeated") == repeated + 1, "noticed, looked up, and done"
    assert await floor.dead_letters() == []
    await floor.verified()


@pytest.mark.parametrize(("fingerprint", "became"), [(SAME, "repeated"), (OTHER, "rejected: idempotency_key_reused")])
@pytest.mark.parametrize("drained", ["together", "apart"])
async def test_a_key_twice_in_one_mailbox(floor: Shopfloor, drained: str, fingerprint: bytes, became: str) -> None:
    # Redis remembers the key and would answer at once; here it has forgotten.
    await floor.fill(MUG=100)
    first = await floor.post(floor.place(0, MUG=1), key="key-1", fingerprint=SAME)
    if drained == "apart":
        await floor.drain(0)
    second = await floor.post(floor.place(0, MUG=1), key="key-1", fingerprint=fingerprint)
    await floor.drain(0)
    assert await floor.statuses([first, second]) == ["applied", became]
    assert await floor.stock("MUG") == (100, 1)
    if became == "repeated":
        assert await _first_command_of(floor, second) == first
    await floor.verified()


@pytest.mark.parametrize(("fingerprint", "became"), [(SAME, "repeated"), (OTHER, "rejected: idempotency_key_reused")])
async def test_a_key_in_two_mailboxes_one_after_the_other(floor: Shopfloor, fingerprint: bytes, became: str) -> None:
    await floor.fill(MUG=100)
    first = await floor.post(floor.place(0, MUG=1), key="key-1", fingerprint=SAME)
    second = await floor.post(floor.place(1, MUG=1), key="key-1", fingerprint=fingerprint)
    await floor.drain(0)
    await floor.drain(1)
    assert await floor.statuses([first, second]) == ["applied", became]
    assert await floor.stock("MUG") == (100, 1)
    if became == "repeated":
        assert await _first_command_of(floor, second) == first
    await floor.verified()


@pytest.mark.parametrize(("fingerprint", "became"), [(SAME, "repeated"), (OTHER, "rejected: idempotency_key_reused")])
async def test_a_key_in_two_mailboxes_at_once_is_used_once(floor: Shopfloor, fingerprint: bytes, became: str) -> None:
    await floor.fill(MUG=100)
    posted = [
        await floor.post(floor.place(0, MUG=1), key="key-1", fingerprint=SAME),
        await floor.post(floor.place(1, MUG=1), key="key-1", fingerprint=fingerprint),
    ]
    async with gate_before(floor.database_url, "event_counter") as gate:
        drains = [asyncio.create_task(floor.new_drainer().drain([mailbox])) for mailbox in (0, 1)]
        await gate.wait_for(2)  # both have decided to place the order, neither has written anything
        await gate.open()
        await asyncio.gather(*drains)
    assert sorted(await floor.statuses(posted)) == ["applied", became]
    assert await floor.stock("MUG") == (100, 1)
    assert await floor.dead_letters() == []
    await floor.verified()


async def test_many_keys_in_opposite_order_through_two_mailboxes_at_once(floor: Shopfloor) -> None:
    await floor.fill(MUG=1_000)
    keys = [f"key-{number}" for number in range(30)]
    here = [await floor.post(floor.place(0, MUG=1), key=key) for key in keys]
    there = [await floor.post(floor.place(1, MUG=1), key=key) for key in reversed(keys)]
    async with gate_before(floor.database_url, "event_counter") as gate:
        drains = [asyncio.create_task(floor.new_drainer().drain([mailbox])) for mailbox in (0, 1)]
        await gate.wait_for(2)
        await gate.open()
        await asyncio.gather(*drains)
    for one, other in zip(here, reversed(there), strict=True):
        assert sorted(await floor.statuses([one, other])) == ["applied", "repeated"]
    assert await floor.stock("MUG") == (1_000, 30)
    await floor.verified()


async def test_a_key_is_its_principals_own(floor: Shopfloor) -> None:
    await floor.fill(MUG=100)
    posted = [
        await floor.post(floor.place(0, MUG=1), actor=ANN, key="key-1"),
        await floor.post(floor.place(0, actor=BOB, MUG=1), actor=BOB, key="key-1"),
        await floor.post(floor.place(0, MUG=1), actor=ANN, key="key-2"),
    ]
    await floor.drain(0)
    assert await floor.statuses(posted) == ["applied"] * 3
    await floor.verified()


async def test_a_refused_command_has_used_its_key_too(floor: Shopfloor) -> None:
    await floor.fill(MUG=1)
    first = await floor.post(floor.place(0, MUG=2), key="key-1")
    again = await floor.post(floor.place(0, MUG=2), key="key-1")
    await floor.drain(0)
    await floor.fill(MUG=5)  # there is enough now, but the answer stands
    late = await floor.post(floor.place(1, MUG=2), key="key-1")
    await floor.drain(1)
    assert await floor.statuses([first, again, late]) == ["rejected: insufficient_stock", "repeated", "repeated"]
    assert await _first_command_of(floor, late) == first
    await floor.verified()


async def test_a_key_that_was_reused_for_another_request_still_belongs_to_the_first(floor: Shopfloor) -> None:
    await floor.fill(MUG=100)
    posted = [
        await floor.post(floor.place(mailbox, MUG=1), key="key-1", fingerprint=fingerprint)
        for mailbox, fingerprint in [(0, SAME), (1, OTHER), (2, OTHER), (3, SAME)]
    ]
    for mailbox in range(4):
        await floor.drain(mailbox)
    assert await floor.statuses(posted) == [
        "applied",
        "rejected: idempotency_key_reused",
        "rejected: idempotency_key_reused",
        "repeated",
    ]
    await floor.verified()
