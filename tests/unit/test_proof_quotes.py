"""What an order was placed at is proved: it adds up, and is what the order costs, however that was placed."""

from typing import Any, Final
from uuid import UUID

import msgspec
import pytest

from domain.checkouts import CheckoutCompleted, CheckoutPlaced
from domain.model import Event
from domain.orders import OrderExpired, OrderPlaced
from domain.placing import order_at
from domain.quote.actions.amounts import Percent
from domain.quote.terms import Terms
from runtime.proof.quotes import Quotes
from runtime.proof.report import Report
from tests.quotes import basket, promotion, quoted

ORDER: Final = UUID(int=9)
QUOTE: Final = quoted(basket(MUG=2), Terms(promotions=(promotion(1, Percent(percent_bp=5_000)),)))
PLACED: Final = order_at(QUOTE, ORDER, "ann", None, ORDER)
EXPIRED: Final = OrderExpired(ORDER, "ann", PLACED.lines)


def found_in(*told: tuple[int, Event]) -> list[str]:
    report = Report()
    quotes = Quotes(report)
    for seq, event in told:
        quotes.follow(seq, event)
    return [difference["problem"] for difference in report.differences]


def kept(kind: type[CheckoutCompleted], **changes: Any) -> CheckoutCompleted:
    return kind(ORDER, "ann", ORDER, msgspec.structs.replace(QUOTE, **changes))


@pytest.mark.parametrize("kind", [CheckoutCompleted, CheckoutPlaced])
def test_a_quote_is_its_order_s_and_adds_up(kind: type[CheckoutCompleted]) -> None:
    assert found_in((1, PLACED), (2, kept(kind)), (3, EXPIRED)) == []
    dearer: OrderPlaced = msgspec.structs.replace(PLACED, total_minor=PLACED.total_minor + 1)
    assert found_in((1, dearer), (2, kept(kind))) == ["has a quote other than its order's total"]
    assert found_in((1, PLACED), (2, kept(kind, discount_minor=1))) == ["has a quote that does not add up"]


def test_an_order_that_was_placed_at_a_quote_has_one() -> None:
    untold = "was placed at a quote that was not told"
    assert found_in((1, PLACED), (2, EXPIRED)) == [untold]
    assert found_in((1, PLACED), (2, PLACED), (3, kept(CheckoutPlaced))) == [untold]
    plain: OrderPlaced = msgspec.structs.replace(PLACED, checkout_id=None)
    assert found_in((1, plain), (2, EXPIRED)) == []


def test_a_quote_that_cannot_be_read_is_not_missing() -> None:
    assert found_in((1, PLACED), (3, EXPIRED)) == []
