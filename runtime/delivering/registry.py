"""All providers of delivery rates by name, and the one of this installation: a new one is a line in
`DELIVERY_PROVIDERS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import aiohttp

from runtime.delivering import remote
from runtime.delivering.provider import DeliveryProvider
from runtime.providers import ByName, known
from runtime.settings import Settings

Maker = Callable[[Settings, aiohttp.ClientSession], DeliveryProvider]

DELIVERY_PROVIDERS: Final[Mapping[str, Maker]] = {
    remote.NAME: remote.make,
}

_CALLED: Final = "delivery provider"


def delivery_provider_in(config: Settings) -> str | None:
    """The provider of live rates; None if there is none. Raises ProviderUnusable if the name is unknown."""
    return known(_CALLED, config.delivery_provider, DELIVERY_PROVIDERS)


class DeliveryProviders(ByName[DeliveryProvider]):
    """The provider of the settings, and those that checkouts were asked of before."""

    def __init__(self, config: Settings) -> None:
        super().__init__(_CALLED, DELIVERY_PROVIDERS, config.delivery_provider, config)
