"""What somebody wants to buy, as far as its price depends on it. A basket names people by id only."""

from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from domain.model import Wanted
from domain.quote.places import Place
from domain.quote.quoted import TaxLine

GIFT_CARD: Final = "gift_card"
STORE_CREDIT: Final = "store_credit"


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


class LiveRate(msgspec.Struct, frozen=True, gc=False):
    """What a carrier asks for this basket, by a method whose rates are live."""

    method_id: UUID
    currency: str
    price_minor: int
    expires_at: datetime | None = None


class TaxEstimate(msgspec.Struct, frozen=True, gc=False):
    """What a tax provider says of a basket: the taxes of each of its lines, and then of its delivery. It counts only
    for the very question that it answers (see `domain/quote/estimates.py`)."""

    digest: str
    taxes: tuple[tuple[TaxLine, ...], ...]


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
    live_rates: tuple[LiveRate, ...] = ()
    tax_estimate: TaxEstimate | None = None
    taken: dict[str, int] = {}
