"""What the sandbox does with payments, like a proper provider: nothing twice, and never more than there is. Each
function changes the ledger at once and returns nothing; the payment's movements show the outcome.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from datetime import datetime
from typing import Final
from uuid import uuid4

from ops.sandbox.ledger import Ledger, Moved, Paid, stored
from runtime.payments.sandbox_wire import Move, Movement, MovementKind, MovementStatus, Open

Told = Callable[[Paid, Movement, Collection[str]], None]
"""Called with each movement, and the moods under which it happened."""

_DECLINED: Final = ("card_declined", "The card was declined.")


class Bank:
    """The rules over a ledger."""

    def __init__(self, ledger: Ledger, told: Told) -> None:
        self._ledger = ledger
        self._told = told
        self.acts: Final = {
            "capture": self.capture,
            "void": self.void,
            "refund": self.refund,
            "charge_back": self.charge_back,
        }

    def open(self, wanted: Open, moods: Iterable[str]) -> Paid:
        """Opens a payment, which is not paid yet, and which keeps these moods."""
        payment_id = f"pay_{uuid4().hex}"
        self._ledger.write(
            "INSERT INTO payments"
            " (id, reference, amount_minor, currency, capture, return_url, moods, is_open, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?)",
            payment_id,
            wanted.reference,
            wanted.amount_minor,
            wanted.currency,
            wanted.capture,
            wanted.return_url,
            json.dumps(sorted(set(moods))),
            stored(self._ledger.now()),
        )
        payment = self._ledger.payment("id", payment_id)
        assert payment is not None
        return payment

    def pay(self, payment: Paid, moods: Collection[str], *, on_page: bool) -> None:
        """The buyer pays: with a method in the request, which is tried once; or on the page, where retries are
        possible."""
        if not payment.is_open:
            return
        if "decline" in moods:
            self._add(payment, _begun(payment), "declined" if on_page else "failed", moods, said=_DECLINED)
            if not on_page:
                self._close(payment)
        elif "step" in moods:
            self._add(payment, _begun(payment), "action_required", moods)
        else:
            self._add(payment, _begun(payment), "succeeded", moods)
            self._close(payment)

    def capture(self, payment: Paid, move: Move, moods: Collection[str]) -> None:
        """Charges what is authorized."""
        left = self.left(payment, "authorization", "charge", "cancel")
        self._moves(payment, "charge", move, left, moods)

    def refund(self, payment: Paid, move: Move, moods: Collection[str]) -> None:
        """Refunds what is charged."""
        left = self.left(payment, "charge", "refund", "charge_back")
        self._moves(payment, "refund", move, left, moods)

    def charge_back(self, payment: Paid, move: Move, moods: Collection[str]) -> None:
        """The buyer's bank takes charged money back."""
        left = self.left(payment, "charge", "refund", "charge_back")
        self._moves(payment, "charge_back", move, left, moods)

    def void(self, payment: Paid, move: Move, moods: Collection[str]) -> None:
        """Releases what is authorized; closes a payment that has not been paid yet."""
        if payment.is_open:
            self._add(payment, _begun(payment), "failed", moods, said=("abandoned", "It was abandoned."))
            self._close(payment)
            self._add(payment, "cancel", "succeeded", moods, reference=move.reference, amount_minor=0)
            return
        # What was charged at once was never authorized.
        left = max(0, self.left(payment, "authorization", "charge", "cancel"))
        self._moves(payment, "cancel", Move(left, move.reference), left, moods)

    def left(self, payment: Paid, of: MovementKind, *gone: MovementKind) -> int:
        """The amount moved by the first kind, less that of the others."""
        done = [moved for moved in self._ledger.movements(payment.id) if moved.status == "succeeded"]
        return sum(moved.amount_minor for moved in done if moved.kind == of) - sum(
            moved.amount_minor for moved in done if moved.kind in gone
        )

    def _moves(self, payment: Paid, kind: MovementKind, move: Move, left: int, moods: Collection[str]) -> None:
        if not 0 < move.amount_minor <= left:
            said = ("amount_not_there", f"There is {left} left, not {move.amount_minor}.")
        elif "fail" in moods:
            said = ("refused", "The bank did not do it.")
        else:
            self._add(payment, kind, "succeeded", moods, reference=move.reference, amount_minor=move.amount_minor)
            return
        self._add(payment, kind, "failed", moods, reference=move.reference, amount_minor=move.amount_minor, said=said)

    def _close(self, payment: Paid) -> None:
        self._ledger.write("UPDATE payments SET is_open = 0 WHERE id = ?", payment.id)

    def _add(
        self,
        payment: Paid,
        kind: MovementKind,
        status: MovementStatus,
        moods: Collection[str],
        *,
        reference: str | None = None,
        amount_minor: int | None = None,
        said: tuple[str, str] = ("", ""),
    ) -> None:
        """Writes a line; without a reference and an amount, it is about the payment's own."""
        movement_id = f"mov_{uuid4().hex}"
        if reference is None:
            reference = payment.reference if amount_minor is None else movement_id
        movement = Movement(
            movement_id,
            reference,
            kind,
            status,
            payment.amount_minor if amount_minor is None else amount_minor,
            self._ledger.now(),
            *said,
        )
        self._ledger.write(
            "INSERT INTO movements (id, payment_id, reference, kind, status, amount_minor, at, code, message)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            movement.id,
            payment.id,
            movement.reference,
            movement.kind,
            movement.status,
            movement.amount_minor,
            stored(movement.at),
            movement.code,
            movement.message,
        )
        self._told(payment, movement, moods)


def movement_of(moved: Moved) -> Movement:
    """A row of the ledger in the form of the API."""
    return Movement(
        moved.id,
        moved.reference,
        moved.kind,  # type: ignore[arg-type]  # it was written from one
        moved.status,  # type: ignore[arg-type]  # likewise
        moved.amount_minor,
        datetime.fromisoformat(moved.at),
        moved.code,
        moved.message,
    )


def moods_of(payment: Paid) -> frozenset[str]:
    """The moods that a payment was opened with."""
    return frozenset(json.loads(payment.moods))


def _begun(payment: Paid) -> MovementKind:
    return "authorization" if payment.capture == "manual" else "charge"
