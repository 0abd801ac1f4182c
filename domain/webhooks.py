"""Webhooks: endpoints of others, registered by staff, to which events of chosen types are delivered.

All are changed by one mailbox, so that there never are too many. How far each has been told, and how often that failed,
is the business of whoever delivers; here stand only decisions, those to give up on an endpoint among them, in words.
The rules are in `domain/webhook_rules.py`.
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

# Staff pause an endpoint; it is disabled when it has failed for too long. Both go on later where they stopped.
ACTIVE: Final = "active"
PAUSED: Final = "paused"
DISABLED: Final = "disabled"
DELETED: Final = "deleted"

ANY: Final = "*"
_ANY_OF_NOUN: Final = ".*"


def webhooks_slot() -> int:
    """All endpoints share one mailbox, so that there never are too many."""
    return slot_of_key("webhooks")


class Webhook(Entity, frozen=True):
    """An endpoint as it stands. `previous_secret` signs beside the new one until `previous_secret_until`. `version`
    counts all changes. Production signs nothing with a secret that was made in `development`. `owner` is the principal
    who last had it deliver something, and `scopes` what that one was allowed then: it delivers what its owner may read.
    Both are None if nobody has touched it since there are owners."""

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
    """What staff say of an endpoint. `event_types`: names of event types, `order.*` for all of a noun, `*` for all."""

    url: str
    event_types: tuple[str, ...]
    description: Annotated[str, msgspec.Meta(max_length=WEBHOOK_DESCRIPTION_MAX_CHARS)] = ""
    active: bool = True

    def __post_init__(self) -> None:
        if host_of(self.url) is None:
            raise ValueError("this is no URL that can be delivered to")
        if not 1 <= len(self.event_types) <= WEBHOOK_MAX_EVENT_TYPES:
            raise ValueError(f"an endpoint has 1 to {WEBHOOK_MAX_EVENT_TYPES} event types")


def choices() -> list[str]:
    """Everything that an endpoint may choose: all, the nouns, and the event types."""
    nouns = {name.partition(".")[0] + _ANY_OF_NOUN for name in EVENTS}
    return [ANY, *sorted(nouns), *sorted(EVENTS)]


def types_meant(chosen: Iterable[str]) -> frozenset[str]:
    """The names of the event types that are chosen by name or pattern; none for a choice that fits nothing."""
    meant: set[str] = set()
    for choice in chosen:
        if choice == ANY:
            meant.update(EVENTS)
        elif choice.endswith(_ANY_OF_NOUN):
            meant.update(name for name in EVENTS if name.startswith(choice[:-1]))
        elif choice in EVENTS:
            meant.add(choice)
    return frozenset(meant)


class _AboutWebhook(Command, frozen=True):
    webhook_id: UUID

    def slot(self) -> int:
        return webhooks_slot()


class RegisterWebhook(_AboutWebhook, frozen=True):
    """`scopes` are those that the one who asks is allowed; so in the other commands."""

    webhook: WebhookFields
    secret: Secret
    scopes: tuple[str, ...] = ()


class ChangeWebhook(_AboutWebhook, frozen=True):
    """`changes` are fields of WebhookFields by name."""

    changes: dict[str, Any]
    scopes: tuple[str, ...] = ()


class RotateWebhookSecret(_AboutWebhook, frozen=True):
    """From now on `secret` signs; the one before it signs as well, until `overlap_until`."""

    secret: Secret
    overlap_until: datetime


class RedeliverEvents(_AboutWebhook, frozen=True):
    """Goes on from `from_seq`, wherever the endpoint was; one that was paused or disabled is active again."""

    from_seq: Annotated[int, msgspec.Meta(ge=1)]
    scopes: tuple[str, ...] = ()


class DisableWebhook(_AboutWebhook, frozen=True):
    """Given up by whoever delivers, for this `reason`; unless the endpoint was changed since that `version`."""

    reason: Annotated[str, msgspec.Meta(max_length=REASON_MAX_CHARS)]
    version: int


class DeleteWebhook(_AboutWebhook, frozen=True):
    """Forgets the endpoint and its secrets."""


class WebhookEvent(Event, frozen=True):
    """What all that happens to an endpoint says."""

    webhook_id: UUID

    def subject(self) -> str:
        return str(self.webhook_id)


class Ownership(msgspec.Struct, frozen=True):
    """Whose rights an endpoint has from now on."""

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
    """The endpoint as it is now. Without an `ownership` it stays with whom it was."""

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
    """It is delivered the log from `from_seq` on, what it has had before included."""

    type: ClassVar[str] = "webhook.redelivered"
    from_seq: int
    ownership: Ownership | None = None


class WebhookDisabled(WebhookEvent, frozen=True):
    """It is not delivered to any more: this is how staff learn of it."""

    type: ClassVar[str] = "webhook.disabled"
    url: str
    reason: str


class WebhookDeleted(WebhookEvent, frozen=True):
    type: ClassVar[str] = "webhook.deleted"
