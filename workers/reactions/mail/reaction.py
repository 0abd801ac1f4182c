"""Writes to customers when their order is confirmed or cancelled, at the account's address or the one a guest left; and
to people who register or forget their password. An unconfirmed address is sent nothing but the link that confirms it.
The mails to one address, and those caused by one principal, are limited. A mail may come twice if a process dies at the
wrong moment; both copies are then identical, Message-ID included.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from email.message import EmailMessage
from uuid import UUID

from domain.model import Line
from domain.money import written
from domain.orders import OrderCancelled, OrderConfirmed
from runtime.records import EventRecord, moment
from runtime.redis_client import connect
from workers.failures import Away
from workers.reactions.core import GiveUp, NotNow, Reaction, Tools
from workers.reactions.mail.message import Item, NoAddress, Notice, Subject, Writer, item
from workers.reactions.mail.notices import NOTICES, Notices
from workers.reactions.mail.quota import RECIPIENT, SENDER, Quota
from workers.reactions.mail.transport import transport

_ORDER = """
    SELECT o.currency, o.total_minor, coalesce(CASE WHEN a.confirmed THEN a.email END, o.email) AS address,
        coalesce(a.name, '') AS name
    FROM orders o LEFT JOIN accounts a ON a.id = $2 WHERE o.id = $1
"""

_TITLES = """
    SELECT v.sku, p.name, v.title FROM variants v JOIN products p ON p.id = v.product_id WHERE v.sku = ANY($1::text[])
"""


_log = logging.getLogger(__name__)


class Mail(Reaction):
    """Mails about orders and accounts."""

    name = "mail"
    interests = frozenset({OrderConfirmed.type, OrderCancelled.type, *NOTICES})
    begins_at_end = True

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools.config)
        self._pool = tools.pool
        self._writer = Writer(tools.config.mail_from)
        self._notices = Notices(tools)
        self._transport = transport(tools.config)
        self._sending = asyncio.Lock()
        config = tools.config
        self._redis = connect(config.redis_url)
        window = config.mail_window_seconds
        self._to_recipient = Quota(self._redis, RECIPIENT, most=config.mails_max_per_recipient, window_seconds=window)
        self._by_sender = Quota(self._redis, SENDER, most=config.mails_max_per_sender, window_seconds=window)

    async def close(self) -> None:
        await self._transport.close()
        await self._redis.aclose()

    async def handle(self, record: EventRecord) -> None:
        event = record.event()
        if isinstance(event, OrderConfirmed | OrderCancelled):
            subject: Subject | Notice | None = await self._about_order(record, event)
            # Staff may cause as many mails as there are orders.
            sender = event.customer_id if event.customer_id == record.actor else None
        else:
            subject, sender = await self._notices.about(record, event), record.actor
        if subject is None:
            return
        try:
            message = self._writer.write(subject)
        except NoAddress:
            raise GiveUp(f"no mail can be sent to the recipient of event {record.seq}") from None
        async with self._sending:  # an overtaken run may still be sending it
            if not await self._to_recipient.takes(subject.address, record.seq) or (
                sender is not None and not await self._by_sender.takes(sender, record.seq)
            ):
                _log.warning("the mail about event %d is not sent: the limit is reached", record.seq)
                return
            try:
                await self._transport.send(message, record.seq)
            except (Away, GiveUp, NotNow) as error:
                raise type(error)(_anonymous(str(error), message)) from None

    async def _about_order(self, record: EventRecord, event: OrderConfirmed | OrderCancelled) -> Subject | None:
        """The notice to the customer; None without an address."""
        order = await self._pool.fetchrow(_ORDER, event.order_id, _account_id(event.customer_id))
        if order is None:
            raise GiveUp(f"there is no order {event.order_id}")
        currency, total_minor, address, name = order
        if address is None:
            return None
        return Subject(
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

    async def _items(self, lines: Sequence[Line], currency: str) -> list[Item]:
        """The lines, with their current names in the catalogue."""
        titles = {
            sku: f"{product}, {title}" if title else product
            for sku, product, title in await self._pool.fetch(_TITLES, [line.sku for line in lines])
        }
        return [
            item(line.sku, titles.get(line.sku, line.sku), line.quantity, line.unit_price_minor, currency)
            for line in lines
        ]


def _anonymous(said: str, message: EmailMessage) -> str:
    """A server's reply about a mail, without the recipient: servers repeat addresses, and replies are stored."""
    for recipient in message["To"].addresses:
        for part in (recipient.addr_spec, recipient.username):
            said = re.sub(rf"(?<!\w){re.escape(part)}(?!\w)", "(the recipient)", said, flags=re.IGNORECASE)
    return said


def _account_id(customer_id: str) -> UUID | None:
    """The account that a customer's principal names; None for guests and machines."""
    try:
        return UUID(customer_id)
    except ValueError:
        return None
