"""The names of a mailbox's keys. The braces keep all keys of one mailbox in one Redis Cluster slot."""

from typing import Final

LOG_KEY: Final = "mailboxes:log"
"""The log that all mailboxes are applied to: the newest seq known to be committed (the score), by identity."""

LEADER_KEY: Final = "mailboxes:leader"
"""The worker process that all mailboxes are awake for; expires unless renewed."""


def stream_key(mailbox: int) -> str:
    """The stream of waiting commands."""
    return f"mailbox:{{{mailbox}}}"


def awake_key(mailbox: int) -> str:
    """Exists while a worker drains the mailbox, or has just been asked to; expires unless renewed."""
    return f"mailbox:{{{mailbox}}}:awake"


def log_key(mailbox: int) -> str:
    """Which log the mailbox's commands were applied to, and how far: `identity`, and the `position` reached."""
    return f"mailbox:{{{mailbox}}}:log"


def idempotency_key(mailbox: int, principal: str, key: str) -> str:
    """Remembers the first command that used `key`. Length first: no principal can name another's key."""
    return f"mailbox:{{{mailbox}}}:idempotency:{len(principal)}:{principal}:{key}"
