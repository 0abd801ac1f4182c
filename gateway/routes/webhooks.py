"""Webhooks: staff register endpoints of others, see what was delivered to them, and deliver it again."""

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import msgspec
from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AfterValidator, Field, WithJsonSchema

from domain.limits import WEBHOOK_MAX_EVENT_TYPES
from domain.model import Secret
from domain.urls import host_of
from domain.webhooks import (
    ChangeWebhook,
    DeleteWebhook,
    RedeliverEvents,
    RegisterWebhook,
    RotateWebhookSecret,
    WebhookFields,
    WebhookSecretRotated,
    choices,
)
from gateway.apidocs.responses import READ, WRITE_HEADERS, headers, read, write
from gateway.edge import Edge, edge_of
from gateway.identity.caller import Caller
from gateway.identity.requirements import require_role
from gateway.views import webhooks as views
from gateway.views.webhooks import DeliveryView, RegisteredView, SecretView, WebhooksView, WebhookView
from gateway.web import API
from gateway.web.fields import EndpointDescription, Url
from gateway.web.pages import Page
from gateway.web.problems import Problem
from gateway.web.requests import Body, body_schema, parse, read_body
from gateway.writing.answers import Answer
from gateway.writing.submit import ask
from runtime.addresses import is_ones_own
from runtime.standard_webhooks import new_secret

router = APIRouter(prefix=f"{API}/webhooks", tags=["webhooks"])

Staff = Annotated[Caller, Depends(require_role("staff", "webhooks:write"))]

_WAIT_SECONDS = 10
_SEQ_MAX = 2**63 - 1


def _known(choice: str) -> str:
    if choice not in choices():
        raise ValueError("There are no events of this type.")
    return choice


EventTypes = Annotated[
    list[Annotated[str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": choices()})]],
    Field(min_length=1, max_length=WEBHOOK_MAX_EVENT_TYPES, examples=[["order.*", "product.created"]]),
]


class WebhookBody(Body):
    """An endpoint: where to deliver, and which event types: names, `order.*` for all types of a kind, `*` for all."""

    url: Url
    event_types: EventTypes
    description: EndpointDescription = Field("", examples=["The warehouse"])
    active: bool = True


class WebhookChangeBody(Body):
    """What to change; fields that are left out, or null, stay as they are. `active`: false pauses the endpoint, true
    resumes it where it stopped."""

    url: Url | None = None
    event_types: EventTypes | None = None
    description: EndpointDescription | None = None
    active: bool | None = None


class RedeliveryBody(Body):
    """The event to continue from, by its `seq`, earlier or later."""

    from_seq: int = Field(ge=1, le=_SEQ_MAX, examples=[1])


@router.post(
    "",
    status_code=201,
    response_model=RegisteredView,
    responses={
        201: headers("Location"),
        **write("too_many_webhooks", "unknown_event_type", "webhook_address_refused"),
    },
    openapi_extra={**body_schema(WebhookBody), "parameters": WRITE_HEADERS},
)
async def register_webhook(request: Request, caller: Staff) -> Response:
    """Registers an endpoint for events from now on. Staff only, and only for what they may read: `order.*` needs the
    scope `orders:read`, `stock.*` needs `inventory:read`, `product.*` needs `catalogue:read`, `category.*` and
    `webhook.*` need no other, and anything else needs `events:read`, which covers all. An endpoint is disabled when its
    owner loses these rights.

    The answer holds the secret that signs the deliveries, this once: if it is lost, rotate it. Waits for the outcome
    unless `Prefer` says otherwise.
    """
    edge = edge_of(request)
    body = await read_body(request, edge.config.body_max_bytes)
    wanted = parse(WebhookBody, body)
    _refuse_private(edge, wanted.url)
    asked = ask(request, caller.actor, body, wait_seconds=_WAIT_SECONDS)
    webhook_id = edge.submitter.new_resource_id(asked)
    secret = new_secret()
    fields = WebhookFields(wanted.url, tuple(wanted.event_types), wanted.description, wanted.active)
    command = RegisterWebhook(webhook_id, fields, Secret(secret), _scopes(caller))
    accepted = await edge.submitter.submit(asked, command, str(webhook_id))
    if accepted.outcome is None:
        return accepted.response()
    webhook_id = UUID(accepted.resource)

    async def made() -> Answer:
        view = RegisteredView(**(await _webhook(request, webhook_id)).model_dump(), secret=None)
        return Answer(view.model_dump_json(), 201, {"Location": f"{router.prefix}/{webhook_id}"})

    answer = await edge.answers.first(asked, accepted, made)
    if not accepted.replayed:  # the secret is shown this once, and never kept
        shown = RegisteredView.model_validate_json(answer.body).model_copy(update={"secret": secret})
        answer = msgspec.structs.replace(answer, body=shown.model_dump_json())
    return answer.response(accepted)


@router.get("", response_model=WebhooksView, responses=READ)
async def list_webhooks(request: Request, caller: Staff) -> Response:
    """All endpoints and their delivery state. Staff only."""
    async with edge_of(request).engine.connect() as connection:
        found = await views.list_all(connection)
    return Response(found.model_dump_json(), media_type="application/json")


@router.get("/{webhook_id}", response_model=WebhookView, responses=read("webhook_not_found"))
async def get_webhook(request: Request, caller: Staff, webhook_id: UUID) -> Response:
    """One endpoint and its delivery state. Staff only."""
    found = await _webhook(request, webhook_id)
    return Response(found.model_dump_json(), media_type="application/json")


@router.patch(
    "/{webhook_id}",
    response_model=WebhookView,
    responses=write("webhook_not_found", "unknown_event_type", "webhook_address_refused"),
    openapi_extra={**body_schema(WebhookChangeBody), "parameters": WRITE_HEADERS},
)
async def change_webhook(request: Request, caller: Staff, webhook_id: UUID) -> Response:
    """Changes, pauses or resumes an endpoint. Staff only; if it is active afterwards, the caller becomes its owner, and
    must be allowed to read what it delivers. Waits for the outcome unless `Prefer` says otherwise."""
    edge = edge_of(request)
    body = await read_body(request, edge.config.body_max_bytes)
    changes = parse(WebhookChangeBody, body).model_dump(exclude_none=True)
    if "url" in changes:
        _refuse_private(edge, changes["url"])
    return await _changed(request, caller, body, ChangeWebhook(webhook_id, changes, _scopes(caller)))


@router.delete(
    "/{webhook_id}",
    status_code=204,
    response_class=Response,
    responses=write("webhook_not_found"),
    openapi_extra={"parameters": WRITE_HEADERS},
)
async def delete_webhook(request: Request, caller: Staff, webhook_id: UUID) -> Response:
    """Stops delivering to the endpoint and deletes its secrets. Staff only. Waits for the outcome unless `Prefer` says
    otherwise."""
    edge = edge_of(request)
    asked = ask(request, caller.actor, b"", wait_seconds=_WAIT_SECONDS)
    accepted = await edge.submitter.submit(asked, DeleteWebhook(webhook_id), str(webhook_id))
    return accepted.response() if accepted.outcome is None else Response(None, 204, accepted.headers())


@router.post(
    "/{webhook_id}/secret",
    response_model=SecretView,
    responses=write("webhook_not_found"),
    openapi_extra={"parameters": WRITE_HEADERS},
)
async def rotate_webhook_secret(request: Request, caller: Staff, webhook_id: UUID) -> Response:
    """Creates a new secret, shown this once. For a while (a setting; a day by default) deliveries are signed with both,
    so that the receiver can switch at its own pace. Staff only. Waits for the outcome unless `Prefer` says otherwise.
    """
    edge = edge_of(request)
    secret = new_secret()
    until = datetime.now(UTC) + timedelta(seconds=edge.config.webhook_secret_overlap_seconds)
    asked = ask(request, caller.actor, b"", wait_seconds=_WAIT_SECONDS)
    accepted = await edge.submitter.submit(
        asked, RotateWebhookSecret(webhook_id, Secret(secret), until), str(webhook_id)
    )
    if accepted.outcome is None:
        return accepted.response()
    rotated = msgspec.json.decode(accepted.outcome.data, type=WebhookSecretRotated)
    view = SecretView(
        id=webhook_id,
        secret=None if accepted.replayed else secret,
        previous_secret_until=rotated.overlap_until,
    )
    return Answer(view.model_dump_json()).response(accepted)


@router.post(
    "/{webhook_id}/redeliver",
    response_model=WebhookView,
    responses=write("webhook_not_found", "archived"),
    openapi_extra={**body_schema(RedeliveryBody), "parameters": WRITE_HEADERS},
)
async def redeliver_events(request: Request, caller: Staff, webhook_id: UUID) -> Response:
    """Continues delivering from an event of the log, earlier or later; a paused or disabled endpoint becomes active
    again. Events delivered before keep their `webhook-id`. Staff only. Waits for the outcome unless `Prefer` says
    otherwise. Archived events cannot be delivered again: 410, with the first that is not."""
    edge = edge_of(request)
    body = await read_body(request, edge.config.body_max_bytes)
    from_seq = parse(RedeliveryBody, body).from_seq
    first_seq = edge.tail.first_seq
    if from_seq < first_seq:
        detail = f"Events before seq {first_seq} are archived: begin from there."
        raise Problem("archived", detail, extensions={"first_seq": first_seq})
    return await _changed(request, caller, body, RedeliverEvents(webhook_id, from_seq, _scopes(caller)))


@router.get("/{webhook_id}/deliveries", response_model=Page[DeliveryView], responses=read("webhook_not_found"))
async def list_deliveries(
    request: Request,
    caller: Staff,
    webhook_id: UUID,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1)] = 20,
) -> Response:
    """Attempted deliveries to an endpoint, newest first; only the latest are kept. Staff only."""
    edge = edge_of(request)
    await _webhook(request, webhook_id)
    async with edge.engine.connect() as connection:
        page = await views.list_deliveries(connection, webhook_id, cursor, min(limit, edge.config.page_max_rows))
    return Response(page.model_dump_json(), media_type="application/json")


def _scopes(caller: Caller) -> tuple[str, ...]:
    return tuple(sorted(caller.actor.scopes))


async def _changed(request: Request, caller: Caller, body: bytes, command: ChangeWebhook | RedeliverEvents) -> Response:
    asked = ask(request, caller.actor, body, wait_seconds=_WAIT_SECONDS)
    edge = edge_of(request)
    accepted = await edge.submitter.submit(asked, command, str(command.webhook_id))

    async def made() -> Answer:
        return Answer((await _webhook(request, command.webhook_id)).model_dump_json())

    return await edge.answers.respond(asked, accepted, made)


async def _webhook(request: Request, webhook_id: UUID) -> WebhookView:
    async with edge_of(request).engine.connect() as connection:
        found = await views.find(connection, webhook_id)
    if found is None:
        raise Problem("webhook_not_found", "There is no such webhook.")
    return found


def _refuse_private(edge: Edge, url: str) -> None:
    """Refuses at once what would be refused at every delivery. What a name leads to is seen only then."""
    host = host_of(url) or ""
    if is_ones_own(host) and not edge.config.webhooks_may_be_private:
        raise Problem(
            "webhook_address_refused", "Webhooks are delivered to public addresses only.", extensions={"host": host}
        )
