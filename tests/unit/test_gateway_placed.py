"""The order that `Prefer: wait` answers with is written past pydantic, and is what pydantic would have written."""

import json
from typing import Any
from uuid import UUID

import msgspec
import pytest

from domain.model import Line
from domain.orders import OrderPlaced
from domain.quote.actions.amounts import Percent
from domain.quote.terms import Terms
from gateway.views.orders import LineView, PlacedView, just_placed
from gateway.views.quotes import shown
from runtime.records import APPLIED, Outcome, moment
from tests.quotes import basket, promotion, quoted

EVENT = OrderPlaced(
    UUID(int=9), 'cäfé \u2028 "quoted" </script>', "GBP", 12, (Line("A-1", 2, 3), Line("B", 1, 6)), number="T-000009"
)


@pytest.mark.parametrize("at", [0, 1_700_000_000_000_000, 1_700_000_000_123_456, 1_700_000_000_120_000])
@pytest.mark.parametrize("email", [None, "a@b.example"])
@pytest.mark.parametrize("token", [None, "abc.def"])
def test_a_placed_order_reads_as_pydantic_writes_it(at: int, email: str | None, token: str | None) -> None:
    outcome = Outcome(UUID(int=1), APPLIED, 7, OrderPlaced.type, at, msgspec.Raw(msgspec.json.encode(EVENT)))
    view = PlacedView(
        id=EVENT.order_id,
        customer_id=EVENT.customer_id,
        status="placed",
        currency="GBP",
        total_minor=12,
        placed_at=moment(at),
        updated_at=moment(at),
        lines=[
            LineView(sku=line.sku, quantity=line.quantity, unit_price_minor=line.unit_price_minor)
            for line in EVENT.lines
        ],
        email=email,
        number=EVENT.number,
        guest_token=token,
    )
    said = just_placed(outcome, email, token).body()
    excluded: Any = {"guest_token"} if token is None else None
    assert json.loads(said) == json.loads(view.model_dump_json(exclude=excluded))
    assert list(json.loads(said)) == list(view.model_dump(exclude=excluded))
    assert PlacedView.model_validate_json(said, extra="forbid") == view


def test_an_order_at_a_quote_reads_as_pydantic_writes_it() -> None:
    quote = quoted(basket(MUG=2), Terms(promotions=(promotion(1, Percent(percent_bp=5_000)),)))
    event = msgspec.structs.replace(EVENT, total_minor=1_000, charges_minor=-1_000, checkout_id=EVENT.order_id)
    outcome = Outcome(UUID(int=1), APPLIED, 7, OrderPlaced.type, 0, msgspec.Raw(msgspec.json.encode(event)))
    placed = just_placed(outcome, None)
    placed.quote = msgspec.Raw(shown(quote).model_dump_json().encode())
    view = PlacedView.model_validate_json(placed.body(), extra="forbid")
    assert (view.charges_minor, view.checkout_id, view.quote) == (-1_000, EVENT.order_id, shown(quote))
    assert json.loads(placed.body()) == json.loads(view.model_dump_json(exclude={"guest_token"}))
