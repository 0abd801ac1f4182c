"""Which promotions apply, and what each takes off: stage by stage, each on what the ones before it have left.

Within a stage, they are ordered by priority, then by what each would save on its own, then by id. A promotion that does
not combine applies only to parts that no other of its stage has touched, and closes them to the rest. A promotion that
cannot be decided does not apply; nothing here makes a quote fail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from domain.model import Wanted
from domain.quote.actions.core import DELIVERY, LINES, ORDER
from domain.quote.periods import in_period
from domain.quote.quoted import Discount, Remark, Take
from domain.quote.rules.core import SIGN_IN, Lack
from domain.quote.terms.limits import exceeded, spends, uses
from domain.quote.terms.promotions import Code, Promotion
from domain.quote.worksheet import Part, Worksheet

PriceGift = Callable[[Wanted], Part | None]
"""The line of a gift before it is given, or None if it is not for sale."""

_UNDECIDED = Lack("undecided", "Whether it applies cannot be decided.")
_NOT_NOW = Lack("not_now", "It does not apply at the moment.")
_USED_UP = Lack("used_up", "It has been used up.")
_NOT_COMBINED = Lack("not_combined", "It cannot be combined with another one that applies.")
_NO_EFFECT = Lack("no_effect", "There is nothing for it to reduce.")
_NO_GIFT = Lack("gift_not_available", "The gift is not available.")


class Candidate(msgspec.Struct, frozen=True, gc=False):
    """A promotion that may apply: automatically, or by a code, typed into a field of the checkout."""

    promotion: Promotion
    code: Code | None = None
    field: str = ""


class Promoting:
    """The promotions of one quote: what they take from their limits, and remarks on why others do not apply. With
    `explain`, there is a remark on every one of these; otherwise only on those by code, and those that buying more
    would unlock."""

    def __init__(
        self, sheet: Worksheet, candidates: Sequence[Candidate], price_gift: PriceGift, *, explain: bool
    ) -> None:
        self.takes: list[Take] = []
        self.remarks: list[Remark] = []
        self._sheet = sheet
        self._candidates = candidates
        self._price_gift = price_gift
        self._explain = explain
        self._of_delivery: list[Candidate] | None = None

    def on_goods(self) -> None:
        """Applies promotions on lines, then those on the order, then those of both that came by code."""
        goods = [one for one in self._candidates if one.promotion.action.applies_to != DELIVERY]
        parts = [part for part in self._sheet.lines if part.may_be_reduced]
        for target in (LINES, ORDER):
            by_themselves = [one for one in goods if one.code is None and one.promotion.action.applies_to == target]
            self._stage(self._standing(by_themselves), parts)
        self._stage(self._standing([one for one in goods if one.code is not None]), parts)

    def on_delivery(self) -> None:
        """Applies promotions on the delivery, by code or not, if there is a delivery. Which of them apply depends on
        the goods, so it is decided only once, however many deliveries are tried."""
        if self._of_delivery is None:
            self._of_delivery = self._standing(
                [one for one in self._candidates if one.promotion.action.applies_to == DELIVERY]
            )
        self._stage(self._of_delivery, () if self._sheet.delivery is None else (self._sheet.delivery,))

    def _standing(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """The candidates whose conditions the current worksheet meets."""
        return [one for one in candidates if not self._says(one, self._lacks(one))]

    def _stage(self, standing: Sequence[Candidate], parts: Sequence[Part]) -> None:
        """Applies these candidates to the parts."""
        if len(standing) > 1:
            savings = {one.promotion.id: self._saving(one, parts) for one in standing}
            standing = sorted(
                standing, key=lambda one: (-one.promotion.priority, -savings[one.promotion.id], one.promotion.id)
            )
        touched: set[int] = set()
        closed: set[int] = set()
        for one in standing:
            self._says(one, self._apply(one, parts, touched, closed))

    def _says(self, one: Candidate, lack: Lack | None) -> bool:
        """Whether something is lacking; adds a remark if that may matter to the buyer."""
        if lack is None:
            return False
        within_reach = lack.amount_minor is not None or lack.quantity is not None
        if within_reach or one.code is not None or self._explain or lack is _UNDECIDED:
            self.remarks.append(Remark(one.field, lack.code, lack.message, one.promotion.id, *lack[2:]))
        return True

    def _lacks(self, one: Candidate) -> Lack | None:
        try:
            return self._lack(one)
        except Exception:
            return _UNDECIDED

    def _lack(self, one: Candidate) -> Lack | None:
        """Why it does not apply. Reasons that buying more would not resolve come first."""
        promotion, code, at = one.promotion, one.code, self._sheet.at
        if not promotion.active or not in_period(at, promotion.starts_at, promotion.ends_at):
            return _NOT_NOW
        if code is not None and not in_period(at, code.starts_at, code.ends_at):
            return _NOT_NOW
        basket = self._sheet.basket
        if (takes := uses(promotion, code, basket.identities)) is None:
            return SIGN_IN
        if exceeded(takes, basket.taken) is not None:
            return _USED_UP
        lacks = [lack for rule in promotion.rules if (lack := rule.lacks(self._sheet)) is not None]
        if (lack := promotion.action.lacks(basket.currency)) is not None:
            lacks.append(lack)
        return min(lacks, key=lambda lack: lack.amount_minor is not None or lack.quantity is not None, default=None)

    def _saving(self, one: Candidate, parts: Sequence[Part]) -> int:
        """What it would take off on its own, as the only one of its stage."""
        try:
            action = one.promotion.action
            given = sum(gift.amount_minor for gift in self._gifts(one))
            return given + sum(action.cuts(action.scope(parts), self._sheet.basket.currency))
        except Exception:
            return 0

    def _gifts(self, one: Candidate) -> list[Part]:
        return [gift for wanted in one.promotion.action.gifts() if (gift := self._price_gift(wanted)) is not None]

    def _apply(self, one: Candidate, parts: Sequence[Part], touched: set[int], closed: set[int]) -> Lack | None:
        """Applies it to the parts that are still open to it. Changes nothing unless everything about it can be
        decided."""
        promotion, currency = one.promotion, self._sheet.basket.currency
        action = promotion.action
        try:
            scope = action.scope(parts)
            barred = closed if promotion.combines else closed | touched
            free = [part for part in scope if id(part) not in barred]
            if scope and (not free or (action.applies_to != LINES and len(free) < len(scope))):
                return _NOT_COMBINED
            cuts = [
                min(max(cut, 0), part.left_minor) for part, cut in zip(free, action.cuts(free, currency), strict=True)
            ]
            gifts = self._gifts(one)
            value = action.value(currency)
        except Exception:
            return _UNDECIDED
        if action.gifts() and not gifts:
            return _NO_GIFT
        saved = sum(cuts) + sum(gift.amount_minor for gift in gifts)
        if not (saved or gifts or (free and action.applies_to == DELIVERY)):
            return _NO_EFFECT
        takes = spends(promotion, currency, saved)
        if exceeded(takes, self._sheet.basket.taken) is not None:
            return _USED_UP
        self.takes += takes
        self.takes += uses(promotion, one.code, self._sheet.basket.identities) or ()
        for part, cut in zip([*free, *gifts], [*cuts, *(gift.amount_minor for gift in gifts)], strict=True):
            if cut or action.applies_to == DELIVERY:
                part.discounts += (_discount(one, value, cut, part.left_minor),)
                part.left_minor -= cut
            touched.add(id(part))
            if not promotion.combines:
                closed.add(id(part))
        self._sheet.lines += gifts
        return None


def _discount(one: Candidate, value: int, cut: int, weight_minor: int) -> Discount:
    promotion = one.promotion
    kind = str(type(promotion.action).__struct_config__.tag)
    code = None if one.code is None else one.code.code
    return Discount(promotion.id, promotion.version, promotion.name, kind, value, cut, weight_minor, code)
