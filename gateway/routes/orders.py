"""Orders: place, see, list, cancel."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AfterValidator, Field

from domain.limits import LINE_MAX_QUANTITY, ORDER_MAX_LINES, SKU_MAX_CHARS, canonical_sku
from domain.orders import CancelOrder, PlaceOrder, Wanted
from gateway.auth import Caller, require_role
from gateway.fastlane import fast
from gateway.pages import Page
from gateway.problems import Problem
from gateway.requests import Body, body_schema, parse, read_body
from gateway.routes import API
from gateway.routes.documents import READ, WRITE, WRITE_HEADERS, edge_of
from gateway.submit import ask
from gateway.views import orders as views
from gateway.views.orders import OrderView

router = APIRouter(prefix=f"{API}/orders", tags=["orders"])

Reader = Annotated[Caller, Depends(require_role("guest", "orders:read"))]
Writer = Annotated[Caller, Depends(require_role("guest", "orders:write"))]


def _canonical(text: str) -> str:
    sku = canonical_sku(text)
    if sku is None:
        raise ValueError("This is no SKU: letters, digits, `.`, `_` and `-`, a letter or digit first.")
    return sku


Sku = Annotated[str, Field(min_length=1, max_length=SKU_MAX_CHARS), AfterValidator(_canonical)]


class LineBody(Body):
    """A SKU and how many pieces of it."""

    sku: Sku = Field(examples=["85123A"])
    quantity: int = Field(ge=1, le=LINE_MAX_QUANTITY)


class OrderBody(Body):
    """What to order. Prices are the catalogue's; a SKU that stands in several lines is summed."""

    lines: list[LineBody] = Field(min_length=1, max_length=ORDER_MAX_LINES)


@router.post(
    "",
    status_code=201,
    response_model=OrderView,
    responses=WRITE,
    openapi_extra={**body_schema(OrderBody), "parameters": WRITE_HEADERS},
)
@fast
async def place_order(request: Request, caller: Writer) -> Response:
    """Reserves every line and places the order, or reserves nothing. 201 and the order with `Prefer: wait`."""
    edge, who = edge_of(request), caller.who
    body = await read_body(request, edge.config.body_max_bytes)
    quantities: dict[str, int] = {}
    for line in parse(OrderBody, body).lines:
        quantities[line.sku] = quantities.get(line.sku, 0) + line.quantity
    asked = ask(request, who, body)
    order_id = edge.submitter.new_resource_id(asked)
    lines = tuple(Wanted(sku, quantity) for sku, quantity in quantities.items())
    accepted = await edge.submitter.submit(asked, PlaceOrder(order_id, who.principal, lines), str(order_id))
    if accepted.outcome is None:
        return accepted.response()
    order = views.just_placed(accepted.outcome)
    headers = {"Location": f"{request.scope['path']}/{order.id}", **accepted.headers()}
    return Response(order.model_dump_json(), 201, headers, "application/json")


@router.get("", response_model=Page[OrderView], responses=READ)
async def list_orders(
    request: Request,
    caller: Reader,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1)] = 20,
) -> Response:
    """Your orders, newest first; staff see everyone's. `limit` is cut to the page's bound."""
    edge = edge_of(request)
    async with edge.engine.connect() as connection:
        page = await views.newest(connection, caller.who, cursor, min(limit, edge.config.page_max_rows))
    return Response(page.model_dump_json(), media_type="application/json")


@router.get("/{order_id}", response_model=OrderView, responses=READ)
async def get_order(request: Request, caller: Reader, order_id: UUID) -> Response:
    """One order. Another customer's is not found."""
    async with edge_of(request).engine.connect() as connection:
        order = await views.find(connection, caller.who, order_id)
    if order is None:
        raise Problem("order_not_found", "There is no such order.")
    return Response(order.model_dump_json(), media_type="application/json")


@router.post(
    "/{order_id}/cancel", response_model=OrderView, responses=WRITE, openapi_extra={"parameters": WRITE_HEADERS}
)
async def cancel_order(request: Request, caller: Writer, order_id: UUID) -> Response:
    """Cancels a placed order and releases what it reserved. 200 and the order with `Prefer: wait`."""
    edge, who = edge_of(request), caller.who
    accepted = await edge.submitter.submit(ask(request, who, b""), CancelOrder(order_id), str(order_id))
    if accepted.outcome is None:
        return accepted.response()
    async with edge.engine.connect() as connection:
        order = await views.find(connection, who, order_id)
    assert order is not None, "a cancelled order is there"
    return Response(order.model_dump_json(), 200, accepted.headers(), "application/json")
