"""Gift cards and store credit: staff issue and disable cards, and grant credit; who has a code sees what is left."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field

from domain.gift_cards import DisableGiftCard, IssueGiftCard, MailGiftCard
from domain.limits import ORDER_MAX_TOTAL_MINOR
from domain.model import Secret
from domain.orders import is_guest
from domain.store_credit import ChangeStoreCredit
from gateway.apidocs.responses import WRITE_HEADERS, headers, problems, read, write
from gateway.edge import Edge, edge_of
from gateway.identity.caller import Caller
from gateway.identity.oauth import NO_STORE
from gateway.identity.requirements import require_role
from gateway.views import cards as views
from gateway.views.cards import (
    GiftCardBalanceView,
    GiftCardView,
    NewGiftCardView,
    StoreCreditsView,
)
from gateway.web import API
from gateway.web.fields import Currency, GiftCardCode, Moment, Principal, Reason
from gateway.web.pages import Page
from gateway.web.problems import Problem, invalid_request
from gateway.web.requests import Body, body_schema, parse, read_body
from gateway.writing.settled import WAIT_SECONDS
from gateway.writing.submit import Ask, ask
from runtime.gift_card_codes import hash_of_typed

router = APIRouter(prefix=API, tags=["cards"])

Anyone = Annotated[Caller, Depends(require_role("nobody"))]
Reader = Annotated[Caller, Depends(require_role("customer", "orders:read"))]
StaffReader = Annotated[Caller, Depends(require_role("staff", "orders:read"))]
StaffWriter = Annotated[Caller, Depends(require_role("staff", "orders:write"))]


class GiftCardBody(Body):
    """A new gift card: its value, in minor units, and when it expires."""

    amount_minor: int = Field(ge=1, le=ORDER_MAX_TOTAL_MINOR, examples=[5000])
    currency: Currency = Field(examples=["GBP"])
    expires_at: Moment | None = None


class CodeBody(Body):
    """The code of a gift card."""

    code: GiftCardCode


class StoreCreditBody(Body):
    """The store credit that a customer is granted or, if negative, loses, in minor units, and why."""

    amount_minor: int = Field(ge=-ORDER_MAX_TOTAL_MINOR, le=ORDER_MAX_TOTAL_MINOR, examples=[1500])
    currency: Currency = Field(examples=["GBP"])
    reason: Reason = Field(examples=["Sorry for the delay"])


@router.post(
    "/gift-cards",
    status_code=201,
    response_model=NewGiftCardView,
    responses={201: headers("Location"), **write()},
    openapi_extra={**body_schema(GiftCardBody), "parameters": WRITE_HEADERS},
)
async def issue_gift_card(request: Request, caller: StaffWriter) -> Response:
    """Issues a gift card and shows its code, this once; a repetition with the same Idempotency-Key shows it again.
    Staff only. Waits for the outcome by default."""
    edge = edge_of(request)
    body = await read_body(request, edge.config.body_max_bytes)
    said = parse(GiftCardBody, body)
    asked = ask(request, caller.actor, body, wait_seconds=WAIT_SECONDS)
    card_id = edge.submitter.new_resource_id(asked)
    code = edge.card_codes.of(card_id)
    command = IssueGiftCard(
        card_id, Secret(code.code_hash), code.shown, said.currency, said.amount_minor, said.expires_at
    )
    accepted = await edge.submitter.submit(asked, command, str(card_id))
    if accepted.outcome is None:
        return accepted.response()
    card_id = UUID(accepted.resource)
    code = edge.card_codes.of(card_id)
    async with edge.engine.connect() as connection:
        card = await views.find(connection, card_id)
        is_of_this_key = await views.code_hash_of(connection, card_id) == code.code_hash
    assert card is not None, "a card that was issued is there"
    made = NewGiftCardView(**dict(card), code=code.code if is_of_this_key else None)
    told = {"Location": f"{API}/gift-cards/{card_id}", **accepted.headers(), **NO_STORE}
    return Response(made.model_dump_json(), 201, told, "application/json")


@router.get("/gift-cards", response_model=Page[GiftCardView], responses=read())
async def list_gift_cards(
    request: Request,
    caller: StaffReader,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1)] = 50,
) -> Response:
    """Gift cards, newest first. `limit` is capped at the maximum page size."""
    edge = edge_of(request)
    async with edge.engine.connect() as connection:
        page = await views.newest(connection, cursor, min(limit, edge.config.page_max_rows))
    return Response(page.model_dump_json(), media_type="application/json")


@router.post(
    "/gift-cards/balance",
    response_model=GiftCardBalanceView,
    responses=problems(400, 401, 403, 413, 415, 422, 429, 500, 503, "gift_card_not_usable", "too_many_attempts"),
    openapi_extra=body_schema(CodeBody),
)
async def get_gift_card_balance(request: Request, caller: Anyone) -> Response:
    """The remaining balance of a gift card, for anyone who knows its code. Unknown, disabled, expired and spent codes
    get the same refusal, and attempts are limited."""
    edge = edge_of(request)
    code = parse(CodeBody, await read_body(request, edge.config.body_max_bytes)).code
    (card,) = await usable_cards(edge, request, [code])
    view = GiftCardBalanceView(
        shown=card.shown,
        currency=card.currency,
        available_minor=card.balance_minor - card.held_minor,
        expires_at=card.expires_at,
    )
    return Response(view.model_dump_json(), 200, NO_STORE, "application/json")


@router.get("/gift-cards/{card_id}", response_model=GiftCardView, responses=read("gift_card_not_found"))
async def get_gift_card(request: Request, caller: StaffReader, card_id: UUID) -> Response:
    """One gift card, without its code. Staff only."""
    view = await _found(edge_of(request), card_id)
    return Response(view.model_dump_json(), media_type="application/json")


@router.post(
    "/gift-cards/{card_id}/disable",
    response_model=GiftCardView,
    responses=write("gift_card_not_found"),
    openapi_extra={"parameters": WRITE_HEADERS},
)
async def disable_gift_card(request: Request, caller: StaffWriter, card_id: UUID) -> Response:
    """Disables a gift card for further payments; amounts already held by orders stay held. Staff only."""
    return await _done(edge_of(request), _asked(request, caller), DisableGiftCard(card_id))


@router.post(
    "/gift-cards/{card_id}/mail",
    response_model=GiftCardView,
    responses=write("gift_card_not_found", "gift_card_not_mailable", "too_many_attempts"),
    openapi_extra={"parameters": WRITE_HEADERS},
)
async def mail_gift_card(request: Request, caller: StaffWriter, card_id: UUID) -> Response:
    """Mails a gift card's code to its buyer again, for buyers who have lost the mail. It goes only to the buyer's
    address, and the answer does not contain it; the log records who requested it. Limited to a few times per card.
    Cards that staff issued, or that can no longer pay, are not mailed. Staff only."""
    edge = edge_of(request)
    async with edge.engine.connect() as connection:
        code_hash = await views.code_hash_of(connection, card_id)
    if code_hash is not None and code_hash != edge.card_codes.of(card_id).code_hash:
        detail = "Its code was derived with another key, so it cannot be mailed again."
        raise Problem("gift_card_not_mailable", detail, extensions={"card_id": str(card_id)})
    asked = _asked(request, caller)
    if not await edge.submitter.repeats(asked, card_id):
        await edge.throttle.gift_card_mail(request.scope, str(card_id))
    return await _done(edge, asked, MailGiftCard(card_id))


@router.get("/store-credit", response_model=StoreCreditsView, responses=read())
async def get_store_credit(request: Request, caller: Reader) -> Response:
    """Your own store credit."""
    return await _store_credit(edge_of(request), caller.actor.principal, {})


@router.get("/store-credit/{customer_id}", response_model=StoreCreditsView, responses=read())
async def get_store_credit_of(request: Request, caller: StaffReader, customer_id: Principal) -> Response:
    """A customer's store credit. Staff only."""
    return await _store_credit(edge_of(request), customer_id, {})


@router.post(
    "/store-credit/{customer_id}",
    response_model=StoreCreditsView,
    responses=write("store_credit_too_high", "store_credit_too_low"),
    openapi_extra={**body_schema(StoreCreditBody), "parameters": WRITE_HEADERS},
)
async def change_store_credit(request: Request, caller: StaffWriter, customer_id: Principal) -> Response:
    """Grants a customer store credit, or takes it back. Staff only. Waits for the outcome by default."""
    edge = edge_of(request)
    body = await read_body(request, edge.config.body_max_bytes)
    said = parse(StoreCreditBody, body)
    if said.amount_minor == 0:
        raise invalid_request([{"loc": ("amount_minor",), "msg": "The amount must not be 0.", "type": "nothing"}])
    if is_guest(customer_id):
        raise invalid_request([{"loc": ("customer_id",), "msg": "Guests have no store credit.", "type": "guest"}])
    command = ChangeStoreCredit(customer_id, said.currency, said.amount_minor, said.reason)
    asked = ask(request, caller.actor, body, wait_seconds=WAIT_SECONDS)
    accepted = await edge.submitter.submit(asked, command, customer_id)
    if accepted.outcome is None:
        return accepted.response()
    return await _store_credit(edge, customer_id, accepted.headers())


async def usable_cards(edge: Edge, request: Request, codes: list[str]) -> list[GiftCardView]:
    """The gift cards with these codes, each once. Raises the same Problem whatever is wrong with one, and counts who
    tries too often."""
    await edge.throttle.gift_card(request.scope)
    hashes = list(dict.fromkeys(map(hash_of_typed, codes)))
    async with edge.engine.connect() as connection:
        cards = await views.usable(connection, hashes)
    if cards is None:
        raise Problem("gift_card_not_usable", "This gift card cannot be used here.")
    await edge.throttle.good_gift_card(request.scope)
    return cards


def _asked(request: Request, caller: Caller) -> Ask:
    """A write without a body."""
    return ask(request, caller.actor, b"", wait_seconds=WAIT_SECONDS)


async def _done(edge: Edge, asked: Ask, command: DisableGiftCard | MailGiftCard) -> Response:
    accepted = await edge.submitter.submit(asked, command, str(command.card_id))
    if accepted.outcome is None:
        return accepted.response()
    view = await _found(edge, command.card_id)
    return Response(view.model_dump_json(), 200, accepted.headers(), "application/json")


async def _store_credit(edge: Edge, customer_id: str, told: dict[str, str]) -> Response:
    async with edge.engine.connect() as connection:
        view = await views.store_credit(connection, customer_id)
    return Response(view.model_dump_json(), 200, told, "application/json")


async def _found(edge: Edge, card_id: UUID) -> GiftCardView:
    async with edge.engine.connect() as connection:
        view = await views.find(connection, card_id)
    if view is None:
        raise Problem("gift_card_not_found", "There is no such gift card.")
    return view
