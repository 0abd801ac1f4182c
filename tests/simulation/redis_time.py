"""Redis in the stage's time: its keys expire by that, and the entries of mailboxes have ids that do not depend on when
a machine came to it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final, Self
from unittest.mock import patch

import redis

from runtime.mailboxes import inbox, post
from runtime.mailboxes.redis_keys import LEADER_KEY, LOG_KEY, stream_key
from runtime.redis_pipeline import Script

# So long that no key expires by itself during a world, in milliseconds of Redis.
_NEVER_MILLISECONDS: Final = 1_000_000_000

_AWAKE: Final = ":awake"

# Four to a millisecond.
_NEXT_ID: Final = """(function()
    local n = redis.call('INCR', 'stage:entries')
    return string.format('%d-%d', 1700000000000 + math.floor(n / 4), n % 4)
end)()"""
_PUT: Final = f"return redis.call('XADD', KEYS[1], {_NEXT_ID}, unpack(ARGV))"


@contextmanager
def ids_in_order() -> Iterator[None]:
    """While it lasts, scripts give entries ids of ours."""
    with (
        patch.object(post, "_SCRIPT", _numbered(post._SCRIPT)),
        patch.object(inbox, "_REJOIN", _numbered(inbox._REJOIN)),
    ):
        yield


def _numbered(script: Script) -> Script:
    assert "'*'" in script.source
    return Script(script.source.replace("'*'", _NEXT_ID))


class RedisTime:
    """The keys that expire: who is awake, and who leads, each for `awake_seconds` of the stage. A context manager."""

    def __init__(self, redis_url: str, awake_seconds: float) -> None:
        self._client = redis.Redis.from_url(redis_url)
        self._awake_seconds = awake_seconds
        self._expire_at: dict[str, float] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def put(self, mailbox: int, fields: Mapping[bytes, bytes]) -> None:
        """Puts any entry into a mailbox as it is."""
        pieces = [piece for field in fields.items() for piece in field]
        self._client.eval(_PUT, 1, stream_key(mailbox), *pieces)

    def entries(self, mailbox: int) -> list[dict[bytes, bytes]]:
        """All that is in a mailbox."""
        found: Any = self._client.xrange(stream_key(mailbox))
        return [fields for _, fields in found]

    def log_heard_of(self) -> dict[str, int]:
        """Up to which seq Redis was told of each log, by its identity."""
        found: Any = self._client.zrange(LOG_KEY, 0, -1, withscores=True)
        return {identity.decode(): int(seq) for identity, seq in found}

    def asked(self, command: Sequence[Any]) -> Sequence[Any]:
        """The same command without its expiry: keys stay until they are removed here."""
        called = _called(command)
        if called is None:
            return command
        keys, arguments = called
        if keys[0].endswith(_AWAKE) and arguments[0] == "SET":
            return [*command[:-1], _NEVER_MILLISECONDS]
        if _is_lead(keys, arguments):
            return [*command[:-1], _NEVER_MILLISECONDS]
        if _is_post(keys):
            awake_at = len(command) - len(arguments) + 2
            return [*command[:awake_at], _NEVER_MILLISECONDS, *command[awake_at + 1 :]]
        return command

    def did(self, command: Sequence[Any], answer: Any, now: float) -> None:
        """Redis has carried out a command: perhaps one that keeps a key for a time."""
        called = _called(command)
        if called is None or answer is None or isinstance(answer, Exception):
            return
        keys, arguments = called
        if keys[0].endswith(_AWAKE) and arguments[0] == "SET":
            self._expire_at[keys[0]] = now + self._awake_seconds
        elif _is_lead(keys, arguments) and answer == 1:
            self._expire_at[LEADER_KEY] = now + self._awake_seconds
        elif _is_post(keys) and answer[0] == 1:
            self._expire_at[keys[1]] = now + self._awake_seconds

    def expire(self, now: float) -> None:
        """Removes what has expired."""
        expired = [key for key, at in self._expire_at.items() if at <= now]
        if expired:
            self._client.delete(*expired)
            for key in expired:
                del self._expire_at[key]

    def forget_scripts(self) -> None:
        """As Redis does when it starts again."""
        self._client.script_flush()


def _called(command: Sequence[Any]) -> tuple[list[str], Sequence[Any]] | None:
    """The keys and arguments of a call of a script."""
    if str(command[0]) not in ("EVAL", "EVALSHA") or not int(command[2]):
        return None
    behind = 3 + int(command[2])
    return [str(key) for key in command[3:behind]], command[behind:]


def _is_lead(keys: Sequence[str], arguments: Sequence[Any]) -> bool:
    return keys[0] == LEADER_KEY and len(arguments) == 2  # resigning has one


def _is_post(keys: Sequence[str]) -> bool:
    return len(keys) > 1 and keys[1].endswith(_AWAKE)
