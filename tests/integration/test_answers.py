"""Kept answers: of all who answer one command at once, the first decides, in whichever process they are."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from domain.model import Actor
from gateway.writing.answers import Answer, Answers
from gateway.writing.submit import Accepted, Ask

AT_ONCE = 5


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    async with Redis.from_url(redis_url) as client:
        yield client


async def test_of_all_who_answer_at_once_one_decides(redis: Redis) -> None:
    """They have looked before anybody answered, and each saw something else."""
    asked = Ask(Actor.in_role("ann", "customer"), "key", b"fingerprint", 10, True)
    command_id = uuid.uuid4()
    looked = asyncio.Barrier(AT_ONCE)

    async def answer(number: int) -> Answer:
        async def made() -> Answer:
            await looked.wait()
            return Answer(f'{{"on_hand":{number}}}')

        accepted = Accepted(command_id, "MUG", number > 0, None, None)
        return await Answers(redis, kept_seconds=60, max_bytes=1_000).first(asked, accepted, made)

    answers = await asyncio.gather(*(answer(number) for number in range(AT_ONCE)))
    assert len({answer.body for answer in answers}) == 1
    assert await answer_of_a_repetition(redis, asked, command_id) == answers[0]


async def answer_of_a_repetition(redis: Redis, asked: Ask, command_id: uuid.UUID) -> Answer:
    async def never() -> Answer:
        raise AssertionError("there is an answer already")

    accepted = Accepted(command_id, "MUG", True, None, None)
    return await Answers(redis, kept_seconds=60, max_bytes=1_000).first(asked, accepted, never)
