"""Where to send requests: the table of docs/operations.md, line by line."""

import json
from types import SimpleNamespace
from typing import Any, Final, Literal

import pytest
from starlette.datastructures import State

from gateway.routes import health

Wanted = Literal["reads", "writes"] | None
_ALL: Final[tuple[Wanted, ...]] = (None, "reads", "writes")


async def _answer(
    monkeypatch: pytest.MonkeyPatch,
    wanted: Wanted,
    *,
    redis: bool = True,
    postgres: bool = True,
    known: bool = True,
    stopping: bool = False,
) -> tuple[int, str]:
    """The code and the status."""

    def ping(answers: bool) -> Any:
        async def pinged(edge: object) -> None:
            if not answers:
                raise ConnectionRefusedError

        return pinged

    monkeypatch.setattr(health, "_ping_redis", ping(redis))
    monkeypatch.setattr(health, "_ping_postgres", ping(postgres))
    edge = SimpleNamespace(
        stopping=SimpleNamespace(begun=stopping), revocations=SimpleNamespace(are_known=known and postgres)
    )
    request: Any = SimpleNamespace(app=SimpleNamespace(state=State({"edge": edge})))
    response = await health.ready(request, wanted)
    shown = json.loads(bytes(response.body))
    assert (shown["redis"], shown["postgres"]) == (redis, postgres)
    return response.status_code, shown["status"]


@pytest.mark.parametrize(
    ("redis", "postgres", "status", "codes"),
    [
        (True, True, "ready", (200, 200, 200)),
        (True, False, "degraded", (200, 503, 200)),
        (False, True, "degraded", (200, 200, 503)),
        (False, False, "unavailable", (503, 503, 503)),
    ],
)
async def test_unavailable_servers_are_not_asked(
    monkeypatch: pytest.MonkeyPatch, redis: bool, postgres: bool, status: str, codes: tuple[int, ...]
) -> None:
    for wanted, code in zip(_ALL, codes, strict=True):
        assert await _answer(monkeypatch, wanted, redis=redis, postgres=postgres) == (code, status), wanted


@pytest.mark.parametrize("wanted", _ALL)
async def test_nothing_is_asked_of_one_that_starts_or_stops(monkeypatch: pytest.MonkeyPatch, wanted: Wanted) -> None:
    assert await _answer(monkeypatch, wanted, known=False) == (503, "starting")
    assert await _answer(monkeypatch, wanted, stopping=True) == (503, "stopping")


async def test_one_that_started_without_postgres_takes_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    """The revocations cannot be known then."""
    assert await _answer(monkeypatch, "writes", known=False, postgres=False) == (200, "degraded")
