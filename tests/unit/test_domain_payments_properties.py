"""The sums of payments, under any reports.

The fold is compared with an oracle that keeps books as an accountant would: it goes through the entries by time, and
corrects each sum as it learns more. Then Hypothesis plays a shop and a provider that does its worst.
"""

from collections.abc import Sequence
from typing import Final, get_args

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, rule

from domain.payments.amounts import amounts, capturable, refundable
from domain.payments.coverage import due, expected
from domain.payments.entries import FAILURES, KINDS, REQUESTS, SUCCESSES, Entry, EntryType, Kind
from domain.payments.payment import Capabilities
from domain.payments.rules import may_capture, may_refund, may_void, take_report
from tests.unit.payment_stories import at, payment, said

_ENTRY_TYPES: Final[tuple[EntryType, ...]] = get_args(EntryType)


def kept_books(entries: Sequence[Entry]) -> dict[str, int]:
    """The eight amounts by another way: a state for each act, brought from entry to entry by time. At one moment what
    moved money is told last."""
    later = {"success": 2, "adjustment": 3, "failure": 1}
    told = sorted(
        (entry for entry in entries if entry.reference is not None),
        key=lambda entry: (entry.at, later.get(entry.type.partition("_")[2], 0), entry.amount_minor),
    )
    states: dict[tuple[str, str | None], tuple[str, int]] = {}
    set_aside = 0
    for entry in told:
        kind, _, what = entry.type.partition("_")
        act = (kind, entry.reference)
        state, _ = states.get(act, ("nothing", 0))
        if entry.type == "authorization_adjustment":
            set_aside = entry.amount_minor
            for other, (status, _) in states.items():
                if other[0] == "authorization" and status == "success":
                    states[other] = ("overwritten", 0)
        elif what in ("success", "failure") or (what == "request" and state in ("nothing", "request")):
            states[act] = (what, entry.amount_minor)
        elif what in ("back", "reverse"):
            states[(what, entry.reference)] = (what, entry.amount_minor)

    def total(kind: str, status: str) -> int:
        return sum(amount for (of, _), (state, amount) in states.items() if (of, state) == (kind, status))

    return {
        "authorized": set_aside + total("authorization", "success"),
        "authorize_pending": total("authorization", "request"),
        "charged": total("charge", "success") - total("back", "back"),
        "charge_pending": total("charge", "request"),
        "refunded": total("refund", "success") - total("reverse", "reverse"),
        "refund_pending": total("refund", "request"),
        "cancelled": total("cancel", "success"),
        "cancel_pending": total("cancel", "request"),
    }


anything = st.builds(
    said,
    st.sampled_from(_ENTRY_TYPES),
    st.integers(0, 5),
    st.integers(0, 6),
    st.sampled_from(["r1", "r2", "r3", None]),
)


@given(st.lists(anything, max_size=14))
@example([said("authorization_success", 1, 1), said("authorization_adjustment", 2, 1)])
def test_the_fold_is_what_an_accountant_would_find(entries: list[Entry]) -> None:
    assert msgspec.structs.asdict(amounts(entries)) == kept_books(entries)


@given(st.lists(anything, max_size=10).flatmap(lambda entries: st.tuples(st.just(entries), st.permutations(entries))))
def test_the_order_in_which_entries_came_does_not_matter(both: tuple[list[Entry], list[Entry]]) -> None:
    came, otherwise = both
    assert amounts(came) == amounts(otherwise)
    assert (capturable(came), refundable(came)) == (capturable(otherwise), refundable(otherwise))


# The worst of providers.


class _Requested(msgspec.Struct, frozen=True):
    kind: Kind
    reference: str
    amount_minor: int


class ShopAndProvider(RuleBasedStateMachine):
    """A shop that asks for anything, and is refused or not; and a provider that does each thing it is asked for once or
    not at all, and tells of it late, twice and in any order. What the shop believes once everything is told must be
    what the provider did; and at no moment may it have promised more than there was."""

    requested = Bundle("requested")
    reports = Bundle("reports")

    @initialize(
        target=requested,
        amount_minor=st.integers(1, 100),
        can=st.builds(Capabilities, st.just(True), st.booleans(), st.booleans(), st.booleans()),
    )
    def opened(self, amount_minor: int, can: Capabilities) -> _Requested:
        self.moment = 0
        self.did: dict[Kind, int] = dict.fromkeys(KINDS, 0)
        self.payment = payment(can=can, amount_minor=amount_minor)
        self.untold: list[Entry] = []
        self.unanswered = 0
        return self._asks("authorization", amount_minor)

    def _asks(self, kind: Kind, amount_minor: int) -> _Requested:
        self.moment += 1
        self.unanswered += 1
        request = _Requested(kind, f"{kind}-{self.moment}", amount_minor)
        self._adds(Entry(REQUESTS[kind], request.reference, amount_minor, at(self.moment)))
        return request

    def _adds(self, entry: Entry) -> None:
        self.payment = msgspec.structs.replace(self.payment, entries=(*self.payment.entries, entry))

    @rule(target=requested, amount_minor=st.integers(1, 120))
    def captures(self, amount_minor: int) -> _Requested | None:
        refused = may_capture(self.payment, amount_minor)
        return self._asks("charge", amount_minor) if refused is None else None

    @rule(target=requested, amount_minor=st.integers(1, 120))
    def refunds(self, amount_minor: int) -> _Requested | None:
        refused = may_refund(self.payment, amount_minor)
        return self._asks("refund", amount_minor) if refused is None else None

    @rule(target=requested)
    def voids(self) -> _Requested | None:
        now = self.payment
        if may_void(now) is not None or now.amounts.authorize_pending:
            return None
        return self._asks("cancel", now.capturable)

    @rule(target=reports, request=consumes(requested), succeeds=st.booleans())
    def answers(self, request: _Requested | None, succeeds: bool) -> Entry | None:
        if request is None:
            return None
        self.moment += 1
        self.unanswered -= 1
        if succeeds:
            self.did[request.kind] += request.amount_minor
        outcome = (SUCCESSES if succeeds else FAILURES)[request.kind]
        entry = Entry(outcome, request.reference, request.amount_minor, at(self.moment))
        self.untold.append(entry)
        return entry

    @rule(report=reports)
    def tells(self, report: Entry | None) -> None:
        if report is None:
            return
        known = report not in self.untold
        taken = take_report(self.payment, report, "GBP")
        assert (taken is None) == known
        if not known:
            self.untold.remove(report)
            self._adds(report)

    @invariant()
    def nothing_is_promised_twice(self) -> None:
        if not hasattr(self, "payment"):
            return
        now = self.payment.amounts
        assert now.charged + now.charge_pending + now.cancelled + now.cancel_pending <= now.authorized
        assert now.refunded + now.refund_pending <= now.charged
        assert min(msgspec.structs.astuple(now)) >= 0
        assert self.did["charge"] + self.did["cancel"] <= self.did["authorization"]
        assert self.did["refund"] <= self.did["charge"]
        assert due(self.payment.amount_minor, [self.payment]) + expected([self.payment]) >= self.payment.amount_minor

    @invariant()
    def once_everything_is_told_both_know_the_same(self) -> None:
        if not hasattr(self, "payment") or self.untold or self.unanswered:
            return
        now = self.payment.amounts
        assert not now.is_pending
        assert [now.authorized, now.charged, now.refunded, now.cancelled] == [self.did[kind] for kind in KINDS]


TestShopAndProvider = ShopAndProvider.TestCase
TestShopAndProvider.settings = settings(max_examples=60, stateful_step_count=25)
