"""Registering, confirming one's address, and setting another password by mail.

What is answered never says whether there is an account; each answer takes the same steps, and so about the same time,
either way: a password is hashed, a row looked up, a command applied. The owner of the address learns the rest by mail.
"""

import time
from typing import Annotated, Final
from uuid import UUID

import jwt
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field

from domain.accounts import CreateAccount
from domain.ids import new_id
from domain.model import Personal, Secret
from domain.registration import ConfirmAddress, RegisterAgain, RequestPasswordReset, ResetPassword
from domain.roles import CUSTOMER
from gateway.apidocs.responses import problems
from gateway.edge import Edge, edge_of
from gateway.identity.caller import NOBODY
from gateway.identity.oauth import NO_STORE
from gateway.identity.requirements import counted
from gateway.routes.auth import AUTH, UNDECIDED, owner
from gateway.views import accounts as views
from gateway.web.fields import AccountName, EmailAddress, NewPassword
from gateway.web.problems import Problem
from gateway.web.requests import Body, body_schema, parse, read_body
from gateway.writing.settled import settled
from gateway.writing.submit import Ask
from runtime.entropy import random_bits
from runtime.tokens import CONFIRM_AUDIENCE, RESET_AUDIENCE, Link, link_of

router = APIRouter(tags=["auth"], dependencies=[Depends(counted)])

_BODY_PROBLEMS: Final = (400, 413, 415, 422)
_TOKEN_MAX_CHARS: Final = 4_096

LinkToken = Annotated[str, Field(min_length=1, max_length=_TOKEN_MAX_CHARS, examples=["eyJhbGciOiJIUzI1NiJ9..."])]


class RegistrationBody(Body):
    """A new customer. The password has 8 to 256 characters of any kind."""

    email: EmailAddress = Field(description="What the customer will sign in with.")
    name: AccountName = Field(description="What to call the customer.")
    password: NewPassword = Field(description="Needed to confirm the address, and then to sign in.")


class ConfirmationBody(Body):
    """The token from the mail, and the password given at registration: either alone confirms nothing."""

    token: LinkToken = Field(description="The token of the newest mail.")
    password: str = Field(
        description="The password given at registration.",
        examples=["correct horse battery staple"],
        json_schema_extra={"format": "password"},
    )


class ForgottenBody(Body):
    """The e-mail address of the account."""

    email: EmailAddress = Field(description="The account's sign-in address.")


class ResetBody(Body):
    """The token from the mail, and the new password: 8 to 256 characters of any kind."""

    token: LinkToken = Field(description="The token of the newest mail.")
    new_password: NewPassword = Field(description="The password from now on.")


class MailedView(BaseModel):
    """What happens next; the same whether or not there is an account."""

    detail: str = Field(description="A sentence for the person who asked.")


@router.post(
    f"{AUTH}/register",
    response_model=MailedView,
    responses=problems(*_BODY_PROBLEMS, "too_many_attempts", *UNDECIDED),
    openapi_extra=body_schema(RegistrationBody),
)
async def register(request: Request) -> Response:
    """Registers a new customer, who can sign in once the address is confirmed; a mail explains how. If the address
    already has an account, only its owner learns of it, by mail."""
    edge = edge_of(request)
    registration = parse(RegistrationBody, await read_body(request, edge.config.body_max_bytes))
    await edge.throttle.registration(request.scope)
    name, password_hash = Personal(registration.name), await edge.passwords.hash(registration.password)
    async with edge.engine.connect() as connection:
        known = await views.sign_in_as(connection, registration.email)
    if known is None or not await _registers_again(edge, known.account_id, name, password_hash):
        account_id = edge.submitter.new_resource_id(Ask(NOBODY.actor, None, None, None, False))
        made = CreateAccount(account_id, Personal(registration.email), name, CUSTOMER, password_hash, confirmed=False)
        try:
            await settled(edge.submitter, owner(account_id), made, str(account_id))
        except Problem as problem:
            if problem.code != "email_taken":  # by another registration, at the same moment: it has its mail
                raise
    return _mailed("We have sent an e-mail to this address with instructions.")


@router.post(
    f"{AUTH}/confirm",
    status_code=204,
    responses=problems(*_BODY_PROBLEMS, "invalid_link", "wrong_password", "too_many_attempts", *UNDECIDED),
    openapi_extra=body_schema(ConfirmationBody),
)
async def confirm_address(request: Request) -> Response:
    """Confirms the address of a new account, so that its owner can sign in. Only the newest link works, and only
    once."""
    edge = edge_of(request)
    body = parse(ConfirmationBody, await read_body(request, edge.config.body_max_bytes))
    link = _link(edge, body.token, CONFIRM_AUDIENCE)
    async with edge.engine.connect() as connection:
        account = await views.sign_in_of(connection, link.account_id)
    if account is None or account.confirmed or account.epoch != link.epoch:
        raise _invalid_link()
    attempt = await edge.throttle.sign_in(account.email, request.scope)
    if not await edge.passwords.check(body.password, account.password_hash):
        raise Problem("wrong_password", "This is not the password you registered with.")
    await attempt.succeeded()
    await settled(edge.submitter, owner(link.account_id), ConfirmAddress(*link), str(link.account_id))
    return Response(status_code=204)


@router.post(
    f"{AUTH}/password/forgot",
    response_model=MailedView,
    responses=problems(*_BODY_PROBLEMS, "too_many_attempts", *UNDECIDED),
    openapi_extra=body_schema(ForgottenBody),
)
async def forgot_password(request: Request) -> Response:
    """Sends a mail with a link to set a new password, if the address has an account."""
    edge = edge_of(request)
    body = parse(ForgottenBody, await read_body(request, edge.config.body_max_bytes))
    await edge.throttle.password_reset(request.scope)
    async with edge.engine.connect() as connection:
        known = await views.sign_in_as(connection, body.email)
    # Nobody's account is asked about all the same: that takes as long.
    account_id = new_id(time.time_ns() // 1_000_000, random_bits() >> 52, random_bits()) if known is None else known[0]
    try:
        await settled(edge.submitter, owner(account_id), RequestPasswordReset(account_id), str(account_id))
    except Problem as problem:
        if problem.code != "account_not_found":
            raise
    return _mailed("If there is an account with this address, we have sent it an e-mail with instructions.")


@router.post(
    f"{AUTH}/password/reset",
    status_code=204,
    responses=problems(*_BODY_PROBLEMS, "invalid_link", *UNDECIDED),
    openapi_extra=body_schema(ResetBody),
)
async def reset_password(request: Request) -> Response:
    """Sets a new password with the link from a mail, which works once, and ends all sessions of the account. This also
    confirms the address."""
    edge = edge_of(request)
    body = parse(ResetBody, await read_body(request, edge.config.body_max_bytes))
    link = _link(edge, body.token, RESET_AUDIENCE)
    async with edge.engine.connect() as connection:
        account = await views.sign_in_of(connection, link.account_id)
    if account is None or account.epoch != link.epoch:
        raise _invalid_link()  # before a password is hashed for it
    password_hash = await edge.passwords.hash(body.new_password)
    await settled(edge.submitter, owner(link.account_id), ResetPassword(*link, password_hash), str(link.account_id))
    return Response(status_code=204)


async def _registers_again(edge: Edge, account_id: UUID, name: Personal, password_hash: Secret) -> bool:
    """False if the account has been erased just now: then the address is free."""
    again = RegisterAgain(account_id, name, password_hash)
    try:
        await settled(edge.submitter, owner(account_id), again, str(account_id))
    except Problem as problem:
        if problem.code != "account_not_found":
            raise
        return False
    return True


def _mailed(detail: str) -> Response:
    return Response(MailedView(detail=detail).model_dump_json(), 200, dict(NO_STORE), "application/json")


def _link(edge: Edge, token: str, audience: str) -> Link:
    """What a link's token says. Raises a 400 Problem for one that is not good."""
    try:
        return link_of(token, edge.keys, audience)
    except jwt.InvalidTokenError:
        raise _invalid_link() from None


def _invalid_link() -> Problem:
    return Problem("invalid_link", "The link is invalid or has expired: request a new one.")
