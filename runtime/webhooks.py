"""What the gateway, the deliverer and receivers agree on about webhooks: secrets, signatures, and the names of things.

The scheme is Standard Webhooks (https://www.standardwebhooks.com): every message has an id that a repeat has as well,
the moment it was sent at, and signatures of both with the body, one for each secret that is valid at that moment.
"""

import base64
import secrets
from collections.abc import Iterable
from datetime import datetime
from typing import Final
from uuid import UUID

from standardwebhooks import Webhook as Signer

ID_HEADER: Final = "webhook-id"
TIMESTAMP_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"

MEDIA_TYPE: Final = "application/cloudevents+json; charset=utf-8"
"""Of a body: one event in structured mode, CloudEvents 1.0's HTTP binding."""

REACTION_PREFIX: Final = "webhook:"
_SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - what secrets begin with
# The scheme asks for 24 to 64.
_SECRET_BYTES: Final = 32


def reaction_name(webhook_id: UUID) -> str:
    """What the reaction that delivers to an endpoint is called, in `reactions`."""
    return f"{REACTION_PREFIX}{webhook_id}"


def new_secret() -> str:
    """A secret that nobody has seen, in the form that the scheme's libraries read."""
    return _SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def message_id(webhook_id: UUID, seq: int) -> str:
    """The same each time that an event is delivered to an endpoint, and never for anything else."""
    return f"msg_{webhook_id.hex}_{seq}"


def signed(message: str, body: str, valid: Iterable[str], at: datetime) -> dict[str, str]:
    """The headers of a message: its id, the moment it is sent at (UTC), and a signature with each secret."""
    return {
        ID_HEADER: message,
        TIMESTAMP_HEADER: str(int(at.timestamp())),
        SIGNATURE_HEADER: " ".join(Signer(secret).sign(message, at, body) for secret in valid),
    }
