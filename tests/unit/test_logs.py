"""Log lines: JSON or text, each with the ids of what it is about, from every logger."""

import asyncio
import json
import logging
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from runtime import logs
from runtime.settings import Settings
from tests.unit.test_gateway_middleware import ask

COMMAND = UUID("01a203dc-fb6e-7f19-b198-be458dd22687")
_TOUCHED = ("", "uvicorn", "uvicorn.error", "uvicorn.access", "taskiq", "apscheduler", "asyncio")


@pytest.fixture(autouse=True)
def _loggers_as_before() -> Iterator[None]:
    before = [
        (logger, logger.level, list(logger.handlers), list(logger.filters), logger.propagate)
        for logger in map(logging.getLogger, _TOUCHED)
    ]
    yield
    for logger, level, handlers, filters, propagate in before:
        logger.setLevel(level)
        logger.handlers[:], logger.filters[:], logger.propagate = handlers, filters, propagate


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_a_line_of_json_has_everything(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", as_json=True)
    with logs.about(command_id=COMMAND, order_id=None):
        try:
            raise ValueError("two\nlines")
        except ValueError:
            logging.getLogger("ours").exception("it %s", "failed")
    logging.getLogger("ours").debug("too low")
    (line,) = lines(capsys)
    assert {name: line[name] for name in ("level", "logger", "message", "command_id")} == {
        "level": "ERROR",
        "logger": "ours",
        "message": "it failed",
        "command_id": str(COMMAND),
    }
    assert line["exception"].endswith("ValueError: two\nlines")
    assert "order_id" not in line


def test_text_names_the_same_ids(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", as_json=False)
    with logs.about(request_id=b"abc"), logs.about(command_id=COMMAND, seq=3):
        logging.getLogger("ours").warning("hm")
    logging.getLogger("ours").warning("nothing in particular")
    first, second = capsys.readouterr().err.splitlines()
    assert first.endswith(f" WARNING ours: hm [request_id=abc command_id={COMMAND} seq=3]")
    assert second.endswith(" ours: nothing in particular")


def test_uvicorns_lines_are_like_ours_and_hold_no_personal_data(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("uvicorn", "uvicorn.access"):  # as uvicorn sets them up
        logging.getLogger(name).handlers[:] = [logging.StreamHandler()]
        logging.getLogger(name).propagate = False
    logs.configure("INFO", as_json=True)
    logging.getLogger("uvicorn.error").error("the address is in use")
    access = logging.getLogger("uvicorn.access")
    access.setLevel(logging.INFO)
    access.info('%s - "%s %s HTTP/%s" %d', "203.0.113.9:5000", "GET", "/users?email=a@example.com", "1.1", 200)
    assert [(line["logger"], line["message"]) for line in lines(capsys)] == [
        ("uvicorn.error", "the address is in use"),
        ("uvicorn.access", '- - "GET /users HTTP/1.1" 200'),
    ]


def test_a_silent_access_log_stays_silent() -> None:
    access = logging.getLogger("uvicorn.access")
    access.handlers, access.propagate = [], False  # as uvicorn does for `--no-access-log`
    logs.configure("INFO", as_json=True)
    assert not access.hasHandlers()


async def test_log_lines_of_a_request_have_its_id(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("INFO", as_json=True)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        logging.getLogger("app").warning("looking")
        await PlainTextResponse("hi")(scope, receive, send)

    # Each request is its own task, as in uvicorn.
    sent = asyncio.create_task(ask(app, x_request_id="mine"))
    drawn = asyncio.create_task(ask(app))
    assert (await sent).headers["x-request-id"] == "mine"
    answered = (await drawn).headers["x-request-id"]
    logging.getLogger("app").warning("outside")
    assert [line.get("request_id") for line in lines(capsys)] == ["mine", answered, None]


@pytest.mark.parametrize(
    ("mode", "log_format", "is_json"),
    [
        ("development", None, False),
        ("production", None, True),
        ("development", "json", True),
        ("production", "text", False),
    ],
)
def test_which_format(mode: str, log_format: str | None, is_json: bool) -> None:
    config = Settings(mode=mode, log_format=log_format, jwt_secret="a secret of its own, long enough")
    assert config.logs_json is is_json
