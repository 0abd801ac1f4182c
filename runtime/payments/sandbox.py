"""The client of the sandbox: a provider for development and tests, a separate process on this machine (see
`ops/sandbox`).

It moves no money. Otherwise it behaves like a real provider: it may be slow, decline, lose its answers, and report
things late, twice and in any order.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from http import HTTPStatus
from typing import Any, Final, TypeVar
from uuid import UUID

import aiohttp
import msgspec
from standardwebhooks import Webhook as Verifier
from standardwebhooks.webhooks import WebhookVerificationError

from domain.model import Secret
from domain.payments.entries import CHARGE_BACK, FAILURES, INFO, SUCCESSES, Entry, EntryType
from domain.payments.payment import Capabilities, Capture
from runtime.outside import OutcomeUnknown, Refused
from runtime.payments.provider import Act, Attempt, Report, WebhookInvalid, WebhookUnreadable
from runtime.payments.sandbox_wire import (
    KEY_HEADER,
    WEBHOOK_TYPE,
    Move,
    Movement,
    Notice,
    Open,
    Pay,
    PaymentSaid,
    PaymentsSaid,
    ProblemSaid,
)

NAME: Final = "sandbox"

_Said = TypeVar("_Said", bound=msgspec.Struct)

_TRY_AGAIN: Final = (HTTPStatus.CONFLICT, HTTPStatus.TOO_MANY_REQUESTS)
_BEGINS: Final[dict[Capture, EntryType]] = {
    "manual": "authorization_action_required",
    "automatic": "charge_action_required",
}


class Sandbox:
    """The client. `secret` signs the sandbox's webhooks, and is the password of its API."""

    name: Final = NAME
    capabilities: Final = Capabilities()

    def __init__(self, session: aiohttp.ClientSession, url: str, secret: str, *, timeout_seconds: float) -> None:
        self._session = session
        self._url = url
        self._secret = secret
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)

    async def create(self, attempt: Attempt, *, method: str | None = None, return_url: str | None = None) -> Report:
        body = Open(attempt.reference, attempt.amount_minor, attempt.currency, attempt.capture, method, return_url)
        return await self._does("/v1/payments", body, attempt.reference)

    async def authorize(self, attempt: Attempt, *, method: str, key: str) -> Report:
        return await self._does(f"{self._path(attempt)}/authorize", Pay(method), key)

    async def capture(self, attempt: Attempt, act: Act) -> Report:
        return await self._acts("capture", attempt, act)

    async def void(self, attempt: Attempt, act: Act) -> Report:
        return await self._acts("void", attempt, act)

    async def refund(self, attempt: Attempt, act: Act) -> Report:
        return await self._acts("refund", attempt, act)

    async def ask(self, attempt: Attempt) -> Report:
        found = await self._call("GET", "/v1/payments", params={"reference": attempt.reference})
        payments = _read(found, PaymentsSaid).payments
        return _reported(payments[0]) if payments else Report(attempt.payment_id, None, attempt.currency, ())

    def parse_webhook(self, body: bytes, headers: Mapping[str, str]) -> list[Report]:
        try:
            Verifier(self._secret).verify(
                body, {name.lower(): value for name, value in headers.items()}, json_parse=False
            )
        except (WebhookVerificationError, ValueError) as error:
            raise WebhookInvalid(str(error)) from error
        try:
            notice = msgspec.json.decode(body, type=Notice)
        except ValueError as error:
            raise WebhookUnreadable(str(error)) from error
        if notice.type != WEBHOOK_TYPE:
            return []
        if (entry := _entry(notice.movement)) is None:
            return []
        return [Report(_id(notice.payment_reference), notice.payment_id, notice.currency, (entry,))]

    async def history(self, since: datetime) -> AsyncIterator[Report]:
        after: str | None = ""
        while after is not None:
            params = {"since": since.isoformat(), "after": after}
            page = _read(await self._call("GET", "/v1/payments", params=params), PaymentsSaid)
            for payment in page.payments:
                yield _reported(payment)
            after = page.after

    async def _acts(self, what: str, attempt: Attempt, act: Act) -> Report:
        return await self._does(f"{self._path(attempt)}/{what}", Move(act.amount_minor, act.reference), act.reference)

    def _path(self, attempt: Attempt) -> str:
        if attempt.provider_reference is None:
            raise OutcomeUnknown("the payment was created, but its name at the provider is not known yet: ask first")
        return f"/v1/payments/{attempt.provider_reference}"

    async def _does(self, path: str, body: msgspec.Struct, key: str) -> Report:
        answer = await self._call("POST", path, data=msgspec.json.encode(body), headers={KEY_HEADER: key})
        return _reported(_read(answer, PaymentSaid))

    async def _call(self, verb: str, path: str, **how: Any) -> bytes:
        headers = {"Authorization": f"Bearer {self._secret}", **how.pop("headers", {})}
        try:
            async with self._session.request(
                verb, f"{self._url}{path}", headers=headers, timeout=self._timeout, allow_redirects=False, **how
            ) as response:
                status, body = response.status, await response.read()
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise OutcomeUnknown(f"the sandbox did not answer: {type(error).__name__}") from error
        if status < HTTPStatus.MULTIPLE_CHOICES:
            return body
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _TRY_AGAIN:
            raise OutcomeUnknown(f"the sandbox answered {status}")
        problem = _read(body, ProblemSaid)
        raise Refused(f"the sandbox answered {status} {problem.code}: {problem.detail}")


def _read(body: bytes, as_type: type[_Said]) -> _Said:
    try:
        return msgspec.json.decode(body, type=as_type)
    except ValueError as error:
        raise OutcomeUnknown("the sandbox's answer could not be read") from error


def _id(reference: str) -> UUID | None:
    try:
        return UUID(reference)
    except ValueError:
        return None


def _reported(payment: PaymentSaid) -> Report:
    entries = [entry for movement in payment.movements if (entry := _entry(movement)) is not None]
    if payment.page_url is not None:
        asked = max([payment.created_at, *(movement.at for movement in payment.movements)])
        entries.append(Entry(_BEGINS[payment.capture], payment.reference, payment.amount_minor, asked))
    page = None if payment.page_url is None else Secret(payment.page_url)
    return Report(_id(payment.reference), payment.id, payment.currency, tuple(entries), page)


def _entry(movement: Movement) -> Entry | None:
    """The entry for a movement; None for a step that the buyer has to take, which the open page says."""
    what = (movement.amount_minor, movement.at, movement.code, movement.message)
    if movement.status == "action_required":
        return None
    if movement.status == "declined":
        return Entry(INFO, movement.id, *what)
    if movement.kind == CHARGE_BACK:
        return Entry(CHARGE_BACK, movement.reference, *what)
    of = SUCCESSES if movement.status == "succeeded" else FAILURES
    return Entry(of[movement.kind], movement.reference, *what)
