"""Providers of any kind by name: the one in the settings, and those that were used before."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Generic, Self, TypeVar

import aiohttp

from runtime.settings import Settings

_Provider = TypeVar("_Provider")


class ProviderUnusable(ValueError):
    """There is no such provider, or it lacks a setting; the message says which."""


class ByName(Generic[_Provider]):
    """The providers of one kind as tasks call them. `made_by` knows all of them by name, `named` is the one of the
    settings, and `called` is what a provider of the kind is called. An async context manager."""

    def __init__(
        self,
        called: str,
        made_by: Mapping[str, Callable[[Settings, aiohttp.ClientSession], _Provider]],
        named: str | None,
        config: Settings,
    ) -> None:
        self._called = called
        self._made_by = made_by
        self._named = named
        self._config = config
        self._session: aiohttp.ClientSession
        self._providers: dict[str, _Provider] = {}

    async def __aenter__(self) -> Self:
        """Raises ProviderUnusable."""
        self._session = open_session()
        try:
            if self._named is not None:
                self[self._named]
        except ProviderUnusable:
            await self._session.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    def __getitem__(self, name: str) -> _Provider:
        """Raises ProviderUnusable."""
        if name not in self._providers:
            known(self._called, name, self._made_by)
            self._providers[name] = self._made_by[name](self._config, self._session)
        return self._providers[name]


def known(called: str, name: str | None, made_by: Mapping[str, object]) -> str | None:
    """The name, if there is such a provider; None for none. Raises ProviderUnusable."""
    if name is not None and name not in made_by:
        raise ProviderUnusable(f"{name!r} is not a {called}: one of {', '.join(sorted(made_by))}")
    return name


def open_session() -> aiohttp.ClientSession:
    """An HTTP client for providers: it says who asks, and keeps no cookies."""
    return aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), headers={"User-Agent": "Tidegate"})
