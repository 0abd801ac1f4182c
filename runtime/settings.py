"""Every setting, its unit, its default and its reason; read from the environment once per process.

The table of `docs/settings.md` is checked against this file; `python -m runtime.settings` prints it, `make settings`
writes it. Bounds say what the client is told when they are reached.
"""

import difflib
import os
import re
import sys
from email.utils import parseaddr
from functools import lru_cache
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AliasChoices, Field, SecretStr, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from runtime import database_url as database_urls
from runtime.timezones import zone_of

DEVELOPMENT_SECRET = "tidegate-development-secret-not-for-production"  # noqa: S105 - refused in production, below
SMTP_SCHEMES = ("smtp", "smtps", "smtp+starttls")

# What else is read from variables of our prefix: by commands of the CLI, by the bench and by the tests.
OTHER_VARIABLES = frozenset(
    {"TIDEGATE_TOKEN", "TIDEGATE_WEBHOOK_SECRET", "TIDEGATE_BENCH_BODY_BYTES", "TIDEGATE_TESTS_REQUIRE"}
)

# Kubernetes tells every container of a service called "tidegate" so.
_OF_KUBERNETES = re.compile(r"TIDEGATE_(SERVICE|PORT)_")


def _bare(name: str) -> AliasChoices:
    """Accepts the name that hosting platforms set (DATABASE_URL) besides our prefixed one."""
    return AliasChoices(f"TIDEGATE_{name}", name)


class Settings(BaseSettings):
    """See each field; all are environment variables with the prefix `TIDEGATE_`, three also without it."""

    # What was given is not repeated in errors: it may hold a password.
    model_config = SettingsConfigDict(env_prefix="TIDEGATE_", frozen=True, extra="ignore", hide_input_in_errors=True)

    mode: Literal["development", "production"] = Field(
        "development", description="`production` refuses the development secret and logs JSON."
    )
    development_open: bool = Field(
        False,
        description="Lets development listen on an address that others can reach, as in a container: whoever reaches it"
        " can be an admin. Otherwise it does not start.",
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
    metrics_port: int | None = Field(
        None,
        description="Port of its own that serves `/metrics` without a sign-in; unset: only the gateway's port does.",
        ge=1,
        le=65535,
    )
    metrics_host: str = Field("127.0.0.1", description="Address that the metrics' port is on.")
    metrics_public: bool | None = Field(
        None,
        description="Whether `/metrics` on the gateway's port is for everybody; unset: only in development. If not, it"
        " takes the scope `metrics:read` of staff.",
    )
    metrics_fresh_seconds: float = Field(
        1.0, description="How long a gateway process answers scrapes with the same numbers.", ge=0
    )
    home: Path = Field(Path(".tidegate"), description="Folder of the embedded servers' data and of the metrics files.")
    gateway_processes: int = Field(1, description="Gateway processes.", ge=1, le=64)
    worker_processes: int = Field(2, description="Worker processes: the actors.", ge=1, le=64)
    background_processes: int = Field(1, description="Background processes: reactions and jobs.", ge=1, le=64)
    background_concurrency: int = Field(
        128, description="Reactions and jobs at work at a time in one background process.", ge=1, le=1_024
    )
    job_concurrency: int = Field(2, description="Jobs at work at a time in one background process.", ge=1, le=64)
    job_lease_seconds: float = Field(
        10.0, description="How long a job is left to a process that shows no sign of life; then another takes it.", ge=1
    )
    job_max_attempts: int = Field(
        5, description="Times a job may break off without headway before it is given up as failed.", ge=1, le=100
    )
    job_max_seconds: float = Field(
        3_600.0, description="Longest transaction of a job, as the snapshot that a report reads.", ge=1
    )
    job_result_seconds: int = Field(
        86_400, description="How long the result of a finished job is kept; later it is 410 `result_expired`.", ge=1
    )
    job_result_max_bytes: int = Field(268_435_456, description="Result of one job; with a larger one it fails.", ge=1)
    jobs_max_unfinished: int = Field(
        20, description="Unfinished jobs of one principal; more get 429 `too_many_jobs` with Retry-After.", ge=1
    )
    import_max_bytes: int = Field(
        1_073_741_824, description="Uploaded file of one import; a larger one gets 413 `body_too_large`.", ge=1_024
    )
    import_idle_seconds: float = Field(
        30.0, description="How long an upload may pause; then it is 408 `upload_stalled`.", gt=0, le=60
    )
    import_max_uploads: int = Field(
        8, description="Uploads at a time in one gateway process; more get 503 `uploads_busy`.", ge=1, le=1_000
    )
    import_window_rows: int = Field(
        5_000, description="Rows of an import that are applied together, and kept in memory.", ge=1, le=10_000
    )
    import_errors_max: int = Field(
        10_000, description="Rejected rows of one import that are kept one by one; all are counted.", ge=0
    )
    import_fates_max: int = Field(
        10_000, description="Other rows of one dry run whose fate is kept one by one; all are counted.", ge=0
    )
    import_products_max: int = Field(
        200_000,
        description="Products of one import with a preset, which keeps in memory which rows are variants of which; "
        "with more it fails with `too_many_products`.",
        ge=1,
    )
    time_zone: str = Field(
        "UTC",
        description="The shop's time zone (an IANA name), in which the days of reports begin if none is asked for.",
    )
    export_max_concurrent: int = Field(
        4, description="Exports at a time in one gateway process; more get 503 `exports_busy`.", ge=1, le=100
    )
    export_max_seconds: float = Field(
        600.0, description="Longest export; then the connection is cut, and the database's given back.", gt=0
    )
    export_stall_seconds: float = Field(
        30.0, description="How long the reader of an export may take nothing; then its connection is cut.", gt=0
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Lowest level logged.")

    jwt_secret: SecretStr = Field(
        SecretStr(DEVELOPMENT_SECRET), description="HS256 key of the tokens; 32 bytes or more."
    )
    signing_keys: Path | None = Field(
        None,
        description="File of a private JWK Set that signs tokens in place of the secret; see `tidegate keys rotate`.",
    )
    access_token_seconds: int = Field(
        900, description="How long an access token of a sign-in is good for.", ge=60, le=3_600
    )
    session_seconds: int = Field(
        30 * 86_400, description="How long a sign-in can be refreshed; then one signs in again.", ge=3_600
    )
    token_cache_max_entries: int = Field(
        10_000, description="Verified tokens kept per gateway process; the oldest goes first.", ge=1
    )
    password_concurrency: int = Field(
        2,
        description="Passwords hashed at a time by one gateway process: 64 MiB and some 50 ms of a core each.",
        ge=1,
        le=64,
    )
    password_queue_max: int = Field(
        64, description="Passwords waiting to be hashed in one gateway process; more get 503 `gateway_busy`.", ge=1
    )
    guess_window_seconds: int = Field(
        900, description="How long a sign-in attempt counts; beyond the bounds below: 429 `too_many_attempts`.", ge=1
    )
    guess_max_per_address: int = Field(50, description="Failed sign-ins from one address, whatever the account.", ge=1)
    guess_max_per_account_and_address: int = Field(
        10, description="Failed sign-ins to one account from one address.", ge=1
    )
    guess_max_by_strangers: int = Field(
        30, description="Failed sign-ins to one account from all addresses that never signed in to it before.", ge=1
    )
    registrations_max_per_address: int = Field(20, description="Registrations from one address.", ge=1)
    guest_orders_max_per_address: int = Field(200, description="Orders without an account from one address.", ge=1)

    guest_mails_max_per_address: int = Field(
        60, description="Orders that guests confirm or cancel from one address, each of which is mailed about.", ge=1
    )
    resets_max_per_address: int = Field(20, description="Password resets asked for from one address.", ge=1)
    confirm_link_seconds: int = Field(
        86_400, description="How long the link that confirms a new account's address is good for.", ge=60
    )
    registration_keep_days: int = Field(
        7,
        description="A registration that nobody has confirmed for so long is erased; its address is free again.",
        ge=1,
    )
    dead_letter_keep_days: int = Field(
        30,
        description="How long a mailbox entry that nobody could read is kept as it came; then only that there was one.",
        ge=1,
    )
    reset_link_seconds: int = Field(3_600, description="How long the link that resets a password is good for.", ge=60)

    guest_token_seconds: int = Field(
        90 * 86_400, description="How long a guest's link to an order is good for.", ge=3_600
    )

    mailbox_count: int = Field(16, description="Mailboxes (M). Change it only when all are drained.", ge=1, le=4096)
    mailbox_max_commands: int = Field(
        20_000, description="Commands waiting in one mailbox; more get 503 `mailbox_full` with Retry-After.", ge=1
    )
    post_queue_max_commands: int = Field(
        10_000, description="Commands of one gateway process on their way to Redis; more get 503 `gateway_busy`.", ge=1
    )
    batch_max_commands: int = Field(512, description="Commands applied in one transaction.", ge=1, le=10_000)
    batch_max_bytes: int = Field(
        524_288, description="The same in bytes of the mailboxes' entries; one is taken however large it is.", ge=1
    )
    batch_max_seconds: float = Field(
        5.0, description="Longest transaction of a batch; Postgres ends a longer one and it is tried again.", gt=0
    )
    batch_concurrency: int = Field(2, description="Batches in the works at a time in one worker process.", ge=1, le=64)
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
    answer_kept_max_bytes: int = Field(
        65_536,
        description="Answer that is kept for repetitions of an Idempotency-Key; of a larger one they show what is "
        "there now.",
        ge=1,
    )
    wait_max_seconds: float = Field(
        30.0, description="Longest `Prefer: wait` honoured; a longer one is cut to this.", gt=0
    )
    wait_max_requests: int = Field(
        5_000, description="Requests of one gateway process waiting for outcomes; more get 202 at once.", ge=1
    )
    keep_alive_seconds: int = Field(
        80,
        description="How long an idle connection is kept: longer than a proxy in front keeps it (75 s is common), or"
        " the proxy sends now and then into one that is just being closed, and answers 502.",
        ge=1,
        le=3_600,
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Origins of sites whose scripts may call the API, with commas between; `*` is any."
    )
    compress_min_bytes: int = Field(
        1_024, description="Answers of this size and more are compressed for clients that accept gzip.", ge=1
    )
    body_max_bytes: int = Field(262_144, description="Request body; a larger one gets 413 `body_too_large`.", ge=1_024)
    page_max_rows: int = Field(100, description="Rows of one page of orders.", ge=1, le=1_000)
    events_page_max: int = Field(1_000, description="Events of one page of the log.", ge=1, le=10_000)
    connections_max: int = Field(
        10_000,
        description="Connections of one gateway process, less if it may open fewer files; more get 503"
        " `too_many_connections`.",
        ge=1,
    )
    connections_max_per_address: int = Field(
        1_000,
        description="The same from one address (of IPv6: one /64), unless it is a proxy's of `FORWARDED_ALLOW_IPS`.",
        ge=1,
    )
    descriptors_reserved: int = Field(
        256, description="Open files of a gateway process that connections of clients leave to others.", ge=64
    )
    request_head_seconds: float = Field(
        20.0, description="How long the head of a request may take, or its beginning; then 408 `request_timeout`.", gt=0
    )
    request_body_seconds: float = Field(
        60.0, description="How long its body may take, if it is no upload; then 408 `request_timeout`.", gt=0
    )
    import_max_seconds: float = Field(
        3_600.0, description="Longest upload of an import; then 408 `request_timeout`.", gt=0
    )
    socket_max_connections: int = Field(
        2_000,
        description="WebSockets of one gateway process; more are closed with 1013. At most an eighth is for those who"
        " have yet to say who they are, five for customers, two of these for guests; a quarter is left to staff.",
        ge=1,
    )
    socket_queue_max_events: int = Field(
        10_000,
        description="Events queued for one WebSocket; a slower reader is closed with 4008 and the seq to resume from.",
        ge=1,
    )
    socket_queue_max_bytes: int = Field(
        8_388_608, description="The same in bytes; one frame is taken however large it is.", ge=1
    )
    socket_compression: bool = Field(
        False, description="Whether WebSockets are compressed for clients that ask for it; costs more than it saves."
    )
    socket_max_per_principal: int = Field(
        100, description="WebSockets of one principal in one gateway process; more are closed with 1013.", ge=1
    )
    socket_max_per_guest: int = Field(
        5, description="WebSockets of one guest in one gateway process; more are closed with 1013.", ge=1
    )
    socket_max_per_address: int = Field(
        200,
        description="WebSockets from one address in one gateway process, those of staff not counted; more are closed"
        " with 1013.",
        ge=1,
    )
    socket_authenticate_seconds: float = Field(
        10.0, description="How long a WebSocket without a token may take for its first message; then 4401.", gt=0
    )
    socket_heartbeat_seconds: float = Field(
        15.0, description="How often a WebSocket or event stream is told how far it has come.", gt=0
    )
    socket_messages_per_second: float = Field(
        20.0, description="What a WebSocket's client may say in the long run; more is closed with 4429.", gt=0
    )
    socket_messages_burst: int = Field(200, description="What it may say at once.", ge=1)
    replays_max: int = Field(
        200,
        description="Long replays of the log at a time in one gateway process: of more than 2,000 events, for topics"
        " whose events no index finds; more are refused, `too_many_replays`.",
        ge=1,
    )
    replays_max_per_principal: int = Field(10, description="The same of one principal.", ge=1)
    replay_events_per_second: float = Field(
        50_000.0,
        description="Events that one gateway process reads for such topics in the long run; replays take turns, and"
        " wait.",
        gt=0,
    )
    silence_seconds: float = Field(
        0.5,
        description="Without an event for this long the gateway looks into the log itself; if it cannot for twice as"
        " long, it reads the catalogue anew.",
        gt=0,
    )
    catalogue_cache_max_bytes: int = Field(
        33_554_432, description="Ready pages of products kept per gateway process; those not asked for go first.", ge=0
    )
    connection_idle_seconds: float = Field(
        0.05,
        description="A connection to Postgres or Redis that was idle for so long is asked whether it is alive before"
        " it is used.",
        ge=0,
    )
    connection_answer_seconds: float = Field(
        1.0,
        description="How long that answer, and the network's word that what was sent has arrived (TCP_USER_TIMEOUT),"
        " may take; then another connection is opened.",
        gt=0,
    )
    keepalive_idle_seconds: int = Field(
        10, description="After so long without a packet, TCP itself asks whether the other side is there.", ge=1
    )
    keepalive_interval_seconds: int = Field(2, description="How often it asks again.", ge=1)
    keepalive_count: int = Field(3, description="Questions without an answer; then the connection is lost.", ge=1)
    database_pool_size: int = Field(10, description="Postgres connections of one gateway process.", ge=1, le=1_000)

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _between_commas(cls, value: object) -> object:
        return tuple(filter(None, (part.strip() for part in value.split(",")))) if isinstance(value, str) else value

    background_pool_size: int = Field(
        10, description="Postgres connections of one background process, for its reactions.", ge=4, le=1_000
    )
    hold_seconds: int = Field(
        900, description="How long a placed order may wait for its confirmation; then it expires.", ge=1
    )
    reaction_lease_seconds: float = Field(
        5.0, description="How long a reaction is believed to be at work without a sign of life.", ge=0.5
    )
    reaction_failures_max: int = Field(
        12, description="Tries of one event by a reaction; then it is a dead letter, and the reaction goes on.", ge=1
    )
    reaction_retry_max_seconds: float = Field(
        300.0,
        description="Longest wait between two tries of a reaction; the first is a second, then twice as long.",
        gt=0,
    )
    smtp_url: SecretStr | None = Field(
        None,
        description="`smtp://`, `smtps://` or `smtp+starttls://`, then `user:password@host:port`; without it mails are"
        " files in the home's `mail` folder.",
    )
    smtp_timeout_seconds: float = Field(10.0, description="Longest wait for one answer of the SMTP server.", gt=0)
    mail_from: str = Field("Tidegate <orders@tidegate.example>", description="Whom mails to customers come from.")
    site_url: str | None = Field(
        None,
        description="The shop's site: mails link to its pages `/confirm` and `/reset-password`, with the token behind"
        " `#token=`; without it they give the token alone.",
    )
    mail_window_seconds: int = Field(
        3_600, description="How long a mail counts; beyond the bounds below it is not sent, and counted.", ge=1
    )
    mails_max_per_recipient: int = Field(20, description="Mails to one address, whatever about.", ge=1)
    mails_max_per_sender: int = Field(
        50, description="Mails that one principal, who is not staff, has sent to whomever.", ge=1
    )
    webhook_private_addresses: bool | None = Field(
        None,
        description="Whether webhooks may go to private, loopback and other addresses of one's own; unset: only in"
        " development.",
    )
    webhook_timeout_seconds: float = Field(
        15.0, description="Longest wait for a webhook's answer; a later one is a failure.", gt=0, le=25
    )
    webhook_retry_max_seconds: float = Field(
        3_600.0, description="Longest wait between two tries of a webhook, also of one that asks for more.", gt=0
    )
    webhook_failing_max_seconds: float = Field(
        86_400.0, description="How long a webhook may fail without a success; then it is disabled.", gt=0
    )
    webhook_secret_overlap_seconds: int = Field(
        86_400, description="How long a webhook's former secret signs beside the new one.", ge=0
    )
    webhook_deliveries_kept: int = Field(
        1_000, description="Deliveries kept in the log of one webhook; the oldest go first.", ge=1, le=100_000
    )

    @property
    def metrics_are_public(self) -> bool:
        """Whether the gateway's own port shows metrics to everybody."""
        return self.mode == "development" if self.metrics_public is None else self.metrics_public

    @property
    def webhooks_may_be_private(self) -> bool:
        """Whether webhooks may go to addresses that are not public."""
        if self.webhook_private_addresses is None:
            return self.mode == "development"
        return self.webhook_private_addresses

    @field_validator("database_url")
    @classmethod
    def _is_a_database_url(cls, value: str) -> str:
        database_urls.read(value)
        return value

    @field_validator("time_zone")
    @classmethod
    def _is_a_time_zone(cls, name: str) -> str:
        return zone_of(name).key

    @field_validator("smtp_url")
    @classmethod
    def _names_a_mail_server(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            url = urlsplit(value.get_secret_value())
            if url.scheme not in SMTP_SCHEMES or not url.hostname:
                raise ValueError(f"TIDEGATE_SMTP_URL is no {', '.join(SMTP_SCHEMES)} address of a host")
        return value

    @field_validator("site_url")
    @classmethod
    def _is_a_site(cls, value: str | None) -> str | None:
        if value is not None:
            url = urlsplit(value)
            if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment:
                raise ValueError("TIDEGATE_SITE_URL is no http or https address of a site")
            return value.rstrip("/")
        return value

    @field_validator("mail_from")
    @classmethod
    def _is_an_address(cls, value: str) -> str:
        _, address = parseaddr(value)
        if not address.isascii() or address.count("@") != 1 or not value.isprintable():
            raise ValueError("TIDEGATE_MAIL_FROM is no `Name <address>`")
        return value

    @model_validator(mode="after")
    def _development_is_for_one_s_own_machine(self) -> Self:
        """In development everybody knows the secret that tokens are signed with, and the passwords of the demo."""
        try:
            alone = ip_address(self.host).is_loopback
        except ValueError:
            alone = self.host == "localhost"
        if self.mode == "development" and not alone and not self.development_open:
            raise ValueError(
                f"TIDEGATE_HOST={self.host} lets others in, and in development whoever comes can be an admin: set"
                " TIDEGATE_MODE=production, or, if only you can reach it, TIDEGATE_DEVELOPMENT_OPEN=true"
            )
        return self

    @model_validator(mode="after")
    def _production_has_its_own_secret(self) -> Self:
        secret = self.jwt_secret.get_secret_value()
        if len(secret.encode()) < 32:
            raise ValueError("TIDEGATE_JWT_SECRET is shorter than 32 bytes")
        if self.mode == "production" and _is_known(secret) and self.signing_keys is None:
            raise ValueError(
                "TIDEGATE_MODE=production needs TIDEGATE_SIGNING_KEYS, or a TIDEGATE_JWT_SECRET of its own"
            )
        return self


def _is_known(secret: str) -> bool:
    """Whether this is the development secret, or that one made longer."""
    return DEVELOPMENT_SECRET in "".join(secret.split()).lower()


@lru_cache(maxsize=1)
def settings() -> Settings:
    """This process's settings. Raises pydantic's ValidationError for a value that cannot be, and UnknownSettings for a
    variable that is none: a misspelt bound would otherwise be a bound that nobody set."""
    if unknown := sorted(name for name in map(str.upper, os.environ) if _is_ours(name) and name not in _known()):
        raise UnknownSettings("; ".join(_unknown(name) for name in unknown))
    return Settings()


class UnknownSettings(ValueError):
    """Environment variables that begin with TIDEGATE_ and mean nothing; the message suggests what was meant."""


def _is_ours(name: str) -> bool:
    return name.startswith("TIDEGATE_") and not _OF_KUBERNETES.match(name)


def _known() -> set[str]:
    return {name for field in Settings.model_fields.items() for name in _names(*field)} | OTHER_VARIABLES


def _unknown(name: str) -> str:
    near = difflib.get_close_matches(name, _known(), n=1)
    return f"{name} is not a setting" + (f"; did you mean {near[0]}?" if near else "")


def markdown_table() -> str:
    """All settings as `docs/settings.md` shows them: the environment variable, its default, and what it is for."""
    rows = [
        f"| {_variables(name, field)} | {_default(field)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return "\n".join(["| variable | default | meaning |", "| --- | --- | --- |", *rows, ""])


def _names(name: str, field: FieldInfo) -> list[str]:
    """The environment variables that set a field; the first wins."""
    alias = field.validation_alias
    return list(map(str, alias.choices)) if isinstance(alias, AliasChoices) else [f"TIDEGATE_{name.upper()}"]


def _variables(name: str, field: FieldInfo) -> str:
    return " or ".join(f"`{variable}`" for variable in _names(name, field))


def _default(field: FieldInfo) -> str:
    value = field.default
    return f"`{value.get_secret_value() if isinstance(value, SecretStr) else value}`"


if __name__ == "__main__":
    sys.stdout.write(markdown_table())
