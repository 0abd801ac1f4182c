"""What is on an invoice adds up, and the credit notes of an order take back all of it and no more."""

from datetime import UTC, datetime
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.checkouts import COMPLETED, Checkout
from domain.invoices import DrawUpInvoices, Invoice, InvoiceCredited, InvoiceIssued, Seller
from domain.limits import ORDER_MAX_LINES, TERMS_MAX_PARTS
from domain.model import Actor, Context, Event, Line, Order, Rejection, Shop, decide, evolve
from domain.payments.entries import Entry
from domain.payments.payment import Capabilities, Payment
from domain.quote.places import Area
from domain.quote.terms import Terms
from domain.quote.terms.taxes import Taxes, TaxPolicy, TaxRate
from domain.roles import STAFF
from tests.quotes import LONDON, basket, quoted

_ORDER, _PAYMENT, _CHECKOUT = UUID(int=1), UUID(int=2), UUID(int=3)
_AT = datetime(2026, 11, 30, tzinfo=UTC)
_CONTEXT = Context(Actor.in_role("tidegate", STAFF), _AT)
_COMMAND = DrawUpInvoices(_ORDER, Seller("The Shop", ("1 High Street",), "GB123"), {"MUG": "Mug", "BOOK": "Book"})
_TAXES = Taxes(
    "GB",
    (TaxRate("VAT", Area("GB"), "standard", 2_000), TaxRate("VAT", Area("GB"), "books", 500)),
    TaxPolicy(included=True),
)
_QUOTE = quoted(basket(to=LONDON, MUG=3, BOOK=1), Terms(taxes=_TAXES))


def _shop(*entries: Entry, status: str = "confirmed", with_quote: bool = True) -> Shop:
    shop = Shop()
    lines = tuple(Line(line.sku, line.quantity, line.unit_price_minor) for line in _QUOTE.lines)
    checkout_id = _CHECKOUT if with_quote else None
    shop.orders[_ORDER] = Order(
        _ORDER, "ann", status, "GBP", _QUOTE.total_minor, lines, None, 0, checkout_id, "T-000001"
    )
    if with_quote:
        nothing = None, None, None, None
        shop.of(Checkout)[_CHECKOUT] = Checkout(
            _CHECKOUT, "ann", COMPLETED, None, (), *nothing, (), None, _ORDER, _QUOTE, 1
        )
    _pay(shop, *entries)
    return shop


def _pay(shop: Shop, *entries: Entry) -> None:
    shop.of(Payment)[_PAYMENT] = Payment(
        _PAYMENT, _ORDER, "ann", "sandbox", _QUOTE.total_minor, "GBP", "automatic", Capabilities(), entries
    )


def _charged(amount_minor: int = _QUOTE.total_minor) -> Entry:
    return Entry("charge_success", "a", amount_minor, _AT)


def _refunded(number: int, amount_minor: int) -> Entry:
    return Entry("refund_success", f"r{number}", amount_minor, _AT)


def _drawn_up(shop: Shop) -> list[Event]:
    decided = decide(shop, _COMMAND, _CONTEXT)
    if isinstance(decided, Rejection):
        assert decided.code == "nothing_to_invoice"
        return []
    for event in decided:
        evolve(shop, event)
    return list(decided)


@pytest.mark.parametrize("with_quote", [True, False])
def test_an_invoice_says_what_was_ordered_and_from_whom(with_quote: bool) -> None:
    (issued,) = _drawn_up(_shop(_charged(), with_quote=with_quote))
    assert isinstance(issued, InvoiceIssued)
    assert (issued.seller, issued.total_minor) == (_COMMAND.seller, _QUOTE.total_minor)
    assert [(line.title, line.quantity) for line in issued.lines] == [("Mug", 3), ("Book", 1)]
    assert sum(line.amount_minor - line.discount_minor for line in issued.lines) == issued.total_minor
    assert issued.taxes == (_QUOTE.taxes if with_quote else ())


@pytest.mark.parametrize("status", ["placed", "cancelled", "expired"])
def test_what_is_not_sold_has_no_invoice(status: str) -> None:
    assert _drawn_up(_shop(_charged(), status=status)) == []


def test_an_order_of_as_many_lines_as_may_be_and_gifts_has_an_invoice() -> None:
    titles = {str(number): "Mug" for number in range(ORDER_MAX_LINES + TERMS_MAX_PARTS)}
    command = DrawUpInvoices(_ORDER, Seller("A"), titles)
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(command), type=DrawUpInvoices) == command


def test_a_part_of_the_money_is_not_enough() -> None:
    assert _drawn_up(_shop(_charged(_QUOTE.total_minor - 1))) == []


def test_money_beyond_the_total_that_goes_back_is_no_credit() -> None:
    shop = _shop(_charged(_QUOTE.total_minor + 500))
    assert len(_drawn_up(shop)) == 1
    _pay(shop, _charged(_QUOTE.total_minor + 500), _refunded(0, 500))
    assert _drawn_up(shop) == []


def test_money_that_a_bank_took_back_is_no_credit() -> None:
    shop = _shop(_charged())
    assert len(_drawn_up(shop)) == 1
    _pay(shop, _charged(), Entry("charge_back", "b", 100, _AT))
    assert _drawn_up(shop) == []


@given(st.lists(st.integers(1, _QUOTE.total_minor), min_size=1, max_size=6), st.booleans())
def test_credit_notes_add_up_to_what_was_given_back_tax_by_tax(refunds: list[int], at_once: bool) -> None:
    shop, left, entries, notes = _shop(_charged()), _QUOTE.total_minor, [_charged()], []
    assert len(_drawn_up(shop)) == 1
    for number, wanted in enumerate([*refunds, _QUOTE.total_minor]):
        if not (amount_minor := min(wanted, left)):
            break
        left -= amount_minor
        entries.append(_refunded(number, amount_minor))
        _pay(shop, *entries)
        if not at_once or not left:
            notes += _drawn_up(shop)
            assert _drawn_up(shop) == []
    credited = [note for note in notes if isinstance(note, InvoiceCredited)]
    assert sum(note.total_minor for note in credited) == _QUOTE.total_minor
    for place, tax in enumerate(_QUOTE.taxes):
        assert sum(note.taxes[place].amount_minor for note in credited) == tax.amount_minor
        assert sum(note.taxes[place].net_minor for note in credited) == tax.net_minor
    assert len(shop.of(Invoice)) == len(credited) + 1
