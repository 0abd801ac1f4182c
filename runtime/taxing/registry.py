"""All providers of taxes by name, and the one of this installation: a new one is a line in `TAX_PROVIDERS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import aiohttp

from runtime.settings import Settings
from runtime.taxing import remote
from runtime.taxing.provider import TaxProvider, TaxProviderUnusable

Maker = Callable[[Settings, aiohttp.ClientSession], TaxProvider]

TAX_PROVIDERS: Final[Mapping[str, Maker]] = {
    remote.NAME: remote.make,
}


def tax_provider_in(config: Settings) -> str | None:
    """Who computes the shop's taxes; None for its own rates. Raises TaxProviderUnusable if the name is unknown."""
    if config.tax_provider is not None:
        _maker(config.tax_provider)
    return config.tax_provider


class TaxProviders:
    """The providers as tasks call them: that of the settings, and those of earlier orders. An async context manager."""

    def __init__(self, config: Settings) -> None:
        self._config = config
        self._session: aiohttp.ClientSession
        self._providers: dict[str, TaxProvider] = {}

    async def __aenter__(self) -> TaxProviders:
        """Raises TaxProviderUnusable."""
        self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), headers={"User-Agent": "Tidegate"})
        try:
            if self._config.tax_provider is not None:
                self[self._config.tax_provider]
        except TaxProviderUnusable:
            await self._session.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    def __getitem__(self, name: str) -> TaxProvider:
        """Raises TaxProviderUnusable."""
        if name not in self._providers:
            self._providers[name] = _maker(name)(self._config, self._session)
        return self._providers[name]


def _maker(name: str) -> Maker:
    try:
        return TAX_PROVIDERS[name]
    except KeyError:
        known = ", ".join(sorted(TAX_PROVIDERS))
        raise TaxProviderUnusable(f"{name!r} is not a tax provider: one of {known}") from None
