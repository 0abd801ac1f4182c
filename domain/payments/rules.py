"""What may be requested from a provider, and which of its reports are believed.

Requests are decided one after another in the order's mailbox, taking pending ones into account, so that concurrent
refunds and captures never add up to more than there is. Reports are facts: they are never rejected for being unwelcome,
only for contradicting what the same provider said about the same act.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from domain.limits import PAYMENT_MAX_ENTRIES, PAYMENT_MESSAGE_MAX_CHARS
from domain.model import Rejection
from domain.payments.amounts import verdicts
from domain.payments.entries import (
    AUTHORIZATION_ADJUSTMENT,
    FAILURES,
    INFO,
    REQUESTS,
    SUCCESSES,
    Entry,
    Kind,
)
from domain.payments.payment import Payment

_CAPTURING: Final = (REQUESTS["charge"], SUCCESSES["charge"])


def may_capture(payment: Payment, amount_minor: int) -> Rejection | None:
    """Why this much cannot be captured; None if it can. The amount is always explicit, even for all of it."""
    _must_be_positive(amount_minor)
    left = payment.capturable
    if amount_minor > left:
        return _refused(
            payment, "capture_exceeds_authorized", "This is more than is authorized.", capturable_minor=left
        )
    can = payment.capabilities
    if amount_minor < left and not can.partial_capture:
        return _refused(
            payment, "partial_capture_unsupported", "Only the full amount can be captured.", capturable_minor=left
        )
    if not can.multi_capture and any(
        entry.type in _CAPTURING for entry in verdicts("charge", payment.entries).values()
    ):
        return _refused(payment, "multi_capture_unsupported", "This payment can be captured only once.")
    return _unless_full(payment)


def may_void(payment: Payment) -> Rejection | None:
    """Why the payment cannot be voided; None if it can. Voiding releases what is authorized and not captured, and ends
    an attempt that waits for its buyer. It has to wait for a pending capture, which may have succeeded."""
    now = payment.amounts
    is_attempt = now.authorize_pending > 0 or (now.charge_pending > 0 and not now.authorized)
    if is_requested(payment, "cancel") or (now.charge_pending and not is_attempt):
        return _refused(payment, "payment_busy", "An operation is pending: wait for its outcome.")
    if not payment.capturable and not is_attempt:
        return _refused(payment, "nothing_to_void", "Nothing is left to void.")
    return _unless_full(payment)


def may_refund(payment: Payment, amount_minor: int) -> Rejection | None:
    """Why this much cannot be refunded; None if it can."""
    _must_be_positive(amount_minor)
    left = payment.refundable
    if amount_minor > left:
        return _refused(payment, "refund_exceeds_charged", "This is more than is charged.", refundable_minor=left)
    if amount_minor < left and not payment.capabilities.partial_refund:
        return _refused(
            payment, "partial_refund_unsupported", "Only the full amount can be refunded.", refundable_minor=left
        )
    return _unless_full(payment)


def take_report(payment: Payment, entry: Entry, currency: str) -> Entry | Rejection | None:
    """The entry that a provider's report adds to the payment; None if it is already known.

    Each outcome of an act is recorded once, so a repeated report adds nothing. It does only if the provider has
    reported the opposite in between, for example when a card is declined, another one works, and then the bank takes
    that back.
    """
    assert entry.type not in REQUESTS.values(), "only we request"
    if currency != payment.currency:
        return _refused(
            payment, "payment_currency_differs", "The payment is in another currency.", currency=payment.currency
        )
    if entry in payment.entries or (_moves_nothing(entry) and not _room_for_notes(payment)):
        return None
    if entry.reference is not None:
        same = [each for each in payment.entries if (each.type, each.reference) == (entry.type, entry.reference)]
        if entry.type == AUTHORIZATION_ADJUSTMENT:
            same = [each for each in same if (each.amount_minor, each.at) == (entry.amount_minor, entry.at)]
        elif same and same[0].amount_minor != entry.amount_minor and entry.type != INFO:
            return _refused(
                payment,
                "payment_report_contradicts",
                "The provider reported a different amount for this before.",
                reference=entry.reference,
                amount_minor=same[0].amount_minor,
            )
        if same and not _is_a_change_of_mind(payment, entry):
            return None
        if entry.type == SUCCESSES["authorization"] and _authorized_otherwise(payment, entry):
            return _refused(
                payment,
                "payment_already_authorized",
                "A payment is authorized once; the provider adjusts it, or another payment is made.",
                reference=entry.reference,
            )
    return _unless_full(payment) or entry


def news(payment: Payment, entries: Iterable[Entry], currency: str) -> tuple[Entry, ...] | Rejection:
    """The entries that a report adds to the payment. A contradiction of an earlier report is added as a note for
    people, and does not count. Entries that move no money may take up at most half of a payment's entries, so that
    there is always room for those that do."""
    new: list[Entry] = []
    for entry in entries:
        taken = take_report(payment, entry, currency)
        if isinstance(taken, Rejection):
            if taken.code == "payment_entries_exceeded":
                return taken
            taken = _not_believed(payment, entry, taken)
        if taken is not None:
            new.append(taken)
            payment = msgspec.structs.replace(payment, entries=(*payment.entries, taken))
    return tuple(new)


def _not_believed(payment: Payment, entry: Entry, refused: Rejection) -> Entry | None:
    said = f"{entry.type} of {entry.amount_minor} as {entry.reference}: {refused.detail}"
    noted = Entry(INFO, None, entry.amount_minor, entry.at, refused.code, said[:PAYMENT_MESSAGE_MAX_CHARS])
    return None if noted in payment.entries or not _room_for_notes(payment) else noted


def untold(payment: Payment, entries: Iterable[Entry], currency: str) -> tuple[Entry, ...]:
    """The entries of a report that may be new: those that have not been recorded verbatim, as far as there is room. If
    the currency differs, all of them become mere notes."""
    is_believed = currency == payment.currency
    known = set(payment.entries) if is_believed else set()
    room = _room_for_notes(payment)
    new = []
    for entry in entries:
        if entry in known:
            continue
        if _moves_nothing(entry) or not is_believed:
            room -= 1
            if room < 0:
                continue
        new.append(entry)
    return tuple(new)


def is_known(payment: Payment, entries: Iterable[Entry], currency: str, provider_reference: str | None) -> bool:
    """Whether a report has already been recorded verbatim, as far as there is room for it. Any other report may be new
    by the time it is decided, after what still waits in the mailbox."""
    unnamed = payment.provider_reference is None and provider_reference is not None
    return not unnamed and not untold(payment, entries, currency)


def is_requested(payment: Payment, kind: Kind) -> bool:
    """Whether an act of this kind is on its way, whatever its amount."""
    return any(entry.type == REQUESTS[kind] for entry in verdicts(kind, payment.entries).values())


def _is_a_change_of_mind(payment: Payment, entry: Entry) -> bool:
    """Whether the provider repeats an earlier report after reporting the opposite in between."""
    kind = entry.kind
    if kind is None or entry.type not in (SUCCESSES[kind], FAILURES[kind]):
        return False
    standing = verdicts(kind, payment.entries)[entry.reference or ""]
    return standing.type != entry.type and standing.at < entry.at


def _authorized_otherwise(payment: Payment, entry: Entry) -> bool:
    return any(
        other.type == SUCCESSES["authorization"] and reference != entry.reference
        for reference, other in verdicts("authorization", payment.entries).items()
    )


def _moves_nothing(entry: Entry) -> bool:
    """Whether no amount depends on it."""
    return entry.type == INFO or entry.reference is None


def _room_for_notes(payment: Payment) -> int:
    """How many more entries that move no money may be added."""
    return max(0, PAYMENT_MAX_ENTRIES // 2 - len(payment.entries))


def _must_be_positive(amount_minor: int) -> None:
    """Raises ValueError for an amount that is not positive: 0 must never mean everything."""
    if amount_minor <= 0:
        raise ValueError("an amount of money to move is positive")


def _unless_full(payment: Payment) -> Rejection | None:
    if len(payment.entries) >= PAYMENT_MAX_ENTRIES:
        return _refused(payment, "payment_entries_exceeded", f"A payment has at most {PAYMENT_MAX_ENTRIES} entries.")
    return None


def _refused(payment: Payment, code: str, detail: str, **particulars: int | str) -> Rejection:
    return Rejection(code, detail, {"payment_id": str(payment.id), **particulars})
