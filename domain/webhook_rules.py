"""The rules of webhooks: what an endpoint may be, who may change it, when it is disabled, and what each event
changes."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import msgspec

from domain.disclosure import lacking
from domain.limits import WEBHOOKS_MAX
from domain.model import Context, Decision, Rejection, Shop, decides, evolves
from domain.webhooks import (
    ACTIVE,
    DELETED,
    DISABLED,
    PAUSED,
    ChangeWebhook,
    DeleteWebhook,
    DisableWebhook,
    Ownership,
    RedeliverEvents,
    RegisterWebhook,
    RotateWebhookSecret,
    Webhook,
    WebhookChanged,
    WebhookCreated,
    WebhookDeleted,
    WebhookDisabled,
    WebhookEvent,
    WebhookFields,
    WebhookRedelivered,
    WebhookSecretRotated,
    types_meant,
)


@decides(RegisterWebhook)
def _register(shop: Shop, command: RegisterWebhook, context: Context) -> Decision:
    if sum(webhook.status != DELETED for webhook in shop.of(Webhook).values()) >= WEBHOOKS_MAX:
        return Rejection("too_many_webhooks", f"There can be at most {WEBHOOKS_MAX} webhooks.")
    fields = command.webhook
    return (
        _misunderstood(fields)
        or _unreadable(fields.event_types, command.scopes)
        or (
            WebhookCreated(
                command.webhook_id,
                fields.url,
                fields.event_types,
                fields.description,
                fields.active,
                command.secret,
                context.actor.development,
                Ownership(context.actor.principal, command.scopes),
            ),
        )
    )


@decides(ChangeWebhook)
def _change(shop: Shop, command: ChangeWebhook, context: Context) -> Decision:
    webhook = _found(shop, command.webhook_id)
    if isinstance(webhook, Rejection):
        return webhook
    said = {
        "url": webhook.url,
        "event_types": webhook.event_types,
        "description": webhook.description,
        "active": webhook.status == ACTIVE,
    }
    fields = msgspec.convert([*{**said, **command.changes}.values()], WebhookFields)
    refused = _misunderstood(fields)
    if refused is not None or not fields.active:  # an inactive endpoint delivers nothing, so it needs no scopes
        return refused or (WebhookChanged(webhook.id, *msgspec.structs.astuple(fields)),)
    ownership = Ownership(context.actor.principal, command.scopes)
    changed = WebhookChanged(
        webhook.id, fields.url, fields.event_types, fields.description, fields.active, ownership=ownership
    )
    return _unreadable(fields.event_types, command.scopes) or (changed,)


@decides(RotateWebhookSecret)
def _rotate(shop: Shop, command: RotateWebhookSecret, context: Context) -> Decision:
    webhook = _found(shop, command.webhook_id)
    if isinstance(webhook, Rejection):
        return webhook
    return (WebhookSecretRotated(webhook.id, command.overlap_until, command.secret, context.actor.development),)


@decides(RedeliverEvents)
def _redeliver(shop: Shop, command: RedeliverEvents, context: Context) -> Decision:
    webhook = _found(shop, command.webhook_id)
    if isinstance(webhook, Rejection):
        return webhook
    return _unreadable(webhook.event_types, command.scopes) or (
        WebhookRedelivered(webhook.id, command.from_seq, Ownership(context.actor.principal, command.scopes)),
    )


@decides(DisableWebhook)
def _disable(shop: Shop, command: DisableWebhook, context: Context) -> Decision:
    webhook = _found(shop, command.webhook_id)
    if isinstance(webhook, Rejection):
        return webhook
    if webhook.status != ACTIVE or webhook.version != command.version:
        return Rejection(
            "version_conflict",
            "It has changed since you read it: read it again.",
            {"version": webhook.version, "expected_version": command.version},
        )
    return (WebhookDisabled(webhook.id, webhook.url, command.reason),)


@decides(DeleteWebhook)
def _delete(shop: Shop, command: DeleteWebhook, context: Context) -> Decision:
    webhook = _found(shop, command.webhook_id)
    if isinstance(webhook, Rejection):
        return webhook
    return (WebhookDeleted(webhook.id),)


def _found(shop: Shop, webhook_id: UUID) -> Webhook | Rejection:
    webhook = shop.of(Webhook).get(webhook_id)
    if webhook is None or webhook.status == DELETED:
        return Rejection("webhook_not_found", "There is no such webhook.", {"webhook_id": str(webhook_id)})
    return webhook


def _misunderstood(fields: WebhookFields) -> Rejection | None:
    """Why an endpoint cannot have these fields, or None."""
    unknown = [choice for choice in fields.event_types if not types_meant([choice])]
    if unknown:
        return Rejection("unknown_event_type", "Some of these event types do not exist.", {"event_types": unknown})
    return None


def _unreadable(event_types: Sequence[str], scopes: Sequence[str]) -> Rejection | None:
    """Why somebody with these scopes may not have events of these types delivered, or None."""
    lacks = lacking(types_meant(event_types), scopes)
    if lacks:
        needed = ", ".join(f"`{scope}`" for scope in lacks)
        return Rejection("forbidden", f"Delivery of these events requires permission to read them: {needed}.")
    return None


@evolves(WebhookCreated)
def _created(shop: Shop, event: WebhookCreated) -> None:
    status = ACTIVE if event.active else PAUSED
    shop.of(Webhook)[event.webhook_id] = Webhook(
        event.webhook_id,
        event.url,
        event.event_types,
        event.description,
        status,
        disabled_reason=None,
        secret=event.secret,
        previous_secret=None,
        previous_secret_until=None,
        version=1,
        development=event.development,
        **_owned(event.ownership),
    )


@evolves(WebhookChanged)
def _changed(shop: Shop, event: WebhookChanged) -> None:
    webhook = shop.of(Webhook).get(event.webhook_id)
    stays_disabled = webhook is not None and webhook.status == DISABLED and not event.active
    _now(
        shop,
        event,
        url=event.url,
        event_types=event.event_types,
        description=event.description,
        status=DISABLED if stays_disabled else ACTIVE if event.active else PAUSED,
        disabled_reason=webhook.disabled_reason if webhook and stays_disabled else None,
        **_owned(event.ownership),
    )


@evolves(WebhookSecretRotated)
def _rotated(shop: Shop, event: WebhookSecretRotated) -> None:
    webhook = shop.of(Webhook).get(event.webhook_id)
    # Production never signs with a secret that was created in development, not even during the overlap.
    overlaps = webhook is not None and (event.development or not webhook.development)
    _now(
        shop,
        event,
        secret=event.secret,
        previous_secret=webhook.secret if webhook and overlaps else None,
        previous_secret_until=event.overlap_until if overlaps else None,
        development=event.development,
    )


@evolves(WebhookRedelivered)
def _redelivered(shop: Shop, event: WebhookRedelivered) -> None:
    _now(shop, event, status=ACTIVE, disabled_reason=None, **_owned(event.ownership))


@evolves(WebhookDisabled)
def _disabled(shop: Shop, event: WebhookDisabled) -> None:
    _now(shop, event, status=DISABLED, disabled_reason=event.reason)


@evolves(WebhookDeleted)
def _deleted(shop: Shop, event: WebhookDeleted) -> None:
    _now(shop, event, status=DELETED, secret=None, previous_secret=None, previous_secret_until=None)


def _owned(ownership: Ownership | None) -> dict[str, Any]:
    return {} if ownership is None else {"owner": ownership.owner, "scopes": ownership.scopes}


def _now(shop: Shop, event: WebhookEvent, **changes: Any) -> None:
    if webhook := shop.of(Webhook).get(event.webhook_id):
        shop.of(Webhook)[webhook.id] = msgspec.structs.replace(webhook, **changes, version=webhook.version + 1)
