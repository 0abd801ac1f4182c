"""Payments built from reports, entry by entry."""

from datetime import UTC, datetime, timedelta
from typing import Final

from domain.ids import new_id
from domain.model import Rejection
from domain.payments.entries import KINDS, Entry, EntryType, Kind
from domain.payments.payment import Capabilities, Payment

PAYMENT_ID: Final = new_id(1_700_000_000_000, 7, 1)
ORDER_ID: Final = new_id(1_700_000_000_000, 7, 2)
EVERYTHING: Final = Capabilities()
START: Final = datetime(2026, 11, 27, 8, tzinfo=UTC)


def at(second: int) -> datetime:
    return START + timedelta(seconds=second)


def said(entry_type: EntryType, amount_minor: int, second: int = 0, reference: str | None = "r1") -> Entry:
    return Entry(entry_type, reference, amount_minor, at(second))


def payment(*entries: Entry, can: Capabilities = EVERYTHING, amount_minor: int = 1_000) -> Payment:
    return Payment(PAYMENT_ID, ORDER_ID, "ann", "sandbox", amount_minor, "GBP", "manual", can, entries)


def authorized(*more: Entry, can: Capabilities = EVERYTHING) -> Payment:
    """A payment of 1,000 with that much authorized, and these further entries."""
    return payment(
        said("authorization_request", 1_000, 0, "a"), said("authorization_success", 1_000, 1, "a"), *more, can=can
    )


def code(refused: object) -> str:
    assert isinstance(refused, Rejection)
    return refused.code


def kind_of(name: str) -> Kind:
    assert name in KINDS
    return next(kind for kind in KINDS if kind == name)
