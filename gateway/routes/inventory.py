"""Stock: see, receive, adjust."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import Field, field_validator

from domain.fields.catalogue import canonical_sku
from domain.limits import MOVEMENT_MAX_QUANTITY, SKU_MAX_CHARS, STOCK_MAX_ON_HAND
from domain.model import Actor
from domain.stock import AdjustStock, ReceiveStock
from gateway.apidocs.responses import IF_SEQ_AT_LEAST, WRITE_HEADERS, read, write
from gateway.edge import edge_of
from gateway.identity.caller import Caller
from gateway.identity.requirements import require_role
from gateway.views import inventory as views
from gateway.views.inventory import InventoryView, ShelfView
from gateway.web import API
from gateway.web.fields import Reason, Received, Reference
from gateway.web.pages import Page
from gateway.web.problems import Problem
from gateway.web.requests import Body, body_schema, parse, read_body
from gateway.writing.answers import Answer
from gateway.writing.submit import ask

router = APIRouter(prefix=API, tags=["inventory"])

Reader = Annotated[Caller, Depends(require_role("customer"))]
_READ: Final = "inventory:read"
Staff = Annotated[Caller, Depends(require_role("staff", _READ))]
Writer = Annotated[Caller, Depends(require_role("staff", "inventory:write"))]

_READ_ANSWERS: Final = read("seq_not_reached")
_READ_HEADERS: Final = {"parameters": [IF_SEQ_AT_LEAST]}


class ReceiptBody(Body):
    """Goods received; `reference` is the delivery's, if it has one."""

    quantity: Received = Field(examples=[100])
    reference: Reference | None = None


class AdjustmentBody(Body):
    """A correction, up or down, and its reason."""

    change: int = Field(
        ge=-MOVEMENT_MAX_QUANTITY, le=MOVEMENT_MAX_QUANTITY, examples=[-1], json_schema_extra={"not": {"const": 0}}
    )
    reason: Reason

    @field_validator("change")
    @classmethod
    def _changes_something(cls, change: int) -> int:
        if change == 0:
            raise ValueError("A correction cannot be 0.")
        return change


@router.get("/inventory", response_model=Page[InventoryView], responses=_READ_ANSWERS, openapi_extra=_READ_HEADERS)
async def list_inventory(
    request: Request,
    caller: Staff,
    prefix: Annotated[
        str | None,
        Query(
            max_length=SKU_MAX_CHARS,
            pattern="^[A-Za-z0-9._-]+$",
            description="Only SKUs that begin with this.",
            examples=["BAG-"],
        ),
    ] = None,
    product_id: Annotated[UUID | None, Query(description="Only the variants of this product.")] = None,
    available_below: Annotated[
        int | None,
        Query(description="Only SKUs with fewer pieces than this available.", ge=1, le=STOCK_MAX_ON_HAND, examples=[5]),
    ] = None,
    available_from: Annotated[
        int | None,
        Query(
            description="Only SKUs with at least this many pieces available.", ge=0, le=STOCK_MAX_ON_HAND, examples=[1]
        ),
    ] = None,
    cursor: Annotated[str | None, Query(max_length=200, description="The `next_cursor` of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, description="SKUs per page; capped at the maximum page size.")] = 100,
) -> Response:
    """The stock of all SKUs, or of some, sorted by SKU. Staff only; products that are not active need the scope
    `catalogue:read`."""
    edge = edge_of(request)
    begins = None if prefix is None else prefix.upper()
    wanted = views.Wanted(begins, product_id, available_below, available_from, all_statuses=caller.sees_drafts)
    rows = min(limit, edge.config.page_max_rows)
    page = await edge.reads.read(request, lambda read: views.inventories(read, wanted, cursor, rows))
    return Response(page.model_dump_json(), media_type="application/json")


@router.get(
    "/inventory/{sku}",
    response_model=InventoryView | ShelfView,
    responses=_READ_ANSWERS,
    openapi_extra=_READ_HEADERS,
)
async def get_inventory(request: Request, caller: Reader, sku: str) -> Response:
    """The stock of one SKU. Staff with the scope `inventory:read` see what is on hand and reserved. Everyone else sees
    how much is available of SKUs on sale, up to ten pieces."""
    reads, known = edge_of(request).reads, _known(sku)
    shown: InventoryView | ShelfView | None
    if caller.actor.is_staff and _READ in caller.actor.scopes:
        everything = caller.sees_drafts
        shown = await reads.read(request, lambda read: views.inventory(read, known, all_statuses=everything))
    else:
        shown = await reads.read(request, lambda read: views.shelf(read, known))
    return Response(_found(shown), media_type="application/json")


@router.post(
    "/inventory/{sku}/receipts",
    response_model=InventoryView,
    responses=write("stock_limit_exceeded", "unknown_sku"),
    openapi_extra={**body_schema(ReceiptBody), "parameters": WRITE_HEADERS},
)
async def receive_stock(request: Request, caller: Writer, sku: str) -> Response:
    """Adds goods received. Staff only. 200 and the stock with `Prefer: wait`."""
    edge = edge_of(request)
    body = await read_body(request, edge.config.body_max_bytes)
    receipt = parse(ReceiptBody, body)
    return await _move(request, caller.actor, body, ReceiveStock(_known(sku), receipt.quantity, receipt.reference))


@router.post(
    "/inventory/{sku}/adjustments",
    response_model=InventoryView,
    responses=write("insufficient_stock", "stock_limit_exceeded", "unknown_sku"),
    openapi_extra={**body_schema(AdjustmentBody), "parameters": WRITE_HEADERS},
)
async def adjust_stock(request: Request, caller: Writer, sku: str) -> Response:
    """Corrects what is on hand. Staff only. 200 and the stock with `Prefer: wait`."""
    edge = edge_of(request)
    body = await read_body(request, edge.config.body_max_bytes)
    adjustment = parse(AdjustmentBody, body)
    return await _move(request, caller.actor, body, AdjustStock(_known(sku), adjustment.change, adjustment.reason))


async def _move(request: Request, actor: Actor, body: bytes, command: ReceiveStock | AdjustStock) -> Response:
    edge = edge_of(request)
    asked = ask(request, actor, body)
    accepted = await edge.submitter.submit(asked, command, command.sku)

    async def made() -> Answer:
        # The caller sees what it moved, whatever the product's status.
        async with edge.engine.connect() as connection:
            return Answer(_found(await views.inventory(connection, command.sku, all_statuses=True)))

    return await edge.answers.respond(asked, accepted, made)


def _found(view: InventoryView | ShelfView | None) -> str:
    """The stock as JSON."""
    if view is None:
        raise Problem("not_found", "The catalogue has no such SKU.")
    return view.model_dump_json()


def _known(sku: str) -> str:
    """The SKU of a path in its one spelling."""
    canonical = canonical_sku(sku)
    if canonical is None:
        raise Problem("not_found", "The catalogue has no such SKU.")
    return canonical
