"""The order that `Prefer: wait` answers with is written past pydantic, and is what pydantic would have written."""

import json
from typing import Any
from uuid import UUID

import msgspec
import pytest

from domain.model import Line
from domain.orders import OrderPlaced
from gateway.views.orders import LineView, PlacedView, just_placed
from runtime.records import APPLIED, Outcome, moment

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
