"""The provider `remote`: a service of the shop's own, which is asked over HTTP and answers in JSON.

    POST {url}/estimate   the question                 {"taxes": [[{"name": "TX", "country": "US", ...}], ...]}
    POST {url}/commit     {"sale": {...}}              2xx
    POST {url}/void       {"sale": {...}}              2xx
    POST {url}/refund     {"sale": {...}, "refund": {...}}   2xx

What other answers mean is in `runtime/service.py`.
"""

from __future__ import annotations

from typing import Final

import aiohttp
import msgspec

from domain.quote.basket import TaxAnswer, TaxQuestion
from domain.quote.quoted import TaxLine
from runtime.providers import ProviderUnusable
from runtime.service import Service
from runtime.settings import Settings
from runtime.taxing.provider import Sale, TaxRefund

NAME: Final = "remote"


class _Said(msgspec.Struct):
    taxes: tuple[tuple[TaxLine, ...], ...]


class Remote:
    """The client."""

    name: Final = NAME

    def __init__(self, service: Service) -> None:
        self._service = service

    async def estimate(self, question: TaxQuestion, key: str) -> TaxAnswer:
        return TaxAnswer((await self._service.ask("estimate", question, key, _Said)).taxes)

    async def commit(self, sale: Sale, key: str) -> None:
        await self._service.tell("commit", {"sale": sale}, key)

    async def void(self, sale: Sale, key: str) -> None:
        await self._service.tell("void", {"sale": sale}, key)

    async def refund(self, sale: Sale, refund: TaxRefund, key: str) -> None:
        await self._service.tell("refund", {"sale": sale, "refund": refund}, key)


def make(config: Settings, session: aiohttp.ClientSession) -> Remote:
    """The client that the settings describe. Raises ProviderUnusable."""
    if config.tax_url is None or config.tax_secret is None:
        raise ProviderUnusable("the tax provider remote needs TIDEGATE_TAX_URL and TIDEGATE_TAX_SECRET")
    secret, timeout_seconds = config.tax_secret.get_secret_value(), config.tax_timeout_seconds
    return Remote(Service("the tax provider", session, config.tax_url, secret, timeout_seconds=timeout_seconds))
