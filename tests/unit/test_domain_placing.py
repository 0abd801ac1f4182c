"""The quick way of placing an order: at the catalogue's prices, or at the quote of a checkout in which nothing else was
set."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.allowances import ALLOWANCES
from domain.checkouts import COMPLETED, Checkout, CheckoutLine, CheckoutOpened, CheckoutPlaced, CheckoutReturned
from domain.customers import Customer, Ordered
from domain.ids import new_id
from domain.ledgers import Balance
from domain.limits import ORDER_MAX_TOTAL_MINOR
from domain.model import Actor, Command, Context, Event, Offer, Personal, Rejection, Shop, Wanted, decide, evolve
from domain.orders import CancelOrder, ConfirmOrder, ExpireOrder, OrderConfirmed, OrderPlaced, PlaceOrder
from domain.quote.actions.amounts import Percent
from domain.quote.actions.gift import Gift
from domain.quote.basket import Basket
from domain.quote.places import Area
from domain.quote.quoting import quote
from domain.quote.terms import Terms
from domain.quote.terms.deliveries import Method, Rate
from domain.quote.terms.limits import DAY, FOREVER, ONE_ORDER, PurchaseLimit, identities, keys_without_codes
from domain.quote.terms.prices import PriceList
from domain.quote.terms.taxes import Taxes, TaxPolicy, TaxRate
from domain.quoting import quote_of
from domain.stock import STOCK
from domain.terms import NOW
from tests.quote_oracle import Oracle
from tests.quotes import AT, OFFERS, check, promotion
from tests.unit.test_quote_properties import baskets, catalogues, terms

ORDER: Final = new_id(1, 7, 1)
ACCOUNT: Final = UUID(int=70)
ANN: Final = Context(Actor.in_role(str(ACCOUNT), "customer"), AT)
STAFF: Final = Context(Actor.in_role("sam", "staff"), AT)
HALF: Final = promotion(1, Percent(percent_bp=5_000))
VAT: Final = Taxes("GB", (TaxRate("VAT", Area("GB"), "standard", 2_000),), TaxPolicy(included=False))
POST: Final = Method(UUID(int=50), "Post", rates=(Rate("GBP", 395),))
BUYER: Final = f"customer:{ACCOUNT}"


def shop_with(
    said: Terms, offers: Mapping[str, Offer] = OFFERS, *, on_hand: int = 1_000, taken: Mapping[str, int] = {}
) -> Shop:
    """A shop with so much of everything; all that there was under the keys of `taken` is taken."""
    shop = Shop(offers=dict(offers))
    shop.balances_of(STOCK).update({sku: Balance(on_hand, 0) for sku in shop.offers})
    shop.balances_of(ALLOWANCES).update({key: Balance(amount, amount) for key, amount in taken.items()})
    shop.of(Terms)[NOW] = said
    return shop


def ordered(
    buyer: str = str(ACCOUNT), email: str | None = None, known_by: tuple[str, ...] = (), **lines: int
) -> PlaceOrder:
    wanted = tuple(Wanted(sku, quantity) for sku, quantity in lines.items())
    return PlaceOrder(ORDER, buyer, wanted, None if email is None else Personal(email), known_by)


def placed(shop: Shop, command: Command, by: Context = ANN) -> tuple[Event, ...]:
    decision = decide(shop, command, by)
    assert not isinstance(decision, Rejection), decision
    return tuple(decision)


def refused(shop: Shop, command: PlaceOrder, by: Context = ANN) -> Rejection:
    decision = decide(shop, command, by)
    assert isinstance(decision, Rejection), decision
    return decision


@given(baskets.filter(lambda wanted: bool(wanted.lines)), terms(), catalogues())
def test_a_quick_order_agrees_with_exact_fractions(
    wanted: Basket, said: Terms, catalogue: tuple[dict[str, Offer], dict[UUID, PriceList]]
) -> None:
    """A quick order has none of the options of a checkout."""
    offers, lists = catalogue
    said = msgspec.structs.replace(said, price_lists=lists)
    principal = "guest:1" if wanted.customer_id is None else str(ACCOUNT)
    shop = shop_with(said, offers)
    tax_id = None if wanted.tax_id is None else Personal(wanted.tax_id)
    is_guest = wanted.customer_id is None
    if not is_guest:
        shop.of(Customer)[ACCOUNT] = Customer(ACCOUNT, tuple(wanted.groups), tax_id, wanted.tax_exempt)
        if wanted.first_order is not None:
            shop.of(Ordered)[principal] = Ordered(principal, not wanted.first_order)
    quick = Basket(
        "GBP",
        wanted.lines,
        customer_id=None if is_guest else principal,
        groups=frozenset() if is_guest else wanted.groups,
        first_order=None if is_guest else wanted.first_order,
        tax_id=None if is_guest else wanted.tax_id,
        tax_exempt=not is_guest and wanted.tax_exempt,
        delivers=False,
        identities=() if is_guest else (BUYER,),
    )
    # Methods mean nothing without a delivery, and the second implementation knows none of a basket that has none.
    oracle = Oracle(quick, offers, msgspec.structs.replace(said, methods=()))
    oracle.work(AT)
    command = PlaceOrder(ORDER, principal, wanted.lines, Personal("ann@example.com"))
    event, *more = placed(shop, command)
    assert isinstance(event, OrderPlaced)
    assert event.total_minor == oracle.total()
    if not said.concern_goods:
        assert more == []
        assert event == OrderPlaced(ORDER, principal, "GBP", event.total_minor, event.lines, command.email)
        return
    (kept,) = more
    assert isinstance(kept, CheckoutPlaced)
    check(kept.quote)
    assert kept.quote == msgspec.structs.replace(quote(quick, offers, said, AT), remarks=())
    assert (kept.checkout_id, kept.order_id, event.checkout_id) == (ORDER, ORDER, ORDER)
    assert event.charges_minor == event.total_minor - sum(each.quantity * each.unit_price_minor for each in event.lines)
    assert kept.quote.delivery is None


def test_promotions_that_are_not_running_are_not_asked_for() -> None:
    """A shop keeps its past promotions: an order cannot take from them."""
    day = timedelta(days=1)
    not_running = [
        promotion(1, Percent(percent_bp=1), uses_limit=1, active=False),
        promotion(2, Percent(percent_bp=1), uses_limit=1, ends_at=AT - day),
        promotion(3, Percent(percent_bp=1), uses_limit=1, starts_at=AT + day),
    ]
    assert list(keys_without_codes(not_running, (), (BUYER,), AT)) == []
    running = promotion(4, Percent(percent_bp=1), uses_limit=1, starts_at=AT - day, ends_at=AT + day)
    assert len(list(keys_without_codes([*not_running, running], (), (BUYER,), AT))) == 1


@given(baskets.filter(lambda wanted: bool(wanted.lines)), terms(), st.data())
def test_a_quick_order_takes_only_from_balances_loaded_for_it(wanted: Basket, said: Terms, data: st.DataObject) -> None:
    """A batch loads every balance that a quote may take from, before there is a quote."""
    limits = [None, 1, 3]
    limited = tuple(
        msgspec.structs.replace(
            each,
            uses_limit=data.draw(st.sampled_from(limits)),
            uses_per_customer=data.draw(st.sampled_from(limits)),
            budget_minor=data.draw(st.sampled_from([{}, {"GBP": 9_999}])),
        )
        for each in said.promotions
    )
    windows = data.draw(st.lists(st.sampled_from([ONE_ORDER, DAY, FOREVER]), unique=True))
    purchases = tuple(PurchaseLimit(UUID(int=98 + n), 100, window=window) for n, window in enumerate(windows))
    said = msgspec.structs.replace(said, promotions=limited, purchase_limits=purchases)
    buyer = data.draw(st.sampled_from([(), ("customer:ann",), ("customer:ann", "email:1")]))
    quick = msgspec.structs.replace(wanted, codes=(), delivers=False, identities=buyer)
    takes = {take.key for take in quote(quick, OFFERS, said, AT).takes}
    assert takes <= set(keys_without_codes(said.promotions, said.purchase_limits, buyer, AT))


def test_a_quick_order_costs_the_same_as_a_checkout_with_only_its_lines() -> None:
    """It is taxed at home, like a checkout without an address."""
    said = Terms(taxes=VAT, promotions=(HALF,))
    shop = shop_with(said)
    event, kept = placed(shop, ordered(MUG=2))
    assert isinstance(event, OrderPlaced)
    assert isinstance(kept, CheckoutPlaced)
    opened = CheckoutOpened(
        ORDER, str(ACCOUNT), None, (CheckoutLine("MUG", 2),), None, None, None, method_id=None, codes=(), note=None
    )
    cart = evolve(Shop(), opened).of(Checkout)[ORDER]
    assert kept.quote == msgspec.structs.replace(quote_of(shop, cart, AT, (BUYER,)), remarks=())
    assert (event.total_minor, event.charges_minor) == (1_200, -800)
    assert [(tax.country, tax.amount_minor) for tax in kept.quote.taxes] == [("GB", 200)]


def test_a_shop_whose_terms_are_deliveries_sells_as_the_catalogue_says() -> None:
    (event,) = placed(shop_with(Terms(methods=(POST,))), ordered(MUG=2))
    assert event == OrderPlaced(ORDER, str(ACCOUNT), "GBP", 2_000, event.lines)  # type: ignore[attr-defined]


def test_nothing_is_asked_about_its_delivery() -> None:
    _, kept = placed(shop_with(Terms(taxes=VAT, methods=(POST,))), ordered(MUG=1))
    assert isinstance(kept, CheckoutPlaced)
    assert (kept.quote.requirements, kept.quote.delivery) == ((), None)


@pytest.mark.parametrize("window", [ONE_ORDER, DAY, FOREVER])
def test_a_limited_sku_is_refused_as_in_a_checkout(window: str) -> None:
    limit = PurchaseLimit(UUID(int=9), 3, window=window)
    found = refused(shop_with(Terms(purchase_limits=(limit,))), ordered(MUG=4))
    assert found.code == "checkout_incomplete"
    (lacking,) = found.particulars["requirements"]
    assert (lacking["field"], lacking["code"], lacking["quantity"]) == ("/lines", "purchase_limit", 3)


def test_a_customer_is_counted_even_if_the_sender_did_not_identify_them() -> None:
    limit = PurchaseLimit(UUID(int=9), 3)
    key = f"limit:{limit.id}:forever:{BUYER}"
    shop = shop_with(Terms(purchase_limits=(limit,)), taken={key: 3})
    assert refused(shop, ordered(MUG=1)).code == "checkout_incomplete"
    known_by = identities(str(ACCOUNT), "ann@example.com", b"secret")
    _, kept = placed(shop_with(Terms(purchase_limits=(limit,))), ordered(known_by=known_by, MUG=1))
    assert isinstance(kept, CheckoutPlaced)
    assert {take.key for take in kept.quote.takes} == {f"limit:{limit.id}:forever:{one}" for one in known_by}


def test_a_guest_is_counted_by_the_mailbox() -> None:
    limit = PurchaseLimit(UUID(int=9), 3)
    known_by = identities(None, None, b"secret", typed="Eve+1@example.com")
    (mailbox,) = known_by
    shop = shop_with(Terms(purchase_limits=(limit,)), taken={f"limit:{limit.id}:forever:{mailbox}": 3})
    found = refused(shop, ordered("guest:1", "eve@example.com", known_by, MUG=1))
    assert found.particulars["requirements"][0]["code"] == "purchase_limit"


def test_a_promotion_that_is_used_up_does_not_apply() -> None:
    said = Terms(promotions=(msgspec.structs.replace(HALF, uses_limit=2),))
    event, kept = placed(shop_with(said), ordered(MUG=1))
    assert isinstance(event, OrderPlaced)
    assert isinstance(kept, CheckoutPlaced)
    assert (event.total_minor, kept.adjusted) == (500, {f"promotion:{HALF.id}": 2})
    assert [*kept.moves()] == [
        (ALLOWANCES, f"promotion:{HALF.id}", 2, 0),
        (ALLOWANCES, f"promotion:{HALF.id}", 0, 1),
    ]
    event, kept = placed(shop_with(said, taken={f"promotion:{HALF.id}": 2}), ordered(MUG=1))
    assert isinstance(event, OrderPlaced)
    assert event.total_minor == 1_000


def test_what_can_be_sold_to_nobody_is_refused_as_without_terms() -> None:
    said = Terms(taxes=VAT)
    offers = OFFERS | {"OFF": Offer("OFF", 1, "GBP", on_sale=False), "YEN": Offer("YEN", 1, "JPY")}
    shop = shop_with(said, offers)
    dear = ORDER_MAX_TOTAL_MINOR // 9
    assert refused(shop, ordered(KITE=1)).code == "unknown_sku"
    assert refused(shop, ordered(OFF=1)).code == "not_on_sale"
    assert refused(shop, ordered(MUG=1, YEN=1)).code == "mixed_currencies"
    found = refused(shop_with(said, {"GEM": Offer("GEM", dear, "GBP")}), ordered(GEM=8))
    assert (found.code, found.particulars["total_minor"]) == ("order_total_exceeded", str(dear * 8 + round(dear * 1.6)))
    short = refused(shop_with(said, on_hand=1), ordered(MUG=2))
    assert (short.code, short.short) == ("insufficient_stock", {(STOCK, "MUG"): 2})


def test_a_gift_comes_from_the_stock_as_well() -> None:
    said = Terms(promotions=(promotion(2, Gift("TOY", 1)),))
    event, kept = placed(shop_with(said, on_hand=1), ordered(MUG=1))
    assert isinstance(event, OrderPlaced)
    assert isinstance(kept, CheckoutPlaced)
    assert [line.sku for line in event.lines] == ["MUG", "TOY"]
    assert refused(shop_with(said, on_hand=1), ordered(TOY=1)).code == "insufficient_stock"


def test_its_checkout_is_complete_and_has_what_was_ordered() -> None:
    said = Terms(promotions=(promotion(2, Gift("TOY", 1)),))
    events = placed(shop_with(said), ordered(MUG=2))
    shop = Shop()
    for event in events:
        evolve(shop, event)
    kept = shop.of(Checkout)[ORDER]
    assert (kept.status, kept.order_id, kept.lines) == (COMPLETED, ORDER, (CheckoutLine("MUG", 2),))
    assert kept.quote == events[1].quote  # type: ignore[attr-defined]
    assert shop.orders[ORDER].checkout_id == kept.id
    assert kept.slot() == shop.orders[ORDER].slot()


def test_its_buyer_confirms_it_as_ever() -> None:
    """Quick orders are not paid through the shop, even with a total."""
    shop = shop_with(Terms(taxes=VAT))
    for event in placed(shop, ordered(MUG=1)):
        evolve(shop, event)
    (confirmed,) = placed(shop, ConfirmOrder(ORDER))
    assert isinstance(confirmed, OrderConfirmed)


@pytest.mark.parametrize("ends", [CancelOrder, ExpireOrder])
def test_a_cancelled_order_gives_back_its_allowances(ends: Any) -> None:
    said = Terms(promotions=(msgspec.structs.replace(HALF, uses_limit=1),))
    shop = shop_with(said)
    for event in placed(shop, ordered(MUG=1)):
        evolve(shop, event)
    key = f"promotion:{HALF.id}"
    assert shop.balance(ALLOWANCES, key) == Balance(1, 1)
    ended, returned = placed(shop, ends(ORDER), STAFF)
    assert isinstance(returned, CheckoutReturned)
    for event in (ended, returned):
        evolve(shop, event)
    assert shop.balance(ALLOWANCES, key) == Balance(1, 0)
    assert shop.balance(STOCK, "MUG") == Balance(1_000, 0)


def test_an_order_without_a_quote_has_nothing_else_to_give_back() -> None:
    shop = shop_with(Terms())
    for event in placed(shop, ordered(MUG=1)):
        evolve(shop, event)
    assert len(placed(shop, CancelOrder(ORDER), STAFF)) == 1
