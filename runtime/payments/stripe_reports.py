"""Converts Stripe's objects about a payment to entries.

A payment is one PaymentIntent; the references of our acts are in its metadata and in that of its refunds. It can be
captured only once: Stripe then releases whatever is left.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from domain.limits import PAYMENT_CODE_MAX_CHARS, PAYMENT_MESSAGE_MAX_CHARS
from domain.model import Secret
from domain.payments.entries import ACTIONS_REQUIRED, CHARGE_BACK, FAILURES, SUCCESSES, Entry, Kind
from runtime.payments.provider import Report
from runtime.payments.stripe_amounts import from_stripe

PAYMENT_KEY: Final = "tidegate_payment"
REFERENCE_KEY: Final = "tidegate_reference"
CAPTURE_KEY: Final = "tidegate_capture"
VOID_KEY: Final = "tidegate_void"
"""Our keys in Stripe's metadata."""

Said = Mapping[str, Any]
"""An object of Stripe's, as plain JSON."""

_CHARGED_BACK: Final = "charge.dispute.funds_withdrawn"


def report_of_intent(intent: Said, refunds: Iterable[Said] = (), told_at: int | None = None) -> Report:
    """The report of a PaymentIntent and its refunds. `told_at` (Unix seconds) is the time of that state, if known;
    otherwise the time is taken from its charge, if the whole charge is included."""
    payment = part(intent, "metadata").get(PAYMENT_KEY)
    entries = [*_of_intent(intent, told_at), *(entry for refund in refunds for entry in _of_refund(refund))]
    # It contains the intent's client secret.
    url = part(part(intent, "next_action"), "redirect_to_url").get("url")
    where = None if url is None else Secret(url)
    return Report(UUID(payment) if payment else None, intent["id"], _currency(intent), tuple(entries), where)


def reports_of_event(event: Said) -> list[Report]:
    """The reports in an event about a PaymentIntent, a refund, or money that a bank took back."""
    said, created = event["data"]["object"], event["created"]
    kind = said["object"]
    if kind == "payment_intent":
        return [report_of_intent(said, told_at=created)]
    if kind == "refund":
        return _reports(said, _of_refund(said, created))
    if event["type"] == _CHARGED_BACK:
        return _reports(said, [Entry(CHARGE_BACK, said["id"], _amount(said, "amount"), _moment(created))])
    return []


def has_failed(intent: Said) -> bool:
    """Whether its card was declined or its buyer failed a step. It then waits for another card, which it never gets:
    our next attempt is a new intent."""
    return intent["status"] == "requires_payment_method" and intent.get("last_payment_error") is not None


def _reports(said: Said, entries: Iterable[Entry]) -> list[Report]:
    intent = said.get("payment_intent")
    payment = part(said, "metadata").get(PAYMENT_KEY)
    told = tuple(entries)
    if intent is None or not told:
        return []
    return [Report(UUID(payment) if payment else None, intent, _currency(said), told)]


def _of_intent(intent: Said, told_at: int | None) -> Iterator[Entry]:
    metadata, status = part(intent, "metadata"), intent["status"]
    is_manual = intent["capture_method"] == "manual"
    begun: Kind = "authorization" if is_manual else "charge"
    reference, whole = metadata.get(PAYMENT_KEY), _amount(intent, "amount")
    charge = intent.get("latest_charge")
    charged_at = charge["created"] if isinstance(charge, Mapping) else None
    at = _moment(told_at or intent.get("canceled_at") or charged_at or intent["created"])
    if status == "requires_action":
        yield Entry(ACTIONS_REQUIRED[begun], reference, whole, at)
    elif has_failed(intent):
        yield Entry(FAILURES[begun], reference, whole, at, *why(intent["last_payment_error"]))
    elif status == "requires_capture":
        yield Entry(SUCCESSES["authorization"], reference, whole, at)
    elif status == "succeeded":
        received = _amount(intent, "amount_received")
        if not is_manual:
            yield Entry(SUCCESSES["charge"], reference, received, at)
            return
        capture = metadata.get(CAPTURE_KEY) or intent["id"]
        yield Entry(SUCCESSES["authorization"], reference, whole, _moment(intent["created"]))
        yield Entry(SUCCESSES["charge"], capture, received, at)
        if received < whole:
            yield Entry(SUCCESSES["cancel"], f"{capture}:rest", whole - received, at)
    elif status == "canceled":
        # Without a charge, nothing was ever authorized. An event has only the id of the charge.
        was_authorized = is_manual and charge is not None and intent.get("last_payment_error") is None
        void = metadata.get(VOID_KEY) or intent["id"]
        if was_authorized:
            yield Entry(SUCCESSES["authorization"], reference, whole, _moment(intent["created"]))
            yield Entry(SUCCESSES["cancel"], void, whole, at)
            return
        yield Entry(FAILURES[begun], reference, whole, at, *why(intent.get("last_payment_error")))
        if VOID_KEY in metadata:
            yield Entry(SUCCESSES["cancel"], void, 0, at)


def _of_refund(refund: Said, told_at: int | None = None) -> Iterator[Entry]:
    if refund.get("payment_intent") is None:
        return
    reference = part(refund, "metadata").get(REFERENCE_KEY) or refund["id"]
    amount, at = _amount(refund, "amount"), _moment(told_at or refund["created"])
    if refund["status"] == "succeeded":
        yield Entry(SUCCESSES["refund"], reference, amount, at)
    elif refund["status"] in ("failed", "canceled"):
        reason = str(refund.get("failure_reason") or refund["status"])
        yield Entry(FAILURES["refund"], reference, amount, at, reason[:PAYMENT_CODE_MAX_CHARS])


def why(error: Said | None) -> tuple[str, str]:
    """The most specific code of a decline, and its message."""
    if error is None:
        return ("abandoned", "It was abandoned.")
    code = error.get("decline_code") or error.get("code") or "declined"
    return (str(code)[:PAYMENT_CODE_MAX_CHARS], str(error.get("message") or "")[:PAYMENT_MESSAGE_MAX_CHARS])


def _amount(said: Said, name: str) -> int:
    return from_stripe(int(said[name]), _currency(said))


def _currency(said: Said) -> str:
    return str(said["currency"]).upper()


def _moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def part(said: Said, name: str) -> Said:
    """An object that may be absent or null."""
    return said.get(name) or {}
