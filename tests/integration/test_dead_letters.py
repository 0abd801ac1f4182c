"""Dead letters: a command that cannot be applied is put aside and has failed, and the rest of its batch is applied."""

import os
from collections.abc import Callable, Sequence
from uuid import UUID

import msgspec
import pytest

from domain.ids import new_id
from domain.model import Personal, Wanted
from domain.orders import CancelOrder, PlaceOrder
from domain.stock import ReceiveStock
from runtime import envelope as envelopes
from runtime.envelope import ENVELOPE_FIELD, SCHEMA_VERSION, VERSION_FIELD
from runtime.mailboxes.redis_keys import stream_key
from runtime.records import FAILED
from tests import pace
from tests.integration.shopfloor import ANN, STAFF, Shopfloor, retries


async def _orders(floor: Shopfloor, count: int) -> list[UUID]:
    """Orders of one mug each, in mailbox 0; returns the commands' ids."""
    return await floor.post_all(floor.place(0, MUG=1) for _ in range(count))


def _raw(*fields: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.msgpack.encode(fields))


def _whole(floor: Shopfloor) -> bytes:
    return envelopes.encode(floor.envelope(floor.place(0, MUG=1)))


GARBAGE: dict[str, tuple[str, Callable[[Shopfloor], dict[bytes, bytes]]]] = {
    "no fields of ours": ("unknown_schema_version", lambda floor: {b"hello": b"world"}),
    "no version": ("unknown_schema_version", lambda floor: {ENVELOPE_FIELD: _whole(floor)}),
    "a version to come": ("unknown_schema_version", lambda floor: {VERSION_FIELD: b"2", ENVELOPE_FIELD: _whole(floor)}),
    "no envelope": ("unreadable_envelope", lambda floor: {VERSION_FIELD: SCHEMA_VERSION}),
    "noise": ("unreadable_envelope", lambda floor: {VERSION_FIELD: SCHEMA_VERSION, ENVELOPE_FIELD: b"\xff\x00\xfe"}),
    "text that is no UTF-8": (
        "unreadable_envelope",
        lambda floor: {VERSION_FIELD: SCHEMA_VERSION, ENVELOPE_FIELD: _whole(floor).replace(b"ann", b"a\xff\xfe", 1)},
    ),
    "nesting without end": (
        "unreadable_envelope",
        lambda floor: {VERSION_FIELD: SCHEMA_VERSION, ENVELOPE_FIELD: _whole(floor)[:-1] + b"\x91" * 100_000},
    ),
    "a cut envelope": (
        "unreadable_envelope",
        lambda floor: {VERSION_FIELD: SCHEMA_VERSION, ENVELOPE_FIELD: _whole(floor)[:-3]},
    ),
    "a name that no table can store": (
        "unreadable_envelope",
        lambda floor: floor.entry(msgspec.structs.replace(floor.envelope(CancelOrder(floor.new_id())), principal="\0")),
    ),
    "a moment that no calendar has": (
        "unreadable_envelope",
        lambda floor: floor.entry(
            msgspec.structs.replace(floor.envelope(CancelOrder(floor.new_id())), accepted_at=2**60)
        ),
    ),
}


@pytest.mark.parametrize(("code", "fields"), GARBAGE.values(), ids=GARBAGE)
async def test_an_unreadable_entry_is_put_aside_as_it_is(
    floor: Shopfloor, code: str, fields: Callable[[Shopfloor], dict[bytes, bytes]]
) -> None:
    await floor.fill(MUG=100)
    before = await _orders(floor, 3)
    garbage = fields(floor)
    entry_id = await floor.put(0, garbage)
    after = await _orders(floor, 3)
    await floor.drain(0)

    assert await floor.statuses(before + after) == ["applied"] * 6
    ((mailbox, where, command_id, said),) = await floor.dead_letters()
    assert (mailbox, where, said) == (0, entry_id, code)
    kept = await floor.pool.fetchval("SELECT entry FROM dead_letters")
    assert msgspec.msgpack.decode(kept, type=dict[bytes, bytes]) == garbage
    # It had no id and was given one: the log and the audit have it, in its place.
    assert command_id is not None
    settled = await floor.settled()
    assert (settled[command_id].status, settled[command_id].code) == (FAILED, code)
    assert settled[before[-1]].seq < settled[command_id].seq < settled[after[0]].seq
    await floor.verified()


UNREADABLE = {
    "no such command": _raw("Explode", 1),
    "no such field": _raw("CancelOrder", str(new_id(1, 2, 3)), "please"),
    "not enough": _raw("CancelOrder"),
    "no lines": _raw("PlaceOrder", str(new_id(1, 2, 3)), "ann", []),
    "a quantity of nothing": _raw("PlaceOrder", str(new_id(1, 2, 3)), "ann", [["MUG", 0]]),
    "a name that no table can store": _raw("Ex\0plode"),
    "a name that no index can hold": _raw("PlaceOrder", str(new_id(1, 2, 3)), os.urandom(4_000).hex(), [["MUG", 1]]),
    "nothing": _raw(),
}


@pytest.mark.parametrize("command", UNREADABLE.values(), ids=UNREADABLE)
async def test_an_unreadable_command_fails_under_its_own_id(floor: Shopfloor, command: msgspec.Raw) -> None:
    await floor.fill(MUG=100)
    before = await _orders(floor, 3)
    unreadable = floor.envelope(command)
    entry_id = await floor.put(0, floor.entry(unreadable))
    after = await _orders(floor, 3)
    await floor.drain(0)
    assert await floor.statuses(before + after) == ["applied"] * 6
    ((mailbox, where, command_id, code),) = await floor.dead_letters()
    assert (mailbox, where, command_id) == (0, entry_id, unreadable.command_id)
    assert await floor.statuses([unreadable.command_id]) == [f"failed: {code}"]
    principal = await floor.pool.fetchval("SELECT principal FROM commands WHERE id = $1", unreadable.command_id)
    assert principal == ANN.principal
    await floor.verified()


async def test_a_dead_letter_is_kept_without_personal_data_and_says_what_it_lost(
    floor: Shopfloor, caplog: pytest.LogCaptureFixture
) -> None:
    await floor.fill(MUG=100)
    twice = (Wanted("MUG", 1), Wanted("MUG", 1))  # whose rule raises
    guest = PlaceOrder(floor.new_id(0), "guest:1", twice, Personal("guest@example.com"))
    customer = PlaceOrder(floor.new_id(0), "ann", twice)
    newer = _raw(
        "CreateAccount", str(floor.new_id(0)), "ada@example.com", "Ada", "customer", "the hash", True, "more of ada"
    )
    await floor.post_all([guest, customer])
    await floor.put(0, floor.entry(floor.envelope(newer)))
    await floor.drain(0)

    rows = await floor.pool.fetch("SELECT lost, entry, understood FROM dead_letters ORDER BY failed_at, entry_id")
    assert [(row["lost"], row["understood"]) for row in rows] == [
        (["email"], True),
        ([], True),
        (["email", "name", "password_hash", "field 7"], True),
    ]
    for table in ("dead_letters", "commands", "events"):
        kept = str(await floor.pool.fetch(f"SELECT * FROM {table}"))
        assert not [each for each in ("@example.com", "the hash", "more of ada") if each in kept], table
    assert "@example.com" not in caplog.text
    # A letter that lost nothing can be sent again.
    again = msgspec.msgpack.decode(rows[1]["entry"], type=dict[bytes, bytes])
    assert envelopes.decode(again)[1] == customer
    await floor.verified()


async def test_a_command_whose_rule_raises_is_put_aside_and_changes_nothing(floor: Shopfloor) -> None:
    await floor.fill(MUG=100)
    before = await _orders(floor, 3)
    # The gateway sums the lines of one SKU; for an order that repeats one, a rule raises.
    raising = await floor.post(PlaceOrder(floor.new_id(0), "ann", (Wanted("MUG", 1), Wanted("MUG", 2))))
    after = await _orders(floor, 3)
    await floor.drain(0)
    assert await floor.statuses([*before, raising, *after]) == [
        *["applied"] * 3,
        "failed: rule_raised",
        *["applied"] * 3,
    ]
    detail = await floor.pool.fetchval("SELECT detail FROM dead_letters WHERE command_id = $1", raising)
    assert "ValueError" in detail
    assert await floor.stock("MUG") == (100, 6)
    await floor.verified()


@pytest.mark.parametrize("place", [0, 1, 31, 32, 63, 64])
async def test_one_command_that_breaks_a_constraint_fails_alone_and_the_rest_apply_in_order(
    database_url: str, redis_url: str, place: int
) -> None:
    async with Shopfloor(database_url, redis_url, batch_max_commands=65) as floor:
        await floor.fill(MUG=1_000)
        taken = floor.place(0, MUG=1)
        await floor.post(taken)
        await floor.drain(0)
        bisected = retries("bisected")

        orders = [floor.place(0, MUG=1) for _ in range(64)]
        orders.insert(place, PlaceOrder(taken.order_id, "ann", (Wanted("MUG", 5),)))
        posted = await floor.post_all(orders)
        await floor.drain(0)

        culprit = posted[place]
        assert await floor.statuses([culprit]) == ["failed: write_refused"]
        others = [command_id for command_id in posted if command_id != culprit]
        assert await floor.statuses(others) == ["applied"] * 64
        settled = await floor.settled()
        assert [command_id for command_id in settled if command_id in set(posted)] == posted, "out of order"
        assert [letter[2:] for letter in await floor.dead_letters()] == [(culprit, "write_refused")]
        (told,) = await floor.pool.fetch("SELECT data->>'detail' AS detail FROM events WHERE type = 'command.failed'")
        assert "violates unique constraint" in told["detail"]
        assert "DETAIL" not in told["detail"], "it may quote whole rows, with all their secrets"
        assert 1 <= retries("bisected") - bisected <= 8, "halving 65 commands ends after 7 steps"
        assert await floor.stock("MUG") == (1_000, 65)
        await floor.verified()


async def test_many_bad_letters_of_all_kinds_among_good_ones(floor: Shopfloor) -> None:
    await floor.fill(MUG=1_000)
    taken = floor.place(0, MUG=1)
    await floor.post(taken)
    await floor.drain(0)
    good: list[UUID] = []
    bad = 0
    for _ in range(6):
        good += await _orders(floor, 5)
        await floor.put(0, {b"no": b"thing"})
        await floor.put(0, floor.entry(floor.envelope(_raw("Explode"))))
        await floor.post(PlaceOrder(floor.new_id(0), "ann", (Wanted("MUG", 1), Wanted("MUG", 1))))
        await floor.post(PlaceOrder(taken.order_id, "ann", (Wanted("MUG", 1),)))
        bad += 4
    await floor.drain(0)
    assert await floor.statuses(good) == ["applied"] * 30
    letters = await floor.dead_letters()
    assert len(letters) == bad
    assert {code for *_, code in letters} == {
        "unknown_schema_version",
        "unreadable_command",
        "rule_raised",
        "write_refused",
    }
    counts = await floor.verified()
    assert counts["commands_failed"] == bad


async def test_text_that_no_table_can_store_fails_its_command_alone(floor: Shopfloor) -> None:
    await floor.fill(MUG=100)
    before = await _orders(floor, 3)
    sku = await floor.post(PlaceOrder(floor.new_id(0), "ann", (Wanted("MU\0G", 1),)))
    customer = await floor.post(PlaceOrder(floor.new_id(0), "an\0n", (Wanted("MUG", 1),)))
    after = await _orders(floor, 3)
    await floor.drain(0)
    assert await floor.statuses([sku, customer]) == ["failed: write_refused"] * 2
    assert await floor.statuses(before + after) == ["applied"] * 6
    await floor.verified()


async def test_a_failed_command_that_comes_again_leaves_one_outcome(floor: Shopfloor) -> None:
    await floor.fill(MUG=100)
    unreadable = floor.envelope(_raw("Explode"))
    await floor.put(0, floor.entry(unreadable))
    await floor.put(0, floor.entry(unreadable))
    await floor.drain(0)
    await floor.put(0, floor.entry(unreadable))
    await floor.drain(0)
    assert await floor.statuses([unreadable.command_id]) == ["failed: unreadable_command"]
    counts = await floor.verified()
    assert counts["commands_failed"] == 1


@pytest.mark.parametrize("batches", [1, 2])
async def test_a_dead_letter_whose_idempotency_key_is_taken_does_not_hold_up_its_mailbox(
    floor: Shopfloor, batches: int
) -> None:
    # As when a gateway is newer than the workers: the client's retry with the same key is as unreadable as the first.
    await floor.fill(MUG=100)
    first = floor.envelope(_raw("Explode"), key="key-1")
    again = floor.envelope(_raw("Explode"), key="key-1")
    await floor.put(0, floor.entry(first))
    if batches == 2:
        await floor.drain(0)
    await floor.put(0, floor.entry(again))
    after = await _orders(floor, 3)
    await floor.drain(0)
    assert await floor.statuses(after) == ["applied"] * 3
    assert await floor.statuses([first.command_id, again.command_id]) == ["failed: unreadable_command"] * 2
    await floor.verified()


async def test_a_waiting_client_is_told_that_its_command_became_a_dead_letter(floor: Shopfloor) -> None:
    await floor.fill(MUG=100)
    pubsub = floor.redis.pubsub()
    await pubsub.subscribe("0:replies")  # of database 0
    unreadable = floor.envelope(_raw("Explode"), reply_to="replies")
    await floor.put(0, floor.entry(unreadable))
    await floor.drain(0)
    messages: Sequence[bytes] = []
    while not messages:
        message = await pubsub.get_message(ignore_subscribe_messages=True, timeout=pace.seconds(5))
        messages = [message["data"]] if message else []
    await pubsub.aclose()  # type: ignore[no-untyped-call]  # the library is untyped here
    ((command_id, status, *_),) = msgspec.json.decode(messages[0])
    assert (command_id, status) == (str(unreadable.command_id), FAILED)
    await floor.verified()


async def test_a_mailbox_of_nothing_but_garbage_is_emptied(floor: Shopfloor) -> None:
    for number in range(3 * floor.batch_max_commands):
        await floor.redis.xadd(stream_key(1), {b"number": b"%d" % number})
    await floor.post(ReceiveStock("NOPE", 1), actor=STAFF, mailbox=1)
    await floor.drain(1)
    assert await floor.waiting(1) == 0
    counts = await floor.verified()
    assert (counts["commands_failed"], counts["commands_rejected"]) == (3 * floor.batch_max_commands, 1)
