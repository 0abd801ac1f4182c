"""A short pass of the simulation over fixed seeds; `python -m tests.simulation.run` goes on from here."""

import gc

import pytest

from tests.simulation.world import World


# A worker that is killed in the middle of giving a connection back leaves it open, as a killed process does; here it is
# only a task that is cancelled, and Python has the connection closed later, with a warning.
@pytest.mark.filterwarnings("ignore:Unclosed client session:ResourceWarning")
@pytest.mark.parametrize("seed", range(1, 7))
async def test_whatever_breaks_nothing_is_lost_nothing_twice_all_in_order(
    seed: int, database_url: str, redis_url: str
) -> None:
    await World(seed, database_url, redis_url).run()
    gc.collect()
