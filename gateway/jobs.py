"""How many jobs a principal may have unfinished, whatever their kind."""

from typing import Final

from gateway.edge import Edge
from gateway.problems import Problem
from gateway.views import jobs

RETRY_SECONDS: Final = 5
"""After which to ask again how a job is."""


async def check_room(edge: Edge, principal: str) -> None:
    """Raises a 429 Problem if the principal has as many unfinished jobs as one may. Two requests at the same moment may
    both find the last place; the bound is there for the thousandth."""
    async with edge.engine.connect() as connection:
        unfinished = await jobs.unfinished(connection, principal)
    if unfinished >= edge.config.jobs_max_unfinished:
        raise Problem(
            "too_many_jobs",
            f"You have {unfinished} unfinished jobs; wait until one is done.",
            headers={"Retry-After": str(RETRY_SECONDS)},
        )
