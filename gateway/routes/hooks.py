"""Where providers of payments tell what happened. What they say is verified over the raw bytes, and is durable, as a
command in the mailbox of the order, before they are told that it was taken.
"""

from typing import Final

from fastapi import APIRouter, Request, Response

from domain.model import Actor
from domain.payments.rules import is_known
from domain.roles import STAFF
from gateway.apidocs.responses import problems
from gateway.edge import Edge, edge_of
from gateway.views import payments as views
from gateway.web.problems import Problem
from gateway.web.requests import read_body
from gateway.writing.submit import Ask
from runtime.metrics import PAYMENT_REPORTS_FOREIGN, PAYMENT_WEBHOOKS
from runtime.payments.provider import Report, WebhookInvalid, WebhookUnreadable
from runtime.payments.registry import PROVIDERS, UnknownProvider

PAYMENT_WEBHOOKS.allow(provider=PROVIDERS)

router = APIRouter(prefix="/hooks/payments", tags=["payments"])

PROVIDERS_ACTOR: Final = Actor.in_role("tidegate:payments", STAFF)
"""On whose behalf reports are posted."""


@router.post(
    "/{provider}",
    responses=problems(
        400,
        413,
        415,
        422,
        503,
        "gateway_busy",
        "mailbox_full",
        "mailboxes_unavailable",
        "not_found",
        "webhook_invalid",
    ),
)
async def take_webhook(request: Request, provider: str) -> Response:
    """Receives a webhook from a payment provider. 200 once all that it reports is durable; after any other status, the
    provider sends it again. Reports about payments that are not ours, because others share the account, are ignored."""
    edge, result = edge_of(request), "problem"
    try:
        known = edge.payments[provider]
    except UnknownProvider:
        raise Problem("not_found", "No payment provider has this name.") from None
    try:
        body = await read_body(request, edge.config.body_max_bytes)
        for report in known.parse_webhook(body, request.headers):
            await _post(edge, provider, report)
        result = "taken"
    except WebhookInvalid as error:
        result = "unreadable" if isinstance(error, WebhookUnreadable) else "signature"
        raise Problem("webhook_invalid", "The webhook was not signed by the provider, or is too old.") from None
    finally:
        PAYMENT_WEBHOOKS.labels(provider, result).inc()
    return Response(status_code=200)


async def _post(edge: Edge, provider: str, report: Report) -> None:
    async with edge.engine.connect() as connection:
        payment_id = report.payment_id
        if payment_id is None and report.provider_reference is not None:
            payment_id = await views.named(connection, provider, report.provider_reference)
        payment = None if payment_id is None else await views.of_provider(connection, payment_id, provider)
    if payment is None:
        # Refused, it would come again for days, and providers give up endpoints that refuse much. If it was ours after
        # all and too early, the provider is asked for it soon enough.
        PAYMENT_REPORTS_FOREIGN.inc()
        return
    # Told twice, or told as an answer before.
    if is_known(payment, report.entries, report.currency, report.provider_reference):
        return
    command = report.command(payment)
    await edge.submitter.submit(Ask(PROVIDERS_ACTOR, None, None, None, False), command, str(payment.id))
