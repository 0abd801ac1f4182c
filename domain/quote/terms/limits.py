"""What is limited by counting: uses of promotions and codes, budgets, and how much one buyer may buy. A take is the key
in the ledger, what an order takes from it, and the limit. All of an order's takes are made when it is placed, and given
back if it is cancelled or expires.

A buyer has identities, which are counted separately: the customer's id, and a keyed hash of each e-mail address (the
account's and the checkout's), since the log may not contain addresses. A limit per buyer cannot be decided for an
unknown buyer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Final
from uuid import UUID

import msgspec

from domain.model import Offer, Wanted
from domain.quote.bounds import Pieces
from domain.quote.periods import in_period
from domain.quote.quoted import Take
from domain.quote.terms.promotions import Code, Promotion
from domain.quote.worksheet import EVERYTHING, Items

FOREVER: Final = "forever"
DAY: Final = "day"
ONE_ORDER: Final = "order"
WINDOWS: Final = (ONE_ORDER, DAY, FOREVER)

_KEY_BYTES: Final = 16
_CUSTOMER: Final = "customer:"
_DOTS_MEAN_NOTHING: Final = frozenset(("gmail.com", "googlemail.com"))


class PurchaseLimit(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """At most `most` pieces of the items for one buyer, in one `window` of WINDOWS: an order, a day (UTC), or ever.
    Orders that are not paid yet count."""

    id: UUID
    most: Pieces
    items: Items = EVERYTHING
    window: str = FOREVER

    def __post_init__(self) -> None:
        if self.window not in WINDOWS:
            raise ValueError(f"{self.window!r} is not a window")


def identities(
    customer_id: str | None, email: str | None, secret: bytes, *, typed: str | None = None
) -> tuple[str, ...]:
    """The identities under which a buyer's limits are counted; none for an unknown buyer. `email` is the account's
    address, `typed` the order's own; both are normalized. A mailbox counts once, whatever tag follows its name (RFC
    5233), and whatever dots it contains where these mean nothing."""
    found = [] if customer_id is None else [f"{_CUSTOMER}{customer_id}"]
    found += (_mailbox(address, secret) for address in (email, typed) if address is not None)
    return tuple(dict.fromkeys(found))


def _mailbox(email: str, secret: bytes) -> str:
    name, _, host = email.rpartition("@")
    name = name.partition("+")[0] or name
    if host in _DOTS_MEAN_NOTHING:
        name, host = name.replace(".", ""), "gmail.com"
    hashed = blake2b(f"{name}@{host}".encode(), digest_size=_KEY_BYTES, key=secret).hexdigest()
    return f"email:{hashed}"


def customer_among(identities: Iterable[str]) -> str | None:
    """The customer's id among a buyer's identities; None for a guest."""
    return next((one.removeprefix(_CUSTOMER) for one in identities if one.startswith(_CUSTOMER)), None)


def uses(promotion: Promotion, code: Code | None, buyer: Sequence[str]) -> list[Take] | None:
    """What one use of the promotion takes, apart from its budget. None if it has a limit per buyer and this buyer is
    unknown. A promotion for first orders can be used once per buyer, so of two concurrent first orders only one gets
    it."""
    takes: list[Take] = []
    for kind, limited in (("promotion", promotion), ("code", code)):
        if limited is None:
            continue
        if limited.uses_limit is not None:
            takes.append(Take(f"{kind}:{limited.id}", 1, limited.uses_limit))
        most = limited.uses_per_customer
        if most is not None and not buyer:
            return None
        if limited is promotion and promotion.for_first_orders:
            most = 1
        if most is not None:
            takes += (Take(f"{kind}:{limited.id}:{one}", 1, most) for one in buyer)
    return takes


def spends(promotion: Promotion, currency: str, amount_minor: int) -> list[Take]:
    """What a discount takes from the promotion's budget, if there is one in this currency."""
    budget_minor = promotion.budget_minor.get(currency)
    return [] if budget_minor is None else [Take(f"budget:{promotion.id}:{currency}", amount_minor, budget_minor)]


def allowance(
    limit: PurchaseLimit, lines: Iterable[Wanted], offers: Mapping[str, Offer], buyer: Sequence[str], at: datetime
) -> list[Take]:
    """What lines take from their buyer's allowances under a limit. A limit per order is not carried over to the next
    one, so it needs no ledger: its key is blank. It is the only limit that applies to an unknown buyer."""
    wanted = sum(line.quantity for line in lines if line.sku in offers and offers[line.sku] in limit.items)
    if not wanted:
        return []
    if limit.window == ONE_ORDER:
        return [Take("", wanted, limit.most)]
    return [Take(key, wanted, limit.most) for key in _keys_of(limit, buyer, at)]


def _keys_of(limit: PurchaseLimit, buyer: Iterable[str], at: datetime) -> Iterator[str]:
    """The keys of a buyer's allowances under a limit that spans several orders."""
    window = f"{at.astimezone(UTC):%Y-%m-%d}" if limit.window == DAY else limit.window
    return (f"limit:{limit.id}:{window}:{one}" for one in buyer)


def keys_without_codes(
    promotions: Iterable[Promotion], limits: Iterable[PurchaseLimit], buyer: Sequence[str], at: datetime
) -> Iterator[str]:
    """Every key that an order of this buyer without codes may take from at this moment."""
    for promotion in promotions:
        if not promotion.coded and promotion.active and in_period(at, promotion.starts_at, promotion.ends_at):
            yield from (take.key for take in uses(promotion, None, buyer) or ())
            for currency in promotion.budget_minor:
                yield from (take.key for take in spends(promotion, currency, 0))
    for limit in limits:
        if limit.window != ONE_ORDER:
            yield from _keys_of(limit, buyer, at)


def exceeded(takes: Iterable[Take], taken: Mapping[str, int]) -> Take | None:
    """The first take that exceeds its limit, given what has been `taken` so far."""
    for take in takes:
        if take.amount > take.limit - taken.get(take.key, 0):
            return take
    return None
