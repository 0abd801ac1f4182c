"""The connections of a process: bounded in total and by address, below its limit of open files, and room freed
again."""

import logging
from typing import Any

import pytest

from gateway.server.connections import Crowd
from runtime.settings import Settings

FILES = 1_000


def crowd(open_files_max: int = FILES, **settings: Any) -> Crowd:
    return Crowd(
        Settings(**{"connections_max": 5, "connections_max_per_address": 3, **settings}), open_files_max=open_files_max
    )


def test_connections_are_bounded_in_total_and_by_address() -> None:
    there = crowd()
    assert [there.enter("10.0.0.1") for _ in range(4)] == [None, None, None, "address"]
    assert [there.enter("10.0.0.2") for _ in range(3)] == [None, None, "all"]
    assert there.enter("10.0.0.3") == "all"


def test_without_an_address_only_the_total_is_bounded() -> None:
    there = crowd()
    assert [there.enter(None) for _ in range(6)] == [None] * 5 + ["all"]


def test_refused_clients_do_not_count_and_departed_ones_make_room() -> None:
    there = crowd()
    for _ in range(10):
        there.enter("10.0.0.1")
    for _ in range(3):
        there.leave("10.0.0.1")
    assert [there.enter("10.0.0.1") for _ in range(4)] == [None, None, None, "address"]
    assert [there.enter("10.0.0.2") for _ in range(3)] == [None, None, "all"]
    there.leave("10.0.0.1")
    assert there.enter("10.0.0.2") is None


def test_the_bound_leaves_the_process_what_it_needs_itself(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert crowd(connections_max=5, descriptors_reserved=FILES - 4).most == 4
    assert "at most 4 connections, not the 5" in caplog.text
    caplog.clear()
    assert crowd(connections_max=5, descriptors_reserved=FILES - 5).most == 5
    assert caplog.text == ""
    assert crowd(open_files_max=10, descriptors_reserved=100).most == 1


def test_refusals_are_logged_once_and_then_now_and_then(caplog: pytest.LogCaptureFixture) -> None:
    there = crowd()
    for _ in range(20):
        there.enter("10.0.0.1")
    (line,) = [record.getMessage() for record in caplog.records]
    assert "1 connections refused" in line
    assert "by the bound on address, from 10.0.0.1" in line
