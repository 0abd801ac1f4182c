"""What customers buy as: groups, a tax id, an exemption from taxes. Admins only: whoever is said to be a business or
exempt pays less."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response
from pydantic import Field

from domain.customers import SetCustomer
from domain.limits import CUSTOMER_MAX_GROUPS
from gateway.apidocs.responses import WRITE_HEADERS, read, write
from gateway.edge import Edge, edge_of
from gateway.identity.caller import Caller
from gateway.identity.requirements import require_role
from gateway.views import customers as views
from gateway.views.customers import CustomerView
from gateway.web import API
from gateway.web.fields import CustomerGroup, TaxId, personal
from gateway.web.problems import Problem
from gateway.web.requests import Body, body_schema, parse, read_body
from gateway.writing.settled import WAIT_SECONDS
from gateway.writing.submit import ask

router = APIRouter(prefix=f"{API}/customers", tags=["customers"])

Admin = Annotated[Caller, Depends(require_role("admin", "users:write"))]


class CustomerBody(Body):
    """What an account's owner buys as; replaces everything set before. The caller must have verified it."""

    groups: list[CustomerGroup] = Field([], max_length=CUSTOMER_MAX_GROUPS, examples=[["wholesale"]])
    tax_id: TaxId | None = None
    tax_exempt: bool = False


@router.get("/{account_id}", response_model=CustomerView, responses=read("customer_not_found"))
async def get_customer(request: Request, caller: Admin, account_id: UUID) -> Response:
    """What has been set for an account; if nothing has, it is not found."""
    return await _shown(edge_of(request), account_id, {})


@router.put(
    "/{account_id}",
    response_model=CustomerView,
    responses=write("account_not_found"),
    openapi_extra={**body_schema(CustomerBody), "parameters": WRITE_HEADERS},
)
async def put_customer(request: Request, caller: Admin, account_id: UUID) -> Response:
    """Sets what an account's owner buys as, from their next order on. Waits for the outcome by default."""
    edge = edge_of(request)
    body = await read_body(request, edge.config.body_max_bytes)
    said = parse(CustomerBody, body)
    command = SetCustomer(account_id, tuple(sorted(set(said.groups))), personal(said.tax_id), said.tax_exempt)
    asked = ask(request, caller.actor, body, wait_seconds=WAIT_SECONDS)
    accepted = await edge.submitter.submit(asked, command, str(account_id))
    if accepted.outcome is None:
        return accepted.response()
    return await _shown(edge, account_id, accepted.headers())


async def _shown(edge: Edge, account_id: UUID, headers: dict[str, str]) -> Response:
    async with edge.engine.connect() as connection:
        found = await views.find(connection, account_id)
    if found is None:
        raise Problem("customer_not_found", "Nothing has been set for this account.")
    return Response(found.model_dump_json(), 200, headers, "application/json")
