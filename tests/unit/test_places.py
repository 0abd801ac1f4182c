"""Places for sockets: bounded by kind, by address and by principal, with a share reserved for staff."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from domain.model import Actor
from gateway.identity.caller import Caller
from gateway.realtime.places import NoPlace, Place, Places
from runtime.settings import Settings

ROOM = 40


def places(**settings: Any) -> Places:
    return Places(Settings(socket_max_connections=ROOM, **settings))


def caller(role: str, principal: str = "somebody") -> Caller:
    return Caller(Actor(principal, role, frozenset()), float("inf"))


def fill(take: Callable[[int], Place]) -> tuple[int, str]:
    """How many places there were, and the reason of the first refusal."""
    for number in range(10 * ROOM):
        try:
            take(number)
        except NoPlace as full:
            return number, str(full)
    raise AssertionError("there was no end to them")


def test_a_quarter_is_left_to_staff_whoever_fills_the_other_shares() -> None:
    there = places(socket_max_per_address=1_000)
    for number in range(ROOM):
        there.take(None, f"10.0.0.{number}")
    assert fill(lambda n: there.take(caller("guest", f"g{n}"), f"10.1.{n}.1")) == (10, "too many sockets of your kind")
    assert fill(lambda n: there.take(caller("customer", f"c{n}"), f"10.2.{n}.1")) == (
        15,
        "too many sockets of your kind",
    )
    assert fill(lambda n: there.take(caller("staff", f"s{n}"), "10.3.0.1")) == (10, "too many sockets")


def test_customers_leave_a_place_to_clients_that_have_not_signed_in_yet() -> None:
    there = places()
    fill(lambda n: there.take(caller("customer", f"c{n}"), f"10.2.{n}.1"))
    place = there.take(None, "10.9.9.9")
    there.name(place, caller("staff"))
    assert place.kind == "staff"


def test_the_oldest_unknown_client_of_the_busiest_address_is_dropped() -> None:
    there = places()
    gone: list[str] = []
    busy = "10.6.6.6"
    for name, host in {"first": "10.0.0.1", "a": busy, "b": busy, "c": busy, "last": "10.0.0.2"}.items():
        there.take(None, host).give_up = partial(gone.append, name)
    for number in range(2):
        there.take(None, f"10.7.0.{number}")
    assert gone == ["a", "b"]


def test_the_sockets_of_an_address_are_bounded_except_staffs() -> None:
    there = places(socket_max_per_address=3)
    reason = "too many sockets of your address"
    assert fill(lambda n: there.take(caller("customer", f"c{n}"), f"2001:db8::{n:x}")) == (3, reason)
    with pytest.raises(NoPlace, match=reason):
        there.take(None, "2001:db8::ffff")
    there.take(caller("staff"), "2001:db8::1")
    there.take(None, "2001:db9::1")


def test_the_sockets_of_a_principal_are_bounded_and_a_guests_more_tightly() -> None:
    there = places(socket_max_per_principal=4, socket_max_per_guest=2)
    assert fill(lambda n: there.take(caller("guest"), None)) == (2, "too many sockets of yours")
    assert fill(lambda n: there.take(caller("customer", "ada"), None)) == (4, "too many sockets of yours")
    assert fill(lambda n: there.take(caller("staff", "eve"), None)) == (4, "too many sockets of yours")


def test_a_freed_place_is_free_for_anyone() -> None:
    there = places(socket_max_per_address=1, socket_max_per_principal=1)
    for _ in range(3):
        place = there.take(None, "10.0.0.1")
        with pytest.raises(NoPlace):
            there.take(None, "10.0.0.1")
        there.name(place, caller("customer"))
        with pytest.raises(NoPlace):
            there.take(caller("customer"), "10.0.0.2")
        there.free(place)
        there.free(place)
    assert there._taken == 0
    assert not there._of_address
    assert not there._of_principal
