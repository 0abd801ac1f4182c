"""A replay is good if its orders were placed, but for what is sold out; anything else shows in its exit code."""

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

from loadtests.replay.report import Findings, Latency

GOOD = Findings(
    run="r",
    rows=9,
    sold_rows=9,
    skipped={},
    products_added=0,
    orders=3,
    lines=9,
    seconds=1.0,
    accepted=3,
    refused={},
    put_off={"no_answer": 1},
    placed=2,
    rejected={"insufficient_stock": 1},
    failed={},
    missing=0,
    accept_ms=Latency(1.0, 1.0, 1.0),
    commit_ms=Latency(1.0, 1.0, 1.0),
    verify={"clean": True, "counts": {}, "differences": []},
)


def test_what_is_sold_out_is_no_fault() -> None:
    assert GOOD.good


@pytest.mark.parametrize(
    "changes",
    [
        {"orders": 0, "accepted": 0, "placed": 0, "rejected": {}},
        {"refused": {"too_many_requests": 1}},
        {"placed": 0, "rejected": {"unknown_sku": 3}},
        {"rejected": {"insufficient_stock": 1, "unknown_sku": 1}},
        {"failed": {"undecidable": 1}},
        {"missing": 1},
        {"verify": {"clean": False, "counts": {}, "differences": []}},
    ],
)
def test_any_problem_makes_a_report_bad(changes: Mapping[str, Any]) -> None:
    assert not msgspec.structs.replace(GOOD, **changes).good
