"""The auditor is content with books that add up, and says what is wrong with any that do not."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.money.auditor import Auditor
from tests.money.books import Books, Moved
from tests.money.client import Act, Bought, Told


def _payment(payment_id: str, order_id: str, amount_minor: int, **amounts: Any) -> dict[str, Any]:
    return {
        "id": payment_id,
        "order_id": order_id,
        "card_id": None,
        "amount_minor": amount_minor,
        "capture": "automatic",
        "authorized": 0,
        "charged": 0,
        "refunded": 0,
        "cancelled": 0,
        **amounts,
    }


def _order(order_id: str, status: str, total_minor: int, due_minor: int) -> dict[str, Any]:
    return {
        "id": order_id,
        "customer_id": "ann",
        "status": status,
        "total_minor": total_minor,
        "checkout_id": f"checkout of {order_id}",
        "of_checkout": order_id,
        "due_minor": due_minor,
    }


def books() -> Books:
    """Two orders that were paid, one of them in part by a card and captured later, and one that came to nothing."""
    payments = [
        _payment("charged", "kept", 500, charged=500, refunded=200),
        _payment("captured", "shared", 300, capture="manual", authorized=300, charged=100, cancelled=200),
        _payment("by card", "shared", 50, capture="manual", card_id="card", authorized=50, charged=50),
        _payment("let go", "left", 700, capture="manual", authorized=700, cancelled=700),
    ]
    orders = [
        _order("kept", "confirmed", 500, 500),
        _order("shared", "confirmed", 350, 300),
        _order("left", "cancelled", 700, 700),
    ]
    return Books(
        [
            Moved("charged", 500, "charge", "charged", 500),
            Moved("captured", 300, "authorization", "captured", 300),
            Moved("let go", 700, "authorization", "let go", 700),
            Moved("charged", 500, "refund", "refund 1", 200),
            Moved("captured", 300, "charge", "capture 1", 100),
            Moved("captured", 300, "cancel", "void 1", 200),
            Moved("let go", 700, "cancel", "void 2", 700),
        ],
        {order["id"]: order for order in orders},
        {payment["id"]: payment for payment in payments},
        [{"key": "card", "put_on": 80, "posted": 30, "pending": 0}],
        [{"key": "code:1", "posted": 5, "pending": 2, "taken": 2}],
        {"key 1": [("applied", 200)], "key 2": [("rejected", 0)]},
        Counter({"dead tasks": 0}),
    )


def told() -> Told:
    """What people were told of them."""
    bought = [
        Bought(number, "ann", f"checkout of {order_id}", {(order_id, total_minor)}, set())
        for number, (order_id, total_minor) in enumerate((("kept", 500), ("shared", 350), ("left", 700)))
    ]
    acts = [Act("key 1", "refund", 200, [(200, None), (200, None)]), Act("key 2", "refund", 400, [(409, "no")])]
    return Told(bought, acts)


def test_books_that_add_up_are_right() -> None:
    findings = Auditor(books(), told()).audit()
    assert not findings.found
    assert findings.counts["charged, in minor units"] == 600


def _set(table: str, key: str, **changes: Any) -> Callable[[Books, Told], None]:
    def change(books: Books, told: Told) -> None:
        rows: dict[str, Any] = getattr(books, table)
        rows[key] = {**rows[key], **changes}

    return change


def _moves(*moved: Moved) -> Callable[[Books, Told], None]:
    return lambda books, told: books.moved.extend(moved)


def _are(table: str, *rows: dict[str, Any]) -> Callable[[Books, Told], None]:
    return lambda books, told: setattr(books, table, [*rows])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_set("payments", "charged", charged=501), "payment charged: charged 500 at the provider, 501 here"),
        (_moves(Moved("nobody's", 500, "charge", "nobody's", 500)), "payment nobody's at the provider is not ours"),
        (_moves(Moved("captured", 300, "charge", "capture 1", 100)), "charge capture 1 done 2 times"),
        (_moves(Moved("charged", 500, "charge", "once more", 500)), "order kept, due 500: 0 are held and 800 kept"),
        (_moves(Moved("charged", 500, "refund", "too much", 400)), "order kept, due 500: 0 are held and -100 kept"),
        (_set("orders", "kept", due_minor=499), "order kept, due 499: 0 are held and 500 kept"),
        (_set("orders", "kept", status="expired"), "order kept, expired: 300 are kept for it, and 0 held"),
        (_set("payments", "let go", cancelled=0), "order left, cancelled: 0 are kept for it, and 700 held"),
        (_set("orders", "left", status="confirmed", total_minor=800), "order left, confirmed: 700 paid of 800"),
        (_set("payments", "by card", order_id="nowhere"), "payments without an order"),
        (_set("orders", "kept", of_checkout="another"), "order kept, confirmed: is not the one order of its checkout"),
        (_are("cards", {"key": "card", "put_on": 80, "posted": 31, "pending": 0}), "card card: (31, 0), and not (30,"),
        (_are("codes", {"key": "code:1", "posted": 5, "pending": 3, "taken": 2}), "code:1: 3 of 5 are taken, by 2"),
        (_are("codes", {"key": "code:1", "posted": 1, "pending": 2, "taken": 2}), "code:1: 2 of 1 are taken, by 2"),
        (lambda books, told: books.left.update({"dead tasks": 1}), "1 dead tasks"),
        (lambda books, told: books.acts.update({"key 1": [("applied", 200)] * 2}), "refund of 200, key key 1"),
        (lambda books, told: books.acts.update({"key 1": [("applied", 199)]}), "refund of 200, key key 1"),
        (lambda books, told: books.acts.update({"key 1": []}), "refund of 200, key key 1"),
        (lambda books, told: books.acts.update({"key 2": [("applied", 400)]}), "refund of 400, key key 2"),
        (lambda books, told: told.acts[0].answers.append((409, "no")), "refund of 200, key key 1"),
        (lambda books, told: told.bought[0].told.clear(), "checkout of kept (purchase 0): told of set()"),
        (lambda books, told: told.bought[0].told.add(("a second", 500)), "checkout of kept (purchase 0): told of"),
        (lambda books, told: told.wrong.append("500"), "500"),
        (_set("orders", "kept", customer_id="bob"), "ann bought it, and {'bob'} have it"),
    ],
)
def test_whatever_does_not_add_up_is_said(change: Callable[[Books, Told], None], says: str) -> None:
    spoiled, said = books(), told()
    change(spoiled, said)
    found = Auditor(spoiled, said).audit().found
    assert any(says in each for each in found), found
