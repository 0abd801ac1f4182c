"""The patrol raises the alarm for every row that somebody has altered, names it, and is silent otherwise."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, NamedTuple

import asyncpg
import pytest
from prometheus_client import REGISTRY

from domain.catalogue import ChangeVariant, SetVariant, VariantFields
from domain.orders import ConfirmOrder
from domain.stock import ReceiveStock
from ops.verify import verify
from runtime.proof.stored import meaning
from runtime.stored_fold import storing
from tests.integration.patrolling import Watch, alarms, folded, watching
from tests.integration.shopfloor import STAFF, Shopfloor
from tests.integration.smallshop import Copies, Shop, copies, opened
from tests.servers import Databases
from workers.patrol.suspects import WATCHED


@pytest.fixture(scope="module")
async def shops(databases: Databases, _shared_redis_url: str) -> AsyncIterator[Copies]:
    async with copies(databases, _shared_redis_url, folded) as made:
        yield made


@pytest.fixture
async def watch(redis_url: str, shops: Copies) -> AsyncIterator[Watch]:
    """Everything that has happened is folded."""
    async with shops() as shop, watching(shop) as begun:
        yield begun


def counted(name: str, table: str) -> float:
    return REGISTRY.get_sample_value(name, {"table": table}) or 0.0


async def test_a_shop_in_order_raises_no_alarm_in_windows_of_any_size(
    floor: Shopfloor, caplog: pytest.LogCaptureFixture
) -> None:
    async with watching(await opened(floor), verify_window_max_events=1) as watch:
        assert await watch.go() > 5  # each batch
        assert REGISTRY.get_sample_value("tidegate_verify_seq") == await watch.folded() == (await floor.log())[-1]
        assert REGISTRY.get_sample_value("tidegate_verify_lag_events") == 0
        watch.replace(verify_window_max_events=5_000)
        await floor.post_all(
            [floor.place(1, MUG=1), ReceiveStock("MUG", 2), ConfirmOrder(watch.shop.order_id)], actor=STAFF
        )
        await floor.drain()
        assert (await watch.from_newest()).clean
        assert await watch.go() == 1
        assert (await watch.from_newest()).clean
        assert (alarms(caplog), await watch.open()) == ([], [])


class Altered(NamedTuple):
    """What somebody does by hand, and the row to be named; `undo` is what puts it right."""

    table: str
    key: str
    statement: str
    undo: str


async def _altered(shop: Shop, hand: asyncpg.Connection[Any]) -> list[Altered]:
    order, other = str(shop.order_id), str(shop.cancelled_id)
    account = await hand.fetchval("SELECT id::text FROM products LIMIT 1")
    made = [
        ("orders", order, "status = 'fulfilled'"),
        ("orders", other, "total_minor = total_minor + 1"),
        ("order_lines", order, "quantity = quantity + 1"),
        ("stock", "MUG", "on_hand = on_hand + 1"),
        ("variants", "MUG", "price_minor = 1"),
        ("products", account, "name = 'Mugs'"),
        ("categories", str(shop.category_id), "position = position + 1"),
        ("commands", str(shop.place), "status = 'rejected'"),
        ("commands", str(shop.adjust), "seq = seq + 1"),
        ("commands", str(shop.refused), "event_count = event_count + 1"),
    ]
    keys = {"order_lines": "order_id", "stock": "sku", "variants": "sku"}
    altered = []
    for table, key, change in made:
        where = f"{keys.get(table, 'id')} = '{key}'"
        column = change.partition(" ")[0]
        kept = await hand.fetch(f"SELECT {column}, ctid::text AS at FROM {table} WHERE {where}")
        value = kept[0][column]
        altered.append(
            Altered(
                table,
                key,
                f"UPDATE {table} SET {change} WHERE {where}",
                f"UPDATE {table} SET {column} = '{value}' WHERE {where}"
                if len(kept) == 1
                else f"UPDATE {table} SET {column} = {column} - 1 WHERE {where}",
            )
        )
    return altered


async def test_a_row_altered_by_hand_is_named_until_it_is_put_right(
    watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    for table, key, statement, undo in await _altered(watch.shop, watch.hand):
        found = counted("tidegate_verify_differences_found_total", table)
        await watch.hand.execute(statement)
        await watch.go()
        (said,) = alarms(caplog)
        assert said.startswith(f"verify_difference: {table} {key}: "), statement
        assert await watch.open() == [(table, key)]
        assert counted("tidegate_verify_differences_found_total", table) == found + 1
        assert counted("tidegate_verify_differences", table) == 1
        await watch.go()
        assert alarms(caplog) == []  # it is told once
        await watch.hand.execute(undo)
        await watch.go()
        assert (alarms(caplog), await watch.open(), counted("tidegate_verify_differences", table)) == ([], [], 0)
    assert (await watch.from_newest()).clean


_GONE: Final = {
    "orders": "DELETE FROM orders WHERE id = $1",
    "order_lines": "DELETE FROM order_lines WHERE order_id = $1",
    "commands": "DELETE FROM commands WHERE id = $1",
    "events": "DELETE FROM events WHERE seq = $1",
    "stock": "DELETE FROM stock WHERE sku = $1",
    "variants": "DELETE FROM variants WHERE sku = $1",
}


async def test_a_row_that_is_gone_is_named(watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
    shop = watch.shop
    keys: dict[str, Any] = {
        "orders": shop.cancelled_id,
        "order_lines": shop.order_id,
        "commands": shop.place,
        "events": 3,
        "stock": "MUG",
        "variants": "LAMP",
    }
    for table, statement in _GONE.items():
        assert await watch.hand.execute(statement, keys[table]) != "DELETE 0"
    await watch.go()
    assert await watch.open() == sorted((table, str(key)) for table, key in keys.items())
    assert len(alarms(caplog)) == len(keys)


async def test_a_table_that_is_emptied_raises_the_alarm(watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
    await watch.hand.execute("TRUNCATE stock")
    await watch.go()
    assert await watch.open() == [("stock", "LAMP"), ("stock", "MUG")]


async def test_a_row_that_was_made_up_is_named(watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
    made_up = "01a20000-0000-7000-8000-0000000000ad"
    await watch.hand.execute("INSERT INTO stock VALUES ('GHOST', 0, 0)")
    await watch.hand.execute(
        "INSERT INTO commands SELECT $1, type, principal, accepted_at, applied_at, mailbox, entry_id, status, seq,"
        " event_count, NULL, NULL, request FROM commands WHERE id = $2",
        made_up,
        watch.shop.place,
    )
    await watch.go()
    assert await watch.open() == [("commands", made_up), ("stock", "GHOST")]


async def test_an_event_altered_long_after_it_was_folded_is_named(
    watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    """Even in what nothing follows from."""
    seq = await watch.hand.fetchval(
        "UPDATE events SET actor = 'eve' WHERE command_id = $1 RETURNING seq", watch.shop.adjust
    )
    await watch.hand.execute("UPDATE commands SET principal = 'eve' WHERE id = $1", watch.shop.adjust)
    await watch.go()
    assert await watch.open() == [("events", str(seq))]
    assert [said for said in alarms(caplog) if said.startswith(f"verify_difference: events {seq}: ")]
    floor = watch.shop.floor
    from_zero = await verify(floor.database_url, floor.redis_url, mailbox_count=floor.mailbox_count, from_zero=True)
    assert [each["problem"] for each in from_zero.differences] == ["is not what it was when it was folded"]


async def test_an_event_that_nobody_counted_raises_the_alarm_once(
    watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    await watch.hand.execute(
        "INSERT INTO events SELECT seq + 1000, type, subject, command_id, actor, occurred_at, data FROM events"
        " WHERE command_id = $1",
        watch.shop.place,
    )
    await watch.go()
    assert alarms(caplog) == ["verify_difference: events event_counter: is not the last event's seq"]
    await watch.go()
    assert alarms(caplog) == []


async def test_a_wrong_row_without_a_trigger_s_note_is_found_when_an_event_touches_it(
    watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    """As a faulty batch would write it: the triggers note nothing."""
    shop, floor = watch.shop, watch.shop.floor
    await shop.run("UPDATE orders SET total_minor = total_minor + 1 WHERE id = $1", shop.order_id)
    await shop.run("UPDATE stock SET on_hand = on_hand + 1 WHERE sku = 'MUG'")
    await shop.run("UPDATE variants SET price_minor = price_minor + 1 WHERE sku = 'MUG'")
    await watch.go()
    assert alarms(caplog) == []
    found = {(each["check"], each["subject"]) for each in (await watch.from_newest()).differences}
    assert found == {("orders", str(shop.order_id)), ("stock", "MUG"), ("variants", "MUG")}
    mug = floor.listing("MUG").product_id
    await floor.post_all(
        [ConfirmOrder(shop.order_id), ReceiveStock("MUG", 1), ChangeVariant(mug, "LAMP", {})], actor=STAFF
    )
    await floor.drain()
    await watch.go()
    assert set(await watch.open()) >= {("orders", str(shop.order_id)), ("stock", "MUG")}


async def test_what_the_log_itself_has_wrong_raises_the_alarm(
    floor: Shopfloor, caplog: pytest.LogCaptureFixture
) -> None:
    """Before it is folded for the first time."""
    async with watching(await opened(floor)) as watch:
        seq = (await floor.settled())[watch.shop.refused].seq
        await watch.hand.execute("UPDATE events SET data = '{}' WHERE seq = $1", seq)
        await watch.go()
        said = alarms(caplog)
        assert f"verify_difference: events seq {seq}: is no event" in said


async def test_rows_written_by_hand_that_are_as_the_log_says_are_only_counted(
    watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    before = counted("tidegate_verify_written_by_hand_total", "stock")
    await watch.hand.execute("UPDATE stock SET on_hand = on_hand")
    await watch.go()
    assert (alarms(caplog), await watch.open()) == ([], [])
    assert counted("tidegate_verify_written_by_hand_total", "stock") == before + 2


async def test_a_process_that_takes_over_goes_on_from_where_the_other_was(watch: Watch) -> None:
    seq = await watch.folded()
    await watch.shop.floor.post(ReceiveStock("MUG", 1), actor=STAFF)
    await watch.shop.floor.drain()
    watch.replace()
    found = await watch.patrol.round()
    assert found is not None
    assert found.window.rows[0]["seq"] == seq + 1
    assert await watch.folded() > seq


async def test_what_a_process_has_loaded_is_not_loaded_again(watch: Watch, caplog: pytest.LogCaptureFixture) -> None:
    await _order_a_mug(watch)
    await watch.go()
    await watch.hand.execute("UPDATE folded_balances SET posted = posted + 1")
    await watch.hand.execute("UPDATE folded_entities SET state = '' WHERE table_name = 'variants'")
    await _order_a_mug(watch)
    await watch.go()
    assert (alarms(caplog), await watch.open()) == ([], [])


async def test_what_a_process_has_loaded_is_not_believed_once_another_has_folded(
    watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    await _order_a_mug(watch)
    await watch.go()
    first = watch.patrol
    watch.replace()
    await watch.shop.floor.post_all([_at_a_price(watch, 130), ReceiveStock("MUG", 1)], actor=STAFF)
    await watch.shop.floor.drain()
    await watch.go()
    watch.patrol = first
    await _order_a_mug(watch)
    await watch.go()
    assert (alarms(caplog), await watch.open()) == ([], [])
    assert (await watch.from_newest()).clean


async def test_a_price_that_changes_after_an_order_of_the_same_window_is_the_next_window_s(
    watch: Watch, caplog: pytest.LogCaptureFixture
) -> None:
    await _order_a_mug(watch)
    await watch.shop.floor.post(_at_a_price(watch, 130), actor=STAFF)
    await watch.shop.floor.drain()
    await watch.go()
    await _order_a_mug(watch)
    await watch.go()
    assert (alarms(caplog), await watch.open()) == ([], [])


async def _order_a_mug(watch: Watch) -> None:
    floor = watch.shop.floor
    await floor.post(floor.place(0, MUG=1))
    await floor.drain()


def _at_a_price(watch: Watch, price_minor: int) -> SetVariant:
    return SetVariant(watch.shop.mug_id, VariantFields("MUG", price_minor, "GBP", "White"))


async def test_one_process_has_a_round_at_a_time(watch: Watch) -> None:
    async with watch.hand.transaction():
        await watch.hand.execute("SELECT FROM fold_position FOR UPDATE")
        assert await watch.patrol.round() is None
    assert await watch.patrol.round() is not None


async def test_a_fold_of_another_release_is_left_to_it_and_then_made_again(
    watch: Watch, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    await watch.hand.execute("UPDATE fold_position SET meaning = 'another', moved_at = now()")
    assert await watch.patrol.round() is None
    await watch.hand.execute("UPDATE fold_position SET moved_at = now() - interval '2 minutes'")
    await watch.hand.execute("UPDATE folded_balances SET posted = 7")
    monkeypatch.setattr(storing, "_FORGET_AT_ONCE", 10)
    assert await watch.patrol.round() is None
    assert (await watch.from_nothing()).clean
    while await watch.patrol.round() is None:
        assert await watch.folded() == 0
    await watch.go()
    assert (alarms(caplog), await watch.folded()) == ([], (await watch.shop.floor.log())[-1])


async def _folded_with(watch: Watch, change: Callable[[dict[str, str]], object]) -> None:
    """Another release has folded, whose code knew something else."""
    known = json.loads(meaning())
    change(known)
    await watch.hand.execute("UPDATE fold_position SET meaning = $1, moved_at = now()", json.dumps(known))


@pytest.mark.parametrize("new", ["event payment.reported", "event payment. state Payment"])
async def test_a_release_that_only_adds_goes_on_at_once(watch: Watch, new: str) -> None:
    """The log has nothing yet of what the release before did not know."""
    kinds = [
        kind for kind in json.loads(meaning()) if kind in new or ("." in kind and kind.split(".")[0] + ". " in new)
    ]
    await _folded_with(watch, lambda known: [known.pop(kind) for kind in kinds])
    folded = await watch.folded()
    found = await watch.patrol.round()
    assert found is not None
    assert found.window.base.seq == folded > 0
    assert await watch.hand.fetchval("SELECT meaning FROM fold_position") == meaning()
    assert await watch.open() == []


@pytest.mark.parametrize(
    "change",
    [
        lambda known: known.pop("event order.placed"),  # the log has some that the fold does not know
        lambda known: known.pop("state Variant"),  # which events of its products are about
        lambda known: known.update({"event order.placed": "99"}),
        lambda known: known.update({"state Order": "has other fields"}),
        lambda known: known.update({"event order.forgotten": "1"}),  # it was a later release
        lambda known: known.update({"rules": "0"}),
    ],
)
async def test_a_release_that_folds_differently_rebuilds_the_fold(
    watch: Watch, change: Callable[[dict[str, str]], object]
) -> None:
    await _folded_with(watch, change)
    assert await watch.patrol.round() is None
    await watch.hand.execute("UPDATE fold_position SET moved_at = 'epoch'")
    found = await watch.patrol.round()
    assert found is not None
    assert found.window.base.seq == 0


async def test_all_that_is_compared_is_watched(watch: Watch) -> None:
    rows = await watch.hand.fetch(
        "SELECT coalesce(pg_partition_root(tgrelid), tgrelid)::regclass::text AS name, count(DISTINCT tgname)"
        " FROM pg_trigger WHERE tgname LIKE '%_by_hand' GROUP BY 1"
    )
    assert {row["name"]: row["count"] for row in rows} == dict.fromkeys(WATCHED, 2)
