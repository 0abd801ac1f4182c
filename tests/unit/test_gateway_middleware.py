"""The middleware: ids, times and security headers on every response; compression and CORS on request."""

import gzip
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from gateway.apidocs.responses import HEADERS
from gateway.server.middleware import around
from gateway.server.middleware.compression import accepts_gzip
from gateway.server.middleware.security import lets_run
from gateway.web.surface import Surface
from runtime.settings import Settings

SMALL = "x" * 1_023
LARGE = "x" * 1_024
SURFACE = Surface(
    ("GET", "HEAD", "PATCH", "POST"),
    ("Authorization", "Content-Type", "Idempotency-Key", "If-Match", "Prefer"),
    (re.compile("^/endless$"),),
)


class Answered:
    """What an app answered."""

    def __init__(self, messages: list[Message]) -> None:
        start, *bodies = messages
        self.status: int = start["status"]
        self.headers = {name.decode(): value.decode() for name, value in start["headers"]}
        assert len(self.headers) == len(start["headers"]), "no header twice"
        self.chunks = [message.get("body", b"") for message in bodies]

    @property
    def body(self) -> bytes:
        return b"".join(self.chunks)


App = Callable[[Scope, Receive, Send], Awaitable[None]]


async def ask(
    app: App, *, scheme: str = "http", method: str = "GET", path: str = "/", settings: Any = None, **headers: str
) -> Answered:
    """Sends a request through the middleware to `app`; underscores in header names are hyphens."""
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    asgi = {"version": "3.0", "spec_version": "2.4"}
    scope = {"type": "http", "asgi": asgi, "method": method, "path": path, "scheme": scheme, "headers": raw}
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        messages.append(message)

    await around(app, Settings(**(settings or {})), SURFACE, HEADERS)(scope, receive, send)
    return Answered(messages)


def text(content: str, **headers: str) -> App:
    return PlainTextResponse(content, headers=headers)


async def test_every_answer_has_an_id_a_time_and_security_headers() -> None:
    answer = await ask(text("hi"))
    assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])
    assert 0 <= float(answer.headers["x-process-time"]) < 60
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["content-security-policy"] == "default-src 'none'; frame-ancestors 'none'"


async def test_responses_are_not_cached_unless_they_say_so() -> None:
    assert (await ask(text("hi"))).headers["cache-control"] == "no-store"
    assert (await ask(text("hi", **{"cache-control": "public, max-age=9"}))).headers["cache-control"].startswith("pub")


async def test_hsts_is_sent_only_over_https() -> None:
    assert "strict-transport-security" not in (await ask(text("hi"))).headers
    assert (await ask(text("hi"), scheme="https")).headers["strict-transport-security"].startswith("max-age=")


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_page_has_a_policy_of_its_own(scheme: str) -> None:
    async def page(scope: Scope, receive: Receive, send: Send) -> None:
        lets_run(scope, b"default-src 'self'")
        await Response("<p>")(scope, receive, send)

    answer = await ask(page, scheme=scheme)
    assert answer.headers["content-security-policy"] == "default-src 'self'"
    assert ("strict-transport-security" in answer.headers) == (scheme == "https")


async def test_large_responses_are_compressed_for_clients_that_accept_it() -> None:
    answer = await ask(text(LARGE), accept_encoding="gzip, deflate")
    assert answer.headers["content-encoding"] == "gzip"
    assert answer.headers["vary"] == "Accept-Encoding"
    assert int(answer.headers["content-length"]) == len(answer.body) < len(LARGE)
    assert gzip.decompress(answer.body).decode() == LARGE


@pytest.mark.parametrize("accepted", [{}, {"accept_encoding": "br"}, {"accept_encoding": "gzip;q=0, br"}])
async def test_large_responses_vary_by_encoding(accepted: dict[str, str]) -> None:
    answer = await ask(text(LARGE), **accepted)
    assert answer.body.decode() == LARGE
    assert answer.headers["vary"] == "Accept-Encoding"
    assert "content-encoding" not in answer.headers


async def test_small_responses_are_not_compressed() -> None:
    answer = await ask(text(SMALL), accept_encoding="gzip")
    assert answer.body.decode() == SMALL
    assert "content-encoding" not in answer.headers
    assert "vary" not in answer.headers


@pytest.mark.parametrize("status", [204, 304])
async def test_responses_without_a_body_have_no_encoding(status: int) -> None:
    answer = await ask(Response(status_code=status), accept_encoding="gzip")
    assert (answer.status, answer.body) == (status, b"")
    assert "content-encoding" not in answer.headers


def stream(media_type: str) -> App:
    async def chunks() -> Any:
        for _ in range(3):
            yield b"a,b\n" * 100

    return StreamingResponse(chunks(), media_type=media_type)


async def test_a_stream_is_compressed_chunk_by_chunk() -> None:
    answer = await ask(stream("text/csv"), accept_encoding="gzip")
    assert answer.headers["content-encoding"] == "gzip"
    assert "content-length" not in answer.headers
    assert gzip.decompress(answer.body) == b"a,b\n" * 300
    assert sum(1 for chunk in answer.chunks if chunk) >= 3, "nothing is held back"


async def test_an_event_stream_is_never_compressed() -> None:
    answer = await ask(stream("text/event-stream"), accept_encoding="gzip")
    assert "content-encoding" not in answer.headers
    assert answer.body == b"a,b\n" * 300


async def test_compressed_responses_are_left_alone() -> None:
    answer = await ask(text(LARGE, **{"content-encoding": "br"}), accept_encoding="gzip")
    assert answer.headers["content-encoding"] == "br"
    assert answer.body.decode() == LARGE


@pytest.mark.parametrize(
    ("header", "accepts"),
    [
        ("gzip", True),
        ("GZIP", True),
        ("x-gzip", True),
        ("deflate, gzip;q=0.5", True),
        ("br , gzip ; q=1.0 , zstd", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000, br", False),
        ("gzip;q=0.001", True),
        ("", False),
        ("br", False),
        ("gzipped", False),
        ("identity, not-gzip", False),
    ],
)
def test_who_accepts_gzip(header: str, accepts: bool) -> None:
    assert accepts_gzip(header.encode()) is accepts


async def test_without_origins_in_the_settings_no_script_of_another_site_may_read() -> None:
    answer = await ask(text("hi"), origin="https://shop.example")
    assert not [name for name in answer.headers if name.startswith("access-control")]


SHARED = {"cors_origins": "https://shop.example, https://admin.example"}


async def test_scripts_of_the_settings_origins_may_read() -> None:
    for origin in ("https://shop.example", "https://admin.example"):
        answer = await ask(text("hi"), settings=SHARED, origin=origin)
        assert answer.headers["access-control-allow-origin"] == origin
        assert {"ETag", "Location", "X-Request-ID"} <= set(answer.headers["access-control-expose-headers"].split(", "))
        assert "access-control-allow-credentials" not in answer.headers
        assert answer.headers["vary"] == "Origin"


async def test_scripts_of_other_origins_may_not() -> None:
    answer = await ask(text("hi"), settings=SHARED, origin="https://shop.example.evil.example")
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    ("origin", "method", "headers", "status"),
    [
        ("https://shop.example", "POST", "authorization, content-type, idempotency-key, prefer", 200),
        ("https://shop.example", "PATCH", "if-match", 200),
        ("https://evil.example", "POST", "authorization", 400),
        ("https://shop.example", "TRACE", "authorization", 400),
        ("https://shop.example", "POST", "x-anything", 400),
    ],
)
async def test_preflight_requests(origin: str, method: str, headers: str, status: int) -> None:
    answer = await ask(
        text("the app is not asked"),
        method="OPTIONS",
        settings=SHARED,
        origin=origin,
        access_control_request_method=method,
        access_control_request_headers=headers,
    )
    assert answer.status == status
    assert b"the app" not in answer.body


@pytest.mark.parametrize("settings", [None, SHARED])
async def test_head_is_answered_like_get_without_the_body(settings: Any) -> None:
    apps: list[Callable[[], App]] = [
        lambda: text(SMALL),
        lambda: text(LARGE),
        lambda: stream("text/csv"),
        lambda: Response(status_code=204),
    ]
    for app in apps:
        got = await ask(app(), settings=settings, accept_encoding="gzip")
        headed = await ask(app(), settings=settings, accept_encoding="gzip", method="HEAD")
        assert (headed.status, headed.body, len(headed.chunks)) == (got.status, b"", 1)
        assert headed.headers.keys() == got.headers.keys()
        assert headed.headers.get("content-length") == got.headers.get("content-length")


async def test_head_of_an_endless_answer_is_the_app_s_to_refuse() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse(scope["method"])(scope, receive, send)

    assert (await ask(app, method="HEAD", path="/endless")).body == b"HEAD"
    assert (await ask(app, method="POST", path="/")).body == b"POST"
