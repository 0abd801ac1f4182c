"""What one gateway process takes over HTTP: connections, requests, pages, caches."""

from typing import Annotated

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from runtime.settings.section import Section


class Http(Section):
    """HTTP."""

    connections_max: int = Field(
        10_000,
        description="Connections to one gateway process (fewer if its limit of open files is lower); beyond it: 503"
        " `too_many_connections`.",
        ge=1,
    )
    connections_max_per_address: int = Field(
        1_000,
        description="Connections from one address (for IPv6, one /64), except proxies in `FORWARDED_ALLOW_IPS`.",
        ge=1,
    )
    descriptors_reserved: int = Field(
        256, description="Open files of a gateway process that clients' connections may not use.", ge=64
    )
    keep_alive_seconds: int = Field(
        80,
        description="How long an idle connection is kept. Make it longer than a proxy in front keeps its connections"
        " (75 s is common); otherwise the proxy now and then uses one that is being closed, and answers 502.",
        ge=1,
        le=3_600,
    )
    request_head_seconds: float = Field(
        20.0, description="How long a request's head may take to arrive; beyond it: 408 `request_timeout`.", gt=0
    )
    request_body_seconds: float = Field(
        60.0,
        description="How long a body that is not an upload may take; beyond it: 408 `request_timeout`.",
        gt=0,
    )
    body_max_bytes: int = Field(262_144, description="Request body; beyond it: 413 `body_too_large`.", ge=1_024)
    page_max_rows: int = Field(100, description="Rows in one page of orders.", ge=1, le=1_000)
    events_page_max: int = Field(1_000, description="Events in one page of the log.", ge=1, le=10_000)
    compress_min_bytes: int = Field(
        1_024, description="Answers of this size or more are compressed for clients that accept gzip.", ge=1
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Origins, separated by commas, whose scripts may call the API; `*` allows any."
    )
    catalogue_cache_max_bytes: int = Field(
        33_554_432,
        description="Rendered pages of products cached per gateway process; the least recently used go first.",
        ge=0,
    )
    export_max_concurrent: int = Field(
        4, description="Exports at once in one gateway process; beyond it: 503 `exports_busy`.", ge=1, le=100
    )
    export_max_seconds: float = Field(600.0, description="Longest export; then its connection is closed.", gt=0)
    export_stall_seconds: float = Field(
        30.0, description="How long a client may stop reading an export before its connection is closed.", gt=0
    )

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _split_at_commas(cls, value: object) -> object:
        return tuple(filter(None, (part.strip() for part in value.split(",")))) if isinstance(value, str) else value
