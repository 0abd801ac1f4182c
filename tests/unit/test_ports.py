"""Ports are free, and not given away twice while a server is still on its way to them."""

from collections import deque

import pytest

from ops import ports


@pytest.fixture(autouse=True)
def _a_hundred_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_drawn_from", range(ports.LOWEST, ports.LOWEST + 100))
    monkeypatch.setattr(ports, "_drawn", deque())


def test_a_port_is_not_drawn_again_before_many_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server that it was drawn for may not listen yet, as Postgres while Valkey's port is drawn."""
    monkeypatch.setattr(ports, "is_free", lambda port: True)
    drawn = [ports.free_port() for _ in range(1_000)]
    for start in range(len(drawn) - 50):
        assert len(set(drawn[start : start + 50])) == 50


def test_a_port_that_is_taken_is_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda port: port % 2 == 0)
    assert {ports.free_port() % 2 for _ in range(20)} == {0}


def test_without_a_free_port_an_error_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda port: False)
    with pytest.raises(OSError, match="no free TCP port"):
        ports.free_port()
