"""Which requests the fast lane serves, and which it leaves to FastAPI."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Annotated
from uuid import UUID

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, Response
from starlette.types import Message

from gateway.identity.caller import Caller
from gateway.identity.requirements import require_role
from gateway.server.fastlane import FAST_ROUTE, FastLane, fast
from gateway.web import problems

ID = "01a203dc-fb6e-7f19-b198-be458dd22687"
Anybody = Annotated[Caller, Depends(require_role("nobody"))]


class _Unlimited:
    async def count(self, *_: object) -> None:
        """Nobody is held back here."""


def lane() -> FastLane:
    router = APIRouter(prefix="/things")

    @router.get("/{thing_id}")
    @fast
    async def get_thing(request: Request, caller: Anybody, thing_id: UUID) -> Response:
        return Response(f"thing {thing_id} by {request.scope.get(FAST_ROUTE)}")

    @router.get("/{thing_id}/parts")
    @fast
    async def get_parts(request: Request, caller: Anybody, thing_id: UUID) -> Response:
        return Response(f"parts of {thing_id} by {request.scope.get(FAST_ROUTE)}")

    @router.get("/{thing_id}/other")
    async def get_other(request: Request, caller: Anybody, thing_id: UUID) -> Response:
        return Response(f"other of {thing_id} by {request.scope.get(FAST_ROUTE)}")

    app = FastAPI(redirect_slashes=False)
    app.state.edge = SimpleNamespace(authenticator=None, limits=_Unlimited())
    app.include_router(router)
    problems.install(app)
    return FastLane(app, [router], {})


async def ask(path: str, method: str = "GET") -> tuple[int, str]:
    """The status and body of an answer."""
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        messages.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "scheme": "http",
        "http_version": "1.1",
    }
    await lane()(scope, receive, send)
    start, *bodies = messages
    return start["status"], b"".join(body.get("body", b"") for body in bodies).decode()


@pytest.mark.parametrize("written", [ID, ID.upper()])
async def test_a_path_with_an_id_is_served_fast(written: str) -> None:
    assert await ask(f"/things/{written}") == (200, f"thing {ID} by /things/{{thing_id}}")
    assert await ask(f"/things/{written}/parts") == (200, f"parts of {ID} by /things/{{thing_id}}/parts")


@pytest.mark.parametrize("written", [ID.replace("-", ""), f"urn:uuid:{ID}", f"{{{ID}}}"])
async def test_an_id_that_is_written_otherwise_is_left_to_fastapi(written: str) -> None:
    assert await ask(f"/things/{written}") == (200, f"thing {ID} by None")


async def test_routes_that_are_not_marked_are_left_to_fastapi() -> None:
    assert await ask(f"/things/{ID}/other") == (200, f"other of {ID} by None")


@pytest.mark.parametrize("path", ["/things/", "/things/{}", "/things/{thing_id}", "/things/1", f"/things/{ID[:-1]}"])
async def test_an_invalid_id_is_refused_as_without_the_fast_lane(path: str) -> None:
    status, _ = await ask(path)
    assert status in (404, 422)


@pytest.mark.parametrize("path", [f"/things/{ID}/", f"/things/{ID}\n", f"/things/{ID}/{ID}", f"/{ID}"])
async def test_a_longer_path_does_not_match(path: str) -> None:
    status, said = await ask(path)
    assert status in (404, 422), said


async def test_another_method_is_not_served() -> None:
    assert (await ask(f"/things/{ID}", "DELETE"))[0] == 405
