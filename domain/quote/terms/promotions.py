"""Promotions, as the shop defines them, and the codes that people type for them."""

from typing import Annotated
from uuid import UUID

import msgspec

from domain.quote.actions import AnyAction
from domain.quote.bounds import LIST_MAX, Budget, Budgets, Moment, Name, Pieces, Priority
from domain.quote.rules import AnyRule
from domain.quote.rules.buyer import FirstOrder


class Promotion(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """What a shop gives, and to whom: all of `rules` must hold. `version` is the seq of its last change. With `coded`,
    somebody has to type a code for it; otherwise it applies by itself. A higher `priority` goes first. A line (or the
    order, or the delivery) takes one promotion alone, or any that `combine`.

    What is limited is counted: `uses_limit` orders in all, `uses_per_customer` of each, `budget_minor` by currency.
    """

    id: UUID
    version: int
    name: Name
    action: AnyAction
    rules: Annotated[tuple[AnyRule, ...], msgspec.Meta(max_length=LIST_MAX)] = ()
    coded: bool = False
    priority: Priority = 0
    combines: bool = False
    active: bool = True
    starts_at: Moment | None = None
    ends_at: Moment | None = None
    uses_limit: Budget | None = None
    uses_per_customer: Pieces | None = None
    budget_minor: Budgets = {}

    @property
    def for_first_orders(self) -> bool:
        """Whether it depends on what its buyer has ordered before."""
        return any(isinstance(rule, FirstOrder) for rule in self.rules)


class Code(msgspec.Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    """A code for a promotion, spelled as `folded_code` does, with a period and limits of its own."""

    id: UUID
    code: str
    promotion_id: UUID
    active: bool = True
    starts_at: Moment | None = None
    ends_at: Moment | None = None
    uses_limit: Budget | None = None
    uses_per_customer: Pieces | None = None


def folded_code(text: str) -> str:
    """The normalized form of a typed code: upper case, without white space."""
    return "".join(text.split()).upper()
