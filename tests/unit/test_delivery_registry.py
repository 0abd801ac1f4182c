"""Who says what live methods cost: by the settings, by name, and nobody if nobody is named."""

import pytest
from pydantic import SecretStr

from runtime.delivering.registry import DeliveryProviders, delivery_provider_in
from runtime.providers import ProviderUnusable
from runtime.settings import Settings


def _settings(provider: str | None) -> Settings:
    return Settings(
        delivery_provider=provider, delivery_url="http://127.0.0.1:9/rates", delivery_secret=SecretStr("secret")
    )


async def test_the_settings_name_it() -> None:
    assert delivery_provider_in(Settings()) is None
    config = _settings("remote")
    assert delivery_provider_in(config) == "remote"
    async with DeliveryProviders(config) as providers:
        assert providers["remote"].name == "remote"


async def test_one_that_there_is_not_or_that_lacks_something_is_refused_at_the_start() -> None:
    unknown = Settings(delivery_provider="pigeons")
    with pytest.raises(ProviderUnusable, match="'pigeons' is not a delivery provider"):
        delivery_provider_in(unknown)
    for config in (unknown, Settings(delivery_provider="remote", delivery_url="http://127.0.0.1:9")):
        with pytest.raises(ProviderUnusable):
            await DeliveryProviders(config).__aenter__()
