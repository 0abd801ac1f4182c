"""Writes to customers (at the account's address, or the one a guest left) when their order is confirmed or cancelled,
when a payment fails or is refunded, and when a gift card that they bought is issued, or staff have its code mailed
again; and to people who register or forget their password. An unconfirmed address gets nothing but the link that
confirms it. Mails are limited per address and per principal that causes them, except the first one with a gift card's
code, which has been paid for: if that cannot be sent, it becomes a dead letter. A mail may be sent twice if a process
dies at the wrong moment; both copies are identical, Message-ID included.
"""

from __future__ import annotations

import asyncio
import logging
import re
from email.headerregistry import Address
from typing import TypeAlias, get_args
from uuid import UUID

import msgspec

from domain.customers import account_of
from domain.gift_cards import GiftCardIssued, GiftCardMailRequested
from domain.model import Event
from domain.money import written
from domain.orders import PLACED, OrderCancelled, OrderConfirmed
from domain.payments.by_card import CardMoved
from domain.payments.entries import FAILURES, SUCCESSES
from domain.payments.events import PaymentReported
from domain.quote.breakdown import breakdown
from domain.quote.quoted import Quote
from runtime.gift_card_codes import CardCodes
from runtime.records import EventRecord, moment
from runtime.redis_client import connect
from workers.failures import Away
from workers.reactions.core import GiveUp, NotNow, Reaction, Tools
from workers.reactions.mail.message import (
    PAYMENT_FAILED,
    REFUNDED,
    NoAddress,
    Notice,
    Subject,
    Writer,
    item,
    rows,
)
from workers.reactions.mail.notices import NOTICES, Notices
from workers.reactions.mail.quota import RECIPIENT, SENDER, Quota
from workers.reactions.mail.transport import transport
from workers.reactions.titles import TITLE

_ORDER = f"""
    SELECT coalesce(CASE WHEN a.confirmed THEN a.email END, o.email) AS address, coalesce(a.name, '') AS name,
        coalesce(o.number, o.id::text) AS number, o.status, o.currency, o.total_minor, c.quote, ARRAY(
            SELECT (l.sku, coalesce({TITLE}, l.sku), l.quantity, l.unit_price_minor)
            FROM order_lines l LEFT JOIN variants v ON v.sku = l.sku LEFT JOIN products p ON p.id = v.product_id
            WHERE l.order_id = o.id ORDER BY l.position
        ) AS lines
    FROM orders o LEFT JOIN accounts a ON a.id = $2 LEFT JOIN checkouts c ON c.id = o.checkout_id WHERE o.id = $1
"""  # noqa: S608 - a constant of ours

_BUYER = "SELECT customer_id FROM orders WHERE id = $1"

_CARD = """
    SELECT code_hash, active AND coalesce(expires_at > now(), true), order_id, initial_minor
    FROM gift_cards WHERE id = $1
"""

_quotes = msgspec.json.Decoder(Quote)

_log = logging.getLogger(__name__)


_OfOrders: TypeAlias = OrderConfirmed | OrderCancelled | PaymentReported | CardMoved
_OfCards: TypeAlias = GiftCardIssued | GiftCardMailRequested


class Mail(Reaction):
    """Mails about orders and accounts."""

    name = "mail"
    interests = frozenset({*(event.type for event in get_args(_OfOrders) + get_args(_OfCards)), *NOTICES})
    begins_at_end = True

    def __init__(self, tools: Tools) -> None:
        super().__init__(tools.config)
        self._pool = tools.pool
        self._writer = Writer(tools.config.mail_from)
        self._notices = Notices(tools)
        self._codes = CardCodes(tools.config)
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
        if isinstance(event, _OfCards):
            subject: Subject | Notice | None = await self._about_card(record, event)
            sender = None
        elif isinstance(event, _OfOrders):
            subject = await self._about_order(record, event)
            # Staff are not limited: they may cause a mail for every order.
            sender = event.customer_id if event.customer_id == record.actor else None
        else:
            subject, sender = await self._notices.about(record, event), record.actor
        if subject is None:
            return
        try:
            letter = self._writer.write(subject)
        except NoAddress:
            raise GiveUp(f"no mail can be sent to the recipient of event {record.seq}") from None
        async with self._sending:  # a run that lost its lease may still be sending this mail
            if not await self._may_send(event, subject.address, sender, record.seq):
                _log.warning("the mail about event %d is not sent: the limit is reached", record.seq)
                return
            try:
                await self._transport.send(letter, record.seq)
            except (Away, GiveUp, NotNow) as error:
                raise type(error)(_anonymous(str(error), letter.recipient)) from None

    async def _may_send(self, event: Event, address: str, sender: str | None, seq: int) -> bool:
        """Whether the limits allow the mail. A card's code is always sent once: the buyer has no other way to get it,
        and what was paid bounds how many there are."""
        if isinstance(event, GiftCardIssued):
            return True
        return await self._to_recipient.takes(address, seq) and (
            sender is None or await self._by_sender.takes(sender, seq)
        )

    async def _about_order(self, record: EventRecord, event: _OfOrders) -> Subject | None:
        """The notice to the customer; None without an address, or if the event calls for none."""
        kind, amount_minor = _kind_of(event) if isinstance(event, PaymentReported | CardMoved) else (record.type, 0)
        if kind is None:
            return None
        subject = await self._subject(record, kind, event.order_id, event.customer_id, amount_minor)
        was_confirmed = isinstance(event, OrderCancelled) and event.confirmed
        return subject and subject._replace(was_confirmed=was_confirmed, to_card=isinstance(event, CardMoved))

    async def _about_card(self, record: EventRecord, event: _OfCards) -> Subject | None:
        """The notice with a card's code to its buyer; None if nobody bought it, or if it is no longer valid. Raises
        GiveUp if the buyer has no address."""
        row, code = await self._pool.fetchrow(_CARD, event.card_id), self._codes.of(event.card_id)
        assert row is not None, "a card that was issued is there"
        code_hash, is_good, order_id, amount_minor = row
        if order_id is None or not is_good:
            return None
        if code_hash != code.code_hash:
            raise GiveUp(f"the code of the gift card {event.card_id} belongs to another key")
        customer_id = await self._pool.fetchval(_BUYER, order_id)
        if customer_id is None:
            raise GiveUp(f"there is no order {order_id}")
        subject = await self._subject(record, GiftCardIssued.type, order_id, customer_id, amount_minor)
        if subject is None and isinstance(event, GiftCardMailRequested):
            _log.warning("the mail about event %d is not sent: the buyer has no address any more", record.seq)
            return None
        if subject is None:
            raise GiveUp(f"who bought the gift card {event.card_id} has no address")
        return subject._replace(code=code.code)

    async def _subject(
        self, record: EventRecord, kind: str, order_id: UUID, customer_id: str, amount_minor: int
    ) -> Subject | None:
        """What a mail says about an order; None without an address."""
        order = await self._pool.fetchrow(_ORDER, order_id, account_of(customer_id))
        if order is None:
            raise GiveUp(f"there is no order {order_id}")
        address, name, number, status, currency, total_minor, quote, lines = order
        if address is None or (kind == PAYMENT_FAILED and status != PLACED):
            return None
        sums = breakdown(None if quote is None else _quotes.decode(quote), total_minor)
        return Subject(
            seq=record.seq,
            kind=kind,
            at=moment(record.occurred_at),
            order_id=order_id,
            number=number,
            name=name,
            address=address,
            items=[item(sku, title, pieces, each_minor, currency) for sku, title, pieces, each_minor in lines],
            sums=rows(sums, currency),
            amount=written(amount_minor, currency),
        )


def _kind_of(event: PaymentReported | CardMoved) -> tuple[str | None, int]:
    """The kind of mail that a report calls for (a refund, or a failed payment), None if it calls for none; and the
    amount that was refunded. Other failures are left to staff."""
    entries = event.entries if isinstance(event, PaymentReported) else (event.entry,)
    refunded = sum(entry.amount_minor for entry in entries if entry.type == SUCCESSES["refund"])
    if refunded:
        return REFUNDED, refunded
    told = [entry for entry in entries if entry.reference == str(event.payment_id)]
    newest = max(told, key=lambda entry: entry.at, default=None)
    if newest is not None and newest.type in (FAILURES["authorization"], FAILURES["charge"]):
        return PAYMENT_FAILED, newest.amount_minor
    return None, 0


def _anonymous(said: str, recipient: Address) -> str:
    """A server's reply about a mail, without the recipient's address: servers quote it, and replies are stored."""
    for part in (recipient.addr_spec, recipient.username):
        said = re.sub(rf"(?<!\w){re.escape(part)}(?!\w)", "(the recipient)", said, flags=re.IGNORECASE)
    return said
