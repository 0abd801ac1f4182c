"""Load by people who do one thing after another: each answer goes to the person who asked, and every failure is
counted."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

from loadtests.conversations import Conversation, Pause, Talked, run
from tests.unit.test_loadgen import PING, serving


def _answer(number: int, status: str = "200 OK", head: str = "") -> bytes:
    body = json.dumps({"number": number}).encode()
    return f"HTTP/1.1 {status}\r\n{head}content-length: {len(body)}\r\n\r\n".encode() + body


def test_a_conversation_goes_on_from_each_answer_and_then_the_next_begins() -> None:
    heard: list[list[int]] = []

    def talk(talked: Talked, asks: int) -> Conversation:
        mine: list[int] = []
        heard.append(mine)
        for _ in range(asks):
            answer = yield PING
            mine.append(answer.json(200)["number"])
            assert (yield Pause(0.001)) == answer
        talked.timed("talk", 0.002 * asks)

    with serving(map(_answer, itertools.count())) as (server, port):
        result = run("127.0.0.1", port, lambda talked: iter([talk(talked, 2), talk(talked, 1)]), people=1, seconds=60)
    assert heard == [[0, 1], [2]]
    assert (result.finished, result.requests, server.requests, result.failures) == (2, 3, 3, {})
    assert (result.percentile_ms("talk", 50), result.percentile_ms("talk", 100)) == (2, 4)
    assert result.percentile_ms("nothing", 99) == 0


def test_no_conversation_begins_after_the_time_is_over() -> None:
    def talk() -> Conversation:
        yield PING
        yield PING

    with serving(map(_answer, itertools.count())) as (server, port):
        result = run("127.0.0.1", port, lambda _: iter(talk, None), people=4, seconds=0.1)
    assert result.failures == {}
    assert 0 < result.finished == server.requests / 2
    assert 0.05 < result.seconds < 2.0


def test_an_unexpected_answer_breaks_off_that_conversation_only() -> None:
    def talk() -> Conversation:
        (yield PING).json(200)

    def talks(_: Talked) -> Iterator[Conversation]:
        return iter([talk() for _ in range(3)])

    with serving([_answer(0), _answer(1, "503 Busy"), _answer(2)]) as (_, port):
        result = run("127.0.0.1", port, talks, people=1, seconds=60)
    assert result.finished == 2
    assert result.failures == {'Unexpected: wanted status 200, got 503: {"number": 1}': 1}


def test_a_closed_connection_counts_as_one_failure_per_person() -> None:
    def talk() -> Conversation:
        yield PING

    def talks(_: Talked) -> Iterator[Conversation]:
        return iter([talk() for _ in range(4)])

    with serving([None, None]) as (_, port):
        result = run("127.0.0.1", port, talks, people=2, seconds=60)
    assert (result.finished, result.failures) == (0, {"the connection was closed": 2})
