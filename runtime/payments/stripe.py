"""Stripe: cards, by PaymentIntents that are confirmed here (https://docs.stripe.com/api/payment_intents).

A method is the id of a PaymentMethod that Stripe.js created in the buyer's browser. A failed attempt is also cancelled
at Stripe, as soon as we ask about it, so that it cannot be paid later in addition to the next one. Needs `pip install
'tidegate[stripe]'`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

import aiohttp
import stripe

from domain.ids import milliseconds_of
from domain.payments.payment import Capabilities
from runtime.outside import OutcomeUnknown, Refused
from runtime.payments.provider import Act, Attempt, Report, WebhookInvalid, WebhookUnreadable
from runtime.payments.stripe_amounts import to_stripe
from runtime.payments.stripe_reports import (
    CAPTURE_KEY,
    PAYMENT_KEY,
    REFERENCE_KEY,
    VOID_KEY,
    Said,
    has_failed,
    part,
    report_of_intent,
    reports_of_event,
)

NAME: Final = "stripe"

_SIGNATURE_HEADER: Final = "stripe-signature"
_PAGE_ROWS: Final = 100
# A payment's id is older than its intent at Stripe, but the two clocks may differ.
_EARLIER: Final = timedelta(minutes=5)
# Stripe forgets keys after a day.
_KEYS_LAST: Final = timedelta(hours=23)

_NOBODY_KNOWS: Final = (
    stripe.APIConnectionError,
    stripe.APIError,
    stripe.RateLimitError,
    stripe.IdempotencyError,
    aiohttp.ClientError,
    OSError,
    TimeoutError,
)

_Said = TypeVar("_Said")


class _Declined(Refused):
    """Stripe answered 402: a card was declined, or what was asked of it failed."""


class Stripe:
    """The client of one account. `webhook_secret` is that of the endpoint `/hooks/payments/stripe`."""

    name: Final = NAME
    capabilities: Final = Capabilities(multi_capture=False)

    def __init__(
        self,
        session: aiohttp.ClientSession,
        secret_key: str,
        webhook_secret: str,
        *,
        timeout_seconds: float,
        url: str | None = None,
    ) -> None:
        timeout: Any = aiohttp.ClientTimeout(total=timeout_seconds)
        self._webhook_secret = webhook_secret
        client = stripe.StripeClient(
            secret_key,
            base_addresses={} if url is None else {"api": url},
            max_network_retries=0,  # the outbox retries, and survives this process
            http_client=stripe.AIOHTTPClient(timeout=timeout, session=session),
        )
        self._intents = client.v1.payment_intents
        self._refunds = client.v1.refunds

    async def create(self, attempt: Attempt, *, method: str | None = None, return_url: str | None = None) -> Report:
        is_forgotten = datetime.now(UTC) - _made(attempt) > _KEYS_LAST
        found = await self._found(attempt) if is_forgotten else attempt.provider_reference
        return await self._pay(found or await self._new(attempt, method), f"{attempt.reference}:confirm", return_url)

    async def _new(self, attempt: Attempt, method: str | None) -> str:
        """Creates an intent for the attempt; within a day, repeated calls return the same one."""
        wanted: Any = {
            "amount": to_stripe(attempt.amount_minor, attempt.currency),
            "currency": attempt.currency.lower(),
            "capture_method": attempt.capture,
            "payment_method_types": ["card"],
            "metadata": {PAYMENT_KEY: attempt.reference},
        }
        if method is not None:
            wanted["payment_method"] = method
        created = await _answer(self._intents.create_async(wanted, {"idempotency_key": attempt.reference}))
        return str(created["id"])

    async def authorize(self, attempt: Attempt, *, method: str, key: str) -> Report:
        intent = _named(attempt)
        await _answer(self._intents.update_async(intent, {"payment_method": method}, {"idempotency_key": key}))
        return await self._pay(intent, f"{key}:confirm", None)

    async def capture(self, attempt: Attempt, act: Act) -> Report:
        amount = to_stripe(act.amount_minor, attempt.currency)
        wanted: Any = {"amount_to_capture": amount, "metadata": {CAPTURE_KEY: act.reference}}
        options: Any = {"idempotency_key": act.reference}
        await _answer(self._intents.capture_async(_named(attempt), wanted, options))
        return await self._report(_named(attempt))

    async def void(self, attempt: Attempt, act: Act) -> Report:
        intent = _named(attempt)
        named: Any = {"metadata": {VOID_KEY: act.reference}}
        await _answer(self._intents.update_async(intent, named, {"idempotency_key": f"{act.reference}:name"}))
        await _answer(self._intents.cancel_async(intent, {}, {"idempotency_key": act.reference}))
        return await self._report(intent)

    async def refund(self, attempt: Attempt, act: Act) -> Report:
        intent = _named(attempt)
        if act.reference in [part(each, "metadata").get(REFERENCE_KEY) for each in await self._refunds_of(intent)]:
            return await self._report(intent)  # perhaps so long ago that Stripe has forgotten its key
        wanted: Any = {
            "payment_intent": intent,
            "amount": to_stripe(act.amount_minor, attempt.currency),
            "metadata": {PAYMENT_KEY: attempt.reference, REFERENCE_KEY: act.reference},
        }
        await _answer(self._refunds.create_async(wanted, {"idempotency_key": act.reference}))
        return await self._report(intent)

    async def ask(self, attempt: Attempt) -> Report:
        if (found := await self._found(attempt)) is not None:
            return await self._report(found)
        return Report(attempt.payment_id, None, attempt.currency, ())

    def parse_webhook(self, body: bytes, headers: Mapping[str, str]) -> list[Report]:
        given = {name.lower(): value for name, value in headers.items()}.get(_SIGNATURE_HEADER)
        try:
            event = stripe.Webhook.construct_event(body, given, self._webhook_secret)
        except stripe.SignatureVerificationError as error:
            raise WebhookInvalid(str(error)) from error
        except ValueError as error:
            raise WebhookUnreadable(str(error)) from error
        return reports_of_event(event.to_dict())

    async def history(self, since: datetime) -> AsyncIterator[Report]:
        async for intent in self._created(since):
            if PAYMENT_KEY in intent["metadata"]:
                yield await self._told(await self._intent(intent["id"]))

    async def _pay(self, intent_id: str, key: str, return_url: str | None) -> Report:
        """Confirms an intent that has a method and has not been tried yet; idempotent."""
        intent = await self._intent(intent_id)
        if intent["status"] == "requires_confirmation":
            how: Any = {} if return_url is None else {"return_url": return_url}
            with suppress(_Declined):  # the intent says so, too
                await _answer(self._intents.confirm_async(intent_id, how, {"idempotency_key": key}))
        return await self._report(intent_id)

    async def _report(self, intent_id: str) -> Report:
        """The current state of an intent. If it failed, it is cancelled, so that it cannot be paid later in addition to
        the next one."""
        intent = await self._intent(intent_id)
        if has_failed(intent):
            with suppress(Refused):  # perhaps it was paid meanwhile: that is read next
                await _answer(self._intents.cancel_async(intent_id, {}, {"idempotency_key": f"{intent_id}:failed"}))
            intent = await self._intent(intent_id)
        return await self._told(intent)

    async def _told(self, intent: Said) -> Report:
        refunds = await self._refunds_of(intent["id"]) if intent["status"] == "succeeded" else []
        return report_of_intent(intent, refunds)

    async def _intent(self, intent_id: str) -> Said:
        whole: Any = {"expand": ["latest_charge"]}
        return (await _read(self._intents.retrieve_async(intent_id, whole))).to_dict()

    async def _refunds_of(self, intent_id: str) -> list[Said]:
        first = self._refunds.list_async({"payment_intent": intent_id, "limit": _PAGE_ROWS})
        return [refund async for refund in _listed(first)]

    async def _found(self, attempt: Attempt) -> str | None:
        """The id of an attempt's intent, even if the answer with it was lost, and however late it was created."""
        if attempt.provider_reference is not None:
            return attempt.provider_reference
        async for intent in self._created(_made(attempt) - _EARLIER):
            if intent["metadata"].get(PAYMENT_KEY) == attempt.reference:
                return str(intent["id"])
        return None

    def _created(self, since: datetime) -> AsyncIterator[Said]:
        wanted: Any = {"created": {"gte": int(since.timestamp())}, "limit": _PAGE_ROWS}
        return _listed(self._intents.list_async(wanted))


def _made(attempt: Attempt) -> datetime:
    return datetime.fromtimestamp(milliseconds_of(attempt.payment_id) / 1000, UTC)


def _named(attempt: Attempt) -> str:
    if attempt.provider_reference is None:
        raise OutcomeUnknown("the payment was created, but its name at Stripe is not known yet: ask first")
    return attempt.provider_reference


async def _answer(call: Awaitable[_Said]) -> _Said:
    """Maps the errors of a call to Refused and OutcomeUnknown."""
    try:
        return await call
    except stripe.CardError as error:
        raise _Declined(f"Stripe refused: {error.code}: {error.user_message}") from error
    except _NOBODY_KNOWS as error:
        raise OutcomeUnknown(f"Stripe did not answer: {type(error).__name__}") from error
    except stripe.StripeError as error:
        raise Refused(f"Stripe refused: {error.code or type(error).__name__}: {error.user_message}") from error


async def _read(call: Awaitable[_Said]) -> _Said:
    """The answer to a query. If the query is refused, that says nothing about what was done."""
    try:
        return await _answer(call)
    except Refused as refused:
        raise OutcomeUnknown(f"it may be done, but cannot be read: {refused}") from refused


async def _listed(first: Awaitable[Any]) -> AsyncIterator[Said]:
    """The items of a list that comes in pages."""
    page = await _read(first)
    while True:
        for each in page.data:
            yield each.to_dict()
        if not page.has_more:
            return
        page = await _read(page.next_page_async())
