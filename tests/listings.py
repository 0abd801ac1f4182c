"""Puts articles on sale in a running system as loaders do: by commands, whose outcomes it waits for."""

from types import TracebackType
from typing import Any, Final, Self

import asyncpg

from domain.model import Actor
from ops.articles import Article, listing
from runtime.database import asyncpg_dsn
from runtime.mailboxes.sender import Sender, wait_for_outcomes
from runtime.settings import Settings
from tests.system import System

_LOADER: Final = Actor.in_role("loader", "staff")
_PATIENCE_SECONDS: Final = 10.0


class Listings:
    """An async context manager; it does not outlive the system's servers."""

    def __init__(self, system: System) -> None:
        self._database_url = asyncpg_dsn(system.postgres.url)
        self._sender = Sender(Settings.model_validate({"REDIS_URL": system.redis_url}))
        self._pool: asyncpg.Pool[Any]

    async def __aenter__(self) -> Self:
        self._pool = await asyncpg.create_pool(self._database_url, min_size=0, max_size=1)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._sender.__aexit__(kind, error, traceback)
        await self._pool.close()

    async def put_on_sale(self, *articles: Article) -> None:
        """Puts the articles on sale; returns when they can be ordered."""
        posted = [
            await self._sender.send(listing(article), _LOADER, patience_seconds=_PATIENCE_SECONDS)
            for article in articles
        ]
        settled = await wait_for_outcomes(self._pool, posted)
        assert [settled[command_id].status for command_id in posted] == ["applied"] * len(articles), settled
