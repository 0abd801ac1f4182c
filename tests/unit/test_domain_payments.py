"""Payments: the fold of their entries, what may be asked of a provider, and which of its reports count."""

import msgspec
import pytest

from domain.limits import PAYMENT_MAX_ENTRIES
from domain.model import Order, Rejection
from domain.orders import CONFIRMED, FULFILLED, PLACED
from domain.payments.amounts import Amounts, Change, action_required, amounts, capturable, change, refundable
from domain.payments.by_card import moved
from domain.payments.coverage import authorize_status, charge_status, due, expected, given_back, kept, owed, secured
from domain.payments.entries import FAILURES, REQUESTS, SUCCESSES, Entry
from domain.payments.payment import Capabilities, status_of
from domain.payments.rules import is_known, may_capture, may_refund, may_void, news, take_report, untold
from tests.unit.payment_stories import ORDER_ID, at, authorized, code, kind_of, payment, said

# The fold.


def test_a_request_is_pending_until_its_outcome_is_told() -> None:
    for kind, done, pending in (
        ("authorization", "authorized", "authorize_pending"),
        ("charge", "charged", "charge_pending"),
        ("refund", "refunded", "refund_pending"),
        ("cancel", "cancelled", "cancel_pending"),
    ):
        kind = kind_of(kind)
        request, success, failure = REQUESTS[kind], SUCCESSES[kind], FAILURES[kind]
        assert amounts([said(request, 70)]) == Amounts(**{pending: 70})
        assert amounts([said(request, 70), said(success, 60, 1)]) == Amounts(**{done: 60})
        assert amounts([said(success, 60, 1), said(request, 70, 2)]) == Amounts(**{done: 60})
        assert amounts([said(request, 70), said(failure, 70, 1)]) == Amounts()
        assert amounts([said(success, 60, 1), said(failure, 60, 2)]) == Amounts()
        assert amounts([said(success, 60, 2), said(failure, 60, 1)]) == Amounts(**{done: 60})
        assert amounts([said(success, 60, 1), said(failure, 60, 1)]) == Amounts(**{done: 60})
        assert amounts([said(failure, 60, 1), said(success, 60, 1)]) == Amounts(**{done: 60})
        assert amounts([said(request, 70), said(success, 60, reference="r2")]) == Amounts(**{done: 60, pending: 70})
        assert amounts([said(request, 70, reference=None), said(success, 60, reference=None)]) == Amounts()


def test_an_adjustment_overwrites_older_authorizations() -> None:
    entries = [said("authorization_success", 100, 1), said("authorization_adjustment", 80, 5)]
    assert amounts(entries).authorized == 80
    assert amounts([*entries, said("authorization_success", 30, 6, "r2")]).authorized == 110
    assert amounts([*entries, said("authorization_success", 30, 4, "r2")]).authorized == 80
    assert amounts([*entries, said("authorization_adjustment", 0, 9)]).authorized == 0


def test_banks_move_money_the_other_way() -> None:
    charged = [said("authorization_success", 100, 1, "a"), said("charge_success", 100, 2)]
    assert amounts([*charged, said("charge_back", 100, 3, "dispute")]) == Amounts(authorized=100)
    assert capturable([*charged, said("charge_back", 100, 3, "dispute")]) == 0
    refunded = [*charged, said("refund_success", 40, 3, "f")]
    assert refundable(refunded) == 60
    assert amounts([*refunded, said("refund_reverse", 40, 4, "f")]).refunded == 0
    assert refundable([*refunded, said("refund_reverse", 40, 4, "f")]) == 100
    assert refundable([*refunded, said("charge_back", 100, 4, "dispute")]) == 0


def test_a_change_is_the_difference_in_what_is_charged_and_refunded() -> None:
    begun = [said("charge_request", 100)]
    charged = [*begun, said("charge_success", 100, 1)]
    assert change("GBP", begun, charged) == Change("GBP", 100, 0)
    assert change("GBP", charged, [*charged, said("charge_failure", 100, 2)]) == Change("GBP", -100, 0)
    refunded = [*charged, said("refund_success", 40, 2, "f")]
    assert change("GBP", charged, refunded) == Change("GBP", 0, 40)
    assert change("GBP", refunded, [*refunded, said("refund_reverse", 40, 3, "f")]) == Change("GBP", 0, -40)
    assert change("GBP", refunded, [*refunded, said("charge_back", 60, 3, "d")]) == Change("GBP", -60, 0)
    assert change("GBP", [], begun) is None
    assert change("GBP", charged, [*charged, said("charge_success", 100, 1)]) is None


def test_what_a_card_pays_is_a_change_of_its_payment() -> None:
    held = msgspec.structs.replace(authorized(), card_id=ORDER_ID, provider="gift_card")
    charged = moved(held, "charge", "confirmed", 1_000, at(2))
    assert charged.change == Change("GBP", 1_000, 0)
    paid = msgspec.structs.replace(held, entries=(*held.entries, charged.entry))
    assert moved(paid, "refund", "act", 300, at(3)).change == Change("GBP", 0, 300)
    assert moved(held, "cancel", "act", 1_000, at(3)).change is None


def test_a_payment_waits_for_its_buyer_until_something_newer_is_told() -> None:
    request, asked = said("charge_request", 50), Entry("charge_action_required", "r1", 50, at(1), url="https://pay")
    assert action_required([request, asked]) == asked
    assert status_of((request, asked)) == "action_required"
    assert action_required([request, asked, said("charge_success", 50, 2)]) is None
    declined = said("charge_failure", 50, 2)
    assert action_required([request, asked, declined]) is None
    again = msgspec.structs.replace(asked, at=at(3))
    assert action_required([request, asked, declined, again]) == again


def test_a_status_is_one_word_for_what_the_amounts_say() -> None:
    def now(*entries: Entry) -> str:
        return status_of(entries)

    asked, got = said("authorization_request", 100, 0, "a"), said("authorization_success", 100, 1, "a")
    taken, back = said("charge_success", 100, 2), said("refund_success", 100, 3, "f")
    assert now() == "created"
    assert now(asked) == "pending"
    assert now(asked, said("authorization_failure", 100, 1, "a")) == "failed"
    assert now(asked, got) == "authorized"
    assert now(asked, got, said("cancel_success", 100, 2, "c")) == "cancelled"
    assert now(asked, got, taken) == "charged"
    assert now(asked, got, taken, said("refund_request", 100, 3, "f")) == "pending"
    assert now(asked, got, taken, back) == "refunded"


# What may be asked for.


def test_a_capture_takes_at_most_what_is_authorized_in_as_many_parts_as_the_provider_knows() -> None:
    assert may_capture(authorized(), 1_000) is None
    assert code(may_capture(authorized(), 1_001)) == "capture_exceeds_authorized"
    assert code(may_capture(payment(), 1)) == "capture_exceeds_authorized"
    some = authorized(said("charge_request", 400, 2, "c1"))
    assert may_capture(some, 600) is None
    assert code(may_capture(some, 601)) == "capture_exceeds_authorized"
    done = authorized(said("charge_request", 400, 2, "c1"), said("charge_failure", 400, 3, "c1"))
    assert may_capture(done, 1_000) is None
    voiding = authorized(said("cancel_request", 1_000, 2, "v"))
    assert code(may_capture(voiding, 1)) == "capture_exceeds_authorized"

    whole = Capabilities(partial_capture=False)
    assert may_capture(authorized(can=whole), 1_000) is None
    assert code(may_capture(authorized(can=whole), 999)) == "partial_capture_unsupported"
    once = Capabilities(multi_capture=False)
    assert may_capture(authorized(can=once), 400) is None
    assert code(may_capture(authorized(said("charge_request", 400, 2, "c1"), can=once), 600)) == (
        "multi_capture_unsupported"
    )
    declined = (said("charge_request", 400, 2, "c1"), said("charge_failure", 400, 3, "c1"))
    assert may_capture(authorized(*declined, can=once), 400) is None


def test_what_is_not_captured_is_let_go_and_what_is_being_captured_is_awaited() -> None:
    assert may_void(authorized()) is None
    assert may_void(authorized(said("charge_success", 400, 2, "c1"))) is None
    assert code(may_void(authorized(said("charge_request", 400, 2, "c1")))) == "payment_busy"
    assert code(may_void(authorized(said("cancel_request", 1_000, 2, "v")))) == "payment_busy"
    assert code(may_void(authorized(said("charge_success", 1_000, 2, "c1")))) == "nothing_to_void"
    assert code(may_void(payment())) == "nothing_to_void"


def test_an_attempt_that_waits_for_its_buyer_can_be_given_up_once() -> None:
    for attempt in (said("authorization_request", 1_000, 0, "a"), said("charge_request", 1_000, 0, "a")):
        assert may_void(payment(attempt)) is None
        assert code(may_void(payment(attempt, said("cancel_request", 0, 1, "v")))) == "payment_busy"


def test_a_refund_is_at_most_what_is_charged_and_not_on_its_way_back() -> None:
    charged = (said("charge_success", 700, 2, "c1"),)
    assert may_refund(authorized(*charged), 700) is None
    assert code(may_refund(authorized(*charged), 701)) == "refund_exceeds_charged"
    on_its_way = (*charged, said("refund_request", 350, 3, "f1"))
    assert may_refund(authorized(*on_its_way), 350) is None
    assert code(may_refund(authorized(*on_its_way), 351)) == "refund_exceeds_charged"
    assert code(may_refund(authorized(said("charge_request", 700, 2, "c1")), 1)) == "refund_exceeds_charged"
    whole = Capabilities(partial_refund=False)
    assert may_refund(authorized(*charged, can=whole), 700) is None
    assert code(may_refund(authorized(*charged, can=whole), 699)) == "partial_refund_unsupported"


@pytest.mark.parametrize("amount_minor", [0, -1])
def test_nothing_named_never_means_everything(amount_minor: int) -> None:
    for may in (may_capture, may_refund):
        with pytest.raises(ValueError, match="positive"):
            may(authorized(said("charge_success", 500, 2, "c1")), amount_minor)


def test_a_payment_has_a_bounded_story() -> None:
    parts = tuple(said("charge_success", 1, number, f"c{number}") for number in range(PAYMENT_MAX_ENTRIES - 2))
    full = authorized(*parts)
    assert [code(refused) for refused in (may_capture(full, 1), may_void(full), may_refund(full, 1))] == [
        "payment_entries_exceeded"
    ] * 3
    assert code(take_report(full, said("charge_success", 1, 0, "one more"), "GBP")) == "payment_entries_exceeded"


def test_entries_that_move_no_money_leave_room_for_those_that_do() -> None:
    """Declines of a persistent buyer, contradictions, reports in another currency, and reports without a reference."""
    half = PAYMENT_MAX_ENTRIES // 2
    declines = [said("info", 1_000, number, f"n{number}") for number in range(PAYMENT_MAX_ENTRIES)]
    others = [said("authorization_success", 1_001 + number, 1, "a") for number in range(PAYMENT_MAX_ENTRIES)]
    nameless = [said("charge_success", number, 1, None) for number in range(PAYMENT_MAX_ENTRIES)]
    paid = said("charge_success", 1_000, 3, "c1")
    for noise, currency in ((declines, "GBP"), (others, "GBP"), (nameless, "GBP"), (declines, "JPY")):
        noted = news(authorized(), noise, currency)
        assert not isinstance(noted, Rejection)
        noisy = authorized(*noted)
        assert len(noisy.entries) == half
        assert news(noisy, [*noise, paid], "GBP") == (paid,)
        assert noisy.capturable == 1_000

    assert untold(authorized(), [*declines, paid], "GBP") == (*declines[: half - 2], paid)
    told = authorized(*declines[: half - 2])
    assert untold(told, [*declines, paid], "GBP") == (paid,)
    assert is_known(told, declines, "GBP", None), "it is not told again and again either"
    assert not is_known(told, [*declines, paid], "GBP", None)


# What is believed.


def test_one_act_has_one_outcome_however_often_it_is_told() -> None:
    told = said("charge_success", 500, 2, "c1")
    assert take_report(authorized(), told, "GBP") == told
    again = (told, msgspec.structs.replace(told, at=at(9)), msgspec.structs.replace(told, message="Paid."))
    for entry in again:
        assert take_report(authorized(told), entry, "GBP") is None
    other = msgspec.structs.replace(told, amount_minor=501)
    assert code(take_report(authorized(told), other, "GBP")) == "payment_report_contradicts"
    assert take_report(authorized(told), msgspec.structs.replace(told, reference="c2"), "GBP") is not None
    assert code(take_report(authorized(), told, "JPY")) == "payment_currency_differs"


def test_a_provider_may_change_its_mind_and_change_it_back() -> None:
    """A card is declined, another one works, and then the bank takes that back; each is told twice."""
    story = [said("charge_failure", 500, 2), said("charge_success", 500, 3), said("charge_failure", 500, 4)]
    known = payment(said("charge_request", 500))
    for entry in (entry for each in story for entry in (each, each)):
        taken = take_report(known, entry, "GBP")
        if taken is not None:
            assert isinstance(taken, Entry)
            known = msgspec.structs.replace(known, entries=(*known.entries, taken))
    assert known.entries[1:] == tuple(story)
    assert known.amounts == Amounts()
    late = msgspec.structs.replace(story[1], message="Told by another way.")
    assert take_report(known, late, "GBP") is None


def test_a_report_is_known_only_word_for_word() -> None:
    """Commands still in the mailbox may change its meaning."""
    told = said("charge_success", 500, 3)
    known = payment(said("charge_request", 500), told)
    assert is_known(known, [told], "GBP", None)
    assert not is_known(known, [msgspec.structs.replace(told, at=at(9))], "GBP", None)
    assert not is_known(known, [told], "JPY", None)
    assert not is_known(payment(), [told], "GBP", None)


def test_a_payment_is_authorized_once_and_adjusted_as_often_as_it_takes() -> None:
    assert code(take_report(authorized(), said("authorization_success", 500, 5, "b"), "GBP")) == (
        "payment_already_authorized"
    )
    first, second = said("authorization_adjustment", 900, 5, "a"), said("authorization_adjustment", 800, 6, "a")
    assert take_report(authorized(), first, "GBP") == first
    assert take_report(authorized(first), second, "GBP") == second
    assert take_report(authorized(first, second), first, "GBP") is None


def test_what_has_no_reference_is_recorded_once_and_not_counted() -> None:
    nameless = said("charge_success", 500, 2, None)
    assert take_report(authorized(), nameless, "GBP") == nameless
    assert take_report(authorized(nameless), nameless, "GBP") is None
    assert authorized(nameless).amounts == authorized().amounts


# The order.


def test_an_order_is_paid_by_all_its_payments_and_asks_for_nothing_twice() -> None:
    declined = payment(said("charge_request", 1_000), said("charge_failure", 1_000, 1))
    assert due(1_000, [declined]) == 1_000
    for request in (REQUESTS["charge"], REQUESTS["authorization"]):
        waiting = payment(said(request, 1_000))
        assert (due(1_000, [declined, waiting]), secured([declined, waiting])) == (0, 0)
        assert authorize_status(1_000, [declined, waiting]) == "none"

    held = authorized()
    assert (due(1_500, [held]), authorize_status(1_500, [held])) == (500, "partial")
    assert (charge_status(1_000, [held]), authorize_status(1_000, [held])) == ("none", "full")
    capturing = authorized(said("charge_request", 400, 2, "c1"))
    assert (expected([capturing]), secured([capturing]), kept([capturing])) == (1_000, 1_000, 0)

    part = payment(said("charge_success", 300))
    assert (charge_status(1_000, [part]), due(1_000, [part])) == ("partial", 700)
    whole = payment(said("charge_success", 700, 1, "other"))
    assert charge_status(1_000, [part, whole]) == "full"
    assert charge_status(999, [part, whole]) == "overcharged"
    back = payment(said("charge_success", 700, 1, "c"), said("refund_success", 700, 2, "f"))
    assert (charge_status(1_000, [part, back]), kept([part, back])) == ("partial", 300)
    assert charge_status(0, []) == "full"


def test_what_was_given_back_is_not_owed_again_once_the_order_is_confirmed() -> None:
    part = payment(said("charge_success", 1_000), said("refund_success", 400, 2, "f"))
    for status, owed_minor in ((PLACED, 1_000), (CONFIRMED, 600), (FULFILLED, 600)):
        order = Order(ORDER_ID, "ann", status, "GBP", 1_000, ())
        assert owed(order, [part]) == owed_minor
        assert due(owed(order, [part]), [part]) == owed_minor - 600
    confirmed = Order(ORDER_ID, "ann", CONFIRMED, "GBP", 1_000, ())
    assert charge_status(owed(confirmed, [part]), [part]) == "full"
    twice = payment(said("charge_success", 1_300), said("refund_success", 300, 2, "f"))
    assert (given_back(1_000, [twice]), charge_status(owed(confirmed, [twice]), [twice])) == (0, "full")
    also_taken_back = payment(
        said("charge_back", 1_000, 3, "b"), said("charge_success", 2_000), said("refund_success", 2_000, 2, "f")
    )
    assert kept([also_taken_back]) == -1_000
    assert given_back(1_000, [also_taken_back]) == 1_000
    returned = payment(said("refund_reverse", 400, 3, "v"), *part.entries)
    assert (given_back(1_000, [returned]), due(owed(confirmed, [returned]), [returned])) == (0, 0)
    asked = payment(said("charge_success", 700), said("refund_request", 400, 2, "f"))
    assert due(owed(confirmed, [asked]), [asked]) == 300
