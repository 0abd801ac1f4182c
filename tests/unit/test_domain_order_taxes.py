"""Reports of orders to a tax provider: only of orders whose taxes it computed, and only facts."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest

from domain.checkouts import COMPLETED, Checkout
from domain.invoices import CREDIT_NOTE, INVOICE, Invoice, Kind, Seller
from domain.model import Actor, Context, Order, Rejection, Shop, decide
from domain.order_taxes import COMMIT, REFUND, VOID, OrderTaxesRequested, ReportTaxes, TaxAct
from domain.quote.terms import Terms
from domain.roles import STAFF
from domain.tasks import tasks_of
from tests.quotes import LONDON, basket, quoted

_ORDER, _CHECKOUT = UUID(int=1), UUID(int=3)
_CONTEXT = Context(Actor.in_role("tidegate", STAFF), datetime(2026, 11, 30, tzinfo=UTC))
_QUOTE = msgspec.structs.replace(quoted(basket(to=LONDON, MUG=1), Terms()), tax_provider="remote")


def _shop(status: str, *invoices: Kind, provider: str | None = "remote") -> Shop:
    shop = Shop()
    shop.orders[_ORDER] = Order(_ORDER, "ann", status, "GBP", 1_000, (), None, 0, _CHECKOUT)
    nothing = None, None, None, None
    quote = msgspec.structs.replace(_QUOTE, tax_provider=provider)
    shop.of(Checkout)[_CHECKOUT] = Checkout(_CHECKOUT, "ann", COMPLETED, None, (), *nothing, (), None, _ORDER, quote, 1)
    for place, kind in enumerate(invoices):
        key = f"{_ORDER}/{place}"
        shop.of(Invoice)[key] = Invoice(key, _ORDER, "ann", kind, "GBP", 1_000, Seller("A"), (), (), (), None)
    return shop


def _requested(shop: Shop, act: TaxAct, invoice_id: str | None = None) -> bool:
    decided = decide(shop, ReportTaxes(_ORDER, act, invoice_id), _CONTEXT)
    if isinstance(decided, Rejection):
        assert decided.code == "nothing_to_report"
        return False
    (event,) = decided
    assert isinstance(event, OrderTaxesRequested)
    (task,) = tasks_of(event)
    assert (task.subject, task.payload["act"]) == (f"taxes:{_ORDER}", act)
    return True


def test_a_confirmed_order_is_committed() -> None:
    assert _requested(_shop("confirmed"), COMMIT)


@pytest.mark.parametrize(
    ("status", "invoices", "due"),
    [("cancelled", (), True), ("confirmed", (), False), ("cancelled", (INVOICE,), False)],
    ids=["cancelled", "not cancelled", "invoiced: its credit notes say what is taken back"],
)
def test_what_is_voided(status: str, invoices: tuple[Kind, ...], due: bool) -> None:
    assert _requested(_shop(status, *invoices), VOID) is due


def test_only_credit_notes_are_refunds() -> None:
    shop = _shop("confirmed", INVOICE, CREDIT_NOTE)
    assert not _requested(shop, REFUND, f"{_ORDER}/0")
    assert _requested(shop, REFUND, f"{_ORDER}/1")
    assert not _requested(shop, REFUND, f"{_ORDER}/2")


@pytest.mark.parametrize("act", [COMMIT, VOID])
def test_the_shop_s_own_rates_are_nobody_s_business(act: TaxAct) -> None:
    assert not _requested(_shop("cancelled", provider=None), act)


def test_an_order_that_there_is_not_is_refused() -> None:
    refused = decide(Shop(), ReportTaxes(_ORDER, COMMIT), _CONTEXT)
    assert isinstance(refused, Rejection)
    assert refused.code == "order_not_found"
