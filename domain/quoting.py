"""The quote of a checkout, from the loaded part of the shop: the gateway that shows it and the batch that completes it
use the same function."""

from collections.abc import Iterator
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from domain.addresses import Address
from domain.allowances import taken
from domain.cards import CARDS, card_key, store_credit_id
from domain.checkouts import Checkout
from domain.customers import Customer, Ordered, account_of
from domain.gift_cards import GiftCard
from domain.model import Shop, Wanted
from domain.orders import is_guest
from domain.promotion_codes import codes_of
from domain.quote.basket import STORE_CREDIT, Basket, Card, RateEstimate, RateQuestion, TaxEstimate, TaxQuestion
from domain.quote.live_rates import expired
from domain.quote.options import DeliveryOptions, delivery_options
from domain.quote.places import Place
from domain.quote.quoted import Quote, Remark
from domain.quote.quoting import quote, rate_question, tax_question
from domain.quote.terms import Terms
from domain.quote.terms.promotions import folded_code
from domain.terms import terms_of


def quote_of(
    shop: Shop,
    checkout: Checkout,
    at: datetime,
    identities: tuple[str, ...] = (),
    *,
    delivers: bool = True,
    explain: bool = False,
) -> Quote:
    """The checkout's quote at a moment, and its unmet requirements. `identities` are what its buyer is counted by.
    Unless the shop `delivers` it, nothing about a delivery is required. With `explain`, the remarks say why each other
    promotion does not apply."""
    basket, terms = _asked(shop, checkout, identities, delivers=delivers)
    quoted = quote(basket, shop.offers, terms, at, explain=explain)
    if checkout.email is None and is_guest(checkout.customer_id):
        lacking = Remark("/email", "email_required", "Give an e-mail address for the order.")
        quoted = msgspec.structs.replace(quoted, requirements=(*quoted.requirements, lacking))
    return quoted


def options_of(shop: Shop, checkout: Checkout, at: datetime, identities: tuple[str, ...] = ()) -> DeliveryOptions:
    """The deliveries that the checkout could have, with their prices."""
    basket, terms = _asked(shop, checkout, identities)
    return delivery_options(basket, shop.offers, terms, at)


def buyer_at(shop: Shop, customer_id: str | None, currency: str, to: Place | None) -> Basket:
    """An empty basket of a customer or an anonymous buyer at a place."""
    customer = shop.of(Customer).get(account_of(customer_id or ""), _NOBODY)
    return Basket(
        currency,
        (),
        customer_id=customer_id,
        groups=frozenset(customer.groups),
        to=to,
        tax_id=None if customer.tax_id is None else customer.tax_id.value,
        tax_exempt=customer.tax_exempt,
    )


def taxes_to_ask(shop: Shop, checkout: Checkout, at: datetime, identities: tuple[str, ...] = ()) -> TaxQuestion | None:
    """The question for the shop's tax provider about the checkout; None if nothing has to be asked, or it is already
    being asked. A question that the provider refused may be asked again."""
    basket, terms = _asked(shop, checkout, identities)
    asked = tax_question(basket, shop.offers, terms, at)
    if asked is None or not asked.parts:
        return None
    before = basket.tax_estimate
    is_new = before is None or before.question != asked or (before.answer is not None and before.answer.refused)
    return asked if is_new else None


def rates_to_ask(
    shop: Shop, checkout: Checkout, at: datetime, identities: tuple[str, ...] = ()
) -> tuple[RateQuestion | None, bool]:
    """What the shop's delivery provider has to be asked about the checkout, None if nothing or if it is being asked;
    and whether it has yet to answer."""
    basket, terms = _asked(shop, checkout, identities)
    asked, before = rate_question(basket, shop.offers, terms, at), basket.rate_estimate
    if asked is None:
        return None, False
    if before is None or before.question != asked or expired(before, at):
        return asked, True
    return None, before.answer is None


def wanted_by(checkout: Checkout) -> tuple[Wanted, ...]:
    """The lines of a checkout, in the form of an order's."""
    return tuple(Wanted(line.sku, line.quantity) for line in checkout.lines)


def folded_codes(checkout: Checkout) -> tuple[str, ...]:
    """The typed codes, in their canonical form."""
    return tuple(map(folded_code, checkout.codes))


_NOBODY: Final = Customer(UUID(int=0), (), None, tax_exempt=False)
"""A buyer without any terms of their own."""


def _asked(
    shop: Shop, checkout: Checkout, identities: tuple[str, ...], *, delivers: bool = True
) -> tuple[Basket, Terms]:
    """The basket to quote, and the terms."""
    terms = msgspec.structs.replace(terms_of(shop), codes=codes_of(shop))
    customer_id = None if is_guest(checkout.customer_id) else checkout.customer_id
    ordered = shop.of(Ordered).get(customer_id)
    basket = msgspec.structs.replace(
        buyer_at(shop, customer_id, currency_of(shop, checkout), _destination(checkout)),
        lines=wanted_by(checkout),
        first_order=None if ordered is None else not ordered.before,
        method_id=checkout.method_id,
        delivers=delivers and bool(terms.methods),
        codes=checkout.codes,
        cards=tuple(_cards(shop, checkout)),
        identities=identities,
        taken=taken(shop),
        rate_estimate=_rate_estimate_of(checkout),
        tax_estimate=_tax_estimate_of(checkout),
    )
    return basket, terms


def currency_of(shop: Shop, checkout: Checkout) -> str:
    """The checkout's own currency, or that of the first thing in it."""
    return checkout.currency or next(
        (offer.currency for line in checkout.lines if (offer := shop.offers.get(line.sku))), ""
    )


def store_credit_of(shop: Shop, checkout: Checkout) -> UUID | None:
    """The store credit that pays, if any; guests have none."""
    if not checkout.store_credit or is_guest(checkout.customer_id):
        return None
    return store_credit_id(checkout.customer_id, currency_of(shop, checkout))


def _cards(shop: Shop, checkout: Checkout) -> Iterator[Card | None]:
    """The cards that pay, with their available balances."""
    for card_id in checkout.gift_cards:
        card = shop.of(GiftCard).get(card_id)
        yield (
            None
            if card is None
            else Card(
                card.id,
                card.currency,
                shop.balance(CARDS, card_key(card.id)).available,
                shown=card.shown,
                active=card.active,
                expires_at=card.expires_at,
            )
        )
    if (credit_id := store_credit_of(shop, checkout)) is not None:
        available = shop.balance(CARDS, card_key(credit_id)).available
        yield Card(credit_id, currency_of(shop, checkout), available, STORE_CREDIT)


def _rate_estimate_of(checkout: Checkout) -> RateEstimate | None:
    if checkout.rate_question is None:
        return None
    return RateEstimate(RateQuestion.opened(checkout.rate_question), checkout.rate_answer)


def _tax_estimate_of(checkout: Checkout) -> TaxEstimate | None:
    if checkout.tax_question is None:
        return None
    return TaxEstimate(TaxQuestion.opened(checkout.tax_question), checkout.tax_answer)


def _destination(checkout: Checkout) -> Place | None:
    if checkout.address is None:
        return None
    address = Address.opened(checkout.address)
    return Place.of(address.country, address.region, address.postal_code)
