"""The gateway's parts together, in this process."""

import pytest
import redis
from prometheus_client import REGISTRY

from gateway import edge
from runtime.settings import Settings
from tests.system import eventually_seen


async def test_durability_is_asked_for_until_it_is_known(
    database_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that was busy when the gateway started is not to be told for ever that 202 promises too much."""
    answers: list[bool | Exception] = [True, redis.exceptions.TimeoutError(), redis.exceptions.ConnectionError()]

    async def is_durable(_: object) -> bool:
        answer = answers.pop()
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(edge, "is_durable", is_durable)
    monkeypatch.setattr(edge, "_CHECK_AGAIN_SECONDS", 0.01)
    gateway = edge.Edge(Settings().model_copy(update={"database_url": database_url, "redis_url": redis_url}))

    async def is_known() -> bool:
        return REGISTRY.get_sample_value("tidegate_accept_durable") == 1

    await gateway.start()
    assert not await is_known()
    await eventually_seen("that it is durable", is_known, within_seconds=5)
    assert not answers
    await gateway.stop()
