"""Signing in, staying signed in, signing out; and the public keys that our tokens can be verified with."""

import time
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final
from uuid import UUID

import jwt
import msgspec
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from domain.fields.people import canonical_email
from domain.ids import new_id, slot_of_id
from domain.model import Actor
from domain.roles import CUSTOMER, SCOPES_OF_ROLE
from domain.sessions import CloseSession, OpenSession, RefreshSession, SessionClosed, SessionOpened, SessionRefreshed
from gateway.apidocs.responses import problems
from gateway.edge import Edge, edge_of
from gateway.identity.caller import NOBODY, Caller, invalid_token, unauthenticated
from gateway.identity.oauth import FORM, TokenForm, TokensView, in_oauth_terms, read_form
from gateway.identity.requirements import counted, require_role
from gateway.identity.throttle import Attempt
from gateway.views import accounts as views
from gateway.web.problems import Problem
from gateway.web.requests import Body, body_schema, parse, read_body
from gateway.writing.settled import settled
from runtime.entropy import random_bits
from runtime.tokens import Refresh, mint_in_session, mint_refresh, refresh_of

router = APIRouter(tags=["auth"])

AUTH: Final = "/api/auth"

_JWKS_TYPE: Final = "application/jwk-set+json"
_JWKS_CACHE: Final = {"Cache-Control": "public, max-age=300"}
_BODY_PROBLEMS: Final = (400, 413, 415)
UNDECIDED: Final = (
    "undecided",
    "mailbox_full",
    "gateway_busy",
    "mailboxes_unavailable",
    "database_unavailable",
    "command_failed",
)


class RefreshBody(Body):
    """The newest refresh token of a session."""

    refresh_token: str = Field(min_length=1, max_length=4_096, examples=["eyJhbGciOiJIUzI1NiJ9..."])


class JwksView(BaseModel):
    """A JWK Set (RFC 7517) of public keys."""

    keys: list[dict[str, Any]]


@router.post(
    f"{AUTH}/token",
    dependencies=[Depends(counted)],
    response_model=TokensView,
    responses=problems(
        *_BODY_PROBLEMS,
        "malformed_request",
        "invalid_grant",
        "invalid_scope",
        "unsupported_grant_type",
        "too_many_attempts",
        *UNDECIDED,
    ),
    openapi_extra=body_schema(TokenForm, FORM),
)
async def sign_in(request: Request) -> Response:
    """Signs in with e-mail address and password (OAuth2 password flow): opens a session and returns its first tokens.

    Errors carry OAuth's `error` and `error_description` in addition to the usual members of a problem.
    """
    edge = edge_of(request)
    async with in_oauth_terms():
        form = await read_form(request, edge.config.body_max_bytes)
        email = canonical_email(form.username)
        attempt = await edge.throttle.sign_in(email or form.username, request.scope)
        account = await _account_of(edge, email, form.password)
        opened = await _open_session(edge, account, form.scope.split(), attempt)
    return _tokens(edge, opened, 0)


@router.post(
    f"{AUTH}/refresh",
    dependencies=[Depends(counted)],
    response_model=TokensView,
    responses=problems(*_BODY_PROBLEMS, "invalid_refresh_token", "invalid_request", *UNDECIDED),
    openapi_extra=body_schema(RefreshBody),
)
async def refresh_tokens(request: Request) -> Response:
    """Returns the next tokens of a session. A refresh token can be used once: if an old one turns up again, one of its
    two holders stole it, and the session ends."""
    edge = edge_of(request)
    async with in_oauth_terms():
        body = await read_body(request, edge.config.body_max_bytes)
        refresh = _refresh_token(edge, parse(RefreshBody, body))
        command = RefreshSession(refresh.session_id, refresh.account_id, refresh.generation)
        try:
            outcome = await settled(edge.submitter, owner(refresh.account_id), command, str(refresh.session_id))
        except Problem as problem:
            raise _invalid_refresh() if problem.code == "session_closed" else problem from None
        if outcome.type == SessionClosed.type:
            raise _invalid_refresh()
        refreshed = msgspec.json.decode(outcome.data, type=SessionRefreshed)
    return _tokens(edge, refreshed, refreshed.generation)


@router.post(
    f"{AUTH}/logout",
    status_code=204,
    responses=problems(*_BODY_PROBLEMS, 401, "invalid_refresh_token", "invalid_request", "no_session", *UNDECIDED),
    openapi_extra={
        "requestBody": {**body_schema(RefreshBody)["requestBody"], "required": False},
    },
)
async def sign_out(request: Request, caller: Annotated[Caller, Depends(require_role("nobody"))]) -> Response:
    """Ends the session of the access token, or of the refresh token if one is sent: within moments, all its tokens are
    refused everywhere. Ending a session twice is not an error."""
    edge = edge_of(request)
    if request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers:
        async with in_oauth_terms():
            body = await read_body(request, edge.config.body_max_bytes)
            session_id, account_id, _ = _refresh_token(edge, parse(RefreshBody, body))
    elif caller is NOBODY:
        raise unauthenticated("Send the access token or the refresh token of the session to end.")
    elif caller.session_id is None:
        raise Problem("no_session", "This token does not belong to a session; it is valid until it expires.")
    else:
        session_id, account_id = caller.session_id, UUID(caller.actor.principal)
    try:
        await settled(edge.submitter, owner(account_id), CloseSession(session_id, account_id), str(session_id))
    except Problem as problem:
        if problem.code != "session_closed":
            raise
    return Response(status_code=204)


@router.get(
    "/.well-known/jwks.json",
    dependencies=[Depends(counted)],
    response_class=Response,
    responses={
        200: {"model": JwksView, "content": {_JWKS_TYPE: {"schema": JwksView.model_json_schema()}}},
        **problems(431),
    },
)
async def get_jwks(request: Request) -> Response:
    """The public keys that verify our access tokens. Empty while a shared secret signs them, as in development."""
    document = msgspec.json.encode(edge_of(request).keys.public())
    return Response(document, 200, _JWKS_CACHE, _JWKS_TYPE)


async def _account_of(edge: Edge, email: str | None, password: str) -> views.SignIn:
    """The account whose e-mail address and password these are. Raises a 400 Problem that does not say which was wrong,
    after a time that does not, either."""
    account = None
    if email is not None:
        async with edge.engine.connect() as connection:
            account = await views.sign_in_as(connection, email)
    right = await edge.passwords.check(password, None if account is None else account.password_hash)
    if account is None or not right or not account.confirmed or not account.active:
        raise Problem(
            "invalid_grant", "The e-mail address or password is wrong, or the address has not been confirmed yet."
        )
    return account


async def _open_session(edge: Edge, account: views.SignIn, asked: list[str], attempt: Attempt) -> SessionOpened:
    """The session, opened in the account's own mailbox."""
    allowed = SCOPES_OF_ROLE[account.role]
    if not allowed.issuperset(asked):
        refused = " ".join(sorted({*asked} - allowed))
        raise Problem("invalid_scope", "The role does not allow these scopes.", extensions={"refused": refused})
    session_id = new_id(time.time_ns() // 1_000_000, slot_of_id(account.account_id), random_bits())
    expires_at = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=edge.config.session_seconds)
    scopes = tuple(sorted(set(asked) or allowed))
    command = OpenSession(session_id, account.account_id, account.epoch, scopes, expires_at)
    try:
        outcome = await settled(edge.submitter, owner(account.account_id), command, str(session_id))
    except Problem as problem:
        if problem.code == "account_changed":
            raise Problem("invalid_grant", "The account was changed at the same time; try again.") from None
        raise
    await attempt.succeeded()
    return msgspec.json.decode(outcome.data, type=SessionOpened)


def _refresh_token(edge: Edge, body: RefreshBody) -> Refresh:
    """What the refresh token says. Raises a 401 Problem for one that is not good, as far as is known here."""
    try:
        refresh = refresh_of(body.refresh_token, edge.keys)
    except jwt.InvalidTokenError:
        raise _invalid_refresh() from None
    if edge.revocations.is_ended(refresh.session_id):
        raise _invalid_refresh()
    return refresh


def _invalid_refresh() -> Problem:
    challenge = invalid_token("").headers
    return Problem(
        "invalid_refresh_token", "The refresh token is invalid or no longer valid: sign in again.", headers=challenge
    )


def _tokens(edge: Edge, session: SessionOpened | SessionRefreshed, generation: int) -> Response:
    """The tokens of a session as it is now."""
    refresh = Refresh(session.session_id, session.account_id, generation)
    lifetime_seconds = edge.config.access_token_seconds
    access_token = mint_in_session(
        edge.keys,
        session.account_id,
        session.role,
        session_id=session.session_id,
        scopes=session.scopes,
        epoch=session.epoch,
        lifetime_seconds=lifetime_seconds,
    )
    return TokensView(
        access_token=access_token,
        token_type="bearer",  # noqa: S106 - the name of a kind
        expires_in=lifetime_seconds,
        refresh_token=mint_refresh(edge.keys, refresh, session.expires_at),
        scope=" ".join(session.scopes),
    ).response()


def owner(account_id: UUID) -> Actor:
    """The holder of an account's credentials speaks for the account, and for nothing else."""
    return Actor.in_role(str(account_id), CUSTOMER)
