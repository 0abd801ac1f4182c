"""What is counted, under which keys, and what happens when it is used up."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import pytest

from domain.quote.actions.amounts import Percent
from domain.quote.basket import STORE_CREDIT, Card
from domain.quote.quoted import Quote
from domain.quote.terms import Terms
from domain.quote.terms.limits import DAY, ONE_ORDER, PurchaseLimit, identities
from domain.quote.worksheet import Items
from tests.quotes import AT, CUPS, basket, code, promoted, promotion, quoted

TENTH = Percent(percent_bp=1_000)
SECRET = b"a secret of this shop"
ANN = identities("ann", "ann@example.com", SECRET)


def takes(found: Quote) -> dict[str, tuple[int, int]]:
    return {take.key: (take.amount, take.limit) for take in found.takes}


def test_a_buyer_is_an_account_and_a_mailbox() -> None:
    customer, mailbox = ANN
    assert customer == "customer:ann"
    assert mailbox.startswith("email:")
    assert "ann@" not in mailbox
    assert identities(None, None, SECRET) == ()
    assert identities(None, "ann@example.com", SECRET) == (mailbox,)
    assert identities(None, "ann@example.com", b"another secret") != (mailbox,)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("ann@example.com", "ann+shop@example.com", True),
        ("ann@example.com", "a.nn@example.com", False),
        ("ann.lee@gmail.com", "annlee+x@googlemail.com", True),
        ("ann@example.com", "ann@example.org", False),
        ("+@example.com", "+x@example.com", False),
    ],
)
def test_a_mailbox_counts_once_however_it_is_written(one: str, other: str, same: bool) -> None:
    assert (identities(None, one, SECRET) == identities(None, other, SECRET)) is same


def test_an_order_takes_one_use_of_each_promotion_and_code() -> None:
    coded = promotion(1, TENTH, coded=True, uses_limit=100, uses_per_customer=2)
    codes = code(coded, uses_limit=5, uses_per_customer=1)
    found = promoted(basket(MUG=1, CUP=1, codes=("save",), identities=ANN), coded, codes=codes)
    promo, used = f"promotion:{coded.id}", f"code:{codes['SAVE'].id}"
    assert takes(found) == {
        promo: (1, 100),
        **{f"{promo}:{one}": (1, 2) for one in ANN},
        used: (1, 5),
        **{f"{used}:{one}": (1, 1) for one in ANN},
    }
    for key, (_, limit) in takes(found).items():
        spent = promoted(basket(MUG=1, codes=("save",), identities=ANN, taken={key: limit}), coded, codes=codes)
        assert (spent.discount_minor, [said.code for said in spent.remarks]) == (0, ["used_up"])
        assert spent.takes == ()
        last = promoted(basket(MUG=1, codes=("save",), identities=ANN, taken={key: limit - 1}), coded, codes=codes)
        assert last.discount_minor == 100


def test_a_budget_is_spent_in_money_and_never_overspent() -> None:
    given = promotion(1, TENTH, budget_minor={"GBP": 250, "EUR": 90})
    key = f"budget:{given.id}:GBP"
    assert takes(promoted(basket(MUG=2), given)) == {key: (200, 250)}
    assert promoted(basket(MUG=3), given).discount_minor == 0
    assert promoted(basket(MUG=1, taken={key: 150}), given).discount_minor == 100
    spent = promoted(basket(MUG=1, taken={key: 151}), given)
    assert (spent.discount_minor, spent.takes, [said.code for said in spent.remarks]) == (0, (), ["used_up"])
    assert takes(promoted(basket("EUR", MUG=1), given)) == {}
    assert promoted(basket("JPY", MUG=1), given).discount_minor == 18, "no budget in yen is no limit in yen"


def limited(limit: PurchaseLimit, at: datetime = AT, **wanted: Any) -> Quote:
    return quoted(basket(**wanted), Terms(purchase_limits=(limit,)), at=at)


def test_a_purchase_limit_caps_what_one_buyer_may_have() -> None:
    limit = PurchaseLimit(UUID(int=7), 3, Items(category_ids=frozenset({CUPS})))
    within = limited(limit, MUG=1, CUP=2, PAN=9, identities=ANN)
    keys = [f"limit:{limit.id}:forever:{one}" for one in ANN]
    assert (within.requirements, takes(within)) == ((), dict.fromkeys(keys, (3, 3)))
    beyond = limited(limit, MUG=2, CUP=2, identities=ANN)
    assert [(lack.field, lack.code, lack.quantity) for lack in beyond.requirements] == [("/lines", "purchase_limit", 3)]
    for key in keys:
        bought_before = limited(limit, MUG=2, CUP=1, identities=ANN, taken={key: 1})
        assert [lack.quantity for lack in bought_before.requirements] == [2]
    assert limited(limit, PAN=9, identities=ANN).takes == ()


def test_a_limit_is_for_ever_or_a_day_or_an_order() -> None:
    daily = PurchaseLimit(UUID(int=7), 3, window=DAY)
    in_tokyo = datetime(2026, 11, 28, 1, tzinfo=timezone(timedelta(hours=9)))
    assert in_tokyo.astimezone(UTC).day == 27
    for at in (AT, in_tokyo):
        assert {take.key.split(":")[2] for take in limited(daily, at, MUG=1, identities=ANN).takes} == {"2026-11-27"}
    each = PurchaseLimit(UUID(int=7), 3, window=ONE_ORDER)
    assert limited(each, MUG=3, identities=ANN).takes == ()
    assert [lack.code for lack in limited(each, MUG=4).requirements] == ["purchase_limit"]
    with pytest.raises(ValueError, match="week"):
        PurchaseLimit(UUID(int=7), 3, window="week")


def card(number: int, balance: int, **rest: object) -> Card:
    return Card(UUID(int=number), str(rest.pop("currency", "GBP")), balance, **rest)  # type: ignore[arg-type]


def test_cards_pay_last_each_what_it_has_in_their_order() -> None:
    found = quoted(basket(MUG=1, cards=(card(1, 300, shown="1234"), card(2, 5_000, kind=STORE_CREDIT), card(3, 10))))
    assert [(paid.card_id.int, paid.kind, paid.shown, paid.amount_minor) for paid in found.cards] == [
        (1, "gift_card", "1234", 300),
        (2, "store_credit", "", 700),
    ]
    assert (found.total_minor, found.due_minor, found.remarks) == (1_000, 0, ())


def test_every_card_that_cannot_pay_is_refused_in_the_same_words() -> None:
    bad = (
        None,
        card(1, 0),
        card(2, 100, currency="EUR"),
        card(3, 100, active=False),
        card(4, 100, expires_at=AT),
    )
    found = quoted(basket(MUG=1, cards=(*bad, good := card(5, 100, expires_at=AT + timedelta(days=1)), good)))
    assert [paid.card_id.int for paid in found.cards] == [5]
    assert found.due_minor == 900
    assert [said.field for said in found.remarks] == [f"/gift_cards/{place}" for place in (0, 1, 2, 3, 4, 6)]
    assert {(said.code, said.message) for said in found.remarks} == {
        ("card_not_usable", "This gift card cannot be used here.")
    }


def test_store_credit_that_is_spent_is_no_matter() -> None:
    assert quoted(basket(MUG=1, cards=(card(1, 0, kind=STORE_CREDIT),))).remarks == ()
