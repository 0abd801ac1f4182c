"""What went wrong in other shops, each as the invariant that forbids it here."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from uuid import UUID

import msgspec
import pytest

from domain.money import CURRENCIES, minor_digits, written
from domain.quote.actions.amounts import Fixed, Percent
from domain.quote.actions.core import DELIVERY, ORDER
from domain.quote.basket import Basket, Card
from domain.quote.places import Area
from domain.quote.quoted import Quote
from domain.quote.rules.buyer import Customer, FirstOrder, Group
from domain.quote.rules.country import Country
from domain.quote.rules.subtotal import Subtotal
from domain.quote.terms import Terms
from domain.quote.terms.deliveries import Method, Rate
from domain.quote.terms.limits import PurchaseLimit, identities
from domain.quote.terms.promotions import Promotion
from domain.quote.terms.taxes import BY_LINE, BY_ORDER, Taxes, TaxPolicy, TaxRate
from domain.quote.worksheet import Part, Worksheet
from domain.shares import portion
from tests.quotes import LONDON, basket, code, promoted, promotion, quoted

TENTH = Percent(percent_bp=1_000)
POST = Method(UUID(int=50), "Post", rates=(Rate("GBP", 499),))
SECRET = b"a secret of this shop"


class Ledger:
    """What orders have taken from each limit, as a batch that decides one after the other keeps it."""

    def __init__(self, terms: Terms) -> None:
        self.taken = Counter[str]()
        self._terms = terms

    def order(self, wanted: Basket) -> Quote:
        found = quoted(msgspec.structs.replace(wanted, taken=dict(self.taken)), self._terms)
        if not found.requirements:
            for take in found.takes:
                self.taken[take.key] += take.amount
                assert self.taken[take.key] <= take.limit
        return found


# saleor#544, eventyay#1398, shopware#11245, django-oscar#4580, medusa#13760: a use too many
def test_uses_of_a_code_never_exceed_its_limit() -> None:
    coded = promotion(1, TENTH, coded=True)
    ledger = Ledger(Terms(promotions=(coded,), codes=code(coded, uses_limit=100)))
    reduced = [ledger.order(basket(MUG=1, codes=("save",))).discount_minor for _ in range(150)]
    assert reduced == [100] * 100 + [0] * 50


def test_spending_never_exceeds_a_budget() -> None:
    ledger = Ledger(Terms(promotions=(given := promotion(1, TENTH, budget_minor={"GBP": 1_050}),)))
    assert sum(ledger.order(basket(MUG=1)).discount_minor for _ in range(20)) == 1_000
    assert ledger.taken == {f"budget:{given.id}:GBP": 1_000}


class Broken(Customer, frozen=True, gc=False, tag="broken"):
    """A rule with a mistake in it, about those who are not known."""

    def lacks(self, sheet: Worksheet) -> None:
        assert sheet.basket.customer_id is not None
        assert sheet.basket.customer_id.startswith("ann")


# medusa#15823: a budget per e-mail address throws on the carts of guests
@pytest.mark.parametrize(
    "given",
    [
        promotion(1, TENTH, uses_per_customer=1),
        promotion(1, TENTH, Customer(frozenset({"ann"}))),
        promotion(1, TENTH, Group(frozenset({"vip"}))),
        promotion(1, TENTH, FirstOrder()),
        promotion(1, TENTH, Country(frozenset({"GB"}))),
        promotion(1, TENTH, Broken(frozenset())),
    ],
    ids=lambda given: type(given.rules[0]).__name__ if given.rules else "limit",
)
def test_what_cannot_be_decided_does_not_apply_and_never_fails_the_basket(given: Promotion) -> None:
    found = promoted(basket(MUG=1), given)
    assert (found.total_minor, found.requirements) == (1_000, ())
    assert [said.code in ("sign_in", "address_needed", "undecided") for said in found.remarks] == [True]
    known = basket(
        MUG=1, customer_id="ann", identities=("customer:ann",), groups=frozenset({"vip"}), first_order=True, to=LONDON
    )
    assert promoted(known, given).total_minor == 900


def test_a_failing_rule_is_reported_even_without_its_code() -> None:
    """So that the mistake in it is noticed."""
    broken = promotion(1, TENTH, Broken(frozenset()))
    assert [said.code for said in quoted(basket(MUG=1), Terms(promotions=(broken,))).remarks] == ["undecided"]


# medusa#15960: a limit for each customer is compared with everybody's uses
def test_a_limit_is_compared_with_the_uses_under_its_own_key() -> None:
    ledger = Ledger(Terms(promotions=(promotion(1, TENTH, uses_per_customer=1),)))
    reduced = [
        ledger.order(basket(MUG=1, identities=identities(who, None, SECRET))).discount_minor
        for who in ("ann", "bob", "ann", "cat", "bob")
    ]
    assert reduced == [100, 100, 0, 100, 0]


# emfcamp/Website#2036, saleor#4004: a personal maximum, but for each order
def test_a_personal_maximum_holds_across_orders_and_from_every_address_of_one_mailbox() -> None:
    ledger = Ledger(Terms(purchase_limits=(PurchaseLimit(UUID(int=7), 3),)))
    allowed = [
        not ledger.order(basket(MUG=2, identities=identities(who, email, SECRET))).requirements
        for who, email in (
            ("ann", "ann@example.com"),
            ("ann", None),
            (None, "ann+again@example.com"),
            ("bob", "bob@example.com"),
            ("bob-again", "bob@example.com"),
        )
    ]
    assert allowed == [True, False, False, True, False]


def ordered() -> Quote:
    shop = Terms(
        promotions=(promotion(1, Fixed(amounts_minor={"GBP": 1_000}, target=ORDER)),),
        taxes=Taxes("GB", (TaxRate("VAT", Area("GB"), "standard", 2_000),), TaxPolicy(rounding=BY_ORDER)),
        methods=(POST,),
    )
    return quoted(basket(MUG=3, CUP=7, PAN=1, to=LONDON, method_id=POST.id), shop)


# vendure#4811, vendure#2393: a cancelled line's share of a discount moves to the others, and its refund is not its own
def test_a_line_takes_its_own_share_of_discounts_and_taxes_with_it() -> None:
    found = ordered()
    parts = [line.gross_minor for line in found.lines]
    assert found.delivery is not None
    for place, line in enumerate(found.lines):
        others = parts[:place] + parts[place + 1 :]
        assert found.total_minor - line.gross_minor == sum(others) + found.delivery.gross_minor
    weights = [line.discounts[0].weight_minor for line in found.lines]
    assert weights == [3_000, 2_331, 4_999], "the split can be repeated from what is stored"


def test_the_pieces_of_a_line_give_back_together_what_was_paid_for_it() -> None:
    for line in ordered().lines:
        one_by_one = [portion(line.gross_minor, line.quantity, before, 1) for before in range(line.quantity)]
        assert sum(one_by_one) == line.gross_minor
        assert max(one_by_one) - min(one_by_one) <= 1


# vendure#3885: cancelling something prices a paid order again
def test_a_quote_is_a_fact_that_refers_to_nothing_that_may_change() -> None:
    found = ordered()
    with pytest.raises(AttributeError):
        found.total_minor = 0  # type: ignore[misc]
    said = msgspec.json.encode(found)
    (discount,) = found.lines[0].discounts
    assert (discount.name, discount.version, discount.kind, discount.value) == ("Promotion 1", 10, "fixed", 1_000)
    assert msgspec.json.decode(said, type=Quote) == found


def numbers(plain: object) -> Iterator[Any]:
    """All numbers in plain data."""
    if isinstance(plain, Mapping):
        for value in plain.values():
            yield from numbers(value)
    elif isinstance(plain, list):
        for value in plain:
            yield from numbers(value)
    elif isinstance(plain, int | float):
        yield plain


# medusa#14818: a total of 34.116425
def test_every_number_is_whole() -> None:
    assert {type(number) for number in numbers(msgspec.to_builtins(ordered()))} == {int, bool}


# woocommerce#25641, #19706, #25748; PrestaShop#36369: lines that do not add up to their order
@pytest.mark.parametrize("included", [True, False])
@pytest.mark.parametrize("rounding", [BY_LINE, BY_ORDER])
@pytest.mark.parametrize("rate_bp", [550, 1_000, 1_975, 2_000, 2_550])
def test_lines_and_order_agree_to_the_unit(included: bool, rounding: str, rate_bp: int) -> None:
    taxes = Taxes("GB", (TaxRate("VAT", Area("GB"), "standard", rate_bp),), TaxPolicy(included, rounding))
    third = promotion(1, Percent(percent_bp=3_333, target=ORDER))
    for pieces in range(1, 12):
        found = quoted(basket(CUP=pieces, TOY=3, PAN=1, to=LONDON), Terms(promotions=(third,), taxes=taxes))
        (total,) = found.taxes
        assert total.amount_minor == sum(line.tax_minor for line in found.lines) == found.tax_minor
        assert total.net_minor + total.amount_minor == found.total_minor


# Paymenter#1258, woocommerce-payments#3376: yen times a hundred
@pytest.mark.parametrize(
    ("currency", "price_minor", "shown", "more"),
    [("JPY", 180, "JPY 180", "JPY 20 more."), ("KWD", 3_500, "KWD 3.500", "KWD 0.500 more.")],
)
def test_a_currency_has_its_own_minor_unit(currency: str, price_minor: int, shown: str, more: str) -> None:
    given = promotion(1, TENTH, Subtotal({"JPY": 200, "KWD": 4_000}))
    found = promoted(basket(currency, MUG=1), given)
    assert (found.total_minor, written(found.total_minor, currency)) == (price_minor, shown)
    assert [said.message for said in found.remarks] == [more]
    assert {minor_digits(each) for each in CURRENCIES} == {0, 2, 3}


# spree#5417, PrestaShop#28611: delivery charged once a parcel
def test_a_delivery_is_charged_once_whatever_is_sent() -> None:
    for lines in ({"MUG": 1}, {"MUG": 99, "PAN": 7, "BOOK": 3, "EBOOK": 1}):
        found = quoted(basket(to=LONDON, method_id=POST.id, **lines), Terms(methods=(POST,)))
        assert found.delivery_minor == 499


# woocommerce-paypal-payments#4415: what is captured is not what was ordered
def test_what_is_due_is_what_was_shown_less_what_cards_pay() -> None:
    found = ordered()
    assert (found.currency, found.total_minor) == ("GBP", 10_330 + 499 - 1_000 + 1_966)
    cards = (Card(UUID(int=1), "GBP", 5_000), Card(UUID(int=2), "GBP", 9))
    paid = quoted(basket(MUG=6, cards=cards))
    assert (paid.total_minor, paid.due_minor, [card.amount_minor for card in paid.cards]) == (6_000, 991, [5_000, 9])


class Greedy(Fixed, frozen=True, gc=False, tag="greedy", kw_only=True):
    """A kind that takes more than there is, or less than nothing."""

    def cuts(self, parts: Sequence[Part], currency: str) -> Sequence[int]:
        return [part.left_minor + 1 for part in parts[:1]] + [-1 for _ in parts[1:]]


def test_no_kind_of_action_can_take_more_than_there_is_or_put_anything_on() -> None:
    found = promoted(basket(MUG=1, CUP=1), promotion(1, Greedy(amounts_minor={"GBP": 1})))
    assert [line.gross_minor for line in found.lines] == [0, 333]


def test_nothing_is_ever_below_zero() -> None:
    much = Fixed(amounts_minor={"GBP": 10**9}, target=ORDER)
    most = Fixed(amounts_minor={"GBP": 10**9})
    sent = Fixed(amounts_minor={"GBP": 10**9}, target=DELIVERY)
    wanted = basket(MUG=1, CUP=2, to=LONDON, method_id=POST.id)
    given = [promotion(number, action, combines=True) for number, action in enumerate((most, much, sent), 1)]
    assert promoted(wanted, *given, methods=(POST,)).total_minor == 0
