"""Exports: the catalogue and the orders as CSV files, streamed. Staff only."""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import StreamingResponse

from gateway.apidocs.responses import IF_SEQ_AT_LEAST, Responses, headers, problems
from gateway.edge import edge_of
from gateway.identity.caller import Caller
from gateway.identity.requirements import require_role
from gateway.views import exports as views
from gateway.views.reports import Status
from gateway.web import API
from gateway.web.fields import Moment

router = APIRouter(prefix=f"{API}/exports", tags=["exports"])

Staff = Annotated[Caller, Depends(require_role("staff", "exports:read"))]


Marked = Annotated[
    bool,
    Query(
        alias="bom",
        description="Begin with a byte order mark, so that Excel on Windows reads it as UTF-8. Imports skip it.",
    ),
]


def _file(description: str, *said: int) -> Responses:
    return {
        200: {
            "description": description,
            "content": {"text/csv": {"schema": {"type": "string"}}},
            **headers("Content-Disposition"),
        },
        **problems(401, 403, *said, 503, "exports_busy", "seq_not_reached"),
    }


_PRODUCTS: Final = _file("A line for each variant, and one for each product without.", 422)
_ORDERS: Final = _file("A line for each line of an order.", 422)
_HEADERS: Final = {"parameters": [IF_SEQ_AT_LEAST]}


@router.get("/products.csv", response_class=StreamingResponse, responses=_PRODUCTS, openapi_extra=_HEADERS)
async def export_products(request: Request, caller: Staff, marked: Marked = False) -> Response:
    """The catalogue with its stock, as it is now; drafts and archived products need the scope `catalogue:read`.
    Importing the file unchanged changes nothing. Text that a spreadsheet would read as a formula is prefixed with an
    apostrophe, which imports remove."""
    sheet = views.listings(all_statuses=caller.sees_drafts)
    return await edge_of(request).exports.begin(request, sheet, marked=marked)


@router.get("/orders.csv", response_class=StreamingResponse, responses=_ORDERS, openapi_extra=_HEADERS)
async def export_orders(
    request: Request,
    caller: Staff,
    since: Annotated[
        Moment | None, Query(alias="from", description="Placed at this moment or later.", examples=["2026-11-01"])
    ] = None,
    until: Annotated[
        Moment | None, Query(alias="to", description="Placed before this moment.", examples=["2026-12-01T00:00:00Z"])
    ] = None,
    status: Status | None = None,
    marked: Marked = False,
) -> Response:
    """Orders in the order they were placed, each with its lines. Times without a zone are UTC."""
    sheet = views.order_lines_between(since, until, status)
    return await edge_of(request).exports.begin(request, sheet, marked=marked)
