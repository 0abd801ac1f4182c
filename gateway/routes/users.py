"""Everybody's accounts, for admins: list, create, change, deactivate, reactivate."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from domain.accounts import ChangeAccount, CreateAccount, DeactivateAccount, ReactivateAccount
from domain.erasure import EraseAccount
from domain.model import Personal
from domain.roles import CUSTOMER, SCOPES_OF_ROLE
from gateway.apidocs.responses import WRITE_HEADERS, read, write
from gateway.edge import edge_of
from gateway.identity.caller import Caller
from gateway.identity.requirements import require_role
from gateway.views import accounts as views
from gateway.views.accounts import AccountView
from gateway.web import API
from gateway.web.fields import AccountName, EmailAddress, NewPassword, Role, personal
from gateway.web.pages import Page
from gateway.web.problems import Problem
from gateway.web.requests import Body, body_schema, parse, read_body
from gateway.writing.settled import WAIT_SECONDS
from gateway.writing.submit import ask

router = APIRouter(prefix=f"{API}/users", tags=["accounts"])

Admin = Annotated[Caller, Depends(require_role("admin", "users:write"))]


class UserBody(Body):
    """A new account, of any role."""

    email: EmailAddress
    name: AccountName
    password: NewPassword
    role: Role = "customer"


class UserChangesBody(Body):
    """What to change; fields that are left out stay as they are."""

    name: AccountName | None = None
    role: Role | None = None


@router.get("", response_model=Page[AccountView], responses=read())
async def list_users(
    request: Request,
    caller: Admin,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1)] = 20,
    email: Annotated[EmailAddress | None, Query()] = None,
    role: Annotated[Role | None, Query()] = None,
) -> Response:
    """Accounts, newest first. `limit` is capped at the maximum page size."""
    edge = edge_of(request)
    async with edge.engine.connect() as connection:
        page = await views.newest(connection, cursor, min(limit, edge.config.page_max_rows), email=email, role=role)
    return Response(page.model_dump_json(), media_type="application/json")


@router.post(
    "",
    status_code=201,
    response_model=AccountView,
    responses=write("email_taken"),
    openapi_extra={**body_schema(UserBody), "parameters": WRITE_HEADERS},
)
async def create_user(request: Request, caller: Admin) -> Response:
    """Creates an account, whose role can do no more than yours. Waits for the outcome by default."""
    edge = edge_of(request)
    user = parse(UserBody, await read_body(request, edge.config.body_max_bytes))
    _check_may_give(caller, user.role)
    # What tells a repetition is kept, so the password must not go in.
    told = user.model_dump_json(exclude={"password"}).encode()
    asked = ask(request, caller.actor, told, wait_seconds=WAIT_SECONDS)
    account_id = edge.submitter.new_resource_id(asked)
    password_hash = await edge.passwords.hash(user.password)
    command = CreateAccount(account_id, Personal(user.email), Personal(user.name), user.role, password_hash)
    accepted = await edge.submitter.submit(asked, command, str(account_id))
    if accepted.outcome is None:
        return accepted.response()
    headers = {"Location": f"{router.prefix}/{accepted.resource}", **accepted.headers()}
    return await _shown(request, UUID(accepted.resource), 201, headers)


@router.get("/{user_id}", response_model=AccountView, responses=read("account_not_found"))
async def get_user(request: Request, caller: Admin, user_id: UUID) -> Response:
    """One account."""
    return await _shown(request, user_id, 200, {})


@router.patch(
    "/{user_id}",
    response_model=AccountView,
    responses=write("account_not_found", "own_account"),
    openapi_extra={**body_schema(UserChangesBody), "parameters": WRITE_HEADERS},
)
async def change_user(request: Request, caller: Admin, user_id: UUID) -> Response:
    """Changes the name or the role, the latter to one that can do no more than yours. Changing the role ends all
    sessions of the account. Waits for the outcome by default."""
    body = await read_body(request, edge_of(request).config.body_max_bytes)
    changes = parse(UserChangesBody, body)
    if changes.role is not None:
        _check_may_give(caller, changes.role)
    return await _change(request, caller, body, ChangeAccount(user_id, personal(changes.name), changes.role))


@router.post(
    "/{user_id}/deactivate",
    response_model=AccountView,
    responses=write("account_not_found", "account_state_conflict", "own_account"),
    openapi_extra={"parameters": WRITE_HEADERS},
)
async def deactivate_user(request: Request, caller: Admin, user_id: UUID) -> Response:
    """Ends all sessions of the account and blocks signing in. Waits for the outcome by default."""
    return await _change(request, caller, b"", DeactivateAccount(user_id))


@router.post(
    "/{user_id}/reactivate",
    response_model=AccountView,
    responses=write("account_not_found", "account_state_conflict"),
    openapi_extra={"parameters": WRITE_HEADERS},
)
async def reactivate_user(request: Request, caller: Admin, user_id: UUID) -> Response:
    """Lets the account's owner sign in again. Waits for the outcome by default."""
    return await _change(request, caller, b"", ReactivateAccount(user_id))


@router.delete(
    "/{user_id}",
    status_code=204,
    response_class=Response,
    responses=write("account_not_found", "own_account"),
    openapi_extra={"parameters": WRITE_HEADERS},
)
async def erase_user(request: Request, caller: Admin, user_id: UUID) -> Response:
    """Erases a person: name, addresses and password are deleted, and all sessions end. The orders stay, under an id
    that no longer identifies anyone. Waits for the outcome by default."""
    asked = ask(request, caller.actor, b"", wait_seconds=WAIT_SECONDS)
    accepted = await edge_of(request).submitter.submit(asked, EraseAccount(user_id), str(user_id))
    return accepted.response() if accepted.outcome is None else Response(None, 204, accepted.headers())


def _check_may_give(caller: Caller, role: str) -> None:
    """Raises a 403 Problem for a role that may do what the caller's token may not: the new account could sign in, and
    have more rights than the token. Anyone can become a customer."""
    if role != CUSTOMER and not caller.actor.scopes.issuperset(SCOPES_OF_ROLE[role]):
        raise Problem("forbidden", f"Your token's scopes do not cover those of the role `{role}`.")


async def _change(
    request: Request, caller: Caller, body: bytes, command: ChangeAccount | DeactivateAccount | ReactivateAccount
) -> Response:
    asked = ask(request, caller.actor, body, wait_seconds=WAIT_SECONDS)
    accepted = await edge_of(request).submitter.submit(asked, command, str(command.account_id))
    if accepted.outcome is None:
        return accepted.response()
    return await _shown(request, command.account_id, 200, accepted.headers())


async def _shown(request: Request, account_id: UUID, status: int, headers: dict[str, str]) -> Response:
    async with edge_of(request).engine.connect() as connection:
        account = await views.find(connection, account_id)
    if account is None:
        raise Problem("account_not_found", "There is no such account.")
    return Response(account.model_dump_json(), status, headers, "application/json")
