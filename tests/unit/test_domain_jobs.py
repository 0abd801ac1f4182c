"""Jobs: requested once and finished once, by the first result."""

from typing import Any
from uuid import UUID

import pytest

from domain.jobs import FAILED, QUEUED, SUCCEEDED, FinishJob, Job, RequestJob
from domain.model import Context, Rejection, Shop, decide, evolve
from tests.contexts import context

_ID = UUID(int=7)
_ANN = context("ann", "staff")
_JOBS = context("jobs", "staff")


def _shop() -> Shop:
    shop = Shop()
    _do(shop, RequestJob(_ID, "report", {"by": "day"}), _ANN)
    return shop


def _do(shop: Shop, command: Any, actor: Context) -> None:
    decision = decide(shop, command, actor)
    assert not isinstance(decision, Rejection), decision
    for event in decision:
        evolve(shop, event)


def test_a_job_belongs_to_its_requester() -> None:
    assert _shop().of(Job) == {_ID: Job(_ID, "report", {"by": "day"}, "ann", QUEUED, 0, {})}


@pytest.mark.parametrize("status", [SUCCEEDED, FAILED])
def test_it_ends_with_the_run_that_ended_it(status: str) -> None:
    shop = _shop()
    _do(shop, FinishJob(_ID, status, 3, {"rows": 2}), _JOBS)
    assert shop.of(Job)[_ID] == Job(_ID, "report", {"by": "day"}, "ann", status, 3, {"rows": 2})


def test_it_ends_once() -> None:
    shop = _shop()
    _do(shop, FinishJob(_ID, SUCCEEDED, 1, {}), _JOBS)
    refused = decide(shop, FinishJob(_ID, FAILED, 2, {}), _JOBS)
    assert isinstance(refused, Rejection)
    assert refused.code == "job_finished"


def test_a_job_that_was_not_requested_cannot_finish() -> None:
    refused = decide(Shop(), FinishJob(_ID, SUCCEEDED, 1, {}), _JOBS)
    assert isinstance(refused, Rejection)
    assert refused.code == "job_not_found"


def test_an_id_is_used_once() -> None:
    with pytest.raises(ValueError, match="its id is taken"):
        decide(_shop(), RequestJob(_ID, "import", {}), _ANN)


@pytest.mark.parametrize("make", [lambda: RequestJob(_ID, "dance", {}), lambda: FinishJob(_ID, QUEUED, 1, {})])
def test_unknown_kinds_and_statuses_are_refused(make: Any) -> None:
    with pytest.raises(ValueError, match=r"dance|queued"):
        make()
