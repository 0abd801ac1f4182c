"""How connections to Postgres and Redis are kept, and how a dead one is noticed."""

from pydantic import Field

from runtime.settings.section import Section


class Connections(Section):
    """Connections to Postgres and Redis."""

    database_pool_size: int = Field(
        10,
        description="Postgres connections of one gateway process: to the primary, and as many to the replica.",
        ge=1,
        le=1_000,
    )
    database_keeps_statements: bool = Field(
        True,
        description="Whether a gateway keeps statements prepared on its connections. `false` is for a PgBouncer in"
        " transaction mode in between (see `docs/deploying.md`).",
    )
    read_wait_seconds: float = Field(
        0.5,
        description="How long a read with `If-Seq-At-Least` waits for the replica before it goes to the primary.",
        ge=0,
        le=10,
    )
    read_lag_max_seconds: float = Field(
        5.0, description="While the replica lags by more, all reads go to the primary.", gt=0, le=3_600
    )
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
