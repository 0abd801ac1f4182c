"""The targets of the comparison with another shop."""

from __future__ import annotations

from loadtests.bench.plan import Results
from loadtests.bench.targets import COST, Target, ratio
from loadtests.peers.vendure import SERVERS, shape

MUST: float = 30
AIM: float = 100


def targets(results: Results) -> list[Target]:
    """Targets against the fastest of its configurations, and for CPU the cheapest."""
    ours = results.median("CPU an order, whole checkout")
    theirs = [
        (median, name)
        for servers in SERVERS
        if (median := results.median(name := f"CPU an order, {shape(servers)}")) is not None
    ]
    spent = Target("CPU of one, to Vendure's least", None, COST, None, None)
    if ours is not None and theirs:
        least, name = min(theirs)
        spent = Target(spent.what, ours / least, COST, None, None, name)
    return [
        ratio(results, "whole checkouts, to Vendure's best", "checkouts: tidegate", "checkouts: vendure", MUST, AIM),
        spent,
    ]
