"""Reading requests: bodies within their bound, `Prefer` and `Idempotency-Key` in all the ways they are written."""

from collections.abc import Iterable
from typing import Any

import pytest
from fastapi import Request

from domain.limits import IDEMPOTENCY_KEY_MAX_CHARS
from gateway.web.problems import Problem
from gateway.web.requests import Body, idempotency_key, parse, preferred_wait, read_body

MAX_BYTES = 10


class Sent:
    """A request as its connection delivers it; counts what was read of it."""

    def __init__(self, *headers: tuple[str, str], chunks: Iterable[bytes | None] = ()) -> None:
        self.taken = 0
        self._chunks = list(chunks)
        raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
        self.request = Request({"type": "http", "headers": raw}, self._receive)

    async def _receive(self) -> dict[str, Any]:
        chunk = self._chunks[self.taken]
        self.taken += 1
        if chunk is None:
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": chunk, "more_body": self.taken < len(self._chunks)}


JSON = ("content-type", "application/json")


async def test_a_body_is_its_chunks_in_order() -> None:
    sent = Sent(JSON, chunks=[b"01", b"", b"234", b"56789"])
    assert await read_body(sent.request, MAX_BYTES) == b"0123456789"


async def test_a_missing_body_is_empty() -> None:
    assert await read_body(Sent(JSON, chunks=[b""]).request, MAX_BYTES) == b""


async def test_reading_stops_at_the_chunk_that_exceeds_the_bound() -> None:
    sent = Sent(JSON, chunks=[b"0123456789", b"x", b"never", b"read"])
    with pytest.raises(Problem) as refused:
        await read_body(sent.request, MAX_BYTES)
    assert (refused.value.code, refused.value.headers) == ("body_too_large", {"Connection": "close"})
    assert sent.taken == 2


@pytest.mark.parametrize("length", ["11", "00000011", "9" * 100])
async def test_a_body_declared_too_large_is_not_read(length: str) -> None:
    sent = Sent(JSON, ("content-length", length), chunks=[b"x"])
    with pytest.raises(Problem, match="at most 10 bytes"):
        await read_body(sent.request, MAX_BYTES)
    assert sent.taken == 0


async def test_a_body_of_another_type_is_not_read() -> None:
    sent = Sent(("content-type", "text/plain"), chunks=[b"x"])
    with pytest.raises(Problem, match="Send application/json"):
        await read_body(sent.request, MAX_BYTES)
    assert sent.taken == 0


async def test_a_client_that_disconnects_early_has_sent_no_body() -> None:
    with pytest.raises(Problem) as refused:
        await read_body(Sent(JSON, chunks=[b'{"a":', None]).request, MAX_BYTES)
    assert refused.value.code == "incomplete_body"


class Parcel(Body):
    weight: int


def test_a_body_is_read_strictly() -> None:
    assert parse(Parcel, b'{"weight": 3}') == Parcel(weight=3)
    for wrong in (b'{"weight": "3"}', b'{"weight": 3.0}', b'{"weight": true}', b'{"weight": 3, "height": 1}', b"{}"):
        with pytest.raises(Problem, match="does not match"):
            parse(Parcel, wrong)


def test_every_invalid_field_is_named() -> None:
    with pytest.raises(Problem) as refused:
        parse(Parcel, b'{"weight": null, "height": 1}')
    errors = refused.value.extensions["errors"]
    assert {error["pointer"] for error in errors} == {"/weight", "/height"}
    assert all(error.keys() == {"pointer", "detail", "type"} for error in errors)


def test_errors_do_not_repeat_what_was_sent() -> None:
    """An error may be logged by the client; its own secrets are not for us to repeat."""
    with pytest.raises(Problem) as refused:
        parse(Parcel, b'{"weight": "s3cret"}')
    assert b"s3cret" not in bytes(refused.value.response().body)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ([], None),
        (["wait=5"], 5),
        (["wait=0"], 0),
        (["wait = 5 "], 5),
        (["WAIT=5"], 5),
        (['wait="5"'], 5),
        (["respond-async, wait=5"], 5),
        (["respond-async,wait=5;x=y"], 5),
        (["wait=5, wait=6"], 5),
        (["respond-async", "wait=5"], 5),
        (["wait=999999999"], 999_999_999),
        (["respond-async"], 0),
        (["Respond-Async ; x, handling=lenient"], 0),
        (["do-not-respond-async"], None),
        (["respond-async-not"], None),
        (["wait"], None),
        (["wait="], None),
        (["wait=-5"], None),
        (["wait=5.5"], None),
        (["wait=5s"], None),
        (["wait=1234567890"], None),
        (["await=5"], None),
        (["wait-=5"], None),
        (["handling=lenient; wait=5"], None),
        (["x=wait=5"], None),
        ([""], None),
    ],
)
def test_how_long_to_wait(headers: list[str], seconds: int | None) -> None:
    assert preferred_wait(Sent(*(("prefer", header) for header in headers)).request) == seconds


@pytest.mark.parametrize(
    ("header", "key"),
    [
        (None, None),
        ("abc", "abc"),
        ('"abc"', "abc"),
        (" abc ", "abc"),
        ('"', '"'),
        ('a"b', 'a"b'),
        ('""abc""', '"abc"'),
        ("k" * IDEMPOTENCY_KEY_MAX_CHARS, "k" * IDEMPOTENCY_KEY_MAX_CHARS),
        (f'"{"k" * IDEMPOTENCY_KEY_MAX_CHARS}"', "k" * IDEMPOTENCY_KEY_MAX_CHARS),
    ],
)
def test_an_idempotency_key(header: str | None, key: str | None) -> None:
    headers = [] if header is None else [("idempotency-key", header)]
    assert idempotency_key(Sent(*headers).request) == key


@pytest.mark.parametrize(
    "header", ["", '""', "a b", "a\tb", "ä", "a\x7f", "a\x00", "k" * (IDEMPOTENCY_KEY_MAX_CHARS + 1)]
)
def test_invalid_idempotency_keys_are_refused(header: str) -> None:
    with pytest.raises(Problem) as refused:
        idempotency_key(Sent(("idempotency-key", header)).request)
    assert refused.value.code == "invalid_idempotency_key"
