"""Faults planted by hand in a small shop, each with what `verify` must report."""

from collections.abc import Awaitable, Callable
from uuid import UUID

import msgspec

from domain.numbers import CREDIT_NOTES, ORDERS, numbered
from runtime.mailboxes.redis_keys import stream_key
from tests.integration.smallshop import Shop

DISAGREES = "the table differs from the log"
RECORD_DISAGREES = "the record differs from the log"

Plant = Callable[[Shop], Awaitable[set[tuple[str, str, str]]]]
"""Breaks something, and returns exactly what must be reported."""


async def change_the_pieces_on_hand(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("UPDATE stock SET on_hand = on_hand + 1 WHERE sku = 'MUG'")
    return {("stock", "MUG", DISAGREES)}


async def change_the_pieces_reserved(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("UPDATE stock SET reserved = reserved - 1 WHERE sku = 'LAMP'")
    return {("stock", "LAMP", DISAGREES)}


async def oversell(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.floor.pool.execute("ALTER TABLE stock DROP CONSTRAINT stock_never_oversold")
    await shop.run("UPDATE stock SET reserved = on_hand + 1 WHERE sku = 'MUG'")
    return {("stock", "MUG", DISAGREES), ("stock", "MUG", "overdrawn")}


async def delete_a_stock_row(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("DELETE FROM stock WHERE sku = 'MUG'")
    return {("stock", "MUG", "is in the log but not in the table")}


async def make_up_a_stock_row(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("INSERT INTO stock VALUES ('GHOST', 0, 0)")
    return {("stock", "GHOST", "has no event")}


async def forget_that_a_price_changed(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("UPDATE guards SET seq = 0")
    return {("guards", "prices", "is not at the last change of what it guards")}


async def record_a_price_change_that_is_yet_to_come(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("UPDATE guards SET seq = (SELECT last_seq + 1 FROM event_counter)")
    return {("guards", "prices", "is not at the last change of what it guards")}


async def sell_at_another_price(shop: Shop) -> set[tuple[str, str, str]]:
    """The order's rows say the same: only the catalogue at that moment contradicts them."""
    lines = [
        {"sku": "MUG", "quantity": 3, "unit_price_minor": 99},
        {"sku": "LAMP", "quantity": 1, "unit_price_minor": 100},
    ]
    await shop.rewrite(shop.place, lines=lines, total_minor=397)
    await shop.run("UPDATE order_lines SET unit_price_minor = 99 WHERE order_id = $1 AND sku = 'MUG'", shop.order_id)
    await shop.run("UPDATE orders SET total_minor = 397 WHERE id = $1", shop.order_id)
    return {("prices", str(shop.order_id), "was placed at a price other than the catalogue's")}


async def sell_what_is_not_on_sale(shop: Shop) -> set[tuple[str, str, str]]:
    """Rewrites the log so that lamps were a draft until they were archived."""
    status = "UPDATE events SET data = replace(data::text, $3, $4)::json WHERE type = $2 AND subject = $1"
    lamp = str(shop.lamp_id)
    await shop.run(status, lamp, "product.created", '"status":"active"', '"status":"draft"')
    await shop.run(status, lamp, "product.variant_added", '_status":"active"', '_status":"draft"')
    return {("prices", str(shop.order_id), "was placed for what was not on sale")}


async def record_another_status_of_a_product(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run(
        "UPDATE events SET data = replace(data::text, '\"active\"', '\"draft\"')::json"
        " WHERE type = 'product.created' AND subject = $1",
        str(shop.lamp_id),
    )
    return {("products", str(shop.lamp_id), "has another status than its variant's event says")}


async def drop_an_event(shop: Shop) -> set[tuple[str, str, str]]:
    seq = (await shop.floor.settled())[shop.adjust].seq
    await shop.run("DELETE FROM events WHERE seq = $1", seq)
    return {
        ("log", f"seq {seq}", "events are missing"),
        ("stock", "LAMP", DISAGREES),
        ("outcomes", str(shop.adjust), "has a record but left no event"),
    }


async def drop_the_last_event(shop: Shop) -> set[tuple[str, str, str]]:
    last = (await shop.floor.log())[-1]
    (command_id,) = [each for each, settled in (await shop.floor.settled()).items() if settled.seq == last]
    await shop.run("DELETE FROM events WHERE seq = $1", last)
    return {
        ("log", "event_counter", "is not the last event's seq"),
        ("log", "event_counter", "is not at the last event's moment"),
        ("outcomes", str(command_id), "has a record but left no event"),
    }


async def date_an_event_too_early(shop: Shop) -> set[tuple[str, str, str]]:
    seq = (await shop.floor.settled())[shop.adjust].seq
    await shop.run("UPDATE events SET occurred_at = occurred_at - interval '1 hour' WHERE seq = $1", seq)
    return {("log", f"seq {seq}", "happened before the event before it")}


async def move_an_order_in_the_sequence_of_placing(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("UPDATE orders SET placed_seq = placed_seq + 1000 WHERE id = $1", shop.order_id)
    return {("orders", str(shop.order_id), DISAGREES)}


async def set_the_counter_ahead(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("UPDATE event_counter SET last_seq = last_seq + 1")
    return {("log", "event_counter", "is not the last event's seq")}


async def lose_a_number(shop: Shop) -> set[tuple[str, str, str]]:
    """The log and the table agree, and the counter has come as far."""
    number = await shop.floor.pool.fetchval("SELECT number FROM orders ORDER BY placed_seq DESC LIMIT 1")
    after = numbered(ORDERS, int(number.removeprefix("T-")) + 1)
    await shop.run(
        "UPDATE events SET data = replace(data::text, $1, $2)::json"
        " WHERE type = 'order.placed' AND data->>'number' = $1",
        number,
        after,
    )
    await shop.run("UPDATE orders SET number = $2 WHERE number = $1", number, after)
    await shop.run("UPDATE event_counter SET orders = orders + 1")
    seq = await shop.floor.pool.fetchval("SELECT placed_seq FROM orders WHERE number = $1", after)
    return {("log", f"seq {seq}", "has another number than the next")}


async def change_an_orders_number(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("UPDATE orders SET number = 'T-999999' WHERE id = $1", shop.order_id)
    return {("orders", str(shop.order_id), DISAGREES)}


async def set_the_numbers_ahead(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("UPDATE event_counter SET orders = orders + 1, credit_notes = credit_notes + 1")
    return {("log", "event_counter", f"is not at the last number of {series}") for series in (ORDERS, CREDIT_NOTES)}


async def change_an_event(shop: Shop) -> set[tuple[str, str, str]]:
    data = msgspec.json.encode({"sku": "LAMP", "change": -2, "reason": "broken"}).decode()
    await shop.run("UPDATE events SET data = $2 WHERE command_id = $1", shop.adjust, data)
    return {("stock", "LAMP", DISAGREES)}


async def move_an_event_to_another_subject(shop: Shop) -> set[tuple[str, str, str]]:
    seq = (await shop.floor.settled())[shop.adjust].seq
    await shop.run("UPDATE events SET subject = 'MUG' WHERE seq = $1", seq)
    return {("log", f"seq {seq}", "names a different subject from its data")}


async def garble_an_event(shop: Shop) -> set[tuple[str, str, str]]:
    seq = (await shop.floor.settled())[shop.adjust].seq
    await shop.run("UPDATE events SET data = '{}' WHERE seq = $1", seq)
    return {("log", f"seq {seq}", "is no event"), ("stock", "LAMP", DISAGREES)}


async def apply_an_order_twice(shop: Shop) -> set[tuple[str, str, str]]:
    """As a worker without a position would: repeats its event at the next seq, and reserves its pieces again."""
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
        ("log", f"seq {(await shop.floor.log())[-1]}", "has another number than the next"),
        ("orders", str(shop.order_id), "was not placed exactly once"),
        # The second time the catalogue is a different one.
        ("prices", str(shop.order_id), "was placed for what was not on sale"),
        ("prices", str(shop.order_id), "was placed at a price other than the catalogue's"),
        ("outcomes", str(shop.place), "was applied more than once"),
    }


async def delete_an_order(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("DELETE FROM orders WHERE id = $1", shop.cancelled_id)
    return {("orders", str(shop.cancelled_id), "is in the log but not in the table")}


async def change_an_orders_status(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("UPDATE orders SET status = 'placed' WHERE id = $1", shop.cancelled_id)
    return {("orders", str(shop.cancelled_id), DISAGREES)}


async def change_an_orders_total(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("UPDATE orders SET total_minor = total_minor - 1 WHERE id = $1", shop.order_id)
    return {("orders", str(shop.order_id), DISAGREES)}


async def charge_more_than_the_lines_say(shop: Shop) -> set[tuple[str, str, str]]:
    """The log and the table agree."""
    await shop.rewrite(shop.place, total_minor=401)
    await shop.run("UPDATE orders SET total_minor = 401 WHERE id = $1", shop.order_id)
    return {("orders", str(shop.order_id), "has a total that differs from its lines")}


async def send_mail_to_an_invalid_address(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("UPDATE orders SET email = 'eve' WHERE id = $1", shop.guest_id)
    return {("orders", str(shop.guest_id), "has an invalid e-mail address")}


async def tell_the_log_who_a_guest_is(shop: Shop) -> set[tuple[str, str, str]]:
    seq = await shop.floor.pool.fetchval(
        """
        UPDATE events SET data = (data::jsonb || '{"email": "guest@example.org"}')::json
        WHERE type = 'order.placed' AND subject = $1 RETURNING seq
        """,
        str(shop.guest_id),
    )
    after = await shop.floor.pool.fetchval("SELECT min(placed_seq) FROM orders WHERE placed_seq > $1", seq)
    return {
        ("log", f"seq {seq}", "is no event"),
        ("log", f"seq {after}", "has another number than the next"),
        ("stock", "MUG", DISAGREES),
    }


async def fulfil_an_order_that_has_expired(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("UPDATE events SET type = 'order.expired' WHERE command_id = $1", shop.confirm)
    return {("orders", str(shop.sold_id), "made an impossible move"), ("stock", "MUG", DISAGREES)}


async def give_back_more_than_was_sold(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.rewrite(shop.give_back, lines=[{"sku": "MUG", "quantity": 6, "unit_price_minor": 100}])
    return {("orders", str(shop.returned_id), "made an impossible move"), ("stock", "MUG", DISAGREES)}


async def make_up_an_order(shop: Shop) -> set[tuple[str, str, str]]:
    made_up = UUID(int=7)
    await shop.run("INSERT INTO orders VALUES ($1, 'ann', 'placed', 'GBP', 0, now(), now(), NULL, 0)", made_up)
    return {("orders", str(made_up), "has no event")}


async def delete_an_order_line(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("DELETE FROM order_lines WHERE order_id = $1 AND sku = 'LAMP'", shop.order_id)
    return {("lines", str(shop.order_id), "differ from the log")}


async def change_a_lines_quantity(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("UPDATE order_lines SET quantity = 2 WHERE order_id = $1 AND sku = 'LAMP'", shop.order_id)
    return {("lines", str(shop.order_id), "differ from the log")}


async def change_the_order_of_the_lines(shop: Shop) -> set[tuple[str, str, str]]:
    changed = "UPDATE order_lines SET position = $3 WHERE order_id = $1 AND sku = $2"
    for sku, position in (("MUG", 2), ("LAMP", 0), ("MUG", 1)):
        await shop.run(changed, shop.order_id, sku, position)
    return {("lines", str(shop.order_id), "differ from the log")}


async def start_the_lines_at_another_position(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.floor.pool.execute("UPDATE order_lines SET position = position + 10 WHERE order_id = $1", shop.order_id)
    return {("lines", str(shop.order_id), "differ from the log")}


async def leave_a_gap_between_the_lines(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("UPDATE order_lines SET position = 5 WHERE order_id = $1 AND sku = 'LAMP'", shop.order_id)
    return {("lines", str(shop.order_id), "differ from the log")}


async def make_up_a_line(shop: Shop) -> set[tuple[str, str, str]]:
    made_up = UUID(int=2**128 - 1)
    await shop.run("INSERT INTO order_lines VALUES ($1, 0, 'MUG', 1, 100)", made_up)
    return {("orders", str(made_up), "has no event")}


async def delete_a_commands_record(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("DELETE FROM commands WHERE id = $1", shop.refused)
    return {("outcomes", str(shop.refused), "left events but has no record")}


async def change_an_outcome(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("UPDATE commands SET status = 'applied' WHERE id = $1", shop.refused)
    return {("outcomes", str(shop.refused), RECORD_DISAGREES)}


async def change_who_asked(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run("UPDATE commands SET principal = 'bob' WHERE id = $1", shop.place)
    return {("outcomes", str(shop.place), RECORD_DISAGREES)}


async def remove_a_waiting_command(shop: Shop) -> set[tuple[str, str, str]]:
    assert await shop.floor.redis.xdel(stream_key(3), shop.waiting_entry) == 1
    return {("mailboxes", "mailbox 3", "accepted commands are missing")}


async def skip_a_waiting_command(shop: Shop) -> set[tuple[str, str, str]]:
    await shop.run(
        "INSERT INTO mailboxes VALUES (3, $1, 0) ON CONFLICT (mailbox) DO UPDATE SET position = $1", shop.waiting_entry
    )
    return {("mailboxes", "mailbox 3", "accepted commands are missing")}


async def lose_a_mailbox(shop: Shop) -> set[tuple[str, str, str]]:
    assert await shop.floor.redis.delete(stream_key(0)) == 1
    return {("mailboxes", "mailbox 0", "Redis knows of fewer commands than were applied")}


PLANTED: list[Plant] = [
    change_the_pieces_on_hand,
    change_the_pieces_reserved,
    oversell,
    delete_a_stock_row,
    make_up_a_stock_row,
    forget_that_a_price_changed,
    record_a_price_change_that_is_yet_to_come,
    sell_at_another_price,
    sell_what_is_not_on_sale,
    record_another_status_of_a_product,
    drop_an_event,
    drop_the_last_event,
    date_an_event_too_early,
    set_the_counter_ahead,
    lose_a_number,
    change_an_orders_number,
    set_the_numbers_ahead,
    change_an_event,
    move_an_event_to_another_subject,
    garble_an_event,
    apply_an_order_twice,
    move_an_order_in_the_sequence_of_placing,
    delete_an_order,
    change_an_orders_status,
    change_an_orders_total,
    charge_more_than_the_lines_say,
    send_mail_to_an_invalid_address,
    tell_the_log_who_a_guest_is,
    fulfil_an_order_that_has_expired,
    give_back_more_than_was_sold,
    make_up_an_order,
    delete_an_order_line,
    change_a_lines_quantity,
    change_the_order_of_the_lines,
    start_the_lines_at_another_position,
    leave_a_gap_between_the_lines,
    make_up_a_line,
    delete_a_commands_record,
    change_an_outcome,
    change_who_asked,
    remove_a_waiting_command,
    skip_a_waiting_command,
    lose_a_mailbox,
]


# Faults in what is folded once for each part of the SKUs.
IN_PARTS: list[Plant] = [
    change_the_pieces_on_hand,
    change_the_pieces_reserved,
    oversell,
    delete_a_stock_row,
    make_up_a_stock_row,
    forget_that_a_price_changed,
    record_a_price_change_that_is_yet_to_come,
    sell_at_another_price,
    sell_what_is_not_on_sale,
    drop_an_event,
    garble_an_event,
    apply_an_order_twice,
]
