"""The bounds of amounts and names in the shop's terms. A request that exceeds one is told where."""

from datetime import datetime
from typing import Annotated, Final, TypeAlias, TypeVar

from msgspec import Meta

from domain.limits import (
    LINE_MAX_QUANTITY,
    NAME_MAX_CHARS,
    ORDER_MAX_TOTAL_MINOR,
    PRICE_MAX_MINOR,
    PRINCIPAL_MAX_CHARS,
    SKU_MAX_CHARS,
    WEIGHT_MAX_GRAMS,
    WORD_MAX_CHARS,
)

LIST_MAX: Final = 1_000
"""How many rates, rules, areas or ids one list in a part of the terms may have."""

_Each = TypeVar("_Each")

Many: TypeAlias = Annotated[frozenset[_Each], Meta(max_length=LIST_MAX)]
"""A set in a part of the terms."""


def whole(pattern: str) -> str:
    """The pattern anchored to the whole text: Python's `$` alone would also match before a final line break."""
    return rf"^{pattern}$(?!\n)"


BasisPoints = Annotated[int, Meta(ge=0, le=10_000)]
BeyondBasisPoints = Annotated[int, Meta(ge=0, le=99)]
"""In parts per million; a basis point is 100 of them."""
Budget = Annotated[int, Meta(ge=0, le=ORDER_MAX_TOTAL_MINOR)]
Country = Annotated[str, Meta(pattern=whole("[A-Z]{2}"))]
Currency = Annotated[str, Meta(pattern=whole("[A-Z]{3}"))]
Grams = Annotated[int, Meta(ge=0, le=WEIGHT_MAX_GRAMS)]
Minor = Annotated[int, Meta(ge=0, le=PRICE_MAX_MINOR)]
Moment = Annotated[datetime, Meta(tz=True)]
Name = Annotated[str, Meta(min_length=1, max_length=NAME_MAX_CHARS, pattern=whole(r"[^\x00-\x1f\x7f]*"))]
Pieces = Annotated[int, Meta(ge=1, le=LINE_MAX_QUANTITY)]
Principal = Annotated[str, Meta(min_length=1, max_length=PRINCIPAL_MAX_CHARS)]
Priority = Annotated[int, Meta(ge=-1_000_000, le=1_000_000)]
Sku = Annotated[str, Meta(min_length=1, max_length=SKU_MAX_CHARS)]
Word = Annotated[str, Meta(min_length=1, max_length=WORD_MAX_CHARS, pattern=whole("[!-~]*"))]
"""A name for programs, such as a tax class or a customer group."""

Minors = Annotated[dict[Currency, Minor], Meta(max_length=LIST_MAX)]
Budgets = Annotated[dict[Currency, Budget], Meta(max_length=LIST_MAX)]
"""An amount in each currency."""
