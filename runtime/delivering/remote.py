"""The provider `remote`: a service of the shop's own, which is asked over HTTP and answers in JSON.

    POST {url}/rates   the question   {"rates": [{"method_id": "...", "currency": "GBP", "price_minor": 712}],
                                       "expires_at": "2026-11-30T12:00:00Z"}

Without `expires_at`, the rates are good for as long as the settings say. What other answers mean is in
`runtime/service.py`.
"""

from __future__ import annotations

from typing import Final

import aiohttp

from domain.quote.basket import RateAnswer, RateQuestion
from runtime.providers import ProviderUnusable
from runtime.service import Service
from runtime.settings import Settings

NAME: Final = "remote"


class Remote:
    """The client."""

    name: Final = NAME

    def __init__(self, service: Service) -> None:
        self._service = service

    async def rates(self, question: RateQuestion, key: str) -> RateAnswer:
        return await self._service.ask("rates", question, key, RateAnswer)


def make(config: Settings, session: aiohttp.ClientSession) -> Remote:
    """The client that the settings describe. Raises ProviderUnusable."""
    if config.delivery_url is None or config.delivery_secret is None:
        raise ProviderUnusable("the delivery provider remote needs TIDEGATE_DELIVERY_URL and TIDEGATE_DELIVERY_SECRET")
    secret, timeout_seconds = config.delivery_secret.get_secret_value(), config.delivery_timeout_seconds
    return Remote(
        Service("the delivery provider", session, config.delivery_url, secret, timeout_seconds=timeout_seconds)
    )
