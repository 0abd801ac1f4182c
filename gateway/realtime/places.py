"""Places: how many sockets and event streams one gateway process serves, for whom, and from where. Unauthenticated
clients, guests, and customers each have a share, so that a quarter of the places is always left for staff. There is
always room to authenticate: if too many clients have not done so, the oldest connection of the address with most of
them is closed.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Final, Literal

from domain.roles import CUSTOMER, GUEST
from gateway.identity.caller import Caller
from gateway.server.connections import Refusals
from runtime.addresses import network_of
from runtime.metrics import SOCKETS, SOCKETS_REFUSED
from runtime.settings import Settings

Bound = Literal["all", "kind", "address", "principal"]

UNKNOWN: Final = "unknown"
_STAFF: Final = "staff"

# Shares of all places.
_UNKNOWN_SHARE: Final = 1 / 8
_GUESTS_SHARE: Final = 1 / 4
_GUESTS_AND_CUSTOMERS_SHARE: Final = 5 / 8

_REASONS: Final[dict[Bound, str]] = {
    "all": "too many sockets",
    "kind": "too many sockets of your kind",
    "address": "too many sockets of your address",
    "principal": "too many sockets of yours",
}

_log = logging.getLogger(__name__)


class NoPlace(Exception):
    """There is no place; the text says which limit is reached."""


class Place:
    """One place and its holder. `give_up` is called when the holder has to make room."""

    __slots__ = ("address", "give_up", "kind", "principal", "taken")

    def __init__(self, kind: str, principal: str | None, address: str | None) -> None:
        self.kind = kind
        self.principal = principal
        self.address = address
        self.taken = True
        self.give_up: Callable[[], None] | None = None


class Places:
    """The places of one process."""

    def __init__(self, config: Settings) -> None:
        self._room = room = config.socket_max_connections
        self._max_of_kind = {
            UNKNOWN: max(1, int(room * _UNKNOWN_SHARE)),
            GUEST: max(1, int(room * _GUESTS_SHARE)),
        }
        self._max_guests_and_customers = max(1, int(room * _GUESTS_AND_CUSTOMERS_SHARE))
        self._max_per_principal = config.socket_max_per_principal
        self._max_per_guest = config.socket_max_per_guest
        self._max_per_address = config.socket_max_per_address
        self._taken = 0
        self._of_kind: Counter[str] = Counter()
        self._of_principal: Counter[str] = Counter()
        self._of_address: Counter[str] = Counter()
        self._unknown: dict[Place, None] = {}  # as they came
        self._refusals = Refusals("sockets", _log)

    def take(self, caller: Caller | None, host: str | None) -> Place:
        """A place for a caller, or for a client that has not authenticated yet. Raises NoPlace."""
        kind, principal = (UNKNOWN, None) if caller is None else (_kind(caller), caller.actor.principal)
        place = Place(kind, principal, None if host is None else network_of(host))
        self._check_address(place)
        if kind == UNKNOWN:
            if self._of_kind[UNKNOWN] >= self._max_of_kind[UNKNOWN]:
                self._make_room()
        else:
            self._check_known(kind, place.principal)
        if self._taken >= self._room:
            raise self._none("all", place)
        self._count(place, 1)
        return place

    def name(self, place: Place, caller: Caller) -> None:
        """The holder has authenticated. Raises NoPlace; the place must then still be freed."""
        kind, principal = _kind(caller), caller.actor.principal
        self._check_known(kind, principal)
        if place.taken:
            self._count(place, -1)
            place.kind, place.principal = kind, principal
            self._count(place, 1)

    def free(self, place: Place) -> None:
        """Gives a place back; repeating it does no harm."""
        if place.taken:
            place.taken = False
            self._count(place, -1)

    def _check_known(self, kind: str, principal: str | None) -> None:
        """Raises NoPlace if there may not be another of this kind."""
        per_principal = self._max_per_guest if kind == GUEST else self._max_per_principal
        if principal is not None and self._of_principal[principal] >= per_principal:
            raise self._none("principal")
        if kind == _STAFF:
            return
        full = self._of_kind[GUEST] + self._of_kind[CUSTOMER] >= self._max_guests_and_customers
        if full or (kind == GUEST and self._of_kind[GUEST] >= self._max_of_kind[GUEST]):
            raise self._none("kind")

    def _check_address(self, place: Place) -> None:
        """Raises NoPlace if the address has too many. Staff's places do not count, as they may share an address with
        anyone."""
        if place.kind == _STAFF or place.address is None:
            return
        if self._of_address[place.address] >= self._max_per_address:
            raise self._none("address", place)

    def _make_room(self) -> None:
        """Closes the oldest unauthenticated connection of the address that has most of them."""
        most = Counter(place.address for place in self._unknown).most_common(1)[0][0]
        oldest = next(place for place in self._unknown if place.address == most)
        SOCKETS_REFUSED.labels(UNKNOWN).inc()
        self._refusals.note(f"{len(self._unknown)} have not authenticated; closing one from {most}")
        self.free(oldest)
        if oldest.give_up is not None:
            oldest.give_up()

    def _count(self, place: Place, by: int) -> None:
        self._taken += by
        SOCKETS.inc(by)
        self._of_kind[place.kind] += by
        if place.kind == UNKNOWN:
            if by > 0:
                self._unknown[place] = None
            else:
                del self._unknown[place]
        if place.kind != _STAFF and place.address is not None:
            _add(self._of_address, place.address, by)
        if place.principal is not None:
            _add(self._of_principal, place.principal, by)

    def _none(self, bound: Bound, place: Place | None = None) -> NoPlace:
        SOCKETS_REFUSED.labels(bound).inc()
        whence = "" if place is None else f", from {place.address}"
        self._refusals.note(f"{self._taken} are open; the last one was refused by the bound on {bound}{whence}")
        return NoPlace(_REASONS[bound])


def _kind(caller: Caller) -> str:
    return _STAFF if caller.actor.is_staff else GUEST if caller.actor.role == GUEST else CUSTOMER


def _add(counts: Counter[str], key: str, by: int) -> None:
    counts[key] += by
    if not counts[key]:
        del counts[key]
