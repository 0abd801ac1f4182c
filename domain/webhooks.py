"""Webhooks: other people's endpoints, registered by staff, to which events of chosen types are delivered.

All are changed by one mailbox, so that their number stays bounded. The delivering reaction keeps track of positions and
failures; only decisions are recorded here, such as disabling an endpoint. The rules are in `domain/webhook_rules.py`.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any, ClassVar, Final
from uuid import UUID

import msgspec

from domain.ids import slot_of_key
from domain.limits import REASON_MAX_CHARS, WEBHOOK_DESCRIPTION_MAX_CHARS, WEBHOOK_MAX_EVENT_TYPES
from domain.model import EVENTS, Command, Entity, Event, Secret
from domain.urls import host_of

# Staff pause an endpoint; it is disabled after failing for too long. Either way it later resumes where it stopped.
ACTIVE: Final = "active"
PAUSED: Final = "paused"
DISABLED: Final = "disabled"
DELETED: Final = "deleted"

ANY: Final = "*"
_ANY_OF_ENTITY: Final = ".*"


def webhooks_slot() -> int:
    """All endpoints share one mailbox, so that their number stays bounded."""
    return slot_of_key("webhooks")


class Webhook(Entity, frozen=True):
    """An endpoint. `previous_secret` also signs until `previous_secret_until`. `version` counts all changes. Production
    never signs with a secret that was created in `development`. `owner` is the principal who last changed what it
    delivers, and `scopes` are those that the owner had then: it delivers only what its owner may read. Both are None if
    it has not been changed since owners were introduced."""

    id: UUID
    url: str
    event_types: tuple[str, ...]
    description: str
    status: str
    disabled_reason: str | None
    secret: Secret | None
    previous_secret: Secret | None
    previous_secret_until: datetime | None
    version: int
    development: bool = False
    owner: str | None = None
    scopes: tuple[str, ...] | None = None

    def slot(self) -> int:
        return webhooks_slot()


class WebhookFields(msgspec.Struct, frozen=True, array_like=True):
    """The fields of an endpoint that staff set. `event_types`: names of event types, `order.*` for all of an entity,
    `*` for all."""

    url: str
    event_types: tuple[str, ...]
    description: Annotated[str, msgspec.Meta(max_length=WEBHOOK_DESCRIPTION_MAX_CHARS)] = ""
    active: bool = True

    def __post_init__(self) -> None:
        if host_of(self.url) is None:
            raise ValueError("events cannot be delivered to this URL")
        if not 1 <= len(self.event_types) <= WEBHOOK_MAX_EVENT_TYPES:
            raise ValueError(f"an endpoint has 1 to {WEBHOOK_MAX_EVENT_TYPES} event types")


def choices() -> list[str]:
    """Everything that an endpoint may choose: `*`, the pattern of each entity, and the event types."""
    entities = {name.partition(".")[0] + _ANY_OF_ENTITY for name in EVENTS}
    return [ANY, *sorted(entities), *sorted(EVENTS)]


def types_meant(chosen: Iterable[str]) -> frozenset[str]:
    """The event types chosen by name or pattern; a choice that matches nothing adds none."""
    meant: set[str] = set()
    for choice in chosen:
        if choice == ANY:
            meant.update(EVENTS)
        elif choice.endswith(_ANY_OF_ENTITY):
            meant.update(name for name in EVENTS if name.startswith(choice[:-1]))
        elif choice in EVENTS:
            meant.add(choice)
    return frozenset(meant)


class _AboutWebhook(Command, frozen=True):
    webhook_id: UUID

    def slot(self) -> int:
        return webhooks_slot()


class RegisterWebhook(_AboutWebhook, frozen=True):
    """`scopes` are those of the principal who issues the command; likewise in the other commands."""

    webhook: WebhookFields
    secret: Secret
    scopes: tuple[str, ...] = ()


class ChangeWebhook(_AboutWebhook, frozen=True):
    """`changes` maps names of WebhookFields to values."""

    changes: dict[str, Any]
    scopes: tuple[str, ...] = ()


class RotateWebhookSecret(_AboutWebhook, frozen=True):
    """From now on `secret` signs; until `overlap_until` the previous one does as well."""

    secret: Secret
    overlap_until: datetime


class RedeliverEvents(_AboutWebhook, frozen=True):
    """Delivery continues from `from_seq`, wherever it was; a paused or disabled endpoint becomes active again."""

    from_seq: Annotated[int, msgspec.Meta(ge=1)]
    scopes: tuple[str, ...] = ()


class DisableWebhook(_AboutWebhook, frozen=True):
    """Sent by the delivering reaction, for this `reason`; has no effect if the endpoint has changed since `version`."""

    reason: Annotated[str, msgspec.Meta(max_length=REASON_MAX_CHARS)]
    version: int


class DeleteWebhook(_AboutWebhook, frozen=True):
    """Deletes the endpoint and its secrets."""


class WebhookEvent(Event, frozen=True):
    """What all events about an endpoint have in common."""

    webhook_id: UUID

    def subject(self) -> str:
        return str(self.webhook_id)


class Ownership(msgspec.Struct, frozen=True):
    """Whose scopes an endpoint delivers with from now on."""

    owner: str
    scopes: tuple[str, ...]


class WebhookCreated(WebhookEvent, frozen=True):
    type: ClassVar[str] = "webhook.created"
    url: str
    event_types: tuple[str, ...]
    description: str
    active: bool
    secret: Secret | None = None
    development: bool = False
    ownership: Ownership | None = None


class WebhookChanged(WebhookEvent, frozen=True):
    """The endpoint after the change. Without `ownership`, its owner stays the same."""

    type: ClassVar[str] = "webhook.changed"
    url: str
    event_types: tuple[str, ...]
    description: str
    active: bool
    ownership: Ownership | None = None


class WebhookSecretRotated(WebhookEvent, frozen=True):
    type: ClassVar[str] = "webhook.secret_rotated"
    overlap_until: datetime
    secret: Secret | None = None
    development: bool = False


class WebhookRedelivered(WebhookEvent, frozen=True):
    """The log is delivered from `from_seq` on, including events that were delivered before."""

    type: ClassVar[str] = "webhook.redelivered"
    from_seq: int
    ownership: Ownership | None = None


class WebhookDisabled(WebhookEvent, frozen=True):
    """Delivery to it has stopped; this event tells staff."""

    type: ClassVar[str] = "webhook.disabled"
    url: str
    reason: str


class WebhookDeleted(WebhookEvent, frozen=True):
    type: ClassVar[str] = "webhook.deleted"
