"""Deliveries at a provider's live rates. A task asks it what sending a basket costs; the answer is kept with its
question, and counts until it expires, for as long as the basket leads to the same question.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final
from uuid import UUID

from domain.limits import PRICE_MAX_MINOR
from domain.quote.basket import LiveMethod, RateAnswer, RateEstimate, RateQuestion, SentPart
from domain.quote.periods import in_period
from domain.quote.places import Place
from domain.quote.terms import Terms
from domain.quote.worksheet import Worksheet, needs_sending

NO_RATES: Final[Mapping[UUID, int]] = {}


def question(sheet: Worksheet, to: Place | None, terms: Terms) -> RateQuestion | None:
    """The question to the provider about the goods on the worksheet; None if no method has live rates, or the
    destination is unknown."""
    if terms.delivery_provider is None or to is None:
        return None
    methods = tuple(LiveMethod(way.id, way.name) for way in terms.methods if way.is_asked and way.serves(sheet, to))
    if not methods:
        return None
    parts = tuple(
        SentPart(part.offer.sku, part.quantity, part.offer.weight_grams, part.left_minor)
        for part in sheet.lines
        if part.offer is not None and needs_sending(part)
    )
    return RateQuestion(terms.delivery_provider, sheet.basket.currency, to, methods, parts)


def rates(sheet: Worksheet, to: Place | None, terms: Terms) -> Mapping[UUID, int] | None:
    """The price of each available live method, by its id; None while the prices are not known."""
    asked = question(sheet, to, terms)
    if asked is None:
        return NO_RATES
    estimate = sheet.basket.rate_estimate
    if estimate is None or estimate.question != asked or estimate.answer is None or expired(estimate, sheet.at):
        return None
    if untrue(asked, estimate.answer) is not None:
        return None
    return {rate.method_id: rate.price_minor for rate in estimate.answer.rates}


def expired(estimate: RateEstimate, at: datetime) -> bool:
    """Whether there is an answer, but it has expired."""
    return estimate.answer is not None and not in_period(at, None, estimate.answer.expires_at)


def untrue(asked: RateQuestion, answer: RateAnswer) -> str | None:
    """Why this cannot be the answer to the question; None if it can."""
    if answer.expires_at is not None and answer.expires_at.tzinfo is None:
        return "its expiry has no time zone"
    left = {method.id for method in asked.methods}
    for rate in answer.rates:
        if rate.method_id not in left:
            return f"it has a rate for {rate.method_id}, which was not asked for, or another one"
        left.remove(rate.method_id)
        if rate.currency != asked.currency:
            return f"a rate is in {rate.currency[:3]!r} for a basket in {asked.currency}"
        if not 0 <= rate.price_minor <= PRICE_MAX_MINOR:
            return f"a rate of {rate.price_minor}"
    return None
