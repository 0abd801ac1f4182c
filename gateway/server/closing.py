"""How sockets are closed: the codes, and what they mean to a client. Some of the WebSocket protocol's own codes are
sent by uvicorn, such as 1012 at shutdown."""

from typing import Final, NamedTuple

INTERNAL_ERROR: Final = 1011
STOPPING: Final = 1012
TRY_LATER: Final = 1013
TOO_SLOW: Final = 4008
BAD_REQUEST: Final = 4400
UNAUTHENTICATED: Final = 4401
FORBIDDEN: Final = 4403
NOT_THIS_LOG: Final = 4410
TOO_MANY_MESSAGES: Final = 4429

MEANINGS: Final = {
    1002: "The client violated the WebSocket protocol.",
    1007: "A text message was not valid UTF-8.",
    1009: "A message was too large.",
    INTERNAL_ERROR: "A ping was not answered, or the gateway failed: reconnect and resume.",
    STOPPING: "The gateway is stopping: reconnect and resume.",
    TRY_LATER: "There are too many sockets or replays, or the log cannot be read now: try again later and resume.",
    TOO_SLOW: "The client reads too slowly; the reason names the seq to resume from.",
    BAD_REQUEST: "The client sent too many invalid messages.",
    UNAUTHENTICATED: "There is no token, or it has expired or been revoked.",
    FORBIDDEN: "The token does not allow this.",
    NOT_THIS_LOG: "What the client has seen is not part of the log, or no longer is: start over.",
    TOO_MANY_MESSAGES: "The client sends too many messages.",
}


class Closing(NamedTuple):
    """How a socket ends: with a code and a reason, or, if the client is gone, without a code."""

    code: int | None
    reason: str
