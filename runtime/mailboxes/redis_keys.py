"""The names of a mailbox's keys. The braces keep all keys of one mailbox in one Redis Cluster slot."""

from typing import Final

LOG_KEY: Final = "mailboxes:log"
"""The log that all mailboxes are applied to: a sorted set with its newest committed seq (the score) by identity."""

LEADER_KEY: Final = "mailboxes:leader"
"""The worker process that all mailboxes are awake for; expires unless renewed."""


def stream_key(mailbox: int) -> str:
    """The stream of waiting commands."""
    return f"mailbox:{{{mailbox}}}"


def awake_key(mailbox: int) -> str:
    """Exists while a worker drains the mailbox, or has just been asked to; expires unless renewed."""
    return f"mailbox:{{{mailbox}}}:awake"


def weight_key(mailbox: int) -> str:
    """The bytes of memory that the stream takes: as `post` last measured it, plus what it has added since; expires
    soon."""
    return f"mailbox:{{{mailbox}}}:weight"


def log_key(mailbox: int) -> str:
    """The `identity` of the log that the mailbox's commands were applied to, and the `position` reached."""
    return f"mailbox:{{{mailbox}}}:log"


def claims_keys(mailbox: int) -> tuple[str, str]:
    """The idempotency keys that commands used, with what is remembered under each: the newer and the older hash."""
    return f"mailbox:{{{mailbox}}}:claims", f"mailbox:{{{mailbox}}}:claims:older"


def idempotency_field(principal: str, key: str) -> str:
    """The field of `key` among the claims. It begins with a length, so that no principal can name another's key."""
    return f"{len(principal)}:{principal}:{key}"
