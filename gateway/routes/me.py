"""One's own account: see it, change the name, change the password; and what is known about oneself, guests included:
have it, have it erased."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from domain.accounts import ChangeAccount
from domain.erasure import EraseAccount, EraseOrderAddress
from domain.orders import is_guest
from domain.passwords import ChangePassword
from gateway.apidocs.responses import WRITE_HEADERS, problems, read, write
from gateway.edge import edge_of
from gateway.identity.caller import Caller
from gateway.identity.oauth import NO_STORE, TokensView
from gateway.identity.requirements import require_role
from gateway.views import accounts as views
from gateway.views.accounts import AccountView
from gateway.web import API
from gateway.web.fields import AccountName, NewPassword, personal
from gateway.web.problems import Problem
from gateway.web.requests import Body, body_schema, parse, read_body
from gateway.writing.settled import WAIT_SECONDS, settled
from gateway.writing.submit import ask
from runtime.personal_data import exported, exported_of_guest, order_of_guest
from runtime.tokens import mint_in_session

router = APIRouter(prefix=f"{API}/me", tags=["accounts"])

Reader = Annotated[Caller, Depends(require_role("customer"))]
Writer = Annotated[Caller, Depends(require_role("customer", "profile:write"))]
Subject = Annotated[Caller, Depends(require_role("guest"))]
Eraser = Annotated[Caller, Depends(require_role("guest", "profile:write"))]


_EXPORTED: Final[dict[str, Any]] = {
    "description": "The account, its sessions, checkouts, orders with their invoices and credit notes, and store "
    "credit; of a guest, the checkouts and orders.",
    "content": {"application/json": {"schema": {"type": "object"}}},
}


class ProfileBody(Body):
    """What people may change about their own account; fields that are left out stay as they are."""

    name: AccountName | None = None


class PasswordBody(Body):
    """The current password and the new one: 8 to 256 characters of any kind."""

    current_password: str = Field(examples=["demo-customer"], json_schema_extra={"format": "password"})
    new_password: NewPassword


@router.get("", response_model=AccountView, responses=read("account_not_found"))
async def get_me(request: Request, caller: Reader) -> Response:
    """Your account. Tokens without an account, such as API keys, get a 404."""
    return await _shown(request, _account_id(caller), {})


@router.patch(
    "",
    response_model=AccountView,
    responses=write("account_not_found"),
    openapi_extra={**body_schema(ProfileBody), "parameters": WRITE_HEADERS},
)
async def change_me(request: Request, caller: Writer) -> Response:
    """Changes your name. The e-mail address is what you sign in with, and cannot be changed. Waits for the outcome by
    default."""
    edge, account_id = edge_of(request), _account_id(caller)
    body = await read_body(request, edge.config.body_max_bytes)
    command = ChangeAccount(account_id, personal(parse(ProfileBody, body).name))
    asked = ask(request, caller.actor, body, wait_seconds=WAIT_SECONDS)
    accepted = await edge.submitter.submit(asked, command, str(account_id))
    if accepted.outcome is None:
        return accepted.response()
    return await _shown(request, account_id, accepted.headers())


@router.delete(
    "",
    status_code=204,
    response_class=Response,
    responses=write("account_not_found", "order_not_found", "own_account"),
    openapi_extra={"parameters": WRITE_HEADERS},
)
async def erase_me(request: Request, caller: Eraser) -> Response:
    """Erases you: your name, addresses and password are deleted, and all your sessions end. Your orders and their
    invoices stay, under an id that no longer identifies anyone. A guest's token erases the addresses on the guest's
    orders, and stays valid for them. Waits for the outcome by default."""
    edge = edge_of(request)
    command: EraseAccount | EraseOrderAddress
    if is_guest(caller.actor.principal):
        order_id = await _order_of_guest(request, caller)
        command, resource = EraseOrderAddress(order_id), order_id
    else:
        resource = _account_id(caller)
        command = EraseAccount(resource)
    asked = ask(request, caller.actor, b"", wait_seconds=WAIT_SECONDS)
    accepted = await edge.submitter.submit(asked, command, str(resource))
    return accepted.response() if accepted.outcome is None else Response(None, 204, accepted.headers())


@router.get(
    "/export", response_class=Response, responses={200: _EXPORTED, **read("account_not_found", "order_not_found")}
)
async def export_me(request: Request, caller: Subject) -> Response:
    """Everything stored about you, as JSON: your account, sessions, checkouts, orders with their invoices and credit
    notes, and store credit; with a guest's token, the checkouts and orders."""
    async with edge_of(request).engine.connect() as connection:
        if is_guest(caller.actor.principal):
            known = await exported_of_guest(connection, caller.actor.principal)
        else:
            known = await exported(connection, _account_id(caller))
    if known is None:
        raise _no_order() if is_guest(caller.actor.principal) else _not_found()
    said = {**NO_STORE, "Content-Disposition": 'attachment; filename="my-data.json"'}
    return Response(known, 200, said, "application/json")


@router.post(
    "/password",
    response_model=TokensView,
    responses={
        204: {"description": "Changed. The token used belongs to no session, so there is no new one."},
        **problems(
            *(400, 401, 403, 404, 409, 413, 415, 422, 500, 503),
            "account_not_found",
            "account_changed",
            "wrong_password",
            "too_many_attempts",
            "undecided",
        ),
    },
    openapi_extra=body_schema(PasswordBody),
)
async def change_password(request: Request, caller: Writer) -> Response:
    """Changes your password and ends all your sessions except this one, which gets a new access token: the old one is
    refused within moments, the refresh token stays valid."""
    edge, account_id = edge_of(request), _account_id(caller)
    passwords = parse(PasswordBody, await read_body(request, edge.config.body_max_bytes))
    async with edge.engine.connect() as connection:
        account = await views.sign_in_of(connection, account_id)
    if account is None:
        raise _not_found()
    attempt = await edge.throttle.sign_in(account.email, request.scope)
    if not await edge.passwords.check(passwords.current_password, account.password_hash):
        raise Problem("wrong_password", "The current password is wrong.")
    await attempt.succeeded()
    password_hash = await edge.passwords.hash(passwords.new_password)
    command = ChangePassword(account_id, account.epoch, password_hash, caller.session_id)
    await settled(edge.submitter, caller.actor, command, str(account_id))
    if caller.session_id is None:
        return Response(status_code=204)
    async with edge.engine.connect() as connection:
        session = await views.session_now(connection, caller.session_id)
    if session is None:
        raise Problem("account_changed", "The password was changed, but this session has ended: sign in again.")
    lifetime_seconds = edge.config.access_token_seconds
    access_token = mint_in_session(
        edge.keys,
        account_id,
        session.role,
        session_id=caller.session_id,
        scopes=session.scopes,
        epoch=session.epoch,
        lifetime_seconds=lifetime_seconds,
    )
    return TokensView(
        access_token=access_token,
        token_type="bearer",  # noqa: S106 - the name of a kind
        expires_in=lifetime_seconds,
        scope=" ".join(session.scopes),
    ).response()


async def _shown(request: Request, account_id: UUID, headers: dict[str, str]) -> Response:
    async with edge_of(request).engine.connect() as connection:
        account = await views.find(connection, account_id)
    if account is None:
        raise _not_found()
    return Response(account.model_dump_json(), 200, headers, "application/json")


async def _order_of_guest(request: Request, caller: Caller) -> UUID:
    async with edge_of(request).engine.connect() as connection:
        found = await order_of_guest(connection, caller.actor.principal)
    if found is None:
        raise _no_order()
    return found


def _account_id(caller: Caller) -> UUID:
    """The account that the caller speaks for. Raises a 404 Problem if it is none."""
    try:
        return UUID(caller.actor.principal)
    except ValueError:
        raise _not_found() from None


def _not_found() -> Problem:
    return Problem("account_not_found", "This token does not belong to an account.")


def _no_order() -> Problem:
    return Problem(
        "order_not_found", "You have no such order, or it has not been placed yet; in that case, try again soon."
    )
