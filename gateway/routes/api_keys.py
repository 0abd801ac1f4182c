"""API keys, for admins: make one, list them, revoke one."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from domain.api_keys import CreateApiKey, RevokeApiKey
from domain.model import Secret
from domain.roles import SCOPES_OF_ROLE
from gateway.apidocs.responses import WRITE_HEADERS, headers, problems, read, write
from gateway.edge import edge_of
from gateway.identity.api_keys import new_secret
from gateway.identity.caller import Caller
from gateway.identity.oauth import NO_STORE
from gateway.identity.requirements import require_role
from gateway.views import accounts as views
from gateway.views.accounts import KeyView
from gateway.web import API
from gateway.web.fields import KeyName, Role
from gateway.web.pages import Page
from gateway.web.problems import Problem, invalid_request
from gateway.web.requests import Body, body_schema, parse, read_body
from gateway.writing.answers import Answer
from gateway.writing.settled import WAIT_SECONDS, settled
from gateway.writing.submit import Ask, ask

router = APIRouter(prefix=f"{API}/keys", tags=["keys"])

Admin = Annotated[Caller, Depends(require_role("admin", "keys:write"))]

_SCOPES_MAX = 50


class KeyBody(Body):
    """A new API key: its name, its role, and its scopes within that role."""

    name: KeyName
    role: Role = Field(examples=["staff"])
    scopes: list[str] = Field(min_length=1, max_length=_SCOPES_MAX, examples=[["inventory:read", "inventory:write"]])


class NewKeyView(KeyView):
    """An API key with the `key` itself, to be sent as a bearer token. It cannot be shown again."""

    key: str


@router.post(
    "",
    status_code=201,
    response_model=NewKeyView,
    responses={
        201: headers("Location"),
        **problems(400, 401, 403, 413, 415, 422, 500, 503, "undecided"),
    },
    openapi_extra=body_schema(KeyBody),
)
async def create_key(request: Request, caller: Admin) -> Response:
    """Creates an API key and shows it, this once. It can do no more than its creator. The request always waits for the
    outcome, and cannot be repeated with an Idempotency-Key, since the key could not be shown again."""
    edge = edge_of(request)
    body = parse(KeyBody, await read_body(request, edge.config.body_max_bytes))
    scopes = tuple(sorted(set(body.scopes)))
    if not SCOPES_OF_ROLE[body.role].issuperset(scopes):
        error = {"loc": ("scopes",), "msg": "The role does not allow all of these.", "type": "scopes_not_allowed"}
        raise invalid_request([error])
    if not caller.actor.scopes.issuperset(scopes):
        raise Problem("forbidden", "You cannot grant more rights than you have.")
    key_id = edge.submitter.new_resource_id(Ask(caller.actor, None, None, None, False))
    secret = new_secret(key_id)
    command = CreateApiKey(key_id, body.name, body.role, scopes, Secret(secret.secret_hash))
    await settled(edge.submitter, caller.actor, command, str(key_id))
    async with edge.engine.connect() as connection:
        shown = await views.find_key(connection, key_id)
    assert shown is not None, "a key that was made is there"
    made = NewKeyView(**shown.model_dump(), key=secret.key)
    return Response(
        made.model_dump_json(), 201, {"Location": f"{router.prefix}/{key_id}", **NO_STORE}, "application/json"
    )


@router.get("", response_model=Page[KeyView], responses=read())
async def list_keys(
    request: Request,
    caller: Admin,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1)] = 20,
) -> Response:
    """API keys, newest first, including revoked ones; the time of last use is accurate to the minute. `limit` is capped
    at the maximum page size."""
    edge = edge_of(request)
    async with edge.engine.connect() as connection:
        page = await views.newest_keys(connection, cursor, min(limit, edge.config.page_max_rows))
    return Response(page.model_dump_json(), media_type="application/json")


@router.get("/{key_id}", response_model=KeyView, responses=read("api_key_not_found"))
async def get_key(request: Request, caller: Admin, key_id: UUID) -> Response:
    """One API key, without its secret."""
    return Response(await _shown(request, key_id), media_type="application/json")


@router.post(
    "/{key_id}/revoke",
    response_model=KeyView,
    responses=write("api_key_not_found", "api_key_revoked"),
    openapi_extra={"parameters": WRITE_HEADERS},
)
async def revoke_key(request: Request, caller: Admin, key_id: UUID) -> Response:
    """Revokes an API key: within moments it is refused everywhere. Waits for the outcome by default."""
    asked = ask(request, caller.actor, b"", wait_seconds=WAIT_SECONDS)
    edge = edge_of(request)
    accepted = await edge.submitter.submit(asked, RevokeApiKey(key_id), str(key_id))

    async def made() -> Answer:
        return Answer(await _shown(request, key_id))

    return await edge.answers.respond(asked, accepted, made)


async def _shown(request: Request, key_id: UUID) -> str:
    """The key as JSON."""
    async with edge_of(request).engine.connect() as connection:
        key = await views.find_key(connection, key_id)
    if key is None:
        raise Problem("api_key_not_found", "There is no such API key.")
    return key.model_dump_json()
