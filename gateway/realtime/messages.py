"""The messages of the WebSocket `/ws`, in both directions: JSON objects, distinguished by `type`. The AsyncAPI document
is generated from these structs, so it matches what is sent.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec

from gateway.realtime.statistics.figures import Figures

SUBSCRIPTIONS_MAX: Final = 64
"""Of one socket."""
TOPICS_MAX: Final = 100
"""Of one subscription."""
SOCKET_TOPICS_MAX: Final = 256
"""Of all subscriptions of one socket."""

_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64, description="The client's own name for it.")]
_Reference = Annotated[str, msgspec.Meta(max_length=64, description="Returned with the answer.")]
_Seq = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class _Said(msgspec.Struct, frozen=True, tag_field="type", forbid_unknown_fields=True):
    """A message from the client."""


class Authenticate(_Said, frozen=True, tag="authenticate"):
    """The first message of a client that sent no token with its request; send it again before the token expires. The
    new token must be for the same principal."""

    token: Annotated[str, msgspec.Meta(max_length=8_192)]
    id: _Reference | None = None


class Subscribe(_Said, frozen=True, tag="subscribe"):
    """Asks for the events of some topics, those after the seq `after` or those from now on. A subscription without a
    name is called by its topics, sorted and joined with commas. A client that sends the `log` it got with its seq is
    told if that log has been replaced."""

    topics: Annotated[list[Annotated[str, msgspec.Meta(max_length=100)]], msgspec.Meta(min_length=1, max_length=100)]
    after: _Seq | Literal["now"] = "now"
    subscription: _Name | None = None
    id: _Reference | None = None
    log: UUID | None = None


class Unsubscribe(_Said, frozen=True, tag="unsubscribe"):
    """Ends a subscription."""

    subscription: Annotated[str, msgspec.Meta(max_length=16_384)]
    id: _Reference | None = None


class Ping(_Said, frozen=True, tag="ping"):
    """Asks for a pong."""

    id: _Reference | None = None


Said = Authenticate | Subscribe | Unsubscribe | Ping


class _Told(msgspec.Struct, frozen=True, tag_field="type", omit_defaults=True):
    """A message to the client."""


class Authenticated(_Told, frozen=True, tag="authenticated"):
    """The token was accepted, and is valid until `expires_at` (seconds of Unix time)."""

    principal: str
    role: str
    expires_at: float | None = None
    id: str | None = None


class Subscribed(_Told, frozen=True, tag="subscribed"):
    """The subscription begins after the seq `after` of `log`."""

    subscription: str
    topics: list[str]
    after: int
    id: str | None = None
    log: str | None = None


class Unsubscribed(_Told, frozen=True, tag="unsubscribed"):
    """The subscription has ended."""

    subscription: str
    id: str | None = None


class Events(_Told, frozen=True, tag="events"):
    """Events of a subscription, in order; each comes once. `seq` is the last one's."""

    subscription: str
    seq: int
    events: list[dict[str, Any]]


class Stats(_Told, frozen=True, tag="stats"):
    """The topic `stats`, once a second: figures of the last 60 seconds and of this moment."""

    subscription: str
    stats: Figures


class Heartbeat(_Told, frozen=True, tag="heartbeat"):
    """Every event of the socket's subscriptions up to `seq` has been sent: it is safe to resume from there."""

    seq: int


class Pong(_Told, frozen=True, tag="pong"):
    """The answer to a ping."""

    seq: int
    id: str | None = None


ERROR_CODES: Final = (
    "invalid_message",
    "invalid_token",
    "forbidden",
    "order_not_found",
    "unknown_topic",
    "too_many_topics",
    "too_many_subscriptions",
    "subscription_exists",
    "no_such_subscription",
    "too_many_replays",
    "ahead_of_log",
    "another_log",
    "archived",
    "database_unavailable",
)
"""All values of `Error.code`."""


class Error(_Told, frozen=True, tag="error"):
    """A message was refused; the socket stays open. `code` is stable. If the client cannot go on from there in the log
    (`ahead_of_log`, `another_log`, `archived`), `log` is the current log's identity, and `seq` its end; with
    `archived`, `first_seq` is the first event that is not archived."""

    code: str
    detail: str
    id: str | None = None
    seq: int | None = None
    log: str | None = None
    first_seq: int | None = None


TOLD: Final = (Authenticated, Subscribed, Unsubscribed, Events, Stats, Heartbeat, Pong, Error)

_said = msgspec.json.Decoder(Said)
_json = msgspec.json.Encoder()


def decode(text: str | bytes) -> Said:
    """The client's message. Raises msgspec.MsgspecError, UnicodeDecodeError or RecursionError."""
    said: Said = _said.decode(text)
    return said


def encode(message: msgspec.Struct) -> str:
    """The message as it is sent."""
    return _json.encode(message).decode()
