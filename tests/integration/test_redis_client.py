"""Clients of Redis when Redis goes away and comes back: requests in the meantime fail or are dropped soon, as promised,
and those afterwards succeed at the first attempt.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from importlib.metadata import version
from typing import Final

import pytest
from redis.exceptions import ResponseError

from ops.embedded import valkey
from ops.embedded.valkey import ValkeyServer
from runtime.activation import ActivationBroker, activate
from runtime.feed import EVENTS_CHANNEL, Publisher
from runtime.redis_client import ANSWER_TIMEOUT_SECONDS, REDIS_UNAVAILABLE, connect
from runtime.redis_connections import ask_all
from tests import pace, servers

CONNECTIONS: Final = 5
_QUEUE: Final = "activations"


@pytest.fixture
async def server() -> AsyncIterator[ValkeyServer]:
    """A Valkey that the test may kill."""
    with servers.folder() as home:
        running = ValkeyServer(home, settings=valkey.NOT_DURABLE)
        await asyncio.to_thread(running.start)
        try:
            yield running
        finally:
            await asyncio.to_thread(running.stop)


async def test_connections_that_were_idle_when_redis_went_away_are_not_reused(server: ValkeyServer) -> None:
    client = connect(server.url)
    try:
        await asyncio.gather(*(client.set(f"before-{number}", b"") for number in range(CONNECTIONS)))
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        answers = await asyncio.gather(*(client.set(f"after-{number}", b"") for number in range(CONNECTIONS)))
        assert answers == [True] * CONNECTIONS
    finally:
        await client.aclose()


async def test_while_redis_is_away_a_client_fails_and_an_activation_is_dropped(server: ValkeyServer) -> None:
    client, broker = connect(server.url), ActivationBroker(server.url)
    try:
        await activate(broker, 1)
        await client.delete(_QUEUE)
        await asyncio.to_thread(server.kill)
        await activate(broker, 2)
        with pytest.raises(REDIS_UNAVAILABLE):
            await client.ping()
        await asyncio.to_thread(server.start)
        await activate(broker, 3)
        assert await client.llen(_QUEUE) == 1
    finally:
        await broker.shutdown()
        await client.aclose()


async def test_a_redis_that_does_not_answer_is_not_waited_for(server: ValkeyServer) -> None:
    client, broker, publisher = connect(server.url), ActivationBroker(server.url), Publisher(server.url)

    async def ask_each() -> list[object]:
        message = (EVENTS_CHANNEL, "[]")
        pings = ask_all(client.connection_pool, [("PING",), ("PING",)])
        asked = client.ping(), activate(broker, 1), publisher.publish([message]), pings
        return [*await asyncio.gather(*asked, return_exceptions=True)]

    try:
        assert await ask_each() == [True, None, None, [b"PONG", b"PONG"]]
        os.kill(server.pid, signal.SIGSTOP)
        begun = time.monotonic()
        failed, *dropped, failed_together = await ask_each()
        assert pace.is_within(time.monotonic() - begun, 2 * ANSWER_TIMEOUT_SECONDS)
        assert isinstance(failed, REDIS_UNAVAILABLE)
        assert isinstance(failed_together, REDIS_UNAVAILABLE)
        assert dropped == [None, None]
        os.kill(server.pid, signal.SIGCONT)
        assert await ask_each() == [True, None, None, [b"PONG", b"PONG"]]
    finally:
        await publisher.close()
        await broker.shutdown()
        await client.aclose()


async def test_a_task_cancelled_while_it_talks_to_redis_ends(redis_url: str) -> None:
    """At any moment: a swallowed cancellation would leave the task running for ever."""
    client = connect(redis_url)

    async def talk() -> None:
        while True:
            await client.ping()

    try:
        await client.ping()
        for steps in range(60):
            talking = asyncio.create_task(talk())
            for _ in range(steps):
                await asyncio.sleep(0)
            talking.cancel()
            _, going_on = await asyncio.wait([talking], timeout=pace.seconds(5))
            talking.cancel()
            assert not going_on, f"cancelled after {steps} steps, it is still running"
    finally:
        await client.aclose()


async def test_in_a_pipeline_an_error_takes_the_place_of_its_answer(redis_url: str) -> None:
    client = connect(redis_url)
    try:
        commands = [("SET", "text", "é"), ("INCR", "text"), ("INCRBYFLOAT", "number", 0.5), (b"GET", b"text")]
        done, failed, number, text = await ask_all(client.connection_pool, commands)
        assert (done, number, text) == (b"OK", b"0.5", "é".encode())
        assert isinstance(failed, ResponseError)
        assert await ask_all(client.connection_pool, [("PING",)]) == [b"PONG"], "what is asked next gets its own answer"
    finally:
        await client.aclose()


async def test_a_request_larger_than_the_sockets_buffer_is_waited_for(server: ValkeyServer) -> None:
    client = connect(server.url, answer_timeout=pace.seconds(1))
    large = b"x" * 8_000_000
    try:
        assert await client.set("large", large)
        assert await client.get("large") == large
        os.kill(server.pid, signal.SIGSTOP)
        with pytest.raises(REDIS_UNAVAILABLE):
            await client.set("large", large)
    finally:
        os.kill(server.pid, signal.SIGCONT)
        await client.aclose()


async def test_the_library_s_version_is_not_looked_up_for_each_connection(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That reads the file system. The server is told the version all the same."""

    def look_up() -> str:
        raise AssertionError("looked up")

    monkeypatch.setattr("redis.utils.get_lib_version", look_up)
    client = connect(redis_url)
    try:
        assert (await client.client_info())["lib-ver"] == version("redis")
    finally:
        await client.aclose()
