"""What the shop's promotions would do for a basket."""

from typing import Annotated, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from domain.checkouts import OpenCheckout
from gateway.apidocs.responses import read
from gateway.edge import edge_of
from gateway.identity.caller import Caller
from gateway.identity.requirements import require_role
from gateway.routes.checkout_fields import REFUSED_CODES, CheckoutBody, fields_of
from gateway.views import promotions as views
from gateway.views.promotions import PreviewView
from gateway.web import API
from gateway.web.fields import Principal
from gateway.web.requests import body_schema, parse, read_body

router = APIRouter(prefix=f"{API}/promotions", tags=["terms"])

Reader = Annotated[Caller, Depends(require_role("staff", "catalogue:read"))]

_NO_CHECKOUT: Final = UUID(int=0)


class PreviewBody(CheckoutBody):
    """A basket as in a checkout, and the customer it would belong to; without one, a guest."""

    customer_id: Principal | None = None


@router.post(
    "/preview",
    response_model=PreviewView,
    responses=read(400, 413, 415, *REFUSED_CODES),
    openapi_extra=body_schema(PreviewBody),
)
async def preview_promotions(request: Request, caller: Reader) -> Response:
    """Says which promotions apply to a basket now, and what is missing for the others: `GBP 3.20 more.` Nothing is
    stored. Staff only: buyers see in their checkouts what is within reach."""
    edge = edge_of(request)
    said = parse(PreviewBody, await read_body(request, edge.config.body_max_bytes))
    wanted = OpenCheckout(_NO_CHECKOUT, **await fields_of(edge, request, said))
    async with edge.engine.connect() as connection:
        found = await views.preview(connection, edge.quoting, wanted, said.customer_id)
    return Response(found.model_dump_json(), media_type="application/json")
