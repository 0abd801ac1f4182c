"""Errors as the client sees them: a problem document with an id to find it by, whatever went wrong, on every route."""

import ast
import json
from collections.abc import Callable
from importlib import import_module
from inspect import getsource
from pkgutil import walk_packages
from types import ModuleType, SimpleNamespace
from typing import Annotated, Any, NamedTuple

import asyncpg
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from starlette.types import ASGIApp, Message

import domain
import gateway
import workers
from gateway.identity.caller import Caller
from gateway.identity.requirements import require_role
from gateway.server.fastlane import FastLane, fast
from gateway.server.middleware.observed import Observed
from gateway.web import problems
from gateway.web.problems import ERRORS_MAX, STATUS_OF_CODE, TITLES, Problem

Anybody = Annotated[Caller, Depends(require_role("nobody"))]


class Answered(NamedTuple):
    status: int
    headers: dict[str, str]
    document: dict[str, Any]


async def ask(app: ASGIApp, path: str) -> Answered:
    """The app's answer to a POST. The app may also raise, which a server would log."""
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        messages.append(message)

    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "server": ("127.0.0.1", 80),
        "headers": [],
    }
    try:
        await app(scope, receive, send)
    except Exception:
        assert messages, "nothing was answered"
    start, *bodies = messages
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answered(start["status"], headers, json.loads(b"".join(body["body"] for body in bodies)))


class _Unlimited:
    async def count(self, *_: object) -> None:
        """Nobody is held back here."""


def failing(error: Callable[[], Exception]) -> ASGIApp:
    """An app with a route on each lane that raises this error."""
    router = APIRouter()

    @router.post("/slow")
    async def slow(request: Request, caller: Anybody) -> Response:
        raise error()

    @router.post("/fast")
    @fast
    async def quick(request: Request, caller: Anybody) -> Response:
        raise error()

    app = FastAPI()
    app.state.edge = SimpleNamespace(authenticator=None, limits=_Unlimited())  # no token is used here
    app.include_router(router)
    problems.install(app)
    return Observed(FastLane(app, [router], {}))


def lost() -> Exception:
    """How SQLAlchemy wraps a connection that Postgres has cut."""
    cut = asyncpg.ConnectionDoesNotExistError("gone")
    wrapped = Exception("wrapped")
    wrapped.__cause__ = cut
    return ProgrammingError("SELECT 1", {}, wrapped)


@pytest.mark.parametrize("path", ["/slow", "/fast"])
@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        pytest.param(lambda: Problem("forbidden", "No."), 403, "forbidden", id="problem"),
        pytest.param(lambda: RuntimeError("oh"), 500, "internal_error", id="surprise"),
        pytest.param(lambda: ProgrammingError("SELEC", {}, Exception("syntax")), 500, "internal_error", id="bad_sql"),
        pytest.param(lost, 503, "database_unavailable", id="connection_cut"),
        pytest.param(ConnectionRefusedError, 503, "database_unavailable", id="connection_refused"),
        pytest.param(PoolTimeoutError, 503, "database_unavailable", id="no_connection_free"),
        pytest.param(lambda: asyncpg.CannotConnectNowError("starting"), 503, "database_unavailable", id="starting"),
    ],
)
async def test_every_exception_becomes_a_problem(
    path: str, error: Callable[[], Exception], status: int, code: str
) -> None:
    answered = await ask(failing(error), path)
    assert answered.status == answered.document["status"] == status
    assert answered.document["code"] == code
    assert answered.headers["content-type"] == problems.MEDIA_TYPE
    assert answered.headers["x-request-id"]
    assert ("retry-after" in {name.lower() for name in answered.headers}) == (status == 503)


@pytest.mark.parametrize("path", ["/slow", "/fast"])
async def test_an_unexpected_error_does_not_reveal_its_cause(path: str) -> None:
    answered = await ask(failing(lambda: RuntimeError("the secret plan")), path)
    assert "secret" not in json.dumps(answered.document)


def test_every_code_has_a_status_and_a_title() -> None:
    assert TITLES.keys() == STATUS_OF_CODE.keys()
    assert all(400 <= status <= 599 for status in STATUS_OF_CODE.values())
    for code, status in STATUS_OF_CODE.items():
        document = json.loads(bytes(Problem(code, "Why.").response().body))
        assert document == {
            "type": f"urn:tidegate:problem:{code}",
            "title": TITLES[code],
            "status": status,
            "detail": "Why.",
            "code": code,
        }


def _codes_in(package: ModuleType, name: str) -> set[str]:
    """The codes passed to calls of `name` in the package, as far as they are literal in its source."""
    codes = set()
    for found in walk_packages(package.__path__, f"{package.__name__}."):
        module = import_module(found.name)
        for node in ast.walk(ast.parse(getsource(module))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
                code = node.args[0]
                if isinstance(code, ast.Name) and isinstance(getattr(module, code.id, None), str):
                    codes.add(getattr(module, code.id))
                elif isinstance(code, ast.Constant):
                    codes.add(code.value)
    return codes


def test_every_code_of_the_rules_has_a_status() -> None:
    codes = _codes_in(domain, "Rejection") | _codes_in(workers, "Rejection")
    assert {"insufficient_stock", "order_state_conflict", "version_conflict"} <= codes
    assert codes <= STATUS_OF_CODE.keys()


def test_every_code_of_the_gateway_has_a_status() -> None:
    codes = _codes_in(gateway, "Problem")
    assert {"malformed_json", "mailbox_full", "too_many_attempts"} <= codes
    assert codes <= STATUS_OF_CODE.keys()


def test_a_code_without_a_status_raises_at_once() -> None:
    with pytest.raises(KeyError):
        Problem("too_heavy", "Too heavy.")


def test_no_extension_takes_the_place_of_a_standard_member() -> None:
    problem = Problem("order_state_conflict", "No.", extensions={"status": "cancelled", "code": "x", "order_id": "1"})
    document = json.loads(bytes(problem.response().body))
    assert (document["status"], document["code"], document["order_id"]) == (409, "order_state_conflict", "1")


def test_of_very_many_errors_the_first_are_reported() -> None:
    errors = [{"loc": ("body", str(number)), "msg": "No.", "type": "extra_forbidden"} for number in range(20_000)]
    told = problems.invalid_request(errors).document()["errors"]
    assert [error["pointer"] for error in told] == [f"/body/{number}" for number in range(ERRORS_MAX)]
