"""What a mail says: the same text as plain text and as HTML (with Jinja, which escapes HTML). It is a function of the
event and the order, so a repeat has the same Message-ID, by which mail programs recognise it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.utils import format_datetime, parseaddr
from typing import Final, NamedTuple
from uuid import UUID

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from domain.accounts import AccountCreated
from domain.gift_cards import GiftCardIssued
from domain.money import written
from domain.orders import OrderCancelled, OrderConfirmed
from domain.quote.breakdown import Sum
from domain.registration import AccountRegisteredAgain, PasswordResetRequested, RegistrationRepeated
from workers.reactions.mail.letter import Letter, letter, mailbox, words


class Item(NamedTuple):
    """One line of the order; prices are written out."""

    sku: str
    title: str
    quantity: int
    unit_price: str
    price: str


class Row(NamedTuple):
    """One of the sums below the lines, written out."""

    label: str
    amount: str


class Subject(NamedTuple):
    """What a mail about an order says, and to whom. `number` is the order number that people see. `amount` is what was
    refunded (`to_card` or through a provider), or what a gift card is worth; `code` is the card's code."""

    seq: int
    kind: str
    at: datetime
    order_id: UUID
    number: str
    name: str
    address: str
    items: Sequence[Item]
    sums: Sequence[Row]
    was_confirmed: bool = False
    amount: str = ""
    code: str = ""
    to_card: bool = False


class Notice(NamedTuple):
    """What a mail about an account says, and to whom. `token` is valid for `hours`; `link` is where to use it."""

    seq: int
    kind: str
    at: datetime
    account_id: UUID
    name: str
    address: str
    token: str | None = None
    link: str | None = None
    hours: int = 0


class NoAddress(ValueError):
    """The address on file is not one that mail can be sent to."""


PAYMENT_FAILED: Final = "payment failed"
REFUNDED: Final = "refunded"

_TITLES: Final = {
    OrderConfirmed.type: "Your order {} is confirmed",
    OrderCancelled.type: "Your order {} is cancelled",
    PAYMENT_FAILED: "Your payment for order {} did not go through",
    REFUNDED: "Refund for your order {}",
    GiftCardIssued.type: "Your gift card from order {}",
    AccountCreated.type: "Confirm your address",
    AccountRegisteredAgain.type: "Confirm your address",
    RegistrationRepeated.type: "You already have an account",
    PasswordResetRequested.type: "Reset your password",
}
_TEMPLATES: Final = {
    OrderConfirmed.type: "confirmed",
    OrderCancelled.type: "cancelled",
    PAYMENT_FAILED: "payment_failed",
    REFUNDED: "refunded",
    GiftCardIssued.type: "gift_card",
    AccountCreated.type: "confirm",
    AccountRegisteredAgain.type: "confirm",
    RegistrationRepeated.type: "known",
    PasswordResetRequested.type: "reset",
}

# Names appear in a header, and anyone who signs up can choose one.
_NAME_MAX_CHARS: Final = 100

# Whatever mail programs turn into a link, or people would read as one: any kind of address, or a host name.
_LIKE_A_LINK: Final = re.compile(r"[:/\\@]|www|\w[.\u3002\uff0e\uff61]\w{2,}", re.IGNORECASE)


def shown_name(name: str) -> str:
    """The name to greet the reader by: empty if it looks like a link, since otherwise anyone could make us send a link
    of their choice to a stranger."""
    printable = " ".join("".join(char if char.isprintable() else " " for char in name).split())
    return "" if _LIKE_A_LINK.search(unicodedata.normalize("NFKC", printable)) else printable[:_NAME_MAX_CHARS]


def rows(sums: Iterable[Sum], currency: str) -> list[Row]:
    return [Row(each.label, written(each.amount_minor, currency)) for each in sums]


def item(sku: str, title: str, quantity: int, unit_price_minor: int, currency: str) -> Item:
    return Item(
        sku, title, quantity, written(unit_price_minor, currency), written(unit_price_minor * quantity, currency)
    )


class Writer:
    """Writes the mails of one shop, from `sender` (`Name <address>`)."""

    def __init__(self, sender: str) -> None:
        name, address = parseaddr(sender)
        self._sender = Address(name, addr_spec=address)
        self._from = mailbox(self._sender)
        self._templates = Environment(
            loader=PackageLoader("workers.reactions.mail"),
            autoescape=select_autoescape(["html.j2"]),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )

    def write(self, subject: Subject | Notice) -> Letter:
        """The mail. Raises NoAddress."""
        about = subject.order_id if isinstance(subject, Subject) else subject.account_id
        recipient = _recipient(subject)
        called = subject.number if isinstance(subject, Subject) else about
        title = _TITLES[subject.kind].format(called)
        headers = {
            "Message-ID": f"<{about}.{subject.seq}@{self._sender.domain}>",
            "Date": format_datetime(subject.at),
            "From": self._from,
            "To": mailbox(recipient),
            "Subject": words(title),
            "Auto-Submitted": "auto-generated",  # RFC 3834: nobody's holiday reply, please
        }
        template = _TEMPLATES[subject.kind]
        plain = self._render(f"{template}.txt.j2", subject, title)
        html = self._render(f"{template}.html.j2", subject, title)
        return letter(self._sender, recipient, headers, plain, html)

    def _render(self, template: str, subject: Subject | Notice, title: str) -> str:
        shop = self._sender.display_name or self._sender.domain
        return self._templates.get_template(template).render(
            {**subject._asdict(), "name": shown_name(subject.name)}, title=title, shop=shop
        )


def _recipient(subject: Subject | Notice) -> Address:
    """Raises NoAddress unless the library accepts the address. The host's name may be non-ASCII (IDNA)."""
    user, _, host = subject.address.rpartition("@")
    try:
        address = f"{user}@{host.encode('idna').decode()}"
        recipient = Address(shown_name(subject.name), addr_spec=address)
    except (ValueError, IndexError, MessageError) as error:  # the parser runs off the end of some addresses
        raise NoAddress(str(error)) from None
    if not recipient.username or not recipient.domain:
        raise NoAddress("an address has a user and a host")
    return recipient
