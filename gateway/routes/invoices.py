"""Invoices and credit notes of orders: as JSON, or as a page for print if that is what the client prefers."""

from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from gateway.apidocs.responses import IF_SEQ_AT_LEAST, read
from gateway.edge import edge_of
from gateway.identity.caller import Caller
from gateway.identity.requirements import require_role
from gateway.server.middleware.security import lets_run
from gateway.views import invoices as views
from gateway.views.invoices import CreditNotesView, InvoiceView
from gateway.views.printing import POLICY, prefers_page, printed
from gateway.web import API
from gateway.web.fields import CreditNoteNumber
from gateway.web.problems import Problem

router = APIRouter(prefix=f"{API}/orders/{{order_id}}", tags=["orders"])

Reader = Annotated[Caller, Depends(require_role("guest", "orders:read"))]

_PAGE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"text/html": {"schema": {"type": "string"}}}, "description": "As JSON, or as a page for print."}
}
_READ_HEADERS: Final = {"parameters": [IF_SEQ_AT_LEAST]}


@router.get(
    "/invoice",
    response_model=InvoiceView,
    responses={**_PAGE, **read("invoice_not_found", "seq_not_reached")},
    openapi_extra=_READ_HEADERS,
)
async def get_invoice(request: Request, caller: Reader, order_id: UUID) -> Response:
    """The invoice of a paid order. It is issued shortly after the payment."""
    found = await edge_of(request).reads.read(request, lambda read: views.invoice_of(read, caller.actor, order_id))
    return _shown(request, found)


@router.get(
    "/credit-notes", response_model=CreditNotesView, responses=read("seq_not_reached"), openapi_extra=_READ_HEADERS
)
async def list_credit_notes(request: Request, caller: Reader, order_id: UUID) -> Response:
    """The credit notes for the order's invoice, oldest first."""
    found = await edge_of(request).reads.read(request, lambda read: views.credit_notes_of(read, caller.actor, order_id))
    return Response(found.model_dump_json(), media_type="application/json")


@router.get(
    "/credit-notes/{number}",
    response_model=InvoiceView,
    responses={**_PAGE, **read("invoice_not_found", "seq_not_reached")},
    openapi_extra=_READ_HEADERS,
)
async def get_credit_note(request: Request, caller: Reader, order_id: UUID, number: CreditNoteNumber) -> Response:
    """One credit note of the order."""
    notes = await edge_of(request).reads.read(request, lambda read: views.credit_notes_of(read, caller.actor, order_id))
    return _shown(request, next((note for note in notes.items if note.number == number), None))


def _shown(request: Request, invoice: InvoiceView | None) -> Response:
    if invoice is None:
        raise Problem("invoice_not_found", "There is no such invoice.")
    said = {"Vary": "Accept"}
    if prefers_page(", ".join(request.headers.getlist("accept"))):
        lets_run(request.scope, POLICY)
        return Response(printed(invoice), 200, said, "text/html")
    return Response(invoice.model_dump_json(), 200, said, "application/json")
