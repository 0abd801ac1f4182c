"""How commands wait, how they are applied, and how long answers are remembered."""

from pydantic import Field

from runtime.settings.section import Section


class Commands(Section):
    """Commands and batches."""

    mailbox_count: int = Field(
        16, description="Number of mailboxes. Change it only while all of them are empty.", ge=1, le=4096
    )
    mailbox_max_commands: int = Field(
        20_000, description="Commands waiting in one mailbox; beyond it: 503 `mailbox_full` with Retry-After.", ge=1
    )
    mailbox_max_bytes: int = Field(
        33_554_432,
        description="Bytes of Redis's memory that one mailbox's waiting commands take; beyond it the same answer. An"
        " empty mailbox takes any command.",
        ge=1,
    )
    order_wait_max_seconds: float = Field(
        30.0,
        description="How long a new order may have to wait in its mailbox before it is applied; beyond it: 503"
        " `overloaded`, with a Retry-After by the rate at which commands leave the mailbox. Staff are exempt. 0: no"
        " bound.",
        ge=0,
    )
    redis_memory_max_percent: int = Field(
        80,
        description="Share of Redis's `maxmemory`, if it has one, that may be in use; beyond it new orders, except"
        " staff's, get 503 `overloaded`.",
        ge=1,
        le=100,
    )
    post_queue_max_commands: int = Field(
        10_000,
        description="Commands that one gateway process is sending to Redis; beyond it: 503 `gateway_busy`.",
        ge=1,
    )
    batch_max_commands: int = Field(512, description="Commands applied in one transaction.", ge=1, le=10_000)
    batch_max_bytes: int = Field(
        524_288,
        description="Bytes of mailbox entries applied in one transaction; a single larger entry is still applied.",
        ge=1,
    )
    batch_max_seconds: float = Field(
        5.0, description="Longest transaction of a batch; Postgres ends a longer one, and it is retried.", gt=0
    )
    batch_concurrency: int = Field(2, description="Batches in progress at once in one worker process.", ge=1, le=64)
    linger_milliseconds: int = Field(
        50, description="How long a worker watches empty mailboxes before it goes to sleep.", ge=1, le=2_000
    )
    awake_milliseconds: int = Field(
        2_000,
        description="How long an activation counts without a sign of life before the sweep sends another.",
        ge=100,
    )
    dead_letter_keep_days: int = Field(
        30,
        description="How long an unreadable mailbox entry is kept as received; after that only the fact remains.",
        ge=1,
    )
    accept_min_replicas: int = Field(
        0,
        description="Replicas that must also have a command before it is accepted: 1 for a cluster. While a node has "
        "fewer, it accepts nothing.",
        ge=0,
        le=16,
    )
    accept_replicas_milliseconds: int = Field(
        1_000,
        description="How long to wait for those replicas; beyond it: 503 `mailboxes_unavailable`.",
        ge=1,
        le=2_500,
    )
    idempotency_seconds: int = Field(
        86_400,
        description="How long, at least, the gateway itself answers a repeated Idempotency-Key; at most twice as long."
        " Postgres remembers it until its command is archived.",
        ge=1,
    )
    idempotency_max_bytes: int = Field(
        33_554_432,
        description="Bytes of Redis's memory that the Idempotency-Keys of one mailbox take; beyond it the oldest are"
        " left to Postgres.",
        ge=1_024,
    )
    answer_kept_max_bytes: int = Field(
        65_536,
        description="Largest answer kept for repetitions of an Idempotency-Key; beyond it a repetition shows the"
        " current state instead.",
        ge=1,
    )
    answers_kept_max_bytes: int = Field(
        67_108_864,
        description="Bytes of Redis's memory that all kept answers take; beyond it the oldest are forgotten, with the"
        " same effect.",
        ge=1_024,
    )
    wait_max_seconds: float = Field(
        30.0, description="Longest `Prefer: wait` honoured; a longer one is shortened to this.", gt=0
    )
    wait_max_requests: int = Field(
        5_000,
        description="Requests in one gateway process that wait for an outcome; beyond it: 202 at once. As many more"
        " may wait for what a payment's provider says; beyond that they are answered without it.",
        ge=1,
    )
    hold_seconds: int = Field(900, description="A placed order that is not confirmed within this time expires.", ge=1)
    hold_grace_seconds: float = Field(
        60.0,
        description="How much longer it is held while money is on its way, so that its provider can report the "
        "outcome.",
        ge=0,
        le=3_600,
    )
