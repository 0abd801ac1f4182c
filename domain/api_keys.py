"""API keys: credentials for machines. A key has a role and scopes, and is valid until it is revoked.

Only the hash of its secret is stored, and not in the log; the key itself is shown once, when it is created.
"""

from typing import Annotated, ClassVar, Final
from uuid import UUID

import msgspec

from domain.ids import slot_of_id
from domain.limits import KEY_NAME_MAX_CHARS
from domain.model import Command, Context, Decision, Entity, Event, Rejection, Secret, Shop, decides, evolves
from domain.roles import ACCOUNT_ROLES, allowed

PRINCIPAL_PREFIX: Final = "key:"


def key_principal(key_id: UUID) -> str:
    """The principal that a key authenticates."""
    return f"{PRINCIPAL_PREFIX}{key_id}"


class ApiKey(Entity, frozen=True):
    """An API key. `created_by` is a principal. Folding the log does not restore `secret_hash`. Production rejects keys
    that were created in `development`."""

    id: UUID
    name: str
    role: str
    scopes: tuple[str, ...]
    created_by: str
    secret_hash: Secret | None
    revoked: bool
    development: bool = False

    def slot(self) -> int:
        return slot_of_id(self.id)


class CreateApiKey(Command, frozen=True):
    key_id: UUID
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=KEY_NAME_MAX_CHARS)]
    role: str
    scopes: tuple[str, ...]
    secret_hash: Secret

    def __post_init__(self) -> None:
        if self.role not in ACCOUNT_ROLES:
            raise ValueError(f"{self.role!r} is not a role for a key")
        if not allowed(self.role, self.scopes):
            raise ValueError(f"the role {self.role!r} does not allow these scopes")

    def slot(self) -> int:
        return slot_of_id(self.key_id)


class RevokeApiKey(Command, frozen=True):
    key_id: UUID

    def slot(self) -> int:
        return slot_of_id(self.key_id)


class ApiKeyCreated(Event, frozen=True):
    type: ClassVar[str] = "api_key.created"
    key_id: UUID
    name: str
    role: str
    scopes: tuple[str, ...]
    created_by: str
    secret_hash: Secret | None
    development: bool = False

    def subject(self) -> str:
        return str(self.key_id)


class ApiKeyRevoked(Event, frozen=True):
    type: ClassVar[str] = "api_key.revoked"
    key_id: UUID

    def subject(self) -> str:
        return str(self.key_id)


@decides(CreateApiKey)
def _create(shop: Shop, command: CreateApiKey, context: Context) -> Decision:
    created = ApiKeyCreated(
        command.key_id,
        command.name,
        command.role,
        command.scopes,
        context.actor.principal,
        command.secret_hash,
        context.actor.development,
    )
    return (created,)


@decides(RevokeApiKey)
def _revoke(shop: Shop, command: RevokeApiKey, context: Context) -> Decision:
    key = shop.of(ApiKey).get(command.key_id)
    if key is None:
        return Rejection("api_key_not_found", "There is no such API key.", {"key_id": str(command.key_id)})
    if key.revoked:
        return Rejection("api_key_revoked", "The API key is already revoked.", {"key_id": str(key.id)})
    return (ApiKeyRevoked(key.id),)


@evolves(ApiKeyCreated)
def _created(shop: Shop, event: ApiKeyCreated) -> None:
    shop.of(ApiKey)[event.key_id] = ApiKey(
        event.key_id,
        event.name,
        event.role,
        event.scopes,
        event.created_by,
        event.secret_hash,
        revoked=False,
        development=event.development,
    )


@evolves(ApiKeyRevoked)
def _revoked(shop: Shop, event: ApiKeyRevoked) -> None:
    keys = shop.of(ApiKey)
    if event.key_id in keys:
        keys[event.key_id] = msgspec.structs.replace(keys[event.key_id], revoked=True)
