"""Heartbeats: a process whose event loop turns says so, and how late it was."""

import asyncio
import resource
import time

import psutil
import pytest
from prometheus_client import REGISTRY

from runtime.heartbeat import Heartbeat
from runtime.metrics.processes import ROLES
from tests.system import eventually_seen


def value(name: str, **labels: str) -> float:
    found = REGISTRY.get_sample_value(name, labels)
    assert found is not None, name
    return found


async def test_a_beating_process_reports_what_it_uses() -> None:
    beats: list[float] = []
    heartbeat = Heartbeat("worker", lambda: beats.append(value("tidegate_heartbeat_timestamp_seconds", role="worker")))
    before, counted = time.time(), REGISTRY.get_sample_value("process_cpu_seconds_total", {"role": "worker"}) or 0.0
    heartbeat.start()
    try:
        assert before <= value("tidegate_heartbeat_timestamp_seconds", role="worker") <= time.time()
        assert [value("tidegate_processes", role=role) for role in ROLES] == [float(role == "worker") for role in ROLES]
        assert value("process_start_time_seconds", role="worker") == psutil.Process().create_time()
        assert value("process_max_fds", role="worker") == resource.getrlimit(resource.RLIMIT_NOFILE)[0]

        async def has_looked() -> bool:
            return len(beats) >= 2 and REGISTRY.get_sample_value("process_open_fds", {"role": "worker"}) is not None

        await eventually_seen("a second beat", has_looked, within_seconds=5)
        assert beats[1] > beats[0]
        assert 0 < value("process_cpu_seconds_total", role="worker") - counted <= time.process_time()
        assert value("process_resident_memory_bytes", role="worker") > 1_000_000
        assert 3 <= value("process_open_fds", role="worker") <= value("process_max_fds", role="worker")
    finally:
        heartbeat.stop()


async def test_a_blocked_loop_is_seen_to_be_late() -> None:
    heartbeat = Heartbeat("background")
    heartbeat.start()
    try:

        def late() -> float:
            name = "tidegate_event_loop_lag_seconds_bucket"
            return value(name, role="background", le="+Inf") - value(name, role="background", le="0.25")

        async def has_begun() -> bool:
            return value("tidegate_event_loop_lag_seconds_count", role="background") > 0

        await eventually_seen("a look at the loop", has_begun, within_seconds=5)
        before = late()
        time.sleep(0.6)  # noqa: ASYNC251 - this is what must be seen

        async def was_seen() -> bool:
            return late() > before

        await eventually_seen("that the loop was late", was_seen, within_seconds=5)
    finally:
        heartbeat.stop()


async def test_a_failing_sample_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    taken = asyncio.Event()

    def fail() -> None:
        raise RuntimeError("a test's")

    heartbeat = Heartbeat("scheduler", fail, taken.set)
    heartbeat.start()
    heartbeat.stop()
    assert taken.is_set()
    assert "a gauge could not be set" in caplog.text
