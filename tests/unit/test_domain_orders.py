"""Orders: how each request to place one is decided, and every later move; each reason to refuse it."""

from uuid import UUID

import pytest

from domain.ids import new_id, slot_of_id
from domain.ledgers import Balance
from domain.limits import ORDER_MAX_TOTAL_MINOR
from domain.model import (
    Command,
    Context,
    Decision,
    Event,
    Line,
    Offer,
    Order,
    Personal,
    Rejection,
    Shop,
    Wanted,
    decide,
    evolve,
)
from domain.orders import (
    CANCELLED,
    CONFIRMED,
    EXPIRED,
    FULFILLED,
    ORDER_STATUSES,
    PLACED,
    CancelOrder,
    ConfirmOrder,
    ExpireOrder,
    FulfilOrder,
    OrderCancelled,
    OrderConfirmed,
    OrderExpired,
    OrderFulfilled,
    OrderPlaced,
    PlaceOrder,
)
from domain.stock import STOCK
from tests.contexts import context

ANN = context("ann", "customer")
BOB = context("bob", "customer")
STAFF = context("sam", "staff")
ORDER = new_id(1_700_000_000_000, 77, 1)


def shop() -> Shop:
    """Two SKUs in pounds with 10 and 3 pieces, one in euros with 5, one in pounds that costs a fortune, and one that is
    not on sale."""
    offers = [
        Offer("LAMP", 250, "GBP"),
        Offer("MUG", 100, "GBP"),
        Offer("VASE", 990, "EUR"),
        Offer("CROWN", ORDER_MAX_TOTAL_MINOR // 2, "GBP"),
        Offer("KITE", 50, "GBP"),  # never received
        Offer("SLED", 400, "GBP", on_sale=False),
    ]
    stock = {"LAMP": Balance(10), "MUG": Balance(3), "VASE": Balance(5), "CROWN": Balance(10), "SLED": Balance(7)}
    return Shop({offer.sku: offer for offer in offers}, {STOCK: stock}, {})


def place(*lines: tuple[str, int], order_id: UUID = ORDER) -> PlaceOrder:
    return PlaceOrder(order_id, "ann", tuple(Wanted(sku, quantity) for sku, quantity in lines))


def placed(into: Shop, *lines: tuple[str, int]) -> Shop:
    """The shop after Ann has placed this order."""
    return evolve(into, happened(decide(into, place(*lines), ANN)))


def happened(decision: Decision) -> Event:
    """The one event of a command that was not refused."""
    assert not isinstance(decision, Rejection)
    (event,) = decision
    return event


def rejected(decision: Decision) -> tuple[str, dict[str, object]]:
    assert isinstance(decision, Rejection)
    assert decision.detail
    return decision.code, decision.particulars


def test_an_order_takes_its_prices_from_the_catalogue_and_adds_them_up() -> None:
    event = happened(decide(shop(), place(("LAMP", 2), ("MUG", 3)), ANN))
    assert event == OrderPlaced(ORDER, "ann", "GBP", 800, (Line("LAMP", 2, 250), Line("MUG", 3, 100)))
    assert event.subject() == str(ORDER)


def test_a_placed_order_is_in_the_shop_and_reserves_its_lines() -> None:
    after = placed(shop(), ("LAMP", 2), ("MUG", 3))
    assert after.orders[ORDER] == Order(ORDER, "ann", PLACED, "GBP", 800, (Line("LAMP", 2, 250), Line("MUG", 3, 100)))
    assert (after.balances_of(STOCK)["LAMP"], after.balances_of(STOCK)["MUG"]) == (Balance(10, 2), Balance(3, 3))
    assert (after.balances_of(STOCK)["LAMP"].available, after.balances_of(STOCK)["MUG"].available) == (8, 0)


def test_an_order_may_take_the_last_piece_and_no_more() -> None:
    assert not isinstance(decide(shop(), place(("MUG", 3)), ANN), Rejection)
    assert isinstance(decide(shop(), place(("MUG", 4)), ANN), Rejection)


def test_an_order_that_cannot_be_fully_reserved_is_refused_with_the_short_lines() -> None:
    code, particulars = rejected(decide(shop(), place(("LAMP", 1), ("MUG", 4), ("KITE", 1)), ANN))
    assert code == "insufficient_stock"
    assert particulars == {
        "lines": [
            {"sku": "MUG", "requested": 4, "available": 3},
            {"sku": "KITE", "requested": 1, "available": 0},
        ]
    }


def test_an_order_of_unknown_skus_is_refused_and_names_them() -> None:
    code, particulars = rejected(decide(shop(), place(("LAMP", 99), ("NOPE", 1), ("NADA", 1)), ANN))
    assert (code, particulars) == ("unknown_sku", {"skus": ["NOPE", "NADA"]})


def test_an_order_of_skus_not_on_sale_is_refused_and_names_them() -> None:
    code, particulars = rejected(decide(shop(), place(("LAMP", 99), ("SLED", 1)), ANN))
    assert (code, particulars) == ("not_on_sale", {"skus": ["SLED"]})
    assert rejected(decide(shop(), place(("SLED", 1), ("NOPE", 1)), ANN))[0] == "unknown_sku"


def test_a_guest_s_order_has_the_guest_s_address() -> None:
    command = PlaceOrder(ORDER, "guest:1", (Wanted("LAMP", 1),), Personal("guest@example.org"))
    event = happened(decide(shop(), command, context("guest:1", "customer")))
    assert isinstance(event, OrderPlaced)
    assert event.email == Personal("guest@example.org")
    with pytest.raises(ValueError, match="not a normalized e-mail"):
        PlaceOrder(ORDER, "guest:1", (Wanted("LAMP", 1),), Personal("guest"))


def test_an_order_has_one_currency() -> None:
    code, particulars = rejected(decide(shop(), place(("LAMP", 1), ("VASE", 1)), ANN))
    assert (code, particulars) == ("mixed_currencies", {"currencies": ["EUR", "GBP"]})


def test_an_order_may_be_in_another_currency() -> None:
    event = happened(decide(shop(), place(("VASE", 2)), ANN))
    assert isinstance(event, OrderPlaced)
    assert (event.currency, event.total_minor) == ("EUR", 1980)


def test_an_order_s_total_may_reach_its_limit_and_no_more() -> None:
    event = happened(decide(shop(), place(("CROWN", 2)), ANN))
    assert isinstance(event, OrderPlaced)
    assert event.total_minor == ORDER_MAX_TOTAL_MINOR
    code, particulars = rejected(decide(shop(), place(("CROWN", 2), ("MUG", 1)), ANN))
    assert code == "order_total_exceeded"
    assert particulars == {"total_minor": str(ORDER_MAX_TOTAL_MINOR + 100), "limit_minor": ORDER_MAX_TOTAL_MINOR}


@pytest.mark.parametrize("lines", [(("LAMP", 1), ("LAMP", 2)), (("NOPE", 1), ("LAMP", 1), ("NOPE", 1))])
def test_a_repeated_sku_in_a_command_raises(lines: tuple[tuple[str, int], ...]) -> None:
    with pytest.raises(ValueError, match="once"):
        decide(shop(), place(*lines), ANN)


def test_a_taken_order_id_raises() -> None:
    with pytest.raises(ValueError, match="once"):
        decide(placed(shop(), ("LAMP", 1)), place(("MUG", 1)), ANN)


@pytest.mark.parametrize("actor", [ANN, STAFF])
def test_cancelling_releases_what_was_reserved(actor: Context) -> None:
    after = placed(shop(), ("LAMP", 2), ("MUG", 3))
    event = happened(decide(after, CancelOrder(ORDER), actor))
    assert event == OrderCancelled(ORDER, "ann", (Line("LAMP", 2, 250), Line("MUG", 3, 100)))
    evolve(after, event)
    assert after.orders[ORDER].status == CANCELLED
    assert (after.balances_of(STOCK)["LAMP"], after.balances_of(STOCK)["MUG"]) == (Balance(10), Balance(3))


def test_another_customer_s_order_is_refused_like_a_missing_one() -> None:
    others = decide(placed(shop(), ("LAMP", 1)), CancelOrder(ORDER), BOB)
    assert rejected(others) == ("order_not_found", {"order_id": str(ORDER)})
    assert decide(shop(), CancelOrder(ORDER), BOB) == others
    assert decide(shop(), CancelOrder(ORDER), STAFF) == others


MOVES: dict[str, Command] = {
    "confirm": ConfirmOrder(ORDER),
    "fulfil": FulfilOrder(ORDER),
    "cancel": CancelOrder(ORDER),
    "expire": ExpireOrder(ORDER),
}
# The moves that lead to each status, and those that are allowed from there.
WAYS: dict[str, tuple[str, ...]] = {
    PLACED: (),
    CONFIRMED: ("confirm",),
    FULFILLED: ("confirm", "fulfil"),
    CANCELLED: ("cancel",),
    EXPIRED: ("expire",),
}
ALLOWED: dict[str, dict[str, str]] = {
    PLACED: {"confirm": CONFIRMED, "cancel": CANCELLED, "expire": EXPIRED},
    CONFIRMED: {"fulfil": FULFILLED, "cancel": CANCELLED},
    FULFILLED: {},
    CANCELLED: {},
    EXPIRED: {},
}


def moved(status: str) -> Shop:
    """The shop after Ann's order of two lamps and three mugs has reached this status."""
    after = placed(shop(), ("LAMP", 2), ("MUG", 3))
    for move in WAYS[status]:
        evolve(after, happened(decide(after, MOVES[move], STAFF)))
    assert after.orders[ORDER].status == status
    return after


def test_every_status_is_tried() -> None:
    assert WAYS.keys() == ALLOWED.keys() == set(ORDER_STATUSES)


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("status", ORDER_STATUSES)
def test_each_status_allows_exactly_these_moves(status: str, move: str) -> None:
    after = moved(status)
    decision = decide(after, MOVES[move], ANN)
    if move in ALLOWED[status]:
        assert evolve(after, happened(decision)).orders[ORDER].status == ALLOWED[status][move]
    else:
        assert rejected(decision) == ("order_state_conflict", {"order_id": str(ORDER), "order_status": status})
        assert isinstance(decision, Rejection)
        assert status in decision.detail


LINES = (Line("LAMP", 2, 250), Line("MUG", 3, 100))


def test_confirming_sells_what_was_reserved() -> None:
    event = happened(decide(moved(PLACED), ConfirmOrder(ORDER), ANN))
    assert event == OrderConfirmed(ORDER, "ann", LINES)
    after = moved(CONFIRMED)
    assert (after.balances_of(STOCK)["LAMP"], after.balances_of(STOCK)["MUG"]) == (Balance(8), Balance(0))


def test_fulfilling_moves_no_stock() -> None:
    before, after = moved(CONFIRMED), moved(FULFILLED)
    assert happened(decide(before, FulfilOrder(ORDER), STAFF)) == OrderFulfilled(ORDER, "ann")
    assert after.balances_of(STOCK) == before.balances_of(STOCK)


def test_an_unconfirmed_order_expires_and_releases_its_lines() -> None:
    event = happened(decide(moved(PLACED), ExpireOrder(ORDER), STAFF))
    assert event == OrderExpired(ORDER, "ann", LINES)
    after = moved(EXPIRED)
    assert (after.balances_of(STOCK)["LAMP"], after.balances_of(STOCK)["MUG"]) == (Balance(10), Balance(3))


def test_cancelling_a_confirmed_order_returns_its_stock() -> None:
    after = moved(CONFIRMED)
    event = happened(decide(after, CancelOrder(ORDER), ANN))
    assert event == OrderCancelled(ORDER, "ann", LINES, confirmed=True)
    evolve(after, event)
    assert (after.balances_of(STOCK)["LAMP"], after.balances_of(STOCK)["MUG"]) == (Balance(10), Balance(3))


@pytest.mark.parametrize("move", MOVES)
def test_nobody_can_move_another_customer_s_order(move: str) -> None:
    others = decide(moved(PLACED), MOVES[move], BOB)
    assert rejected(others) == ("order_not_found", {"order_id": str(ORDER)})
    assert decide(shop(), MOVES[move], BOB) == others == decide(shop(), MOVES[move], STAFF)


def test_an_order_is_cancelled_once() -> None:
    after = placed(shop(), ("LAMP", 1))
    evolve(after, happened(decide(after, CancelOrder(ORDER), ANN)))
    code, particulars = rejected(decide(after, CancelOrder(ORDER), ANN))
    assert (code, particulars) == ("order_state_conflict", {"order_id": str(ORDER), "order_status": CANCELLED})


def test_all_commands_about_an_order_share_its_slot() -> None:
    assert {command.slot() for command in (place(("LAMP", 1)), *MOVES.values())} == {slot_of_id(ORDER)} == {77}
