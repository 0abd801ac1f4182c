"""The sandbox's webhooks: each movement is sent to the shop, signed (Standard Webhooks), until the shop accepts it.

They wait in the ledger's file, so they survive the process. They are sent to this machine only, whatever the URL says.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import random
import socket
import time
from collections.abc import Collection
from datetime import UTC, datetime
from http import HTTPStatus
from ipaddress import ip_address
from typing import Final
from uuid import uuid4

import aiohttp
import msgspec
from aiohttp import AddrInfoType

from ops.sandbox.ledger import Ledger, Paid
from ops.sandbox.moods import Control
from runtime.payments.sandbox_wire import WEBHOOK_TYPE, Movement, Notice
from runtime.standard_webhooks import new_secret, signed

_SIDE_BY_SIDE: Final = 32
_TIMEOUT: Final = aiohttp.ClientTimeout(total=10)
_RETRY_MAX_SECONDS: Final = 30.0
_ATTEMPTS_MAX: Final = 50

_log = logging.getLogger(__name__)


class _Due(msgspec.Struct, order=True):
    at: float
    number: int


class Notices:
    """An async context manager, which sends while it lasts."""

    def __init__(self, ledger: Ledger, url: str, secret: str, control: Control) -> None:
        self._ledger = ledger
        self._url = url
        self._secret = secret
        self._others_secret = new_secret()
        self.control = control
        self._due = [_Due(*row) for row in ledger.rows("SELECT due_at, number FROM notices")]
        heapq.heapify(self._due)
        self._more = asyncio.Event()

    async def __aenter__(self) -> Notices:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=_SIDE_BY_SIDE, socket_factory=socket_to_this_machine),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=_TIMEOUT,
        )
        self._senders = [asyncio.create_task(self._send_for_ever()) for _ in range(_SIDE_BY_SIDE)]
        return self

    async def __aexit__(self, *_: object) -> None:
        for sender in self._senders:
            sender.cancel()
        await asyncio.gather(*self._senders, return_exceptions=True)
        await self._session.close()

    def tell(self, payment: Paid, movement: Movement, moods: Collection[str]) -> None:
        """Queues the webhook of a movement, as its moods require."""
        if "webhook_lost" in moods:
            return
        notice = Notice(WEBHOOK_TYPE, payment.id, payment.reference, payment.currency, movement)
        delay = self.control.late_seconds if "webhook_late" in moods else 0.0
        if "webhook_shuffled" in moods:
            delay = random.uniform(0, self.control.late_seconds)  # noqa: S311 - not a secret
        if "webhook_forged" in moods:
            more = msgspec.structs.replace(movement, id=f"mov_{uuid4().hex}", amount_minor=movement.amount_minor + 100)
            self._add(msgspec.structs.replace(notice, movement=more), delay, is_forged=True)
        for _ in range(2 if "webhook_twice" in moods else 1):
            self._add(notice, delay)

    @property
    def waiting(self) -> int:
        """How many have not been delivered yet."""
        count: int = self._ledger.rows("SELECT count(*) FROM notices")[0][0]
        return count

    def _add(self, notice: Notice, delay: float, *, is_forged: bool = False) -> None:
        due_at = time.time() + delay
        self._ledger.write(
            "INSERT INTO notices (id, body, is_forged, due_at, attempts) VALUES (?, ?, ?, ?, 0)",
            notice.movement.id,
            msgspec.json.encode(notice).decode(),
            is_forged,
            due_at,
        )
        (number,) = self._ledger.rows("SELECT last_insert_rowid()")[0]
        heapq.heappush(self._due, _Due(due_at, number))
        self._more.set()

    async def _send_for_ever(self) -> None:
        while True:
            due = await self._next()
            await self._ledger.durable()  # a movement must be on disk before its webhook is sent
            try:
                await self._send(due.number)
            except Exception:
                _log.exception("a webhook could not be sent")

    async def _next(self) -> _Due:
        while not self._due or self._due[0].at > time.time():
            self._more.clear()
            wait = max(0.0, self._due[0].at - time.time()) if self._due else None
            try:
                async with asyncio.timeout(wait):
                    await self._more.wait()
            except TimeoutError:
                continue
        return heapq.heappop(self._due)

    async def _send(self, number: int) -> None:
        ((message_id, body, is_forged, attempts),) = self._ledger.rows(
            "SELECT id, body, is_forged, attempts FROM notices WHERE number = ?", number
        )
        headers = signed(message_id, body, [self._others_secret if is_forged else self._secret], datetime.now(UTC))
        headers["Content-Type"] = "application/json"
        try:
            async with self._session.post(
                self._url, data=body.encode(), headers=headers, allow_redirects=False
            ) as response:
                taken = response.status < HTTPStatus.MULTIPLE_CHOICES
        except (aiohttp.ClientError, OSError, TimeoutError):
            taken = False
        if taken or is_forged or attempts + 1 >= _ATTEMPTS_MAX:
            self._ledger.write("DELETE FROM notices WHERE number = ?", number)
            return
        due_at = time.time() + min(_RETRY_MAX_SECONDS, 0.25 * 2**attempts)
        self._ledger.write("UPDATE notices SET attempts = attempts + 1, due_at = ? WHERE number = ?", due_at, number)
        heapq.heappush(self._due, _Due(due_at, number))
        self._more.set()


def socket_to_this_machine(info: AddrInfoType) -> socket.socket:
    """A socket for a connection to this address, which must be this machine's own."""
    family, kind, protocol, _, address = info
    if not ip_address(str(address[0])).is_loopback:
        raise OSError(f"{address[0]} is not this machine")
    return socket.socket(family, kind, protocol)
