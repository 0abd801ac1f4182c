"""Limits on requests: separate ones for reads and writes, by principal and by network address."""

from __future__ import annotations

from functools import lru_cache
from typing import Final, NamedTuple

from starlette.types import Scope

from domain.model import Actor
from gateway.limits.buckets import Buckets
from gateway.limits.policy import Policy, Standing, note
from gateway.web.problems import Problem
from runtime.addresses import network_of
from runtime.metrics import THROTTLED
from runtime.settings import Settings

PROXY: Final = "tidegate.proxy"
"""The key in a request's scope for the address of the trusted proxy that it came through."""

_READS: Final = frozenset({"GET", "HEAD"})
_ADDRESSES_REMEMBERED: Final = 4_096


class _Quotas(NamedTuple):
    """The quotas of reads or of writes; None: no limit."""

    of_principal: Policy | None
    of_address: Policy | None


class Limits:
    """The limits of all requests. Staff are counted by principal only: they may share an address with anybody."""

    def __init__(self, buckets: Buckets, config: Settings) -> None:
        self._buckets = buckets
        self._reads = _Quotas(
            _policy("reads", config.principal_reads_per_second, config.principal_reads_burst),
            _policy("reads-by-address", config.address_reads_per_second, config.address_reads_burst),
        )
        self._writes = _Quotas(
            _policy("writes", config.principal_writes_per_second, config.principal_writes_burst),
            _policy("writes-by-address", config.address_writes_per_second, config.address_writes_burst),
        )

    async def count(self, scope: Scope, actor: Actor | None) -> None:
        """Counts a request; `actor` is None for an unauthenticated one. Raises a 429 Problem. In either case the
        response gets rate limit headers."""
        quotas = self._reads if scope["method"] in _READS else self._writes
        if quotas.of_address is not None and (actor is None or not actor.is_staff):
            address, policy = address_of(scope), quotas.of_address
            if address is not None:
                _heed(scope, self._buckets.take_at_hand(policy, address) or await self._buckets.take(policy, address))
        if quotas.of_principal is not None and actor is not None:
            subject, policy = actor.principal, quotas.of_principal
            _heed(scope, self._buckets.take_at_hand(policy, subject) or await self._buckets.take(policy, subject))


def _heed(scope: Scope, standing: Standing) -> None:
    note(scope, standing)
    if not standing.granted:
        raise Problem(
            "too_many_requests",
            "Too many requests; try again later.",
            headers={"Retry-After": str(standing.retry_after)},
        )


def address_of(scope: Scope) -> str | None:
    """The client's address for counting. None if it is unknown, because a trusted proxy does not forward it."""
    client = scope.get("client")
    if client is None or client[0] == scope.get(PROXY):
        return None
    return _network_of(client[0])


_network_of = lru_cache(_ADDRESSES_REMEMBERED)(network_of)


def _policy(name: str, per_second: float, burst: int) -> Policy | None:
    THROTTLED.allow(policy=[name])
    return Policy(name, per_second, burst) if per_second else None
