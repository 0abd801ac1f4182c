"""The provider `remote`: a service of the shop's own, which is asked over HTTP and answers in JSON.

    POST {url}/estimate   the question                 {"taxes": [[{"name": "TX", "country": "US", ...}], ...]}
    POST {url}/commit     {"sale": {...}}              2xx
    POST {url}/void       {"sale": {...}}              2xx
    POST {url}/refund     {"sale": {...}, "refund": {...}}   2xx

422 is a refusal, which is not asked again; any other answer than 2xx is no answer. A repeated call has the same
`Idempotency-Key`.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import aiohttp
import msgspec

from domain.quote.basket import TaxAnswer, TaxQuestion
from domain.quote.quoted import TaxLine
from runtime.outside import OutcomeUnknown, Refused
from runtime.settings import Settings
from runtime.taxing.provider import Sale, TaxProviderUnusable, TaxRefund

NAME: Final = "remote"
ANSWER_MAX_BYTES: Final = 4_194_304

_CHUNK_BYTES: Final = 65_536


class _Said(msgspec.Struct):
    taxes: tuple[tuple[TaxLine, ...], ...]


class Remote:
    """The client. `secret` is sent as a bearer token."""

    name: Final = NAME

    def __init__(self, session: aiohttp.ClientSession, url: str, secret: str, *, timeout_seconds: float) -> None:
        self._session = session
        self._url = url.rstrip("/")
        self._secret = secret
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)

    async def estimate(self, question: TaxQuestion, key: str) -> TaxAnswer:
        answer = await self._post("estimate", question, key)
        try:
            return TaxAnswer(msgspec.json.decode(answer, type=_Said).taxes)
        except ValueError as error:
            raise OutcomeUnknown("the tax provider answered something unreadable") from error

    async def commit(self, sale: Sale, key: str) -> None:
        await self._post("commit", {"sale": sale}, key)

    async def void(self, sale: Sale, key: str) -> None:
        await self._post("void", {"sale": sale}, key)

    async def refund(self, sale: Sale, refund: TaxRefund, key: str) -> None:
        await self._post("refund", {"sale": sale, "refund": refund}, key)

    async def _post(self, what: str, body: object, key: str) -> bytes:
        headers = {
            "Authorization": f"Bearer {self._secret}",
            "Content-Type": "application/json",
            "Idempotency-Key": key,
        }
        data = msgspec.json.encode(body)
        try:
            async with self._session.post(
                f"{self._url}/{what}", data=data, headers=headers, timeout=self._timeout, allow_redirects=False
            ) as response:
                status, answer = response.status, await _bounded(response)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise OutcomeUnknown(f"the tax provider did not answer: {type(error).__name__}") from error
        if status == HTTPStatus.UNPROCESSABLE_ENTITY:
            raise Refused(f"the tax provider refused to {what}")
        if not HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            raise OutcomeUnknown(f"the tax provider answered {status}")
        return answer


def make(config: Settings, session: aiohttp.ClientSession) -> Remote:
    """The client that the settings describe. Raises TaxProviderUnusable."""
    if config.tax_url is None or config.tax_secret is None:
        raise TaxProviderUnusable("the tax provider remote needs TIDEGATE_TAX_URL and TIDEGATE_TAX_SECRET")
    secret = config.tax_secret.get_secret_value()
    return Remote(session, config.tax_url, secret, timeout_seconds=config.tax_timeout_seconds)


async def _bounded(response: aiohttp.ClientResponse) -> bytes:
    """The body. Raises OutcomeUnknown if it is too long."""
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) > ANSWER_MAX_BYTES:
            raise OutcomeUnknown(f"the tax provider answered more than {ANSWER_MAX_BYTES} bytes")
    return bytes(body)
