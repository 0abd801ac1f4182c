"""Limits the number of unfinished jobs per principal, whatever their kind."""

from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.views import jobs
from gateway.web.problems import Problem

RETRY_SECONDS: Final = 5
"""How long to wait before asking again."""


async def check_room(engine: AsyncEngine, principal: str, *, max_unfinished: int) -> None:
    """Raises a 429 Problem if the principal has reached the limit of unfinished jobs. Two concurrent requests may both
    get the last place; the limit is meant to stop hundreds, not one too many."""
    async with engine.connect() as connection:
        unfinished = await jobs.unfinished(connection, principal)
    if unfinished >= max_unfinished:
        raise Problem(
            "too_many_jobs",
            f"You have {unfinished} unfinished jobs; wait until one finishes.",
            headers={"Retry-After": str(RETRY_SECONDS)},
        )
