"""What the gateway, the delivering reaction and receivers share about webhooks: secrets, signatures and names.

The scheme is Standard Webhooks (https://www.standardwebhooks.com): every message has an id, the same when it is
repeated, the time it was sent, and signatures of both with the body, one for each secret valid at that time.
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
"""The type of a body: one event in structured mode, by the HTTP binding of CloudEvents 1.0."""

REACTION_PREFIX: Final = "webhook:"
_SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - only their prefix
# The scheme requires 24 to 64.
_SECRET_BYTES: Final = 32


def reaction_name(webhook_id: UUID) -> str:
    """The name in `reactions` of the reaction that delivers to an endpoint."""
    return f"{REACTION_PREFIX}{webhook_id}"


def new_secret() -> str:
    """A new secret, in the format of the scheme's libraries."""
    return _SECRET_PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def message_id(webhook_id: UUID, seq: int) -> str:
    """The id of the message that delivers an event to an endpoint: the same at each attempt, and unique."""
    return f"msg_{webhook_id.hex}_{seq}"


def signed(message: str, body: str, valid: Iterable[str], at: datetime) -> dict[str, str]:
    """The headers of a message: its id, the time it is sent (UTC), and a signature with each secret."""
    return {
        ID_HEADER: message,
        TIMESTAMP_HEADER: str(int(at.timestamp())),
        SIGNATURE_HEADER: " ".join(Signer(secret).sign(message, at, body) for secret in valid),
    }
