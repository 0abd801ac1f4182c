"""Which promotions apply, in which order, and what is said of those that do not."""

from datetime import timedelta
from uuid import UUID

import pytest

from domain.quote.actions.amounts import Fixed, Percent
from domain.quote.actions.buy_get import BuyGet
from domain.quote.actions.core import DELIVERY, ORDER
from domain.quote.actions.gift import Gift
from domain.quote.basket import Basket
from domain.quote.places import Place
from domain.quote.quoted import Quote
from domain.quote.rules import AnyRule
from domain.quote.rules.buyer import Customer, FirstOrder, Group
from domain.quote.rules.country import Country
from domain.quote.rules.quantity import Quantity
from domain.quote.rules.subtotal import Subtotal
from domain.quote.terms import Terms
from domain.quote.terms.deliveries import Method, Rate
from domain.quote.terms.promotions import folded_code
from domain.quote.worksheet import Items
from tests.quotes import AT, CUPS, LONDON, basket, code, promoted, promotion, quoted

HOUR = timedelta(hours=1)
TENTH = Percent(percent_bp=1_000)
POST = Method(UUID(int=50), "Post", rates=(Rate("GBP", 499),))
MUGS = Items(frozenset({"MUG"}))
VIP = frozenset({"vip"})


def discounts(found: Quote) -> dict[str, list[tuple[int, int]]]:
    """By SKU, the numbers of the promotions that reduced it, in order, and by how much."""
    return {
        line.sku: [(discount.promotion_id.int, discount.amount_minor) for discount in line.discounts]
        for line in found.lines
    }


def remarks(found: Quote) -> list[tuple[str, str]]:
    return [(remark.field, remark.code) for remark in found.remarks]


RULES: dict[str, tuple[AnyRule, Basket, Basket, str]] = {
    "subtotal": (Subtotal({"GBP": 3_000}), basket(MUG=3), basket(MUG=2), "subtotal_too_low"),
    "subtotal of items": (Subtotal({"GBP": 3_000}, MUGS), basket(MUG=3), basket(MUG=2, PAN=9), "subtotal_too_low"),
    "subtotal in another currency": (
        Subtotal({"GBP": 1}),
        basket(MUG=1),
        basket("EUR", MUG=1),
        "not_in_currency",
    ),
    "quantity": (Quantity(3), basket(MUG=1, CUP=2), basket(MUG=2), "too_few_pieces"),
    "sku": (Quantity(items=MUGS), basket(MUG=1), basket(CUP=1), "too_few_pieces"),
    "category": (
        Quantity(2, Items(category_ids=frozenset({CUPS}))),
        basket(MUG=1, CUP=1),
        basket(MUG=1, PAN=5),
        "too_few_pieces",
    ),
    "customer": (
        Customer(frozenset({"ann"})),
        basket(MUG=1, customer_id="ann"),
        basket(MUG=1, customer_id="bob"),
        "other_customers",
    ),
    "group": (
        Group(VIP),
        basket(MUG=1, customer_id="ann", groups=VIP),
        basket(MUG=1, customer_id="ann", groups=frozenset({"trade"})),
        "other_customers",
    ),
    "first order": (FirstOrder(), basket(MUG=1, first_order=True), basket(MUG=1, first_order=False), "not_first_order"),
    "country": (
        Country(frozenset({"GB", "IE"})),
        basket(MUG=1, to=LONDON),
        basket(MUG=1, to=Place("DE")),
        "other_countries",
    ),
}


@pytest.mark.parametrize(("rule", "holds", "fails", "said"), RULES.values(), ids=RULES)
def test_a_rule_holds_or_says_what_it_lacks(rule: AnyRule, holds: Basket, fails: Basket, said: str) -> None:
    given = promotion(1, TENTH, rule)
    assert promoted(holds, given).discount_minor > 0
    refused = promoted(fails, given)
    assert (refused.discount_minor, remarks(refused)) == (0, [("", said)])


def test_all_rules_must_hold() -> None:
    given = promotion(1, TENTH, Quantity(2), Country(frozenset({"GB"})))
    assert promoted(basket(MUG=2, to=LONDON), given).discount_minor == 200
    assert promoted(basket(MUG=1, to=LONDON), given).discount_minor == 0
    assert promoted(basket(MUG=2, to=Place("DE")), given).discount_minor == 0


def test_what_is_missing_is_said_in_money_and_pieces() -> None:
    of_money = promoted(basket(MUG=2, CUP=2), promotion(1, TENTH, Subtotal({"GBP": 3_000})))
    assert [(said.amount_minor, said.message) for said in of_money.remarks] == [(334, "GBP 3.34 more.")]
    of_pieces = promoted(basket(MUG=2), promotion(1, TENTH, Quantity(3)))
    assert [said.quantity for said in of_pieces.remarks] == [1]
    assert of_pieces.remarks[0].promotion_id == UUID(int=1)


def test_buyers_are_told_only_of_what_they_can_reach() -> None:
    hidden = promotion(1, TENTH, Customer(frozenset({"ann"})), Quantity(9))
    near = promotion(2, TENTH, Quantity(3))
    terms = Terms(promotions=(hidden, near))
    assert [said.promotion_id for said in quoted(basket(MUG=2), terms).remarks] == [near.id]
    assert len(quoted(basket(MUG=2), terms, explain=True).remarks) == 2


def test_a_subtotal_is_what_the_earlier_stages_left() -> None:
    lines = promotion(1, TENTH)
    order = promotion(2, Fixed(amounts_minor={"GBP": 100}, target=ORDER), Subtotal({"GBP": 1_900}))
    assert discounts(promoted(basket(MUG=2), order)) == {"MUG": [(2, 100)]}
    assert discounts(promoted(basket(MUG=2), lines, order)) == {"MUG": [(1, 200)]}


@pytest.mark.parametrize(
    ("starts_at", "ends_at", "applies"),
    [(None, AT + HOUR, True), (AT, None, True), (None, AT, False), (AT + HOUR, None, False)],
)
def test_a_promotion_and_a_code_have_periods(starts_at: object, ends_at: object, applies: bool) -> None:
    expected = [] if applies else [("", "not_now")]
    assert remarks(promoted(basket(MUG=1), promotion(1, TENTH, starts_at=starts_at, ends_at=ends_at))) == expected
    coded = promotion(1, TENTH, coded=True)
    codes = code(coded, starts_at=starts_at, ends_at=ends_at)
    found = promoted(basket(MUG=1, codes=("save",)), coded, codes=codes)
    assert remarks(found) == [("/codes/0", said) for _, said in expected]


def test_what_is_not_active_does_not_apply() -> None:
    assert promoted(basket(MUG=1), promotion(1, TENTH, active=False)).discount_minor == 0
    coded = promotion(1, TENTH, coded=True)
    found = promoted(basket(MUG=1, codes=("SAVE",)), coded, codes=code(coded, active=False))
    assert remarks(found) == [("/codes/0", "code_unknown")]


def test_lines_come_first_then_the_order_then_codes_then_the_delivery() -> None:
    coded = promotion(3, TENTH, coded=True, priority=9)
    found = promoted(
        basket(MUG=1, codes=("save",), to=LONDON, method_id=POST.id),
        promotion(4, Percent(percent_bp=1_000, target=DELIVERY), priority=9),
        coded,
        promotion(2, Percent(percent_bp=1_000, target=ORDER), priority=9),
        promotion(1, TENTH),
        codes=code(coded),
        methods=(POST,),
    )
    assert discounts(found) == {"MUG": [(1, 100), (2, 90), (3, 81)]}
    assert [discount.weight_minor for discount in found.lines[0].discounts] == [1_000, 900, 810]
    assert found.delivery is not None
    assert [discount.amount_minor for discount in found.delivery.discounts] == [50]


def test_the_higher_priority_goes_first_and_alone() -> None:
    found = promoted(basket(MUG=1), promotion(1, Percent(percent_bp=5_000)), promotion(2, TENTH, priority=1))
    assert discounts(found) == {"MUG": [(2, 100)]}
    assert remarks(found) == [("", "not_combined")]


def test_of_equal_priority_the_greater_saving_wins_and_then_the_lower_id() -> None:
    assert discounts(promoted(basket(MUG=1), promotion(1, TENTH), promotion(2, Percent(percent_bp=2_000)))) == {
        "MUG": [(2, 200)]
    }
    assert discounts(promoted(basket(MUG=1), promotion(2, TENTH), promotion(1, TENTH))) == {"MUG": [(1, 100)]}


def test_those_that_combine_follow_each_other_on_what_is_left() -> None:
    first, second = promotion(1, TENTH, combines=True, priority=2), promotion(2, TENTH, combines=True)
    assert discounts(promoted(basket(MUG=1), second, first)) == {"MUG": [(1, 100), (2, 90)]}
    alone = promotion(3, TENTH, priority=1)
    assert discounts(promoted(basket(MUG=1), first, second, alone)) == {"MUG": [(1, 100), (2, 90)]}
    assert discounts(promoted(basket(MUG=1), second, alone)) == {"MUG": [(3, 100)]}


def test_a_promotion_closes_only_the_lines_that_it_reduces() -> None:
    mugs = promotion(1, Percent(percent_bp=5_000, items=MUGS), priority=1)
    found = promoted(basket(MUG=1, CUP=1), mugs, promotion(2, TENTH))
    assert discounts(found) == {"MUG": [(1, 500)], "CUP": [(2, 33)]}


def test_what_is_off_the_whole_order_is_off_all_of_it_or_not_at_all() -> None:
    first = promotion(1, Fixed(amounts_minor={"GBP": 1}, target=ORDER), priority=1, combines=True)
    alone = promotion(2, Percent(percent_bp=5_000, target=ORDER))
    found = promoted(basket(MUG=1, CUP=1), first, alone)
    assert discounts(found) == {"MUG": [(1, 1)], "CUP": []}
    assert remarks(found) == [("", "not_combined")]


def test_a_code_for_the_order_does_not_follow_one_for_a_line_unless_they_combine() -> None:
    line = promotion(1, Percent(percent_bp=5_000, items=MUGS), coded=True, priority=1, combines=True)
    for combines, off_the_cup in ((False, []), (True, [(2, 33)])):
        order = promotion(2, Percent(percent_bp=1_000, target=ORDER), coded=True, combines=combines)
        codes = code(line, "A") | code(order, "B")
        found = promoted(basket(MUG=1, CUP=1, codes=("A", "B")), line, order, codes=codes)
        assert discounts(found)["CUP"] == off_the_cup
        assert remarks(found) == ([] if combines else [("/codes/1", "not_combined")])


def test_codes_are_typed_in_any_case_and_each_promotion_applies_once() -> None:
    assert folded_code(" sa Ve\n") == "SAVE"
    coded = promotion(1, TENTH, coded=True)
    codes = code(coded) | code(coded, "MORE")
    found = promoted(basket(MUG=1, codes=(" Save ", "more", "none")), coded, codes=codes)
    assert discounts(found) == {"MUG": [(1, 100)]}
    assert remarks(found) == [("/codes/1", "code_repeated"), ("/codes/2", "code_unknown")]
    (discount,) = found.lines[0].discounts
    assert (discount.code, discount.version, discount.name) == ("SAVE", 10, "Promotion 1")
    assert (discount.kind, discount.value) == ("percent", 1_000)


def test_a_code_is_needed_where_one_is_asked_for_and_useless_elsewhere() -> None:
    coded, free = promotion(1, TENTH, coded=True), promotion(2, TENTH)
    assert promoted(basket(MUG=1), coded, codes=code(coded)).discount_minor == 0
    assert remarks(promoted(basket(MUG=1, codes=("save",)), free, codes=code(free))) == [("/codes/0", "code_unknown")]


def test_one_bad_code_among_good_ones_spoils_nothing() -> None:
    first = promotion(1, TENTH, coded=True, combines=True, priority=1)
    second = promotion(2, TENTH, coded=True, combines=True)
    third = promotion(3, TENTH, Quantity(5), coded=True)
    codes = code(first, "A") | code(second, "B") | code(third, "C")
    found = promoted(basket(MUG=1, codes=("A", "C", "X", "B")), first, second, third, codes=codes)
    assert discounts(found) == {"MUG": [(1, 100), (2, 90)]}
    assert remarks(found) == [("/codes/2", "code_unknown"), ("/codes/1", "too_few_pieces")]
    assert found.requirements == ()


def test_a_delivery_code_competes_with_automatic_promotions() -> None:
    free = promotion(1, Percent(percent_bp=10_000, target=DELIVERY))
    coded = promotion(2, Percent(percent_bp=5_000, target=DELIVERY), coded=True, priority=1)
    wanted = basket(MUG=1, codes=("save",), to=LONDON, method_id=POST.id)
    found = promoted(wanted, free, coded, codes=code(coded), methods=(POST,))
    assert found.delivery is not None
    assert [(one.promotion_id.int, one.amount_minor) for one in found.delivery.discounts] == [(2, 250)]


def test_free_delivery_is_a_fact_even_where_it_saves_nothing() -> None:
    pickup = Method(UUID(int=51), "Shop", "pickup", rates=(Rate("GBP", 0),))
    free = promotion(1, Percent(percent_bp=10_000, target=DELIVERY))
    found = promoted(basket(MUG=1, method_id=pickup.id), free, methods=(pickup,))
    assert found.delivery is not None
    assert [discount.amount_minor for discount in found.delivery.discounts] == [0]


def test_free_delivery_is_not_used_up_by_what_is_not_delivered() -> None:
    free = promotion(1, Percent(percent_bp=10_000, target=DELIVERY), uses_limit=5)
    found = promoted(basket(EBOOK=1), free, methods=(POST,))
    assert (found.requirements, found.takes) == ((), ())
    coded = promotion(2, Percent(percent_bp=10_000, target=DELIVERY), uses_limit=5, coded=True)
    found = quoted(basket(EBOOK=1, codes=("save",)), Terms(promotions=(coded,), codes=code(coded), methods=(POST,)))
    assert ([(said.field, said.code) for said in found.remarks], found.takes) == ([("/codes/0", "no_effect")], ())
    sent = basket(MUG=1, to=LONDON, method_id=POST.id)
    assert [take.amount for take in promoted(sent, free, methods=(POST,)).takes] == [1]


def test_gift_cards_are_money_and_never_reduced() -> None:
    order = promotion(1, Percent(percent_bp=5_000, target=ORDER), Subtotal({"GBP": 1_001}))
    assert discounts(promoted(basket(MUG=1, CARD=1), order)) == {"MUG": [], "CARD": []}
    assert discounts(promoted(basket(MUG=2, CARD=1), order)) == {"MUG": [(1, 1_000)], "CARD": []}


def test_a_gift_is_a_line_that_costs_nothing() -> None:
    found = promoted(basket(MUG=2), promotion(1, Gift("TOY", 2), Subtotal({"GBP": 2_000})))
    mug, toy = found.lines
    assert (toy.sku, toy.quantity, toy.gift, toy.amount_minor, toy.gross_minor) == ("TOY", 2, True, 800, 0)
    assert discounts(found)["TOY"] == [(1, 800)]
    assert (mug.gift, found.total_minor) == (False, 2_000)


def test_a_gift_that_is_bought_as_well_is_a_line_of_its_own() -> None:
    found = promoted(basket(TOY=1), promotion(1, Gift("TOY")), promotion(2, TENTH))
    assert [(line.sku, line.gift, line.gross_minor) for line in found.lines] == [
        ("TOY", False, 360),
        ("TOY", True, 0),
    ]


def test_an_unavailable_gift_is_not_given() -> None:
    for currency, sku in (("GBP", "KITE"), ("EUR", "TOY"), ("GBP", "CARD")):
        found = promoted(basket(currency, MUG=1), promotion(1, Gift(sku)))
        assert (sum(line.gift for line in found.lines), remarks(found)) == (0, [("", "gift_not_available")])


def test_a_promotion_that_reduces_nothing_says_so() -> None:
    found = promoted(basket(CUP=1), promotion(1, Percent(percent_bp=1_000, items=MUGS)))
    assert remarks(found) == [("", "no_effect")]
    assert found.takes == ()


def test_promotions_may_be_listed_in_any_order() -> None:
    given = [
        promotion(1, TENTH, combines=True),
        promotion(2, Fixed(amounts_minor={"GBP": 50}), combines=True),
        promotion(3, BuyGet(1), priority=1),
    ]
    assert promoted(basket(MUG=3, CUP=2), *given) == promoted(basket(MUG=3, CUP=2), *reversed(given))
