"""A provider's ledger and ours, compared: every pair of what one act may be in each, and what sums do not show."""

from collections.abc import Sequence
from itertools import product
from typing import Final
from uuid import UUID

import pytest

from domain.payments.comparison import ActDiffers, Stands, SumDiffers, acts_compared, sums_compared
from domain.payments.entries import ACTIONS_REQUIRED, FAILURES, KINDS, REQUESTS, SUCCESSES, Entry, EntryType, Kind
from ops.cli.payments import Kept, differences
from runtime.payments.provider import Report
from tests.unit.payment_stories import PAYMENT_ID, said

_SUM_OF: Final = {"authorization": "authorized", "charge": "charged", "refund": "refunded", "cancel": "cancelled"}

# What a ledger may say of one act: its entries, as (what, amount, second).
_STORIES: Final[dict[str, list[tuple[str, int, int]]]] = {
    "nothing": [],
    "requested": [("request", 70, 0)],
    "failed": [("request", 70, 0), ("failure", 70, 1)],
    "succeeded": [("request", 70, 0), ("success", 70, 1)],
    "less": [("success", 60, 1)],
    "told twice": [("success", 70, 1), ("success", 70, 4)],
    "failed at last": [("success", 70, 1), ("failure", 70, 2)],
    "succeeded at last": [("success", 70, 2), ("failure", 70, 1)],
    "both at once": [("success", 70, 1), ("failure", 70, 1)],
}

# In each row, what ours says; in each column, what the provider does, which requests nothing: `.` if they agree, `s` if
# their sums differ as well as the act, `a` if only the act does.
_TABLE: Final = """
ours              nothing failed succeeded less told-twice failed-at-last succeeded-at-last both-at-once
nothing           .       .      s         s    s          .              s                 s
requested         .       a      s         s    s          a              s                 s
failed            .       .      s         s    s          .              s                 s
succeeded         s       s      .         s    .          s              .                 a
less              s       s      s         .    s          s              s                 s
told-twice        s       s      .         s    .          s              .                 a
failed-at-last    .       .      s         s    s          .              s                 s
succeeded-at-last s       s      .         s    .          s              .                 a
both-at-once      s       s      .         s    .          s              .                 a
"""


def _verdicts() -> dict[tuple[str, str], str]:
    (_, *columns), *rows = (line.split() for line in _TABLE.strip().splitlines())
    named = {name.replace("-", " ") for name in columns}
    assert named == _STORIES.keys() - {"requested"}
    return {
        (row[0].replace("-", " "), column.replace("-", " ")): verdict
        for row in rows
        for column, verdict in zip(columns, row[1:], strict=True)
    }


def _entries(kind: Kind, story: str, reference: str | None = "r1") -> list[Entry]:
    of: dict[str, EntryType] = {"request": REQUESTS[kind], "success": SUCCESSES[kind], "failure": FAILURES[kind]}
    return [said(of[what], amount_minor, second, reference) for what, amount_minor, second in _STORIES[story]]


@pytest.mark.parametrize("kind", KINDS)
def test_every_pair_of_states_of_an_act(kind: Kind) -> None:
    table = _verdicts()
    assert {ours for ours, _ in table} == _STORIES.keys()
    for (ours, theirs), verdict in table.items():
        for one, another in ((1, 1), (-1, 1), (1, -1)):  # the order in which it was told does not matter
            pair = _entries(kind, ours)[::one], [_entries(kind, theirs)[::another]]
            sums, acts = list(sums_compared(*pair)), list(acts_compared(*pair))
            assert [each.what for each in sums] == ([_SUM_OF[kind]] if verdict == "s" else []), (ours, theirs)
            assert [(each.what, each.reference) for each in acts] == ([] if verdict == "." else [(kind, "r1")]), (
                ours,
                theirs,
            )


def test_acts_that_differ_in_opposite_ways_are_seen_although_their_sums_agree() -> None:
    for kind in KINDS:
        ours = [*_entries(kind, "succeeded", "r1"), *_entries(kind, "failed", "r2")]
        theirs = [*_entries(kind, "failed at last", "r1"), *_entries(kind, "succeeded", "r2")]
        assert not list(sums_compared(ours, [theirs]))
        assert list(acts_compared(ours, [theirs])) == [
            ActDiffers(kind, "r1", Stands("succeeded", 70), Stands("failed")),
            ActDiffers(kind, "r2", Stands("failed"), Stands("succeeded", 70)),
        ]


def test_money_is_looked_for_under_its_own_kind_and_reference() -> None:
    for ours, theirs in product(KINDS, KINDS):
        differ = list(acts_compared(_entries(ours, "succeeded"), [_entries(theirs, "succeeded")]))
        assert {each.what for each in differ} == ({ours, theirs} if ours != theirs else set())
    moved = list(acts_compared(_entries("charge", "succeeded"), [_entries("charge", "succeeded", "r2")]))
    assert [each.reference for each in moved] == ["r1", "r2"]


def test_what_waits_for_its_buyer_waits_on_both_sides() -> None:
    for kind, wanted in ACTIONS_REQUIRED.items():
        waits, failed = said(wanted, 70, 3), _entries(kind, "failed")
        for ours in (_entries(kind, "requested"), [*_entries(kind, "requested"), waits], [*failed, waits], []):
            assert not list(acts_compared(ours, [[waits]]))
        (over,) = acts_compared([waits], [failed])
        assert (over.ours.ending, over.theirs.ending) == ("pending", "failed")
        (again,) = acts_compared(failed, [[*failed, waits]])
        assert (again.ours.ending, again.theirs.ending) == ("failed", "pending")


def test_what_banks_do_is_compared_by_its_reference_and_newest_amount() -> None:
    for what in ("charge_back", "refund_reverse", "authorization_adjustment"):
        ours = [said(what, 30, 1, "d1")]
        assert not list(acts_compared(ours, [[said(what, 30, 9, "d1")]]))
        assert not list(acts_compared(ours, [[said(what, 30, 2, "d1"), said(what, 20, 1, "d1")]]))
        assert list(acts_compared(ours, [[said(what, 20, 1, "d1")]])) == [
            ActDiffers(what, "d1", Stands("succeeded", 30), Stands("succeeded", 20))
        ]
        assert len(list(acts_compared(ours, [[said(what, 30, 1, "d2")]]))) == 2
        assert len(list(acts_compared(ours, [[]]))) == 1


def test_an_adjustment_that_came_later_than_what_it_adjusts_shows_in_the_sum() -> None:
    before, adjusted = said("authorization_success", 100, 2), 80
    ours = [before, said("authorization_adjustment", adjusted, 1, "j")]
    theirs = [before, said("authorization_adjustment", adjusted, 3, "j")]
    assert list(sums_compared(ours, [theirs])) == [SumDiffers("authorized", 180, 80)]


def test_money_without_a_reference_is_in_no_sum_and_yet_a_difference() -> None:
    for kind in KINDS:
        nameless = _entries(kind, "succeeded", None)
        for ours in ([], nameless):
            assert not list(sums_compared(ours, [nameless]))
            (found,) = acts_compared(ours, [nameless])
            assert (found.what, found.reference, found.theirs) == (kind, None, Stands("succeeded", 70))
        assert not list(acts_compared(nameless, [[]]))
        assert not list(acts_compared([], [_entries(kind, "failed", None)]))


def test_an_act_made_twice_moved_its_money_twice() -> None:
    once = _entries("charge", "succeeded")
    assert list(acts_compared(once, [once, once])) == [
        ActDiffers("charge", "r1", Stands("succeeded", 70), Stands("succeeded", 140))
    ]
    assert not list(acts_compared(once, [once, _entries("charge", "failed")]))
    assert not list(acts_compared(once, [_entries("charge", "failed"), once]))


def _lines(theirs: Sequence[Report], ours: Kept | None) -> list[str]:
    return [line.removeprefix(f"{PAYMENT_ID}: ") for line in differences(theirs, ours)]


def _report(*entries: Entry, currency: str = "GBP", named: str = "p1", of: UUID | None = PAYMENT_ID) -> Report:
    return Report(of, named, currency, entries)


def _kept(*entries: Entry, currency: str = "GBP", named: str | None = "p1") -> Kept:
    return Kept(PAYMENT_ID, named, currency, entries)


_CHARGED: Final = said("charge_success", 300)


def test_what_one_side_alone_has_is_a_difference_whichever_side_it_is() -> None:
    assert _lines([_report(_CHARGED)], None) == [
        "charged GBP 3.00 at the provider, GBP 0.00 here",
        "charge r1: succeeded (GBP 3.00) at the provider, unknown here",
    ]
    assert _lines([], _kept(_CHARGED)) == [
        "charged GBP 0.00 at the provider, GBP 3.00 here",
        "charge r1: unknown at the provider, succeeded (GBP 3.00) here",
    ]
    assert next(differences([_report(_CHARGED, of=None)], None)).startswith("p1: charged")


def test_each_currency_is_compared_by_itself() -> None:
    assert _lines([_report(_CHARGED, currency="EUR")], _kept(_CHARGED)) == [
        "charged EUR 3.00 at the provider, EUR 0.00 here",
        "charge r1: succeeded (EUR 3.00) at the provider, unknown here",
        "charged GBP 0.00 at the provider, GBP 3.00 here",
        "charge r1: unknown at the provider, succeeded (GBP 3.00) here",
    ]


def test_a_payment_has_one_name_at_the_provider() -> None:
    assert _lines([_report(_CHARGED)], _kept(_CHARGED, named=None)) == []
    assert _lines([_report(_CHARGED)], _kept(_CHARGED, named="p2")) == ["it is p1 at the provider, p2 here"]
    assert _lines([_report(), _report(_CHARGED, named="p3")], _kept(_CHARGED)) == ["2 payments at the provider, p1, p3"]
