"""Orders: what becomes of each request to place or cancel one, and each reason to refuse it."""

from uuid import UUID

import pytest

from domain.ids import new_id, slot_of_id
from domain.limits import ORDER_MAX_TOTAL_MINOR
from domain.model import Decision, Event, Line, Order, Product, Rejection, Shop, Stock, Who, decide, evolve
from domain.orders import CANCELLED, PLACED, CancelOrder, OrderCancelled, OrderPlaced, PlaceOrder, Wanted

ANN = Who("ann", staff=False)
BOB = Who("bob", staff=False)
STAFF = Who("sam", staff=True)
ORDER = new_id(1_700_000_000_000, 77, 1)


def shop() -> Shop:
    """Two SKUs in pounds with 10 and 3 pieces, one in euros with 5, and one in pounds that costs a fortune."""
    products = [
        Product("LAMP", "A lamp", 250, "GBP"),
        Product("MUG", "A mug", 100, "GBP"),
        Product("VASE", "Eine Vase", 990, "EUR"),
        Product("CROWN", "A crown", ORDER_MAX_TOTAL_MINOR // 2, "GBP"),
        Product("KITE", "A kite, never received", 50, "GBP"),
    ]
    stock = {"LAMP": Stock(10), "MUG": Stock(3), "VASE": Stock(5), "CROWN": Stock(10)}
    return Shop({product.sku: product for product in products}, stock, {})


def place(*lines: tuple[str, int], order_id: UUID = ORDER) -> PlaceOrder:
    return PlaceOrder(order_id, "ann", tuple(Wanted(sku, quantity) for sku, quantity in lines))


def placed(into: Shop, *lines: tuple[str, int]) -> Shop:
    """The shop after Ann has placed that order."""
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


def test_a_placed_order_stands_in_the_shop_and_reserves_its_lines() -> None:
    after = placed(shop(), ("LAMP", 2), ("MUG", 3))
    assert after.orders[ORDER] == Order(ORDER, "ann", PLACED, "GBP", 800, (Line("LAMP", 2, 250), Line("MUG", 3, 100)))
    assert (after.stock["LAMP"], after.stock["MUG"]) == (Stock(10, 2), Stock(3, 3))
    assert (after.stock["LAMP"].available, after.stock["MUG"].available) == (8, 0)


def test_an_order_may_take_the_last_piece_and_not_one_more() -> None:
    assert not isinstance(decide(shop(), place(("MUG", 3)), ANN), Rejection)
    assert isinstance(decide(shop(), place(("MUG", 4)), ANN), Rejection)


def test_an_order_that_cannot_be_reserved_whole_is_refused_with_the_lines_that_fell_short() -> None:
    code, particulars = rejected(decide(shop(), place(("LAMP", 1), ("MUG", 4), ("KITE", 1)), ANN))
    assert code == "insufficient_stock"
    assert particulars == {
        "lines": [
            {"sku": "MUG", "requested": 4, "available": 3},
            {"sku": "KITE", "requested": 1, "available": 0},
        ]
    }


def test_an_order_of_unknown_skus_is_refused_and_they_are_named() -> None:
    code, particulars = rejected(decide(shop(), place(("LAMP", 99), ("NOPE", 1), ("NADA", 1)), ANN))
    assert (code, particulars) == ("unknown_sku", {"skus": ["NOPE", "NADA"]})


def test_an_order_has_one_currency() -> None:
    code, particulars = rejected(decide(shop(), place(("LAMP", 1), ("VASE", 1)), ANN))
    assert (code, particulars) == ("mixed_currencies", {"currencies": ["EUR", "GBP"]})


def test_an_order_in_another_currency_is_an_order_like_any_other() -> None:
    event = happened(decide(shop(), place(("VASE", 2)), ANN))
    assert isinstance(event, OrderPlaced)
    assert (event.currency, event.total_minor) == ("EUR", 1980)


def test_an_orders_total_has_a_limit_that_it_may_reach() -> None:
    event = happened(decide(shop(), place(("CROWN", 2)), ANN))
    assert isinstance(event, OrderPlaced)
    assert event.total_minor == ORDER_MAX_TOTAL_MINOR
    code, particulars = rejected(decide(shop(), place(("CROWN", 2), ("MUG", 1)), ANN))
    assert code == "order_total_exceeded"
    assert particulars == {"total_minor": str(ORDER_MAX_TOTAL_MINOR + 100), "limit_minor": ORDER_MAX_TOTAL_MINOR}


@pytest.mark.parametrize("lines", [(("LAMP", 1), ("LAMP", 2)), (("NOPE", 1), ("LAMP", 1), ("NOPE", 1))])
def test_a_sku_that_stands_twice_in_a_command_is_a_fault_of_who_sent_it(lines: tuple[tuple[str, int], ...]) -> None:
    with pytest.raises(ValueError, match="once"):
        decide(shop(), place(*lines), ANN)


def test_an_order_id_that_is_taken_is_a_fault_of_who_sent_it() -> None:
    with pytest.raises(ValueError, match="once"):
        decide(placed(shop(), ("LAMP", 1)), place(("MUG", 1)), ANN)


@pytest.mark.parametrize("who", [ANN, STAFF])
def test_cancelling_releases_what_was_reserved(who: Who) -> None:
    after = placed(shop(), ("LAMP", 2), ("MUG", 3))
    event = happened(decide(after, CancelOrder(ORDER), who))
    assert event == OrderCancelled(ORDER, "ann", (Line("LAMP", 2, 250), Line("MUG", 3, 100)))
    evolve(after, event)
    assert after.orders[ORDER].status == CANCELLED
    assert (after.stock["LAMP"], after.stock["MUG"]) == (Stock(10), Stock(3))


def test_another_customers_order_and_one_that_is_not_there_get_the_same_answer() -> None:
    others = decide(placed(shop(), ("LAMP", 1)), CancelOrder(ORDER), BOB)
    assert rejected(others) == ("order_not_found", {"order_id": str(ORDER)})
    assert decide(shop(), CancelOrder(ORDER), BOB) == others
    assert decide(shop(), CancelOrder(ORDER), STAFF) == others


def test_an_order_is_cancelled_once() -> None:
    after = placed(shop(), ("LAMP", 1))
    evolve(after, happened(decide(after, CancelOrder(ORDER), ANN)))
    code, particulars = rejected(decide(after, CancelOrder(ORDER), ANN))
    assert (code, particulars) == ("order_state_conflict", {"order_id": str(ORDER), "order_status": CANCELLED})


def test_all_commands_about_an_order_share_its_slot() -> None:
    assert place(("LAMP", 1)).slot() == CancelOrder(ORDER).slot() == slot_of_id(ORDER) == 77
