"""All that a shop says about money: what many read and few change. A quote depends on it, on the basket, on the offers
of what is in it, and on the moment, and on nothing else."""

from uuid import UUID

import msgspec

from domain.quote.terms.deliveries import Method
from domain.quote.terms.limits import PurchaseLimit
from domain.quote.terms.prices import PriceList
from domain.quote.terms.promotions import Code, Promotion
from domain.quote.terms.taxes import Taxes


class Terms(msgspec.Struct, frozen=True):
    """The shop's terms; of `codes` (by their folded text) only those that the basket names are needed. A `tax_provider`
    is asked for taxes in place of the shop's own rates: then a basket's are what it says, and not known before. A
    `delivery_provider` is asked what live methods cost; without one, they cannot be had. The shop of the first day has
    none: no promotions, no taxes, and nothing that it delivers."""

    price_lists: dict[UUID, PriceList] = {}
    promotions: tuple[Promotion, ...] = ()
    codes: dict[str, Code] = {}
    taxes: Taxes | None = None
    tax_provider: str | None = None
    methods: tuple[Method, ...] = ()
    delivery_provider: str | None = None
    purchase_limits: tuple[PurchaseLimit, ...] = ()

    @property
    def concern_goods(self) -> bool:
        """Whether goods may cost anything but their own price, or be limited, without any delivery."""
        return bool(
            self.price_lists or self.promotions or self.taxes or self.tax_provider is not None or self.purchase_limits
        )

    @property
    def for_first_orders(self) -> bool:
        """Whether a promotion depends on what its buyer has ordered before."""
        return any(promotion.for_first_orders for promotion in self.promotions)

    @property
    def count_buyers(self) -> bool:
        """Whether something is limited for each buyer that no code has to be typed for."""
        return bool(self.purchase_limits) or any(
            promotion.uses_per_customer is not None or promotion.for_first_orders
            for promotion in self.promotions
            if not promotion.coded
        )

    def gift_skus(self) -> set[str]:
        """The SKUs that promotions may add: their offers are needed as well."""
        return {gift.sku for promotion in self.promotions for gift in promotion.action.gifts()}


NO_TERMS = Terms()
