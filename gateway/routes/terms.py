"""The shop's terms: taxes, deliveries, promotions, price lists and purchase limits, stated part by part."""

import secrets
from typing import Annotated, Any, Final, Self
from uuid import UUID, uuid4

import msgspec
from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, Field, model_validator

from domain.limits import LINE_MAX_QUANTITY, ORDER_MAX_TOTAL_MINOR, PROMOTION_CODES_AT_ONCE
from domain.promotion_codes import CODE, CreateCodes, GiveUpCode
from domain.quote.terms.deliveries import Method
from domain.quote.terms.limits import PurchaseLimit
from domain.quote.terms.prices import PriceList
from domain.quote.terms.promotions import Code, Promotion, folded_code
from domain.quote.terms.taxes import Taxes
from domain.terms import METHOD, PRICE_LIST, PROMOTION, PURCHASE_LIMIT, TAXES, StateTerms, part_name
from gateway.apidocs.responses import READ, WRITE_HEADERS, write
from gateway.edge import edge_of
from gateway.identity.caller import Caller
from gateway.identity.requirements import require_role
from gateway.views import terms as views
from gateway.views.terms import TermsPartView, TermsView
from gateway.web import API
from gateway.web.fields import Moment, PromotionCode
from gateway.web.problems import Problem
from gateway.web.requests import Body, body_schema, parse, read_body
from gateway.web.structs import parse_struct, struct_body
from gateway.writing.settled import WAIT_SECONDS
from gateway.writing.submit import ask

router = APIRouter(prefix=f"{API}/terms", tags=["terms"])

Reader = Annotated[Caller, Depends(require_role("staff", "catalogue:read"))]
Writer = Annotated[Caller, Depends(require_role("admin", "catalogue:write"))]

_CODE_BYTES: Final = 10

_STATED: Final = write("too_many_terms")
_TAKEN_BACK: Final = write("terms_not_found")


def _said_as(kind: type[msgspec.Struct], *ours: str, example: dict[str, Any]) -> dict[str, Any]:
    return {**struct_body(kind, *ours, example=example), "parameters": WRITE_HEADERS}


_TAXES: Final = {
    "home": "GB",
    "rates": [{"name": "VAT", "area": {"country": "GB"}, "tax_class": "standard", "rate_bp": 2000}],
    "policy": {"included": True},
}
_METHOD: Final = {
    "name": "Post",
    "areas": [{"country": "GB"}],
    "rates": [{"currency": "GBP", "price_minor": 395, "free_from_minor": 5000}],
}
_PROMOTION: Final = {"name": "Spring", "action": {"kind": "percent", "percent_bp": 1000}}
_PRICE_LIST: Final = {"name": "Wholesale", "groups": ["wholesale"], "priority": 1}
_PURCHASE_LIMIT: Final = {"most": 2, "items": {"skus": ["MUG-BLUE"]}}


@router.get("", response_model=TermsView, responses=READ)
async def list_terms(request: Request, caller: Reader) -> Response:
    """Everything that decides what orders cost, besides prices. Staff only."""
    async with edge_of(request).engine.connect() as connection:
        found = await views.list_all(connection)
    return Response(found.model_dump_json(), media_type="application/json")


@router.put("/taxes", response_model=TermsPartView, responses=_STATED, openapi_extra=_said_as(Taxes, example=_TAXES))
async def state_taxes(request: Request, caller: Writer) -> Response:
    """Sets the taxes: the shop's own country, the rates of all countries, and how they are rounded. Admins only."""
    body = await _body(request)
    return await _state(request, caller, StateTerms(TAXES, taxes=parse_struct(Taxes, body)), body)


@router.put(
    "/methods/{method_id}",
    response_model=TermsPartView,
    responses=_STATED,
    openapi_extra=_said_as(Method, "id", example=_METHOD),
)
async def state_method(request: Request, caller: Writer, method_id: UUID) -> Response:
    """Sets a delivery method: where it delivers, and at which rates. Admins only."""
    body = await _body(request)
    method = parse_struct(Method, body, id=str(method_id))
    return await _state(request, caller, StateTerms(part_name(METHOD, method_id), method=method), body)


@router.put(
    "/promotions/{promotion_id}",
    response_model=TermsPartView,
    responses=_STATED,
    openapi_extra=_said_as(Promotion, "id", "version", example=_PROMOTION),
)
async def state_promotion(request: Request, caller: Writer, promotion_id: UUID) -> Response:
    """Sets a promotion: what it gives, and to whom. Admins only."""
    body = await _body(request)
    promotion = parse_struct(Promotion, body, id=str(promotion_id), version=0)
    return await _state(request, caller, StateTerms(part_name(PROMOTION, promotion_id), promotion=promotion), body)


@router.put(
    "/price-lists/{price_list_id}",
    response_model=TermsPartView,
    responses=_STATED,
    openapi_extra=_said_as(PriceList, "id", example=_PRICE_LIST),
)
async def state_price_list(request: Request, caller: Writer, price_list_id: UUID) -> Response:
    """Sets a price list: for whom it applies, where and when. Admins only."""
    body = await _body(request)
    price_list = parse_struct(PriceList, body, id=str(price_list_id))
    return await _state(request, caller, StateTerms(part_name(PRICE_LIST, price_list_id), price_list=price_list), body)


@router.put(
    "/purchase-limits/{limit_id}",
    response_model=TermsPartView,
    responses=_STATED,
    openapi_extra=_said_as(PurchaseLimit, "id", example=_PURCHASE_LIMIT),
)
async def state_purchase_limit(request: Request, caller: Writer, limit_id: UUID) -> Response:
    """Sets how much of something one buyer may buy. Admins only."""
    body = await _body(request)
    limit = parse_struct(PurchaseLimit, body, id=str(limit_id))
    return await _state(request, caller, StateTerms(part_name(PURCHASE_LIMIT, limit_id), purchase_limit=limit), body)


class CodesBody(Body):
    """Codes for a promotion: `codes` as people are to type them, or `count` random ones that begin with `prefix`;
    all with the same period and limits."""

    codes: list[PromotionCode] = Field([], max_length=PROMOTION_CODES_AT_ONCE, examples=[["WELCOME10"]])
    count: int = Field(0, ge=0, le=PROMOTION_CODES_AT_ONCE)
    prefix: str = Field("", max_length=20, pattern=r"^[!-~]*$")
    starts_at: Moment | None = None
    ends_at: Moment | None = None
    uses_limit: int | None = Field(None, ge=1, le=ORDER_MAX_TOTAL_MINOR)
    uses_per_customer: int | None = Field(None, ge=1, le=LINE_MAX_QUANTITY)

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not 1 <= len(self.codes) + self.count <= PROMOTION_CODES_AT_ONCE:
            raise ValueError(f"1 to {PROMOTION_CODES_AT_ONCE} codes at once.")
        if not all(CODE.fullmatch(folded_code(text)) for text in self.codes):
            raise ValueError("A code consists of visible ASCII characters.")
        return self


class CodesView(BaseModel):
    """Codes for a promotion."""

    items: list[str]


@router.post(
    "/promotions/{promotion_id}/codes",
    status_code=201,
    response_model=CodesView,
    responses=write("promotion_not_found"),
    openapi_extra={**body_schema(CodesBody), "parameters": WRITE_HEADERS},
)
async def create_codes(request: Request, caller: Writer, promotion_id: UUID) -> Response:
    """Creates codes for a promotion that takes codes. Existing ones stay as they are. Admins only."""
    body = await _body(request)
    said = parse(CodesBody, body)
    made = (said.prefix + secrets.token_hex(_CODE_BYTES) for _ in range(said.count))
    codes = [folded_code(text) for text in dict.fromkeys([*said.codes, *made])]
    like = Code(
        promotion_id, "", promotion_id, True, said.starts_at, said.ends_at, said.uses_limit, said.uses_per_customer
    )
    command = CreateCodes(promotion_id, tuple((uuid4(), text) for text in codes), like)
    asked = ask(request, caller.actor, body, wait_seconds=WAIT_SECONDS)
    accepted = await edge_of(request).submitter.submit(asked, command, str(promotion_id))
    if accepted.outcome is None:
        return accepted.response()
    return Response(CodesView(items=codes).model_dump_json(), 201, accepted.headers(), "application/json")


@router.delete("/codes/{code}", status_code=204, response_class=Response, responses=write("code_not_found"))
async def give_up_code(request: Request, caller: Writer, code: str) -> Response:
    """Withdraws a code. Admins only."""
    text = folded_code(code)
    if CODE.fullmatch(text) is None:
        raise Problem("code_not_found", "There is no such code.")
    asked = ask(request, caller.actor, b"", wait_seconds=WAIT_SECONDS)
    accepted = await edge_of(request).submitter.submit(asked, GiveUpCode(text), text)
    return accepted.response() if accepted.outcome is None else Response(None, 204, accepted.headers())


@router.delete("/taxes", status_code=204, response_class=Response, responses=_TAKEN_BACK)
async def take_back_taxes(request: Request, caller: Writer) -> Response:
    """Removes the taxes: none are charged. Admins only."""
    return await _take_back(request, caller, TAXES)


_KIND_OF: Final = {
    "methods": METHOD,
    "promotions": PROMOTION,
    "price-lists": PRICE_LIST,
    "purchase-limits": PURCHASE_LIMIT,
}


@router.delete("/{kind}/{part_id}", status_code=204, response_class=Response, responses=_TAKEN_BACK)
async def take_back_terms(request: Request, caller: Writer, kind: str, part_id: UUID) -> Response:
    """Removes a part of the terms; orders that were placed under it are not changed. Admins only."""
    if kind not in _KIND_OF:
        raise Problem("terms_not_found", "There is no such part of the terms.")
    return await _take_back(request, caller, part_name(_KIND_OF[kind], part_id))


async def _body(request: Request) -> bytes:
    return await read_body(request, edge_of(request).config.body_max_bytes)


async def _state(request: Request, caller: Caller, command: StateTerms, body: bytes) -> Response:
    edge = edge_of(request)
    asked = ask(request, caller.actor, body, wait_seconds=WAIT_SECONDS)
    accepted = await edge.submitter.submit(asked, command, command.name)
    if accepted.outcome is None:
        return accepted.response()
    async with edge.engine.connect() as connection:
        part = await views.find(connection, command.name)
    if part is None:  # somebody took it back meanwhile
        raise Problem("terms_not_found", "There is no such part of the terms.")
    return Response(part.model_dump_json(exclude_none=True), 200, accepted.headers(), "application/json")


async def _take_back(request: Request, caller: Caller, name: str) -> Response:
    asked = ask(request, caller.actor, b"", wait_seconds=WAIT_SECONDS)
    accepted = await edge_of(request).submitter.submit(asked, StateTerms(name), name)
    return accepted.response() if accepted.outcome is None else Response(None, 204, accepted.headers())
