"""The proof is worth something only if it finds what is wrong: faults planted by hand, each reported by name."""

import asyncio
from collections.abc import Awaitable, Callable
from uuid import UUID

import msgspec
import pytest

from domain.catalogue import (
    ACTIVE,
    ARCHIVED,
    ChangeProduct,
    ChangeVariant,
    CreateProduct,
    ProductFields,
    SetVariant,
    VariantFields,
)
from domain.categories import CategoryFields, ChangeCategory, CreateCategory
from domain.model import Personal
from domain.orders import CancelOrder, ConfirmOrder, ExpireOrder, FulfilOrder, PlaceOrder, Wanted
from domain.stock import AdjustStock, ReceiveStock
from ops.verify import Report, parts, snapshot, verify
from ops.verify.snapshot import Snapshot
from runtime.database import asyncpg_dsn
from runtime.entities import ENTITIES
from runtime.mailboxes.redis_keys import stream_key
from tests.integration.shopfloor import STAFF, Shopfloor


class Shop:
    """A small shop in which everything has happened once, and one command still waits in mailbox 3."""

    def __init__(self, floor: Shopfloor) -> None:
        self.floor = floor

    async def open(self) -> None:
        floor = self.floor
        await floor.fill(MUG=100, LAMP=10)
        kept, cancelled = floor.place(0, MUG=3, LAMP=1), floor.place(0, MUG=4)
        self.order_id, self.cancelled_id = kept.order_id, cancelled.order_id
        (
            self.place,
            self.place_cancelled,
            self.cancel,
            self.refused,
        ) = await floor.post_all([kept, cancelled, CancelOrder(cancelled.order_id), floor.place(0, LAMP=99)])
        self.adjust = await floor.post(AdjustStock("LAMP", -1, "broken"), actor=STAFF)
        self.keyed = await floor.post(floor.place(1, MUG=1), key="key-1")
        self.repeated = await floor.post(floor.place(1, MUG=1), key="key-1")
        await floor.drain()
        await self._live_on()
        await floor.put(2, {b"gar": b"bage"})
        await floor.drain(2)
        self.waiting = await floor.post(floor.place(3, MUG=1))
        self.waiting_entry = (await floor.inbox.read(3, "0-0", 1))[0].entry_id

    async def _live_on(self) -> None:
        """The rest of an order's life, and what staff do to the catalogue; at the end no lamps are sold any more."""
        floor = self.floor
        sold, returned, forgotten = floor.place(0, MUG=2), floor.place(0, MUG=5), floor.place(0, MUG=6)
        guest = PlaceOrder(floor.new_id(0), "guest:1", (Wanted("MUG", 1),), Personal("guest@example.org"))
        self.sold_id, self.returned_id, self.guest_id = sold.order_id, returned.order_id, guest.order_id
        await floor.post_all([sold, returned, forgotten, guest])
        (self.confirm, *_) = await floor.post_all(
            [ConfirmOrder(sold.order_id), FulfilOrder(sold.order_id), ConfirmOrder(returned.order_id)], actor=STAFF
        )
        (self.give_back, _) = await floor.post_all(
            [CancelOrder(returned.order_id), ExpireOrder(forgotten.order_id)], actor=STAFF
        )
        self.category_id, self.empty_id = floor.new_id(), floor.new_id()
        self.mug_id, self.lamp_id = floor.listing("MUG").product_id, floor.listing("LAMP").product_id
        await floor.post_all(
            [
                CreateCategory(self.category_id, CategoryFields("kitchen", "Kitchen")),
                CreateCategory(self.empty_id, CategoryFields("cups", "Cups", self.category_id)),
                ChangeCategory(self.category_id, {"name": "The kitchen"}),
            ],
            actor=STAFF,
        )
        await floor.drain()
        mug = VariantFields("MUG", 120, "GBP", "White", attributes={"colour": "white"})
        await floor.post_all(
            [
                floor.listing("MUG", on_hand=90),
                ChangeProduct(self.mug_id, {"category_id": str(self.category_id)}),
                SetVariant(self.mug_id, mug),
                ChangeProduct(self.lamp_id, {"status": ARCHIVED}),
            ],
            actor=STAFF,
        )
        await floor.drain()
        await floor.post(floor.place(0, MUG=1))
        await floor.drain()

    async def run(self, statement: str, *arguments: object) -> None:
        """Changes exactly one row."""
        assert (await self.floor.pool.execute(statement, *arguments)).endswith(" 1"), statement

    async def rewrite(self, command_id: UUID, **changes: object) -> None:
        """Changes what the one event of a command says."""
        data = await self.floor.pool.fetchval("SELECT data::text FROM events WHERE command_id = $1", command_id)
        said = msgspec.json.encode({**msgspec.json.decode(data), **changes}).decode()
        await self.run("UPDATE events SET data = $2 WHERE command_id = $1", command_id, said)

    async def report(self) -> Report:
        return await verify(self.floor.database_url, self.floor.redis_url, mailbox_count=self.floor.mailbox_count)


@pytest.fixture
async def shop(floor: Shopfloor) -> Shop:
    opened = Shop(floor)
    await opened.open()
    return opened


def found(report: Report) -> set[tuple[str, str, str]]:
    """Check, subject and problem of each difference."""
    return {(each["check"], each["subject"], each["problem"]) for each in report.differences}


async def test_a_shop_in_order_is_clean_and_everything_was_counted(shop: Shop) -> None:
    counts = await shop.floor.verified()
    assert counts == {
        "mailbox_entries_applied": 29,
        "mailbox_entries_waiting": 1,
        "mailboxes_rejoined": 0,
        "events": 31,
        "stock_rows": 2,
        "orders": 8,
        **{entity_table.table.name: 0 for entity_table in ENTITIES},
        "categories": 2,
        "products": 2,
        "variants": 2,
        "commands": 29,
        "commands_applied": 26,
        "commands_rejected": 1,
        "commands_repeated": 1,
        "commands_failed": 1,
        "tasks": 0,
    }


async def test_an_empty_shop_is_clean(floor: Shopfloor) -> None:
    counts = await floor.verified()
    assert set(counts.values()) == {0}


DISAGREES = "the table differs from the log"
RECORD_DISAGREES = "the record differs from the log"

Plant = Callable[[Shop], Awaitable[set[tuple[str, str, str]]]]
"""Breaks something, and says what must be reported, exactly."""


async def _change_what_is_on_hand(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("UPDATE stock SET on_hand = on_hand + 1 WHERE sku = 'MUG'")
    return {("stock", "MUG", DISAGREES)}


async def _change_what_is_reserved(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("UPDATE stock SET reserved = reserved - 1 WHERE sku = 'LAMP'")
    return {("stock", "LAMP", DISAGREES)}


async def _oversell(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.floor.pool.execute("ALTER TABLE stock DROP CONSTRAINT stock_never_oversold")
    await shop.run("UPDATE stock SET reserved = on_hand + 1 WHERE sku = 'MUG'")
    return {("stock", "MUG", DISAGREES), ("stock", "MUG", "overdrawn")}


async def _delete_a_stock_row(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("DELETE FROM stock WHERE sku = 'MUG'")
    return {("stock", "MUG", "is in the log but not in the table")}


async def _make_up_a_stock_row(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("INSERT INTO stock VALUES ('GHOST', 0, 0)")
    return {("stock", "GHOST", "has no event")}


async def _forget_that_a_price_changed(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("UPDATE guards SET seq = 0")
    return {("guards", "prices", "is not at the last change of what it guards")}


async def _say_that_a_price_will_change(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("UPDATE guards SET seq = (SELECT last_seq + 1 FROM event_counter)")
    return {("guards", "prices", "is not at the last change of what it guards")}


async def _sell_at_another_price(shop: Shop) -> set[tuple[str, str, str]]:
    """The order's rows say the same: only the catalogue of that moment knows better."""
    lines = [
        {"sku": "MUG", "quantity": 3, "unit_price_minor": 99},
        {"sku": "LAMP", "quantity": 1, "unit_price_minor": 100},
    ]
    await shop.rewrite(shop.place, lines=lines, total_minor=397)
    await shop.run("UPDATE order_lines SET unit_price_minor = 99 WHERE order_id = $1 AND sku = 'MUG'", shop.order_id)
    await shop.run("UPDATE orders SET total_minor = 397 WHERE id = $1", shop.order_id)
    return {("prices", str(shop.order_id), "was placed at a price other than the catalogue's")}


async def _sell_what_is_not_on_sale(shop: Shop) -> set[tuple[str, str, str]]:
    """As if lamps had been a draft until they were archived."""
    status = "UPDATE events SET data = replace(data::text, $3, $4)::json WHERE type = $2 AND subject = $1"
    lamp = str(shop.lamp_id)
    await shop.run(status, lamp, "product.created", '"status":"active"', '"status":"draft"')
    await shop.run(status, lamp, "product.variant_added", '_status":"active"', '_status":"draft"')
    return {("prices", str(shop.order_id), "was placed for what was not on sale")}


async def _say_another_status_of_a_product(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run(
        "UPDATE events SET data = replace(data::text, '\"active\"', '\"draft\"')::json"
        " WHERE type = 'product.created' AND subject = $1",
        str(shop.lamp_id),
    )
    return {("products", str(shop.lamp_id), "has another status than its variant's event says")}


async def _drop_an_event(shop: Shop) -> set[tuple[str, str, str]]:
    seq = (await shop.floor.settled())[shop.adjust].seq
    await shop.run("DELETE FROM events WHERE seq = $1", seq)
    return {
        ("log", f"seq {seq}", "events are missing"),
        ("stock", "LAMP", DISAGREES),
        ("outcomes", str(shop.adjust), "has a record but left no event"),
    }


async def _drop_the_last_event(shop: Shop) -> set[tuple[str, str, str]]:
    last = (await shop.floor.log())[-1]
    (command_id,) = [each for each, settled in (await shop.floor.settled()).items() if settled.seq == last]
    await shop.run("DELETE FROM events WHERE seq = $1", last)
    return {
        ("log", "event_counter", "is not the last event's seq"),
        ("log", "event_counter", "is not at the last event's moment"),
        ("outcomes", str(command_id), "has a record but left no event"),
    }


async def _have_an_event_happen_too_early(shop: Shop) -> set[tuple[str, str, str]]:
    seq = (await shop.floor.settled())[shop.adjust].seq
    await shop.run("UPDATE events SET occurred_at = occurred_at - interval '1 hour' WHERE seq = $1", seq)
    return {("log", f"seq {seq}", "happened before the event before it")}


async def _move_an_order_in_the_order_of_placing(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("UPDATE orders SET placed_seq = placed_seq + 1000 WHERE id = $1", shop.order_id)
    return {("orders", str(shop.order_id), DISAGREES)}


async def _set_the_counter_ahead(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("UPDATE event_counter SET last_seq = last_seq + 1")
    return {("log", "event_counter", "is not the last event's seq")}


async def _change_an_event(shop: Shop) -> set[tuple[str, str, str]]:
    data = msgspec.json.encode({"sku": "LAMP", "change": -2, "reason": "broken"}).decode()
    await shop.run("UPDATE events SET data = $2 WHERE command_id = $1", shop.adjust, data)
    return {("stock", "LAMP", DISAGREES)}


async def _move_an_event_to_another_subject(shop: Shop) -> set[tuple[str, str, str]]:
    seq = (await shop.floor.settled())[shop.adjust].seq
    await shop.run("UPDATE events SET subject = 'MUG' WHERE seq = $1", seq)
    return {("log", f"seq {seq}", "names a different subject from its data")}


async def _garble_an_event(shop: Shop) -> set[tuple[str, str, str]]:
    seq = (await shop.floor.settled())[shop.adjust].seq
    await shop.run("UPDATE events SET data = '{}' WHERE seq = $1", seq)
    return {("log", f"seq {seq}", "is no event"), ("stock", "LAMP", DISAGREES)}


async def _apply_an_order_twice(shop: Shop) -> set[tuple[str, str, str]]:
    """As if there were no position: its event again at the next seq, and what it reserved reserved again."""
    await shop.run("UPDATE event_counter SET last_seq = last_seq + 1")
    await shop.run(
        "INSERT INTO events SELECT (SELECT last_seq FROM event_counter), type, subject, command_id, actor,"
        " occurred_at, data FROM events WHERE command_id = $1",
        shop.place,
    )
    await shop.run("UPDATE stock SET reserved = reserved + 3 WHERE sku = 'MUG'")
    await shop.run("UPDATE stock SET reserved = reserved + 1 WHERE sku = 'LAMP'")
    return {
        ("log", f"seq {(await shop.floor.log())[-1]}", "happened before the event before it"),
        ("orders", str(shop.order_id), "was not placed exactly once"),
        # The second time the catalogue is another.
        ("prices", str(shop.order_id), "was placed for what was not on sale"),
        ("prices", str(shop.order_id), "was placed at a price other than the catalogue's"),
        ("outcomes", str(shop.place), "was applied more than once"),
    }


async def _delete_an_order(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("DELETE FROM orders WHERE id = $1", shop.cancelled_id)
    return {("orders", str(shop.cancelled_id), "is in the log but not in the table")}


async def _change_an_orders_status(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("UPDATE orders SET status = 'placed' WHERE id = $1", shop.cancelled_id)
    return {("orders", str(shop.cancelled_id), DISAGREES)}


async def _change_an_orders_total(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("UPDATE orders SET total_minor = total_minor - 1 WHERE id = $1", shop.order_id)
    return {("orders", str(shop.order_id), DISAGREES)}


async def _charge_more_than_the_lines_say(shop: Shop) -> set[tuple[str, str, str]]:
    """The log and the table agree."""
    await shop.rewrite(shop.place, total_minor=401)
    await shop.run("UPDATE orders SET total_minor = 401 WHERE id = $1", shop.order_id)
    return {("orders", str(shop.order_id), "has a total that differs from its lines")}


async def _have_mail_sent_nowhere(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("UPDATE orders SET email = 'eve' WHERE id = $1", shop.guest_id)
    return {("orders", str(shop.guest_id), "has an invalid e-mail address")}


async def _tell_the_log_who_a_guest_is(shop: Shop) -> set[tuple[str, str, str]]:
    seq = await shop.floor.pool.fetchval(
        """
        UPDATE events SET data = (data::jsonb || '{"email": "guest@example.org"}')::json
        WHERE type = 'order.placed' AND subject = $1 RETURNING seq
        """,
        str(shop.guest_id),
    )
    return {("log", f"seq {seq}", "is no event"), ("stock", "MUG", DISAGREES)}


async def _fulfil_an_order_that_has_expired(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("UPDATE events SET type = 'order.expired' WHERE command_id = $1", shop.confirm)
    return {("orders", str(shop.sold_id), "made an impossible move"), ("stock", "MUG", DISAGREES)}


async def _give_back_more_than_was_sold(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.rewrite(shop.give_back, lines=[{"sku": "MUG", "quantity": 6, "unit_price_minor": 100}])
    return {("orders", str(shop.returned_id), "made an impossible move"), ("stock", "MUG", DISAGREES)}


async def _make_up_an_order(shop: Shop) -> set[tuple[str, str, str]]:
    made_up = UUID(int=7)
    await shop.run("INSERT INTO orders VALUES ($1, 'ann', 'placed', 'GBP', 0, now(), now(), NULL, 0)", made_up)
    return {("orders", str(made_up), "has no event")}


async def _delete_an_order_line(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("DELETE FROM order_lines WHERE order_id = $1 AND sku = 'LAMP'", shop.order_id)
    return {("lines", str(shop.order_id), "differ from the log")}


async def _change_a_lines_quantity(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("UPDATE order_lines SET quantity = 2 WHERE order_id = $1 AND sku = 'LAMP'", shop.order_id)
    return {("lines", str(shop.order_id), "differ from the log")}


async def _change_the_order_of_the_lines(shop: Shop) -> set[tuple[str, str, str]]:
    changed = "UPDATE order_lines SET position = $3 WHERE order_id = $1 AND sku = $2"
    for sku, position in (("MUG", 2), ("LAMP", 0), ("MUG", 1)):
        await shop.run(changed, shop.order_id, sku, position)
    return {("lines", str(shop.order_id), "differ from the log")}


async def _begin_the_lines_at_another_place(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.floor.pool.execute("UPDATE order_lines SET position = position + 10 WHERE order_id = $1", shop.order_id)
    return {("lines", str(shop.order_id), "differ from the log")}


async def _leave_a_gap_between_the_lines(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("UPDATE order_lines SET position = 5 WHERE order_id = $1 AND sku = 'LAMP'", shop.order_id)
    return {("lines", str(shop.order_id), "differ from the log")}


async def _make_up_a_line(shop: Shop) -> set[tuple[str, str, str]]:
    made_up = UUID(int=2**128 - 1)
    await shop.run("INSERT INTO order_lines VALUES ($1, 0, 'MUG', 1, 100)", made_up)
    return {("orders", str(made_up), "has no event")}


async def _delete_a_commands_record(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("DELETE FROM commands WHERE id = $1", shop.refused)
    return {("outcomes", str(shop.refused), "left events but has no record")}


async def _change_an_outcome(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("UPDATE commands SET status = 'applied' WHERE id = $1", shop.refused)
    return {("outcomes", str(shop.refused), RECORD_DISAGREES)}


async def _change_who_asked(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("UPDATE commands SET principal = 'bob' WHERE id = $1", shop.place)
    return {("outcomes", str(shop.place), RECORD_DISAGREES)}


async def _remove_a_waiting_command(shop: Shop) -> set[tuple[str, str, str]]:
    assert await shop.floor.redis.xdel(stream_key(3), shop.waiting_entry) == 1
    return {("mailboxes", "mailbox 3", "accepted commands are missing")}


async def _skip_a_waiting_command(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run(
        "INSERT INTO mailboxes VALUES (3, $1, 0) ON CONFLICT (mailbox) DO UPDATE SET position = $1", shop.waiting_entry
    )
    return {("mailboxes", "mailbox 3", "accepted commands are missing")}


async def _lose_a_mailbox(shop: Shop) -> set[tuple[str, str, str]]:
    assert await shop.floor.redis.delete(stream_key(0)) == 1
    return {("mailboxes", "mailbox 0", "Redis knows of fewer commands than were applied")}


PLANTED: list[Plant] = [
    _change_what_is_on_hand,
    _change_what_is_reserved,
    _oversell,
    _delete_a_stock_row,
    _make_up_a_stock_row,
    _forget_that_a_price_changed,
    _say_that_a_price_will_change,
    _sell_at_another_price,
    _sell_what_is_not_on_sale,
    _say_another_status_of_a_product,
    _drop_an_event,
    _drop_the_last_event,
    _set_the_counter_ahead,
    _change_an_event,
    _move_an_event_to_another_subject,
    _garble_an_event,
    _apply_an_order_twice,
    _delete_an_order,
    _change_an_orders_status,
    _change_an_orders_total,
    _charge_more_than_the_lines_say,
    _have_mail_sent_nowhere,
    _tell_the_log_who_a_guest_is,
    _fulfil_an_order_that_has_expired,
    _give_back_more_than_was_sold,
    _make_up_an_order,
    _delete_an_order_line,
    _change_a_lines_quantity,
    _change_the_order_of_the_lines,
    _begin_the_lines_at_another_place,
    _leave_a_gap_between_the_lines,
    _make_up_a_line,
    _delete_a_commands_record,
    _change_an_outcome,
    _change_who_asked,
    _remove_a_waiting_command,
    _skip_a_waiting_command,
    _lose_a_mailbox,
]


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__.strip("_").replace("_", " "))
async def test_a_planted_fault_is_found(shop: Shop, plant: Plant) -> None:
    expected = await plant(shop)
    report = await shop.report()
    assert not report.clean
    assert found(report) == expected


# The log is folded once for each part of the SKUs.
IN_PARTS: list[Plant] = [
    _change_what_is_on_hand,
    _change_what_is_reserved,
    _oversell,
    _delete_a_stock_row,
    _make_up_a_stock_row,
    _forget_that_a_price_changed,
    _say_that_a_price_will_change,
    _sell_at_another_price,
    _sell_what_is_not_on_sale,
    _drop_an_event,
    _garble_an_event,
    _apply_an_order_twice,
]


@pytest.mark.parametrize("plant", IN_PARTS, ids=lambda plant: plant.__name__.strip("_").replace("_", " "))
async def test_with_more_skus_than_fit_every_fault_is_found_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, plant: Plant
) -> None:
    monkeypatch.setattr(parts, "KEYS_AT_ONCE", 1)
    async with Snapshot(asyncpg_dsn(shop.floor.database_url)) as read:
        assert len(await parts.parts_of(read)) == 2
    assert (await shop.floor.verified())["stock_rows"] == 2
    expected = await plant(shop)
    report = await shop.report()
    assert found(report) == expected
    assert sum(report.document()["difference_counts"].values()) == len(report.differences) >= len(expected)


async def test_more_events_of_one_thing_than_a_block_holds_are_one_story(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "BLOCK_ROWS", 1)
    await shop.floor.verified()
    expected = await _give_back_more_than_was_sold(shop)
    assert found(await shop.report()) == expected


async def test_what_is_new_and_changed_in_one_batch_has_moved_no_price(floor: Shopfloor) -> None:
    product_id = floor.new_id()
    variants = (VariantFields("CUP", 300, "GBP"),)
    await floor.post(CreateProduct(product_id, ProductFields("cup", "Cup", status=ACTIVE), variants), actor=STAFF)
    await floor.post(ChangeVariant(product_id, "CUP", {"price_minor": 310}), actor=STAFF)
    await floor.drain(0)
    assert await floor.pool.fetchval("SELECT coalesce(max(seq), 0) FROM guards WHERE name = 'prices'") == 0
    await floor.verified()


async def test_every_fault_is_found_beside_the_others(shop: Shop) -> None:
    faults = [_change_what_is_on_hand, _delete_an_order_line, _change_an_outcome, _remove_a_waiting_command]
    expected = set[tuple[str, str, str]]().union(*[await plant(shop) for plant in faults])
    assert found(await shop.report()) == expected


async def test_a_thousand_differences_are_counted_and_the_first_ones_shown(shop: Shop) -> None:
    await shop.floor.pool.execute(
        "INSERT INTO orders SELECT lpad(to_hex(n), 32, '0')::uuid, 'ann', 'placed', 'GBP', 0, now(), now(), NULL, -n"
        " FROM generate_series(1, 1000) n"
    )
    document = (await shop.report()).document()
    assert document["difference_counts"] == {"orders": 1_000}
    assert len(document["differences"]) == 50


async def test_commands_that_are_applied_while_it_looks_do_not_disturb_it(floor: Shopfloor) -> None:
    await floor.fill(MUG=100_000)
    posted = await floor.post_all(floor.place(number % 4, MUG=1) for number in range(1_000))

    async def trade() -> None:
        await asyncio.gather(*(floor.new_drainer().drain([mailbox]) for mailbox in range(4)))

    trading = asyncio.create_task(trade())
    looks = 0
    while not trading.done():
        await floor.verified()
        looks += 1
    await trading
    await floor.drain()  # what was given up because a look held its mailbox
    assert looks > 0
    counts = await floor.verified()
    assert counts["orders"] == len(posted)


async def test_it_looks_also_into_mailboxes_beyond_todays_count(floor: Shopfloor) -> None:
    await floor.fill(MUG=10)
    await floor.post(floor.place(3, MUG=1))
    await floor.drain(3)
    await floor.post(ReceiveStock("MUG", 1), actor=STAFF, mailbox=3)
    assert (await verify(floor.database_url, floor.redis_url, mailbox_count=2)).counts["mailbox_entries_waiting"] == 1
