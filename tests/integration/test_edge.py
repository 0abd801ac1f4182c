"""The gateway's parts together, in this process."""

from typing import Any

import pytest
import redis
from prometheus_client import REGISTRY

from gateway import edge
from runtime.settings import Settings
from tests.system import eventually_seen


def the_edge(database_url: str, redis_url: str) -> edge.Edge:
    return edge.Edge(Settings().model_copy(update={"database_url": database_url, "redis_url": redis_url}))


async def test_durability_is_checked_until_it_is_known(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that started on a busy machine must not claim for ever that 202 promises too much."""
    answers: list[bool | Exception] = [True, redis.exceptions.TimeoutError(), redis.exceptions.ConnectionError()]

    async def is_durable(_: object) -> bool:
        answer = answers.pop()
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(edge, "is_durable", is_durable)
    monkeypatch.setattr(edge, "_CHECK_AGAIN_SECONDS", 0.01)
    gateway = the_edge(database_url, redis_url)

    async def is_known() -> bool:
        return REGISTRY.get_sample_value("tidegate_accept_durable") == 1

    async with gateway:
        assert not await is_known()
        await eventually_seen("that durability is known", is_known, within_seconds=5)
        assert not answers


async def test_a_gateway_knows_the_revocations_before_it_serves(database_url: str, redis_url: str) -> None:
    async with the_edge(database_url, redis_url) as gateway:
        assert gateway.revocations.are_known


async def test_a_gateway_serves_without_postgres(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "_LEARN_SECONDS", 0.01)
    async with the_edge("postgresql://nobody@127.0.0.1:1/nothing", redis_url) as gateway:
        assert not gateway.revocations.are_known


def closing(gateway: edge.Edge, monkeypatch: pytest.MonkeyPatch, broken: str) -> list[str]:
    """Records which parts are closed, by name; closing the one called `broken` also raises."""
    closed: list[str] = []
    parts = {
        "tasks": (gateway, "_stop_tasks"),
        "API keys": (gateway._api_keys, "close"),
        "poster": (gateway._poster, "close"),
        "listener": (gateway._listener, "stop"),
        "broker": (gateway._broker, "shutdown"),
        "redis": (gateway.redis, "aclose"),
        "engine": (type(gateway.engine), "dispose"),
    }
    for name, (part, method) in parts.items():
        close = getattr(part, method)

        async def noted(*arguments: Any, name: str = name, close: Any = close) -> None:
            await close(*arguments)
            closed.append(name)
            if name == broken:
                raise RuntimeError(name)

        monkeypatch.setattr(part, method, noted)
    return closed


ALL = ["tasks", "API keys", "poster", "listener", "broker", "redis", "engine"]


@pytest.mark.parametrize("broken", ["tasks", "listener", "redis"])
async def test_a_part_that_cannot_be_closed_leaves_no_other_open(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    gateway = the_edge(database_url, redis_url)
    closed = closing(gateway, monkeypatch, broken)
    with pytest.raises(RuntimeError, match=broken):
        async with gateway:
            assert not closed
    assert closed == ALL


async def test_a_start_that_fails_leaves_nothing_open(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = the_edge(database_url, redis_url)
    closed = closing(gateway, monkeypatch, "")

    async def fail() -> bool:
        raise RuntimeError("at the start")

    monkeypatch.setattr(gateway, "_check_durability", fail)
    with pytest.raises(RuntimeError, match="at the start"):
        await gateway.__aenter__()
    assert closed == ALL
