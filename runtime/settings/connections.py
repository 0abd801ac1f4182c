"""How connections to Postgres and Redis are kept, and how a dead one is noticed."""

from pydantic import Field

from runtime.settings.section import Section


class Connections(Section):
    """Connections to Postgres and Redis."""

    database_pool_size: int = Field(10, description="Postgres connections of one gateway process.", ge=1, le=1_000)
    background_pool_size: int = Field(
        10, description="Postgres connections of one background process, for its reactions.", ge=4, le=1_000
    )
    connection_idle_seconds: float = Field(
        0.05, description="A connection idle for longer is checked before it is used.", ge=0
    )
    connection_answer_seconds: float = Field(
        1.0,
        description="How long that check, and the acknowledgement of sent data (TCP_USER_TIMEOUT), may take before the"
        " connection is replaced.",
        gt=0,
    )
    keepalive_idle_seconds: int = Field(
        10, description="TCP keepalive: idle time before the first probe (TCP_KEEPIDLE).", ge=1
    )
    keepalive_interval_seconds: int = Field(2, description="TCP keepalive: time between probes (TCP_KEEPINTVL).", ge=1)
    keepalive_count: int = Field(
        3, description="TCP keepalive: unanswered probes before the connection is lost (TCP_KEEPCNT).", ge=1
    )
