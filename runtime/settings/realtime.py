"""What one gateway process takes over WebSockets and event streams."""

from pydantic import Field

from runtime.settings.section import Section


class Realtime(Section):
    """WebSockets and event streams."""

    socket_max_connections: int = Field(
        2_000,
        description="WebSockets in one gateway process; beyond it they are closed with 1013. At most an eighth may be "
        "unauthenticated, five eighths customers', of which two eighths guests'; a quarter is reserved for staff.",
        ge=1,
    )
    socket_max_per_principal: int = Field(
        100,
        description="WebSockets of one principal in one gateway process; beyond it they are closed with 1013.",
        ge=1,
    )
    socket_max_per_guest: int = Field(
        5, description="WebSockets of one guest in one gateway process; beyond it they are closed with 1013.", ge=1
    )
    socket_max_per_address: int = Field(
        200,
        description="WebSockets from one address in one gateway process, not counting staff's; beyond it they are"
        " closed with 1013.",
        ge=1,
    )
    socket_queue_max_events: int = Field(
        10_000,
        description="Events queued for one WebSocket; a client that reads more slowly is closed with 4008 and the seq"
        " to resume from.",
        ge=1,
    )
    socket_queue_max_bytes: int = Field(
        8_388_608,
        description="Bytes queued for one WebSocket, with the same answer; a single larger frame is still sent.",
        ge=1,
    )
    socket_compression: bool = Field(
        False,
        description="Whether WebSockets are compressed for clients that ask for it. It costs more than it saves.",
    )
    socket_authenticate_seconds: float = Field(
        10.0,
        description="How long a WebSocket opened without a token may take to authenticate; beyond it: 4401.",
        gt=0,
    )
    socket_heartbeat_seconds: float = Field(
        15.0, description="Interval at which a WebSocket or event stream is told the current seq.", gt=0
    )
    socket_close_seconds: float = Field(
        5.0,
        description="How long a stopping gateway takes to close its sockets and event streams (1012), so that their "
        "clients do not all reconnect at once; if there are few, it takes less.",
        ge=0,
    )
    socket_messages_per_second: float = Field(
        20.0, description="Messages a second from one WebSocket's client, on average; beyond it: 4429.", gt=0
    )
    socket_messages_burst: int = Field(200, description="Messages it may send in one burst.", ge=1)
    replays_max: int = Field(
        200,
        description="Long replays of the log at once in one gateway process: over 2,000 events, of topics without an"
        " index; beyond it: `too_many_replays`.",
        ge=1,
    )
    replays_max_per_principal: int = Field(10, description="Long replays at once of one principal.", ge=1)
    replay_events_per_second: float = Field(
        50_000.0,
        description="Events a second that one gateway process reads for long replays, which take turns.",
        gt=0,
    )
    silence_seconds: float = Field(
        0.5,
        description="If the feed brings no event for this long, the gateway reads the log itself; if it cannot for"
        " twice as long, it drops its catalogue cache.",
        gt=0,
    )
