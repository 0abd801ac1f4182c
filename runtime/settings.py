"""Every setting, its unit, its default and its reason; read from the environment once per process.

The README's table is checked against this file, and printed by `python -m runtime.settings`. Bounds say what is told
to the client when they are reached.
"""

import sys
from functools import lru_cache
from pathlib import Path
from typing import Literal, Self

from pydantic import AliasChoices, Field, SecretStr, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, SettingsConfigDict

DEVELOPMENT_SECRET = "tidegate-development-secret-not-for-production"  # noqa: S105 - refused in production, below


def _bare(name: str) -> AliasChoices:
    """Accepts the name that hosting platforms set (DATABASE_URL) besides our prefixed one."""
    return AliasChoices(f"TIDEGATE_{name}", name)


class Settings(BaseSettings):
    """See each field; all are environment variables with the prefix `TIDEGATE_`, three also without it."""

    model_config = SettingsConfigDict(env_prefix="TIDEGATE_", frozen=True, extra="ignore")

    mode: Literal["development", "production"] = Field(
        "development", description="`production` refuses the development secret and logs JSON."
    )
    database_url: str = Field(
        "postgresql://postgres@127.0.0.1:5432/postgres",
        validation_alias=_bare("DATABASE_URL"),
        description="Postgres 17 or newer. Set together with `REDIS_URL`, nothing is embedded.",
    )
    redis_url: str = Field(
        "redis://127.0.0.1:6379/0",
        validation_alias=_bare("REDIS_URL"),
        description="Redis 7 or Valkey 8, or newer, with `appendonly yes` and `appendfsync always`.",
    )
    host: str = Field("127.0.0.1", description="Address the gateway listens on.")
    port: int = Field(8000, validation_alias=_bare("PORT"), description="Port the gateway listens on.", ge=1, le=65535)
    home: Path = Field(Path(".tidegate"), description="Folder of the embedded servers' data and of the metrics files.")
    gateway_processes: int = Field(1, description="Gateway processes.", ge=1, le=64)
    worker_processes: int = Field(2, description="Worker processes: the actors.", ge=1, le=64)
    background_processes: int = Field(1, description="Background processes: reactions and jobs.", ge=1, le=64)
    background_concurrency: int = Field(
        128, description="Reactions and jobs at work at a time in one background process.", ge=1, le=1_024
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Lowest level logged.")

    jwt_secret: SecretStr = Field(
        SecretStr(DEVELOPMENT_SECRET), description="HS256 key of the tokens; 32 bytes or more."
    )
    token_cache_max_entries: int = Field(
        10_000, description="Verified tokens kept per gateway process; the oldest goes first.", ge=1
    )

    mailbox_count: int = Field(16, description="Mailboxes (M). Change it only when all are drained.", ge=1, le=4096)
    mailbox_max_commands: int = Field(
        20_000, description="Commands waiting in one mailbox; more get 503 `mailbox_full` with Retry-After.", ge=1
    )
    post_queue_max_commands: int = Field(
        10_000, description="Commands of one gateway process on their way to Redis; more get 503 `gateway_busy`.", ge=1
    )
    batch_max_commands: int = Field(512, description="Commands applied in one transaction.", ge=1, le=10_000)
    batch_max_seconds: float = Field(
        5.0, description="Longest transaction of a batch; Postgres ends a longer one and it is tried again.", gt=0
    )
    batch_concurrency: int = Field(2, description="Batches in the works at a time in one worker process.", ge=1, le=64)
    drain_max_seconds: float = Field(
        1.0, description="Time one activation drains its mailbox before it lets others come first.", gt=0
    )
    drain_concurrency: int = Field(16, description="Mailboxes drained at a time by one worker process.", ge=1, le=256)
    linger_milliseconds: int = Field(
        50, description="How long an empty mailbox is watched for more before it falls asleep.", ge=1, le=2_000
    )
    awake_milliseconds: int = Field(
        2_000,
        description="How long an activation is believed without a sign of life; then the sweep sends another.",
        ge=100,
    )

    idempotency_seconds: int = Field(
        86_400,
        description="How long the gateway answers a repeated Idempotency-Key at once; Postgres knows it for ever.",
        ge=1,
    )
    wait_max_seconds: float = Field(
        30.0, description="Longest `Prefer: wait` honoured; a longer one is cut to this.", gt=0
    )
    wait_max_requests: int = Field(
        5_000, description="Requests of one gateway process waiting for outcomes; more get 202 at once.", ge=1
    )
    body_max_bytes: int = Field(131_072, description="Request body; a larger one gets 413 `body_too_large`.", ge=1_024)
    page_max_rows: int = Field(100, description="Rows of one page of orders or products.", ge=1, le=1_000)
    events_page_max: int = Field(1_000, description="Events of one page of the log.", ge=1, le=10_000)
    socket_max_connections: int = Field(
        2_000, description="WebSockets of one gateway process; more are closed with 1013.", ge=1
    )
    socket_queue_max_events: int = Field(
        10_000,
        description="Events queued for one WebSocket; a slower reader is closed with 4008 and the seq to resume from.",
        ge=1,
    )
    silence_seconds: float = Field(
        1.0, description="Without an event for this long the gateway looks into the log itself.", gt=0
    )
    database_pool_size: int = Field(10, description="Postgres connections of one gateway process.", ge=1, le=1_000)

    @model_validator(mode="after")
    def _production_has_its_own_secret(self) -> Self:
        secret = self.jwt_secret.get_secret_value()
        if len(secret.encode()) < 32:
            raise ValueError("TIDEGATE_JWT_SECRET is shorter than 32 bytes")
        if self.mode == "production" and secret == DEVELOPMENT_SECRET:
            raise ValueError("TIDEGATE_MODE=production needs a TIDEGATE_JWT_SECRET of its own")
        return self


@lru_cache(maxsize=1)
def settings() -> Settings:
    """This process's settings."""
    return Settings()


def markdown_table() -> str:
    """All settings as the README shows them: the environment variable, its default, and what it is for."""
    rows = [
        f"| {_variables(name, field)} | {_default(field)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(["| variable | default | meaning |", "| --- | --- | --- |", *rows, ""])


def _variables(name: str, field: FieldInfo) -> str:
    """The environment variables that set a field; the first wins."""
    alias = field.validation_alias
    names = alias.choices if isinstance(alias, AliasChoices) else [f"TIDEGATE_{name.upper()}"]
    return " or ".join(f"`{variable}`" for variable in names)


def _default(field: FieldInfo) -> str:
    value = field.default
    return f"`{value.get_secret_value() if isinstance(value, SecretStr) else value}`"


if __name__ == "__main__":
    sys.stdout.write(markdown_table())
