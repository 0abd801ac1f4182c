"""Kept answers: of all requests that answer one command at once, the first decides, in whichever process."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest

from domain.model import Actor
from gateway.writing.answers import ANSWERS_KEYS, Answer, Answers
from gateway.writing.submit import Accepted, Ask
from runtime.redis_client import connect
from runtime.redis_pipeline import Client

AT_ONCE = 5


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Client]:
    async with connect(redis_url) as client:
        yield client


def _answers(redis: Client, *, all_max_bytes: int = 100_000) -> Answers:
    return Answers(redis, kept_seconds=60, max_bytes=1_000, all_max_bytes=all_max_bytes)


async def test_answers_take_so_many_bytes_and_the_oldest_go_first(redis: Client) -> None:
    bound = 50_000
    answers = _answers(redis, all_max_bytes=bound)
    asked = Ask(Actor.in_role("ann", "customer"), "key", b"fingerprint", 10, True)
    command_ids = [uuid.uuid4() for _ in range(300)]

    async def ask(command_id: uuid.UUID, body: str, *, replayed: bool) -> str:
        async def make() -> Answer:
            return Answer(body)

        return (await answers.first(asked, Accepted(command_id, "MUG", replayed, None, None), make)).body

    for command_id in command_ids:
        assert await ask(command_id, "as it was" * 20, replayed=False) == "as it was" * 20
    sizes = [await redis.memory_usage(key, samples=0) or 0 for key in ANSWERS_KEYS]
    assert bound / 4 < sum(sizes) < bound * 1.1
    assert await ask(command_ids[-1], "as it is", replayed=True) == "as it was" * 20
    assert await ask(command_ids[-80], "as it is", replayed=True) == "as it was" * 20
    assert await ask(command_ids[0], "as it is", replayed=True) == "as it is"


async def test_of_concurrent_answers_one_decides(redis: Client) -> None:
    """All have looked before any has answered, and each saw something different."""
    asked = Ask(Actor.in_role("ann", "customer"), "key", b"fingerprint", 10, True)
    command_id = uuid.uuid4()
    looked = asyncio.Barrier(AT_ONCE)

    async def answer(number: int) -> Answer:
        async def made() -> Answer:
            await looked.wait()
            return Answer(f'{{"on_hand":{number}}}')

        accepted = Accepted(command_id, "MUG", number > 0, None, None)
        return await _answers(redis).first(asked, accepted, made)

    answers = await asyncio.gather(*(answer(number) for number in range(AT_ONCE)))
    assert len({answer.body for answer in answers}) == 1
    assert await answer_of_a_repetition(redis, asked, command_id) == answers[0]


async def answer_of_a_repetition(redis: Client, asked: Ask, command_id: uuid.UUID) -> Answer:
    async def never() -> Answer:
        raise AssertionError("there is an answer already")

    accepted = Accepted(command_id, "MUG", True, None, None)
    return await _answers(redis).first(asked, accepted, never)
