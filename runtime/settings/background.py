"""What background processes do: jobs, imports, reactions, mail and webhooks."""

from email.utils import parseaddr
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from runtime.settings.section import Section

SMTP_SCHEMES = ("smtp", "smtps", "smtp+starttls")


class Tasks(Section):
    """Tasks."""

    task_concurrency: int = Field(
        32, description="Tasks running at once in one background process, not counting jobs.", ge=1, le=1_000
    )
    estimate_concurrency: int = Field(
        16,
        description="Calls to tax providers running at once in addition, so that payments do not wait for them.",
        ge=1,
        le=1_000,
    )
    rate_concurrency: int = Field(
        16,
        description="Calls to delivery providers running at once in addition, so that taxes do not wait for them.",
        ge=1,
        le=1_000,
    )
    task_lease_seconds: float = Field(
        10.0, description="A task whose process shows no sign of life for this long goes to another process.", ge=1
    )
    task_attempts_max: int = Field(
        5, description="Attempts without progress after which a task is dead, or a job has failed.", ge=1, le=100
    )
    task_retry_max_seconds: float = Field(
        60.0,
        description="Longest wait between two attempts at a task; the first is a second, each twice the last.",
        gt=0,
    )


class Jobs(Section):
    """Reports and imports."""

    background_concurrency: int = Field(
        128, description="Reactions running at once in one background process.", ge=1, le=1_024
    )
    job_concurrency: int = Field(2, description="Jobs running at once in one background process.", ge=1, le=64)
    job_max_seconds: float = Field(
        3_600.0, description="Longest transaction of a job, such as the snapshot that a report reads.", ge=1
    )
    job_result_seconds: int = Field(
        86_400, description="How long the result of a finished job is kept; after that: 410 `result_expired`.", ge=1
    )
    job_result_max_bytes: int = Field(268_435_456, description="Largest job result; beyond it the job fails.", ge=1)
    jobs_max_unfinished: int = Field(
        20, description="Unfinished jobs of one principal; beyond it: 429 `too_many_jobs` with Retry-After.", ge=1
    )
    import_max_bytes: int = Field(
        1_073_741_824, description="Uploaded file of one import; beyond it: 413 `body_too_large`.", ge=1_024
    )
    import_max_seconds: float = Field(
        3_600.0, description="Longest upload of an import; beyond it: 408 `request_timeout`.", gt=0
    )
    import_idle_seconds: float = Field(
        30.0, description="How long an upload may pause; beyond it: 408 `upload_stalled`.", gt=0, le=60
    )
    import_max_uploads: int = Field(
        8, description="Uploads at once in one gateway process; beyond it: 503 `uploads_busy`.", ge=1, le=1_000
    )
    import_window_rows: int = Field(
        5_000, description="Rows of an import that are planned together and held in memory.", ge=1, le=10_000
    )
    import_portion_seconds: float = Field(
        0.5,
        description="How long the rows that an import posts at once may take, at the pace of the last ones: an order "
        "may wait that long behind them.",
        gt=0,
        le=60,
    )
    import_errors_max: int = Field(
        10_000, description="Rejected rows of one import that are recorded individually; all are counted.", ge=0
    )
    import_row_outcomes_max: int = Field(
        10_000, description="Other rows of one dry run that are recorded individually; all are counted.", ge=0
    )
    import_products_max: int = Field(
        200_000,
        description="Products in one import with a preset, which remembers the rows that are variants of each; beyond"
        " it the import fails with `too_many_products`.",
        ge=1,
    )


class Verifying(Section):
    """Verifying."""

    verify_every_seconds: float = Field(
        4.0,
        description="How often background processes verify new events while they are not behind. A longer"
        " interval takes less CPU time, and finds a row altered by hand later.",
        ge=0.1,
        le=3_600,
    )
    verify_catch_up_percent: float = Field(
        25.0,
        description="Share of its time that a background process verifies while it is behind, as after an upgrade.",
        ge=1,
        le=100,
    )
    verify_window_max_events: int = Field(
        5_000, description="Events verified at once, and held in memory.", ge=1, le=100_000
    )
    verify_window_max_bytes: int = Field(
        4_194_304, description="Size of the events verified at once; the last one may exceed it.", ge=1
    )


class Reactions(Section):
    """Reactions."""

    reaction_lease_seconds: float = Field(
        5.0, description="A reaction whose process shows no sign of life for this long goes to another process.", ge=0.5
    )
    reaction_failures_max: int = Field(
        12, description="Attempts at one event, after which it becomes a dead letter and the reaction moves on.", ge=1
    )
    reaction_retry_max_seconds: float = Field(
        300.0,
        description="Longest delay between two attempts of a reaction; the first is a second, and each doubles.",
        gt=0,
    )


class Mail(Section):
    """Mail."""

    smtp_url: SecretStr | None = Field(
        None,
        description="`smtp://`, `smtps://` or `smtp+starttls://`, then `user:password@host:port`. Unset: mails are"
        " written to files in the home's `mail` folder.",
    )
    smtp_timeout_seconds: float = Field(10.0, description="Longest wait for one answer of the SMTP server.", gt=0)
    mail_from: str = Field("Tidegate <orders@tidegate.example>", description="Sender of mails to customers.")
    site_url: str | None = Field(
        None,
        description="The shop's site: mails link to its pages `/confirm` and `/reset-password`, with the token after"
        " `#token=`. Unset: mails contain the token alone.",
    )
    mail_window_seconds: int = Field(
        3_600,
        description="How long a mail counts towards the following bounds; beyond one it is not sent, but counted.",
        ge=1,
    )
    mails_max_per_recipient: int = Field(20, description="Mails to one address.", ge=1)
    mails_max_per_sender: int = Field(
        50, description="Mails caused by one principal who is not staff, to any address.", ge=1
    )

    @field_validator("smtp_url")
    @classmethod
    def _check_smtp_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None:
            url = urlsplit(value.get_secret_value())
            if url.scheme not in SMTP_SCHEMES or not url.hostname:
                raise ValueError(f"TIDEGATE_SMTP_URL needs a host and one of the schemes {', '.join(SMTP_SCHEMES)}")
        return value

    @field_validator("site_url")
    @classmethod
    def _check_site_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        url = urlsplit(value)
        if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment:
            raise ValueError("TIDEGATE_SITE_URL must be an http or https URL without query and fragment")
        return value.rstrip("/")

    @field_validator("mail_from")
    @classmethod
    def _check_sender(cls, value: str) -> str:
        _, address = parseaddr(value)
        if not address.isascii() or address.count("@") != 1 or not value.isprintable():
            raise ValueError("TIDEGATE_MAIL_FROM must have the form `Name <address>`")
        return value


class Webhooks(Section):
    """Webhooks."""

    webhook_private_addresses: bool | None = Field(
        None,
        description="Whether webhooks may be sent to private, loopback and other non-public addresses. Unset: in"
        " development only.",
    )
    webhook_timeout_seconds: float = Field(
        15.0, description="Longest wait for a webhook's answer; a later one counts as a failure.", gt=0, le=25
    )
    webhook_retry_max_seconds: float = Field(
        3_600.0,
        description="Longest delay between two attempts of a webhook, even if its answer asks for a longer one.",
        gt=0,
    )
    webhook_failing_max_seconds: float = Field(
        86_400.0, description="A webhook that fails for this long without a success is disabled.", gt=0
    )
    webhook_secret_overlap_seconds: int = Field(
        86_400, description="How long a webhook's previous secret signs beside the new one.", ge=0
    )
    webhook_deliveries_kept: int = Field(
        1_000, description="Deliveries kept in the log of one webhook; the oldest go first.", ge=1, le=100_000
    )
