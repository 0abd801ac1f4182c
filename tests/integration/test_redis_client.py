"""Whoever asks Redis for something, when Redis goes and comes back: what is asked while it is away fails or is dropped
soon, as promised, and what is asked afterwards works at the first attempt.
"""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from typing import Final

import pytest

from ops.embedded import valkey
from ops.embedded.valkey import ValkeyServer
from runtime.activation import ActivationBroker, activate
from runtime.feed import EVENTS_CHANNEL, Publisher
from runtime.redis_client import ANSWER_TIMEOUT_SECONDS, REDIS_UNAVAILABLE, connect
from tests import pace, servers

CONNECTIONS: Final = 5
_QUEUE: Final = "activations"


@pytest.fixture
async def server() -> AsyncIterator[ValkeyServer]:
    """A Valkey that may be killed."""
    with servers.folder() as home:
        running = ValkeyServer(home, settings=valkey.NOT_DURABLE)
        await asyncio.to_thread(running.start)
        try:
            yield running
        finally:
            await asyncio.to_thread(running.stop)


async def test_connections_that_were_idle_when_redis_went_are_not_used_again(server: ValkeyServer) -> None:
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


async def test_a_redis_that_does_not_answer_holds_up_nobody(server: ValkeyServer) -> None:
    client, broker, publisher = connect(server.url), ActivationBroker(server.url), Publisher(server.url)

    async def ask_all() -> list[object]:
        message = (EVENTS_CHANNEL, "[]")
        asked = client.ping(), activate(broker, 1), publisher.publish([message])
        return [*await asyncio.gather(*asked, return_exceptions=True)]

    try:
        assert await ask_all() == [True, None, None]
        os.kill(server.pid, signal.SIGSTOP)
        begun = time.monotonic()
        failed, *dropped = await ask_all()
        assert time.monotonic() - begun < pace.seconds(2 * ANSWER_TIMEOUT_SECONDS)
        assert isinstance(failed, REDIS_UNAVAILABLE)
        assert dropped == [None, None]
        os.kill(server.pid, signal.SIGCONT)
        assert await ask_all() == [True, None, None]
    finally:
        await publisher.close()
        await broker.shutdown()
        await client.aclose()


async def test_who_is_cancelled_while_it_talks_to_redis_ends(redis_url: str) -> None:
    """At whichever moment: a cancellation that is swallowed makes a task go on for ever."""
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
            assert not going_on, f"cancelled after {steps} steps, it goes on"
    finally:
        await client.aclose()


async def test_what_does_not_fit_into_the_sockets_buffer_is_waited_for(server: ValkeyServer) -> None:
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
