"""Reconciliation: two ledgers of one payment, compared act by act. Sums alone would also agree where two acts differ in
opposite ways, or where one side waits for an act that failed on the other.

An act is what the entries of one kind with one reference describe. Two ledgers agree on it if it moved the same money
in both, and neither waits for an outcome that the other has. A request that was never heard of moved nothing, like one
that failed; how long to wait for it is decided by the callers, who ask the provider again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple

from domain.payments.amounts import amounts, verdicts
from domain.payments.entries import (
    ACTIONS_REQUIRED,
    AUTHORIZATION_ADJUSTMENT,
    CHARGE_BACK,
    FAILURES,
    KINDS,
    REFUND_REVERSE,
    SUCCESSES,
    Entry,
)

Ending = Literal["unknown", "pending", "succeeded", "failed", "contested"]
"""The outcome of an act: unknown to this ledger, pending, or final. It is contested if it succeeded and failed at the
same moment, so that the order is undecidable."""

SUMS: Final = ("authorized", "charged", "refunded", "cancelled")
"""The amounts that are compared; pending ones are compared as acts."""


class Stands(NamedTuple):
    """An act's outcome in one ledger, and the amount that it moved, in minor units: 0 unless it succeeded."""

    ending: Ending
    amount_minor: int = 0


class SumDiffers(NamedTuple):
    """`what` is one of SUMS; the amounts are in minor units."""

    what: str
    ours_minor: int
    theirs_minor: int


class ActDiffers(NamedTuple):
    """`what` is the kind of an act, or the type of standalone entries. Money without a `reference` is in no sum, since
    repeated reports of it could not be told apart."""

    what: str
    reference: str | None
    ours: Stands
    theirs: Stands


_UNKNOWN: Final = Stands("unknown")
_Acts = Mapping[tuple[str, str | None], Stands]


def sums_compared(ours: Sequence[Entry], theirs: Sequence[Sequence[Entry]]) -> Iterator[SumDiffers]:
    """The sums in which the ledgers of a payment in one currency differ. The provider may have created it more than
    once: then the sums of all of `theirs` count."""
    here, there = amounts(ours), [amounts(entries) for entries in theirs]
    for what in SUMS:
        said = SumDiffers(what, getattr(here, what), sum(getattr(each, what) for each in there))
        if said.ours_minor != said.theirs_minor:
            yield said


def acts_compared(ours: Sequence[Entry], theirs: Sequence[Sequence[Entry]]) -> Iterator[ActDiffers]:
    """The acts on which the ledgers differ."""
    here, there = _acts(ours), _together([_acts(entries) for entries in theirs])
    for what, reference in sorted({*here, *there}, key=lambda act: (act[0], act[1] or "")):
        act = (what, reference)
        said = ActDiffers(what, reference, here.get(act, _UNKNOWN), there.get(act, _UNKNOWN))
        if not _agree(said):
            yield said


def _agree(said: ActDiffers) -> bool:
    if said.reference is None:  # counted on neither side, since repeated reports could not be told apart
        return said.theirs.amount_minor == 0
    if said.theirs.ending == "contested":
        return False
    if said.ours.amount_minor != said.theirs.amount_minor:
        return False
    endings = {said.ours.ending, said.theirs.ending}
    return "pending" not in endings or endings <= {"pending", "unknown"}


def _acts(entries: Sequence[Entry]) -> _Acts:
    """The outcome of every act."""
    found: dict[tuple[str, str | None], Stands] = {}
    for kind in KINDS:
        standing = verdicts(kind, entries)
        for reference, entry in standing.items():
            found[kind, reference] = _stands(entry, entries)
        for entry in entries:
            if entry.reference is not None and entry.type == ACTIONS_REQUIRED.get(kind):
                ended = standing.get(entry.reference)
                if ended is None or (ended.type == FAILURES[kind] and ended.at < entry.at):
                    found[kind, entry.reference] = Stands("pending")
        unnamed = sum(
            entry.amount_minor for entry in entries if (entry.type, entry.reference) == (SUCCESSES[kind], None)
        )
        if unnamed:
            found[kind, None] = Stands("succeeded", unnamed)
    for what in (CHARGE_BACK, REFUND_REVERSE, AUTHORIZATION_ADJUSTMENT):
        for entry in sorted(entries, key=lambda entry: (entry.at, entry.amount_minor)):
            if entry.type == what:
                found[what, entry.reference] = Stands("succeeded", entry.amount_minor)
    return found


def _stands(verdict: Entry, entries: Sequence[Entry]) -> Stands:
    kind = verdict.kind
    assert kind is not None, "only acts have verdicts"
    if verdict.type == FAILURES[kind]:
        return Stands("failed")
    if verdict.type != SUCCESSES[kind]:
        return Stands("pending")
    same = (FAILURES[kind], verdict.reference, verdict.at)
    contested = any((entry.type, entry.reference, entry.at) == same for entry in entries)
    return Stands("contested" if contested else "succeeded", verdict.amount_minor)


def _together(ledgers: Sequence[_Acts]) -> _Acts:
    """The acts of all of them: an act's money counts once for each in which it moved."""
    found: dict[tuple[str, str | None], Stands] = {}
    for ledger in ledgers:
        for act, stands in ledger.items():
            before = found.get(act, _UNKNOWN)
            ending = max(before.ending, stands.ending, key=_TELLS.index)
            found[act] = Stands(ending, before.amount_minor + stands.amount_minor)
    return found


_TELLS: Final = ("unknown", "failed", "pending", "succeeded", "contested")
