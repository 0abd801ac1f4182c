"""The replica that gateways read from, if there is one: is it a standby, does it have this log, and what is its lag."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import msgspec

from ops.doctor.finding import Finding, failure, ok, warning
from ops.doctor.postgres import UNREACHABLE, connected, why
from runtime.settings import Settings

_PLACE: Final = """
    SELECT last_seq, (SELECT identity FROM log_branches ORDER BY number DESC LIMIT 1) AS identity,
        pg_is_in_recovery() AS in_recovery, current_setting('hot_standby_feedback') = 'on' AS gives_feedback
    FROM event_counter
"""


class Facts(msgspec.Struct, frozen=True):
    """The last seq and identity of a server's log, and whether it is in recovery."""

    last_seq: int
    identity: UUID
    in_recovery: bool
    gives_feedback: bool


async def of_replica(config: Settings) -> list[Finding]:
    if config.read_database_url is None:
        return []
    try:
        primary = await ask(config.database_url)  # asked first, so that the replica is not blamed for newer events
    except UNREACHABLE:
        return []  # its own checks say so
    try:
        replica = await ask(config.read_database_url)
    except UNREACHABLE as error:
        return [
            failure("replica", why(error), "make sure that it is running, and that TIDEGATE_READ_DATABASE_URL names it")
        ]
    return judge(primary, replica)


async def ask(database_url: str) -> Facts:
    async with connected(database_url) as connection:
        row = await connection.fetchrow(_PLACE)
    assert row is not None, "the counter has one row"
    return Facts(**row)


def judge(primary: Facts, replica: Facts) -> list[Finding]:
    advice = "rebuild it from a backup of the primary; until then, gateways read from the primary"
    if not replica.in_recovery:
        return [failure("replica", "not a standby: was it promoted?", advice)]
    if replica.identity != primary.identity:
        return [failure("replica", "it has a different log", advice)]
    missing = primary.last_seq - replica.last_seq
    if missing > 0:
        found = warning(
            "replica", f"{missing} events behind", "run this again: if it falls further behind, it is too slow"
        )
    else:
        found = ok("replica", "level with the primary")
    if replica.gives_feedback:
        return [found]
    advice = "hot_standby_feedback = on, on the replica, and reload"
    return [found, warning("replica feedback", "off: long exports are cancelled by what it has to replay", advice)]
