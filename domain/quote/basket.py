"""Baskets: everything that a quote depends on. A basket refers to people by id only."""

from datetime import datetime
from typing import Annotated, Final, Self
from uuid import UUID

import msgspec

from domain.limits import ORDER_MAX_LINES, PART_MAX_TAXES, TERMS_MAX_PARTS
from domain.model import Personal, Wanted
from domain.quote.bounds import Moment
from domain.quote.places import Place
from domain.quote.quoted import TaxLine

GIFT_CARD: Final = "gift_card"
STORE_CREDIT: Final = "store_credit"

_Few: Final = msgspec.Meta(max_length=PART_MAX_TAXES)
_Parts: Final = msgspec.Meta(max_length=ORDER_MAX_LINES + TERMS_MAX_PARTS + 1)  # lines, gifts and the delivery


class Card(msgspec.Struct, frozen=True, gc=False):
    """A gift card, or a customer's store credit (`kind`), with what is free on it. `shown` is what people know it by,
    such as its last four characters. None in a basket stands for a code that opens no card."""

    id: UUID
    currency: str
    balance_minor: int
    kind: str = GIFT_CARD
    shown: str = ""
    active: bool = True
    expires_at: datetime | None = None


class SentPart(msgspec.Struct, frozen=True, gc=False):
    """A line that has to be sent: its pieces, what each weighs, and what all of them cost after their discounts."""

    sku: str
    quantity: int
    weight_grams: int
    amount_minor: int


class LiveMethod(msgspec.Struct, frozen=True, gc=False):
    """A delivery method whose price is asked for."""

    id: UUID
    name: str


class RateQuestion(msgspec.Struct, frozen=True, gc=False):
    """What a delivery provider is asked: what it costs to send these parts to this place, by each of the methods."""

    provider: str
    currency: str
    to: Place
    methods: tuple[LiveMethod, ...]
    parts: tuple[SentPart, ...]

    def sealed(self) -> Personal:
        """The question as it travels and is stored: it says where somebody lives."""
        return Personal(msgspec.json.encode(self).decode())

    @classmethod
    def opened(cls, sealed: Personal) -> Self:
        """The question in what `sealed` made. Raises ValueError for anything else."""
        return msgspec.json.decode(sealed.value, type=cls)


class LiveRate(msgspec.Struct, frozen=True, gc=False):
    """What a delivery provider asks for all that a question names, by one of its methods."""

    method_id: UUID
    currency: str
    price_minor: int


class RateAnswer(msgspec.Struct, frozen=True, gc=False):
    """What a delivery provider says: a rate for each of the methods that it delivers by. It counts before `expires_at`,
    or for ever."""

    rates: Annotated[tuple[LiveRate, ...], msgspec.Meta(max_length=TERMS_MAX_PARTS)] = ()
    expires_at: Moment | None = None


class RateEstimate(msgspec.Struct, frozen=True, gc=False):
    """What a delivery provider was asked, and its answer, if there is one. It counts for this very question only."""

    question: RateQuestion
    answer: RateAnswer | None = None


class TaxedPart(msgspec.Struct, frozen=True, gc=False):
    """A line, or the delivery (without a SKU), and what all of it costs after its discounts."""

    sku: str | None
    tax_class: str
    quantity: int
    amount_minor: int


class TaxQuestion(msgspec.Struct, frozen=True, gc=False):
    """What a tax provider is asked: the taxes of these parts, for this place and buyer. `included`: the amounts contain
    them. Gift cards are parts of no tax class: they are taxed when they buy something."""

    provider: str
    currency: str
    to: Place
    included: bool
    tax_id: str | None
    tax_exempt: bool
    parts: tuple[TaxedPart, ...]

    def sealed(self) -> Personal:
        """The question as it travels and is stored: it says where somebody lives."""
        return Personal(msgspec.json.encode(self).decode())

    @classmethod
    def opened(cls, sealed: Personal) -> Self:
        """The question in what `sealed` made. Raises ValueError for anything else."""
        return msgspec.json.decode(sealed.value, type=cls)


class TaxAnswer(msgspec.Struct, frozen=True, gc=False):
    """What a tax provider says: the taxes of each part of the question; or that it computes none for it (`refused`).
    `by_shop`: it was away, and these are the taxes by the shop's own rates."""

    taxes: Annotated[tuple[Annotated[tuple[TaxLine, ...], _Few], ...], _Parts] = ()
    refused: bool = False
    by_shop: bool = False


class TaxEstimate(msgspec.Struct, frozen=True, gc=False):
    """What a tax provider was asked, and its answer, if there is one. It counts for this very question only."""

    question: TaxQuestion
    answer: TaxAnswer | None = None

    @property
    def by_shop(self) -> bool:
        """Whether the shop has answered in the place of the provider."""
        return self.answer is not None and self.answer.by_shop


class Basket(msgspec.Struct, frozen=True, gc=False):
    """A basket. Each SKU stands in one line. What is None is not known yet, and whatever depends on it does not apply.

    - `customer_id`: None for a guest; `groups` are the customer's. `first_order`: whether this would be their first.
      `identities` are what the buyer is counted by (see `domain/quote/terms/limits.py`).
    - `to`: where the goods go, or the buyer is, if nothing has to be sent. `tax_id`: a business's, if it is known to be
      valid. `tax_exempt`: the customer buys without tax.
    - `method_id`: the delivery method that was chosen. `delivers`: whether delivery is the shop's business at all;
      without, none is chosen and nothing is asked for.
    - `codes` as they were typed; `cards` in the order in which they pay.
    - `taken`: how much was taken so far of what is limited, by the keys of `domain/quote/terms/limits.py`; nothing of
      what is not in it.
    """

    currency: str
    lines: tuple[Wanted, ...]
    customer_id: str | None = None
    groups: frozenset[str] = frozenset()
    first_order: bool | None = None
    identities: tuple[str, ...] = ()
    to: Place | None = None
    tax_id: str | None = None
    tax_exempt: bool = False
    method_id: UUID | None = None
    delivers: bool = True
    codes: tuple[str, ...] = ()
    cards: tuple[Card | None, ...] = ()
    rate_estimate: RateEstimate | None = None
    tax_estimate: TaxEstimate | None = None
    taken: dict[str, int] = {}
