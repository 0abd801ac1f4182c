"""Where it runs, and with how many processes."""

from ipaddress import ip_address
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from runtime import database_url as database_urls
from runtime import redis_url as redis_urls
from runtime.settings.section import Section, also_bare
from runtime.timezones import zone_of


class Deployment(Section):
    """Deployment."""

    mode: Literal["development", "production"] = Field(
        "development", description="`production` refuses development's secret and credentials, and logs JSON."
    )
    development_open: bool = Field(
        False,
        description="Allows development mode to listen on an address that others can reach, as in a container. Anyone"
        " who reaches it can become an admin; without this setting it refuses to start there.",
    )
    database_url: str = Field(
        "postgresql://postgres@127.0.0.1:5432/postgres",
        validation_alias=also_bare("DATABASE_URL"),
        description="Postgres 17 or newer. If this and `REDIS_URL` are set, no server is embedded.",
    )
    read_database_url: str | None = Field(
        None,
        description="A streaming replica of that Postgres, which orders, stock, the catalogue and exports are read from"
        " (see `docs/deploying.md`). Unset: everything is read from the primary.",
    )
    redis_url: str = Field(
        "redis://127.0.0.1:6379/0",
        validation_alias=also_bare("REDIS_URL"),
        description="Redis 7 or Valkey 8, or newer, with `appendonly yes` and `appendfsync always`. A cluster is"
        " `redis+cluster://` with some of its nodes, as in `redis+cluster://:password@10.0.0.1:6379,10.0.0.2:6379`.",
    )
    host: str = Field("127.0.0.1", description="Address the gateway listens on.")
    port: int = Field(
        8000, validation_alias=also_bare("PORT"), description="Port the gateway listens on.", ge=1, le=65535
    )
    port_shared: bool = Field(
        False,
        description="Whether several gateways on one machine may listen on this port at the same time (SO_REUSEPORT),"
        " as when one replaces another.",
    )
    home: Path = Field(Path(".tidegate"), description="Folder for the embedded servers' data and the metrics files.")
    time_zone: str = Field(
        "UTC",
        description="The shop's time zone (an IANA name): where the days of a report begin unless the report names"
        " another.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Lowest level logged.")
    log_format: Literal["text", "json"] | None = Field(
        None, description="How log lines look. Unset: `json` in production, `text` in development."
    )
    gateway_processes: int = Field(1, description="Gateway processes.", ge=1, le=64)
    worker_processes: int = Field(2, description="Worker processes, which apply commands.", ge=1, le=64)
    background_processes: int = Field(1, description="Background processes, which run reactions and jobs.", ge=1, le=64)

    stop_seconds: int = Field(
        25,
        description="How long a process may take to stop after SIGTERM; what is unfinished by then is cut off. Make it"
        " a few seconds less than a supervisor waits before SIGKILL (Kubernetes: 30 s).",
        ge=3,
        le=3_600,
    )
    stop_notice_seconds: int = Field(
        0,
        description="How much of this time a gateway keeps serving while `/health/ready` answers 503: as long as load "
        "balancers take to notice.",
        ge=0,
    )

    metrics_port: int | None = Field(
        None,
        description="Separate port that serves `/metrics` without authentication. Unset: only the gateway's port does.",
        ge=1,
        le=65535,
    )
    worker_metrics_port: int | None = Field(
        None,
        description="Port that serves `/metrics` of worker and background processes, for machines and containers "
        "without a gateway; where there is one, its port serves theirs too.",
        ge=1,
        le=65535,
    )
    metrics_host: str = Field("127.0.0.1", description="Address the metrics ports listen on.")
    metrics_public: bool | None = Field(
        None,
        description="Whether `/metrics` on the gateway's port is public. Unset: in development only. Otherwise it takes"
        " a staff token with the scope `metrics:read`.",
    )
    metrics_fresh_seconds: float = Field(
        1.0, description="How long a gateway process answers scrapes with the same numbers.", ge=0
    )

    @property
    def logs_json(self) -> bool:
        """Whether log lines are JSON."""
        return self.mode == "production" if self.log_format is None else self.log_format == "json"

    @property
    def metrics_are_public(self) -> bool:
        """Whether the gateway's own port serves metrics without authentication."""
        return self.mode == "development" if self.metrics_public is None else self.metrics_public

    @field_validator("database_url", "read_database_url")
    @classmethod
    def _check_database_url(cls, value: str | None) -> str | None:
        if value is not None:
            database_urls.read(value)
        return value

    @field_validator("redis_url")
    @classmethod
    def _check_redis_url(cls, value: str) -> str:
        redis_urls.read(value)
        return value

    @field_validator("time_zone")
    @classmethod
    def _check_time_zone(cls, name: str) -> str:
        return zone_of(name).key

    @model_validator(mode="after")
    def _stops_after_the_notice(self) -> Self:
        if self.stop_notice_seconds + 2 > self.stop_seconds:
            raise ValueError(
                f"TIDEGATE_STOP_NOTICE_SECONDS={self.stop_notice_seconds} leaves less than 2 s of the"
                f" {self.stop_seconds} s of TIDEGATE_STOP_SECONDS to what is going on"
            )
        return self

    @model_validator(mode="after")
    def _development_is_local(self) -> Self:
        """In development the signing secret and the demo passwords are public knowledge."""
        try:
            local = ip_address(self.host).is_loopback
        except ValueError:
            local = self.host == "localhost"
        if self.mode == "development" and not local and not self.development_open:
            raise ValueError(
                f"TIDEGATE_HOST={self.host} can be reached by others, and in development anyone can become an admin:"
                " set TIDEGATE_MODE=production or, if only you can reach it, TIDEGATE_DEVELOPMENT_OPEN=true"
            )
        return self
