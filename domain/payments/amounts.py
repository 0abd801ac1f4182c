"""The eight amounts of a payment: a fold over its entries that does not depend on the order in which they arrived.

A request is pending until its outcome is reported; if both success and failure of an act have been reported, the newer
one counts. Providers' reports may arrive out of order, so the newer one is what happened later according to the
provider, not what arrived later.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from domain.payments.entries import (
    ACTIONS_REQUIRED,
    AUTHORIZATION_ADJUSTMENT,
    CHARGE_BACK,
    FAILURES,
    REFUND_REVERSE,
    REQUESTS,
    SUCCESSES,
    Entry,
    Kind,
)


class Amounts(msgspec.Struct, frozen=True, gc=False):
    """In minor units of the payment's currency, each since its beginning: capturing authorized money makes it charged,
    and leaves `authorized` as it is. Money that a bank took back is not charged any more, and a refund that came back
    not refunded."""

    authorized: int = 0
    authorize_pending: int = 0
    charged: int = 0
    charge_pending: int = 0
    refunded: int = 0
    refund_pending: int = 0
    cancelled: int = 0
    cancel_pending: int = 0

    @property
    def is_pending(self) -> bool:
        """Whether the provider owes us an outcome."""
        return bool(self.authorize_pending or self.charge_pending or self.refund_pending or self.cancel_pending)


class Change(msgspec.Struct, frozen=True, gc=False):
    """By how much more of a payment is charged and refunded than before, in minor units of its currency: less than 0 if
    a bank took money back, or a refund came back."""

    currency: str
    charged_minor: int
    refunded_minor: int


def change(currency: str, before: Iterable[Entry], after: Iterable[Entry]) -> Change | None:
    """The change of the charged and refunded amounts that new entries make; None if both stay the same."""
    was, now = amounts(before), amounts(after)
    charged, refunded = now.charged - was.charged, now.refunded - was.refunded
    return Change(currency, charged, refunded) if charged or refunded else None


def amounts(entries: Iterable[Entry]) -> Amounts:
    """The sums of a payment's entries."""
    counted = [entry for entry in entries if entry.reference is not None]
    authorized, authorize_pending = _authorized(counted)
    charged, charge_pending = _moved("charge", counted)
    refunded, refund_pending = _moved("refund", counted)
    cancelled, cancel_pending = _moved("cancel", counted)
    return Amounts(
        authorized,
        authorize_pending,
        charged - _sum_of(CHARGE_BACK, counted),
        charge_pending,
        refunded - _sum_of(REFUND_REVERSE, counted),
        refund_pending,
        cancelled,
        cancel_pending,
    )


def capturable(entries: Iterable[Entry]) -> int:
    """How much of what is authorized may still be charged. What a bank took back has been charged, and cannot be
    charged again."""
    counted = [entry for entry in entries if entry.reference is not None]
    authorized, _ = _authorized(counted)
    return max(0, authorized - sum(_moved("charge", counted)) - sum(_moved("cancel", counted)))


def refundable(entries: Iterable[Entry]) -> int:
    """How much may still be refunded: what is charged, less refunds made or pending."""
    now = amounts(entries)
    return max(0, now.charged - now.refunded - now.refund_pending)


def verdicts(kind: Kind, entries: Iterable[Entry]) -> dict[str, Entry]:
    """The state of each act of the kind, by its reference: its newest success or failure, or its request if there is
    neither."""
    standing: dict[str, Entry] = {}
    for entry in entries:
        reference = entry.reference
        if reference is None or entry.type not in (REQUESTS[kind], SUCCESSES[kind], FAILURES[kind]):
            continue
        before = standing.get(reference)
        if before is None or _weight(kind, entry) > _weight(kind, before):
            standing[reference] = entry
    return standing


def action_required(entries: Sequence[Entry]) -> Entry | None:
    """The entry for the step that the buyer has to take, if the provider waits for the buyer."""
    for kind, wanted in ACTIONS_REQUIRED.items():
        standing = verdicts(kind, entries)
        asked = [entry for entry in entries if entry.type == wanted and entry.reference is not None]
        for entry in sorted(asked, key=lambda entry: entry.at, reverse=True):
            outcome = standing.get(entry.reference or "")
            if outcome is None or outcome.type == REQUESTS[kind] or outcome.at < entry.at:
                return entry
    return None


def _weight(kind: Kind, entry: Entry) -> tuple[object, ...]:
    """A sort key; the greatest entry counts: an outcome outranks the request, a newer outcome an older one, and at the
    same moment one that moved money outranks one that did not."""
    is_outcome = entry.type != REQUESTS[kind]
    return is_outcome, entry.at, entry.type == SUCCESSES[kind], entry.amount_minor


def _moved(kind: Kind, entries: Sequence[Entry]) -> tuple[int, int]:
    """What was done, and what is pending."""
    done = pending = 0
    for entry in verdicts(kind, entries).values():
        if entry.type == SUCCESSES[kind]:
            done += entry.amount_minor
        elif entry.type == REQUESTS[kind]:
            pending += entry.amount_minor
    return done, pending


def _authorized(entries: Sequence[Entry]) -> tuple[int, int]:
    """The authorized amount (the last adjustment plus what was authorized after it), and what is pending."""
    adjustments = [entry for entry in entries if entry.type == AUTHORIZATION_ADJUSTMENT]
    done, pending = _moved("authorization", entries)
    if not adjustments:
        return done, pending
    last = max(adjustments, key=lambda entry: (entry.at, entry.amount_minor))
    later = [
        entry.amount_minor
        for entry in verdicts("authorization", entries).values()
        if entry.type == SUCCESSES["authorization"] and entry.at > last.at
    ]
    return last.amount_minor + sum(later), pending


def _sum_of(entry_type: str, entries: Sequence[Entry]) -> int:
    """The sum of entries of a type that has no request, counting each reference once."""
    newest: dict[str | None, Entry] = {}
    for entry in entries:
        before = newest.get(entry.reference)
        if entry.type == entry_type and (
            before is None or (entry.at, entry.amount_minor) > (before.at, before.amount_minor)
        ):
            newest[entry.reference] = entry
    return sum(entry.amount_minor for entry in newest.values())
