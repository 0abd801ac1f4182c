"""Who computes taxes: by the settings, by name, and the shop itself if nobody is named."""

import pytest
from pydantic import SecretStr

from runtime.providers import ProviderUnusable
from runtime.settings import Settings
from runtime.taxing.registry import TaxProviders, tax_provider_in


def _settings(provider: str | None) -> Settings:
    return Settings(tax_provider=provider, tax_url="http://127.0.0.1:9/taxes", tax_secret=SecretStr("secret"))


async def test_the_settings_name_it() -> None:
    assert tax_provider_in(Settings()) is None
    config = _settings("remote")
    assert tax_provider_in(config) == "remote"
    async with TaxProviders(config) as providers:
        assert providers["remote"].name == "remote"
        assert providers["remote"] is providers["remote"]


async def test_the_provider_of_earlier_orders_is_still_told_of_them() -> None:
    async with TaxProviders(_settings(None)) as providers:
        assert providers["remote"].name == "remote"


async def test_an_unknown_or_incomplete_tax_provider_is_refused_at_the_start() -> None:
    unknown = Settings(tax_provider="taxpol")
    with pytest.raises(ProviderUnusable, match="taxpol"):
        tax_provider_in(unknown)
    for config in (unknown, Settings(tax_provider="remote", tax_url="http://127.0.0.1:9")):
        with pytest.raises(ProviderUnusable):
            await TaxProviders(config).__aenter__()
