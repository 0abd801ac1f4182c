"""Stripe: amounts in its units, what its objects say, and which webhooks are believed."""

import hashlib
import hmac
import json
import time
from datetime import UTC, datetime
from typing import Any, Final

import aiohttp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.model import Secret
from domain.money import CURRENCIES
from domain.payments.amounts import Amounts, action_required, amounts
from domain.payments.entries import Entry
from runtime.outside import Refused
from runtime.payments.provider import WebhookInvalid, WebhookUnreadable
from runtime.payments.registry import ProviderIncomplete, Providers
from runtime.payments.stripe import Stripe
from runtime.payments.stripe_amounts import from_stripe, to_stripe
from runtime.payments.stripe_reports import (
    CAPTURE_KEY,
    PAYMENT_KEY,
    REFERENCE_KEY,
    VOID_KEY,
    report_of_intent,
    reports_of_event,
)
from runtime.settings import Settings
from tests.payments import new_uuid

SECRET: Final = "whsec_test"
PAYMENT: Final = str(new_uuid())
AT: Final = 1_790_000_000


def intent(status: str, *, manual: bool = False, **more: Any) -> dict[str, Any]:
    metadata = {PAYMENT_KEY: PAYMENT, **more.pop("metadata", {})}
    return {
        "object": "payment_intent",
        "id": "pi_1",
        "status": status,
        "amount": 1_000,
        "amount_received": 0,
        "currency": "gbp",
        "capture_method": "manual" if manual else "automatic",
        "created": AT,
        "metadata": metadata,
        "latest_charge": None,
        "last_payment_error": None,
        **more,
    }


def refund(status: str, amount: int, **metadata: str) -> dict[str, Any]:
    return {
        "object": "refund",
        "id": f"re_{amount}",
        "payment_intent": "pi_1",
        "status": status,
        "amount": amount,
        "currency": "gbp",
        "created": AT + 9,
        "metadata": metadata,
    }


def event(of: dict[str, Any], kind: str = "") -> dict[str, Any]:
    return {"object": "event", "id": "evt_1", "type": kind, "created": AT + 5, "data": {"object": of}}


@pytest.mark.parametrize(
    ("ours", "currency", "theirs"),
    [
        (1_299, "GBP", 1_299),
        (500, "JPY", 500),
        (500, "ISK", 50_000),
        (500, "UGX", 50_000),
        (12_340, "KWD", 12_340),
        (4_000, "MGA", 40),
    ],
)
def test_amounts_are_said_in_stripes_units(ours: int, currency: str, theirs: int) -> None:
    assert to_stripe(ours, currency) == theirs
    assert from_stripe(theirs, currency) == ours


@pytest.mark.parametrize(("amount_minor", "currency"), [(12_345, "KWD"), (4_001, "MGA")])
def test_an_amount_that_cannot_be_said_is_not_rounded(amount_minor: int, currency: str) -> None:
    with pytest.raises(Refused):
        to_stripe(amount_minor, currency)


@given(st.integers(1, 10**12), st.sampled_from(sorted(CURRENCIES)))
def test_amounts_survive_the_round_trip_through_stripe_s_units(amount_minor: int, currency: str) -> None:
    try:
        said = to_stripe(amount_minor, currency)
    except Refused:
        return
    assert from_stripe(said, currency) == amount_minor


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (intent("requires_payment_method"), Amounts()),
        (intent("processing"), Amounts()),
        (intent("succeeded", amount_received=1_000), Amounts(charged=1_000)),
        (intent("requires_capture", manual=True), Amounts(authorized=1_000)),
        (intent("succeeded", manual=True, amount_received=1_000), Amounts(authorized=1_000, charged=1_000)),
        (
            intent("succeeded", manual=True, amount_received=400, metadata={CAPTURE_KEY: "c"}),
            Amounts(authorized=1_000, charged=400, cancelled=600),
        ),
        (
            intent("canceled", manual=True, latest_charge="ch_1", metadata={VOID_KEY: "v"}),
            Amounts(authorized=1_000, cancelled=1_000),
        ),
        (intent("canceled", manual=True, latest_charge="ch_1", last_payment_error={"code": "x"}), Amounts()),
        (intent("canceled", metadata={VOID_KEY: "v"}), Amounts()),
    ],
)
def test_an_intents_status_is_what_moved(said: dict[str, Any], expected: Amounts) -> None:
    report = report_of_intent(said)
    assert (str(report.payment_id), report.provider_reference, report.currency) == (PAYMENT, "pi_1", "GBP")
    assert amounts(report.entries) == expected


def test_acts_have_the_references_they_were_requested_with() -> None:
    said = intent("succeeded", manual=True, amount_received=1_000, metadata={CAPTURE_KEY: "ours"})
    refunds = [refund("succeeded", 10, **{REFERENCE_KEY: "ours too"}), refund("pending", 20), refund("failed", 30)]
    entries = {(entry.type, entry.reference) for entry in report_of_intent(said, refunds).entries}
    assert entries == {
        ("authorization_success", PAYMENT),
        ("charge_success", "ours"),
        ("refund_success", "ours too"),
        ("refund_failure", "re_30"),
    }


def test_a_decline_says_the_most_exact_reason() -> None:
    error = {"code": "card_declined", "decline_code": "insufficient_funds", "message": "No."}
    (entry,) = report_of_intent(intent("canceled", last_payment_error=error)).entries
    assert (entry.type, entry.code, entry.message) == ("charge_failure", "insufficient_funds", "No.")


def test_a_step_that_failed_is_a_decline_and_a_charge_after_it_counts() -> None:
    failed = intent("requires_payment_method", last_payment_error={"code": "payment_intent_authentication_failure"})
    (declined,) = reports_of_event(event(failed, "payment_intent.payment_failed"))
    (entry,) = declined.entries
    assert (entry.type, entry.reference, entry.code) == (
        "charge_failure",
        PAYMENT,
        "payment_intent_authentication_failure",
    )
    (authorization,) = report_of_intent({**failed, "capture_method": "manual"}).entries
    assert authorization.type == "authorization_failure"
    ended = report_of_intent({**failed, "status": "canceled", "canceled_at": AT + 9})
    assert [(each.type, each.at) for each in ended.entries] == [("charge_failure", datetime.fromtimestamp(AT + 9, UTC))]
    paid = report_of_intent(intent("succeeded", amount_received=1_000, latest_charge={"created": AT + 6}))
    assert amounts((entry, *paid.entries)) == Amounts(charged=1_000)


def test_a_buyer_is_sent_where_the_bank_asks() -> None:
    step = {"type": "redirect_to_url", "redirect_to_url": {"url": "https://bank.example/3ds"}}
    report = report_of_intent(intent("requires_action", next_action=step))
    assert action_required(report.entries) is not None
    assert report.action_url == Secret("https://bank.example/3ds")


def test_events_tell_of_intents_refunds_and_money_that_a_bank_took_back() -> None:
    (succeeded,) = reports_of_event(event(intent("succeeded", amount_received=1_000)))
    assert succeeded.entries[0].at == datetime.fromtimestamp(AT + 5, UTC)
    (refunded,) = reports_of_event(event(refund("succeeded", 10, **{PAYMENT_KEY: PAYMENT})))
    assert (str(refunded.payment_id), refunded.provider_reference) == (PAYMENT, "pi_1")
    dispute = {"object": "dispute", "id": "dp_1", "payment_intent": "pi_1", "amount": 700, "currency": "gbp"}
    (back,) = reports_of_event(event(dispute, "charge.dispute.funds_withdrawn"))
    assert (back.payment_id, back.provider_reference) == (None, "pi_1")
    assert back.entries == (Entry("charge_back", "dp_1", 700, datetime.fromtimestamp(AT + 5, UTC)),)
    assert reports_of_event(event(dispute, "charge.dispute.created")) == []
    assert reports_of_event(event({"object": "customer", "id": "cus_1"})) == []


def signed(body: bytes, secret: str = SECRET, at: float | None = None) -> dict[str, str]:
    moment = int(time.time() if at is None else at)
    digest = hmac.new(secret.encode(), b"%d.%s" % (moment, body), hashlib.sha256).hexdigest()
    return {"Stripe-Signature": f"t={moment},v1={digest}"}


async def test_only_what_stripe_signed_lately_is_believed() -> None:
    async with aiohttp.ClientSession() as session:
        provider = Stripe(session, "sk_test_x", SECRET, timeout_seconds=1)
        body = json.dumps(event(intent("succeeded", amount_received=1_000))).encode()
        (report,) = provider.parse_webhook(body, signed(body))
        assert str(report.payment_id) == PAYMENT
        refused: list[tuple[bytes, dict[str, str]]] = [
            (body, {}),
            (body, signed(body, "whsec_other")),
            (body, signed(body, at=time.time() - 3_600)),
            (body.replace(b"1000", b"9000"), signed(body)),
        ]
        for said, headers in refused:
            with pytest.raises(WebhookInvalid) as caught:
                provider.parse_webhook(said, headers)
            assert not isinstance(caught.value, WebhookUnreadable)
        with pytest.raises(WebhookUnreadable):
            provider.parse_webhook(b"not json", signed(b"not json"))


async def test_it_does_not_start_without_its_keys() -> None:
    with pytest.raises(ProviderIncomplete, match="STRIPE_SECRET_KEY"):
        async with Providers(Settings(payment_providers="stripe", stripe_secret_key="sk_test_x")):
            pass
