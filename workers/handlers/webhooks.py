"""What commands about webhooks are decided on, and where in the log delivery to endpoints begins. Webhooks themselves
are written whole (see `runtime/entities.py`)."""

from domain.webhooks import (
    ACTIVE,
    DISABLED,
    PAUSED,
    ChangeWebhook,
    DeleteWebhook,
    DisableWebhook,
    RedeliverEvents,
    RegisterWebhook,
    RotateWebhookSecret,
    Webhook,
    WebhookCreated,
    WebhookRedelivered,
)
from runtime.standard_webhooks import reaction_name
from workers.handlers import reads, writes
from workers.loading import ReadSet
from workers.rows import Rows


@reads(RegisterWebhook)
def _register(command: RegisterWebhook, into: ReadSet) -> None:
    for status in (ACTIVE, PAUSED, DISABLED):
        into.add(Webhook, status, by="status")


@reads(ChangeWebhook)
@reads(RotateWebhookSecret)
@reads(RedeliverEvents)
@reads(DisableWebhook)
@reads(DeleteWebhook)
def _known(
    command: ChangeWebhook | RotateWebhookSecret | RedeliverEvents | DisableWebhook | DeleteWebhook, into: ReadSet
) -> None:
    into.add(Webhook, command.webhook_id)


@writes(WebhookCreated)
def _created(event: WebhookCreated, into: Rows) -> None:
    into.move_reaction(reaction_name(event.webhook_id), None)


@writes(WebhookRedelivered)
def _redelivered(event: WebhookRedelivered, into: Rows) -> None:
    into.move_reaction(reaction_name(event.webhook_id), event.from_seq - 1)
