"""How sockets are closed: the codes, and what they mean to a client. Some of the WebSocket protocol's own are uvicorn's
to send, as 1012 at shutdown."""

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
    1002: "This is no WebSocket protocol.",
    1007: "A text that is not UTF-8.",
    1009: "A message that is too large.",
    INTERNAL_ERROR: "A ping was not answered, or a bug of the gateway: connect again, and resume.",
    STOPPING: "The gateway stops: connect again, and resume.",
    TRY_LATER: "There is no room, or too many replays, or the log cannot be read now: try again later, and resume.",
    TOO_SLOW: "The client reads too slowly; the reason names the seq to resume from.",
    BAD_REQUEST: "What the client said could not be understood.",
    UNAUTHENTICATED: "There is no token, or it expired, or counts no more.",
    FORBIDDEN: "The token may not do that.",
    NOT_THIS_LOG: "What the client has seen is no part of the log (any more): begin anew.",
    TOO_MANY_MESSAGES: "The client says too much.",
}


class Closing(NamedTuple):
    """How a socket ends: with a code and a reason, or, without a code, because nobody is there to be told."""

    code: int | None
    reason: str
