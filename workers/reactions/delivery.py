"""One delivery: an event as a signed POST request to an endpoint, and what the response means.

Only 2xx counts as success; the body is not read, however long it is. Redirects are not followed: the owner of an
endpoint that moves tells staff.
"""

from __future__ import annotations

import email.utils
import time
from datetime import UTC, datetime
from typing import Final, NamedTuple

import aiohttp
import msgspec
from yarl import URL

from domain.webhooks import Webhook
from runtime import tracing
from runtime.metrics import WEBHOOK_SECONDS
from runtime.records import EventRecord, cloud_event
from runtime.settings import Settings
from runtime.standard_webhooks import MEDIA_TYPE, message_id, signed
from workers.reactions.connections import Resolver, connector

_GONE: Final = 410
_TELL_WHEN: Final = (429, 503)
_ERROR_MAX_CHARS: Final = 300
# The response body is not read; this is how much of it the socket may buffer.
_READ_AHEAD_BYTES: Final = 8_192


class Answer(NamedTuple):
    """The result of an attempt: the response's status, if there was a response; why the attempt failed, if it did; how
    long it took; and after how many seconds the endpoint asks for a retry, if it does."""

    status: int | None
    error: str | None
    seconds: float
    retry_after: float | None = None

    @property
    def delivered(self) -> bool:
        return self.error is None

    @property
    def gone(self) -> bool:
        """Whether the endpoint says that it is gone for good."""
        return self.status == _GONE


class Deliverer:
    """Sends one process's requests. An async context manager."""

    def __init__(self, config: Settings) -> None:
        self._timeout_seconds = config.webhook_timeout_seconds
        self._private_too = config.webhooks_may_be_private
        self._session: aiohttp.ClientSession

    async def __aenter__(self) -> Deliverer:
        self._resolver = Resolver()
        self._session = aiohttp.ClientSession(
            connector=connector(self._resolver, private_too=self._private_too),
            timeout=aiohttp.ClientTimeout(total=self._timeout_seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"Content-Type": MEDIA_TYPE, "User-Agent": "Tidegate"},
            auto_decompress=False,
            read_bufsize=_READ_AHEAD_BYTES,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        await self._resolver.close()

    async def deliver(self, webhook: Webhook, record: EventRecord, source: str) -> Answer:
        """Sends one event of the log `source` once. Errors on the way are part of the result, not raised."""
        at = datetime.now(UTC)
        body = msgspec.json.encode(cloud_event(record, source)).decode()
        headers = signed(message_id(webhook.id, record.seq), body, _valid_secrets(webhook, at), at)
        # Without tracing of our own, all effects of one command form one W3C trace, which is not sampled.
        headers["traceparent"] = f"00-{record.command_id.hex}-{record.seq:016x}-00"
        begun = time.monotonic()
        with tracing.span("deliver webhook", "client", http__request__method="POST", tidegate__seq=record.seq) as span:
            tracing.send_along(headers)
            answer = await self._post(webhook.url, body.encode(), headers)
            if span is not None and answer.status is not None:
                span.set_attribute("http.response.status_code", answer.status)
        answer = answer._replace(seconds=time.monotonic() - begun)
        WEBHOOK_SECONDS.labels("delivered" if answer.delivered else "failed").observe(answer.seconds)
        return answer

    async def _post(self, url: str, body: bytes, headers: dict[str, str]) -> Answer:
        try:
            async with self._session.post(
                URL(url, encoded=True), data=body, headers=headers, allow_redirects=False
            ) as response:
                status = response.status
                retry_after = _seconds(response.headers.get("Retry-After")) if status in _TELL_WHEN else None
        except TimeoutError:
            return Answer(None, f"no response within {self._timeout_seconds:g} s", 0.0)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(None, f"{type(error).__name__}: {error}"[:_ERROR_MAX_CHARS], 0.0)
        return Answer(status, None if 200 <= status < 300 else f"answered {status}", 0.0, retry_after)


def _valid_secrets(webhook: Webhook, at: datetime) -> list[str]:
    """The secrets to sign with, the newest first."""
    secrets = [] if webhook.secret is None else [webhook.secret.value]
    until = webhook.previous_secret_until
    if webhook.previous_secret is not None and until is not None and at < until:
        secrets.append(webhook.previous_secret.value)
    return secrets


def _seconds(retry_after: str | None) -> float | None:
    """The seconds that a Retry-After header asks for (RFC 9110), as a number or a date; None if it is neither."""
    if retry_after is None:
        return None
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after[:9])
    try:
        when = email.utils.parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    return max(0.0, when.timestamp() - time.time())
