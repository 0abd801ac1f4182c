"""Writes to customers when their order is confirmed or cancelled: to the account's address, or the one a guest left.

Whoever has neither is not written to. A mail may come twice, when a process dies at the wrong moment; it is the same
then, Message-ID and all.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from email.message import EmailMessage
from uuid import UUID

from domain.model import Line
from domain.money import written
from domain.orders import OrderCancelled, OrderConfirmed
from runtime.records import EventRecord, moment
from workers.reactions.core import Away, GiveUp, NotNow, Reaction, Tools
from workers.reactions.mail.message import Item, NoAddress, Subject, Writer, item
from workers.reactions.mail.transport import transport

_ORDER = """
    SELECT o.currency, o.total_minor, coalesce(a.email, o.email) AS address, coalesce(a.name, '') AS name
    FROM orders o LEFT JOIN accounts a ON a.id = $2 WHERE o.id = $1
"""

_TITLES = """
    SELECT v.sku, p.name, v.title FROM variants v JOIN products p ON p.id = v.product_id WHERE v.sku = ANY($1::text[])
"""


class Mail(Reaction):
    """Confirmation and cancellation mails."""

    name = "mail"
    interests = frozenset({OrderConfirmed.type, OrderCancelled.type})
    begins_at_end = True

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools.config)
        self._pool = tools.pool
        self._writer = Writer(tools.config.mail_from)
        self._transport = transport(tools.config)
        self._sending = asyncio.Lock()

    async def close(self) -> None:
        await self._transport.close()

    async def handle(self, record: EventRecord) -> None:
        event = record.event()
        assert isinstance(event, OrderConfirmed | OrderCancelled)
        order = await self._pool.fetchrow(_ORDER, event.order_id, _account_id(event.customer_id))
        if order is None:
            raise GiveUp(f"there is no order {event.order_id}")
        currency, total_minor, address, name = order
        if address is None:
            return
        subject = Subject(
            seq=record.seq,
            kind=record.type,
            at=moment(record.occurred_at),
            order_id=event.order_id,
            name=name,
            address=address,
            items=await self._items(event.lines, currency),
            total=written(total_minor, currency),
            was_confirmed=isinstance(event, OrderCancelled) and event.confirmed,
        )
        try:
            message = self._writer.write(subject)
        except NoAddress:
            raise GiveUp(f"no mail can be sent to the customer of order {event.order_id}") from None
        async with self._sending:  # a run that was overtaken may still be at it
            try:
                await self._transport.send(message, record.seq)
            except (Away, GiveUp, NotNow) as error:
                raise type(error)(_anonymous(str(error), message)) from None

    async def _items(self, lines: Sequence[Line], currency: str) -> list[Item]:
        """The lines under the names they have in the catalogue today."""
        titles = {
            sku: f"{product}, {title}" if title else product
            for sku, product, title in await self._pool.fetch(_TITLES, [line.sku for line in lines])
        }
        return [
            item(line.sku, titles.get(line.sku, line.sku), line.quantity, line.unit_price_minor, currency)
            for line in lines
        ]


def _anonymous(said: str, message: EmailMessage) -> str:
    """What a server said of a mail, without whom it was for: servers repeat addresses, and what they say is kept."""
    for recipient in message["To"].addresses:
        for part in (recipient.addr_spec, recipient.username):
            said = re.sub(rf"(?<!\w){re.escape(part)}(?!\w)", "(the recipient)", said, flags=re.IGNORECASE)
    return said


def _account_id(customer_id: str) -> UUID | None:
    """The account a customer's principal names; guests and machines have none."""
    try:
        return UUID(customer_id)
    except ValueError:
        return None
