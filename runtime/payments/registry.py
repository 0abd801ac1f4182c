"""All payment providers by name, and those that this installation uses. A new one is a line in `PROVIDERS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

import aiohttp

from runtime.payments import invoice, sandbox
from runtime.payments.invoice import Invoice
from runtime.payments.provider import Provider
from runtime.payments.sandbox import Sandbox
from runtime.providers import open_session
from runtime.settings import Settings

Maker = Callable[[Settings, aiohttp.ClientSession], Provider]


def _sandbox(config: Settings, session: aiohttp.ClientSession) -> Provider:
    return Sandbox(
        session,
        f"http://127.0.0.1:{config.sandbox_port}",
        config.sandbox_secret.get_secret_value(),
        timeout_seconds=config.payment_timeout_seconds,
    )


def _stripe(config: Settings, session: aiohttp.ClientSession) -> Provider:
    try:
        from runtime.payments.stripe import Stripe
    except ImportError as error:
        raise ProviderIncomplete("the provider stripe needs: pip install 'tidegate[stripe]'") from error
    if config.stripe_secret_key is None or config.stripe_webhook_secret is None:
        raise ProviderIncomplete("the provider stripe needs TIDEGATE_STRIPE_SECRET_KEY and _STRIPE_WEBHOOK_SECRET")
    return Stripe(
        session,
        config.stripe_secret_key.get_secret_value(),
        config.stripe_webhook_secret.get_secret_value(),
        timeout_seconds=config.payment_timeout_seconds,
        url=config.stripe_url,
    )


PROVIDERS: Final[Mapping[str, Maker]] = {
    sandbox.NAME: _sandbox,
    invoice.NAME: lambda config, session: Invoice(),
    "stripe": _stripe,
}


class ProviderIncomplete(ValueError):
    """A provider lacks a setting, or its package; the message says which."""


class UnknownProvider(KeyError):
    """No payment provider has this name."""


class Providers:
    """The providers that the settings name. An async context manager."""

    def __init__(self, config: Settings) -> None:
        """Raises UnknownProvider."""
        self._config = config
        self._makers = {name: _maker(name) for name in config.providers}
        self._session: aiohttp.ClientSession
        self._providers: dict[str, Provider] = {}

    async def __aenter__(self) -> Providers:
        """Raises ProviderIncomplete."""
        self._session = open_session()
        try:
            self._providers = {name: make(self._config, self._session) for name, make in self._makers.items()}
        except ProviderIncomplete:
            await self._session.close()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    def __getitem__(self, name: str) -> Provider:
        """Raises UnknownProvider."""
        try:
            return self._providers[name]
        except KeyError:
            raise UnknownProvider(name) from None

    def __iter__(self) -> Iterator[Provider]:
        return iter(self._providers.values())


def _maker(name: str) -> Maker:
    try:
        return PROVIDERS[name]
    except KeyError:
        raise UnknownProvider(f"{name!r} is not a payment provider: one of {', '.join(sorted(PROVIDERS))}") from None
