"""Subscribers' records are compared with the log: a gap, a repeat, a swap and a missing end are found."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import pytest

from loadtests.frame.records import FAULTS_KEPT, Record, seen_by_all
from loadtests.frame.verdict import FAILED, PASSED, SKIPPED, Check

LOG = [(seq, "order.placed" if seq % 3 else "stock.received") for seq in range(1, 31)]
ORDERS = [seq for seq, type_ in LOG if type_ == "order.placed"]


def events(after: int) -> Iterator[dict[str, Any]]:
    return ({"seq": seq, "type": type_} for seq, type_ in LOG if seq > after)


def record(topic: str, seqs: Iterable[int], *, after: int, upto: int) -> Record:
    made = Record(topic)
    made.begin(after)
    for seq in seqs:
        made.see(seq)
    made.upto = max(made.upto, upto)
    return made


def judge(*records: Record) -> Check:
    return seen_by_all(records, len(records), events)


def between(after: int, upto: int, seqs: Sequence[int]) -> list[int]:
    return [seq for seq in seqs if after < seq <= upto]


@pytest.mark.parametrize(("after", "upto"), [(0, 30), (5, 20), (7, 7), (29, 30)])
def test_a_subscriber_who_saw_everything_agrees_with_the_log(after: int, upto: int) -> None:
    whole = record("log", range(after + 1, upto + 1), after=after, upto=upto)
    orders = record("orders", between(after, upto, ORDERS), after=after, upto=upto)
    assert judge(whole, orders).outcome == PASSED


@pytest.mark.parametrize(
    ("topic", "seqs"),
    [
        ("log", [6, 7, 9, 10]),
        ("log", [6, 7, 8, 8, 9, 10]),
        ("log", [6, 8, 7, 9, 10]),
        ("log", [6, 7, 8]),
        ("orders", [7, 10]),
        ("orders", [7, 8, 8, 10]),
        ("orders", [8, 7, 10]),
        ("orders", [7, 8]),
        ("orders", [7, 8, 9, 10]),  # 9 is not an order's
        ("orders", [7, 9, 10]),  # the right number, but the wrong ones
    ],
)
def test_any_difference_is_found(topic: str, seqs: Sequence[int]) -> None:
    assert judge(record(topic, seqs, after=5, upto=10)).outcome == FAILED


def test_one_among_a_thousand_is_named() -> None:
    good = [record("log", range(6, 11), after=5, upto=10) for _ in range(999)]
    said = judge(*good, record("log", [6, 7, 9, 10], after=5, upto=10))
    assert said.outcome == FAILED
    assert "event 9 came after event 7" in said.measured


def test_a_missing_record_is_noticed() -> None:
    said = seen_by_all([record("log", range(6, 11), after=5, upto=10)], 2, events)
    assert said.outcome == FAILED
    assert "1 subscribers did not say" in said.measured


def test_without_subscribers_there_is_nothing_to_check() -> None:
    assert seen_by_all([], 0, events).outcome == SKIPPED


def test_few_faults_are_enough() -> None:
    assert len(record("log", [1] * 50, after=5, upto=5).faults) == FAULTS_KEPT
