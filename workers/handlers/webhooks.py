"""What the webhooks' commands are decided on, and from where in the log endpoints are delivered to. What else they
change is written as it is (see `runtime/nouns.py`)."""

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
from runtime.webhooks import reaction_name
from workers.handlers import needs, writes
from workers.rows import Needs, Rows


@needs(RegisterWebhook)
def _register(command: RegisterWebhook, into: Needs) -> None:
    for status in (ACTIVE, PAUSED, DISABLED):
        into.need(Webhook, status, by="status")


@needs(ChangeWebhook)
@needs(RotateWebhookSecret)
@needs(RedeliverEvents)
@needs(DisableWebhook)
@needs(DeleteWebhook)
def _known(
    command: ChangeWebhook | RotateWebhookSecret | RedeliverEvents | DisableWebhook | DeleteWebhook, into: Needs
) -> None:
    into.need(Webhook, command.webhook_id)


@writes(WebhookCreated)
def _created(event: WebhookCreated, into: Rows) -> None:
    into.move_reaction(reaction_name(event.webhook_id), None)


@writes(WebhookRedelivered)
def _redelivered(event: WebhookRedelivered, into: Rows) -> None:
    into.move_reaction(reaction_name(event.webhook_id), event.from_seq - 1)
