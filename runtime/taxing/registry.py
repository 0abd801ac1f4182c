"""All tax providers by name, and the one of this installation: a new one is a line in `TAX_PROVIDERS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import aiohttp

from runtime.providers import ByName, known
from runtime.settings import Settings
from runtime.taxing import remote
from runtime.taxing.provider import TaxProvider

Maker = Callable[[Settings, aiohttp.ClientSession], TaxProvider]

TAX_PROVIDERS: Final[Mapping[str, Maker]] = {
    remote.NAME: remote.make,
}

_CALLED: Final = "tax provider"


def tax_provider_in(config: Settings) -> str | None:
    """The provider that computes the shop's taxes; None for its own rates. Raises ProviderUnusable if the name is
    unknown."""
    return known(_CALLED, config.tax_provider, TAX_PROVIDERS)


class TaxProviders(ByName[TaxProvider]):
    """The provider of the settings, and those of earlier orders."""

    def __init__(self, config: Settings) -> None:
        super().__init__(_CALLED, TAX_PROVIDERS, config.tax_provider, config)
