"""The query parameters of the list of products, and its cursors."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from pydantic import AfterValidator, Field, model_validator

from domain.catalogue import ACTIVE
from domain.limits import PRICE_MAX_MINOR, PRODUCTS_PAGE_MAX, is_text
from gateway.web.fields import Currency, Price, Searched
from gateway.web.queries import Query
from runtime.envelope import MOMENT_MAX_MICROSECONDS
from runtime.records import microseconds, moment

PAGE_NUMBER_MAX: Final = 100_000
# The longest keys are names.
_CURSOR_MAX_CHARS: Final = 4_000


def _searched(text: str) -> str | None:
    words = text.split()
    if all(word.startswith("-") for word in words):
        words = [word.lstrip("-") for word in words]  # only exclusions are not a search
    return " ".join(words).strip() or None


Sort = Literal["name", "-name", "price", "-price", "newest", "-newest", "relevance"]


class ProductsQuery(Query):
    """Which products, in which order, and which page of them."""

    q: Annotated[Searched, AfterValidator(_searched)] | None = Field(
        None,
        description="Words from the name or description, a SKU, or a barcode. Quotes, `or` and `-` work as in web"
        " search; if nothing matches, similarly spelled names are found.",
        examples=["hanging heart"],
    )
    category_id: UUID | None = Field(None, description="In this category, or one below it.")
    min_price: Price | None = Field(None, description="With a variant that costs at least this, in minor units.")
    max_price: Price | None = Field(None, description="With a variant that costs at most this, in minor units.")
    currency: Currency | None = Field(
        None,
        description="With a variant in this currency (ISO 4217); the other price parameters then refer to it.",
        examples=["GBP"],
    )
    in_stock: bool = Field(False, description="With a variant that is available; at most a second out of date.")
    sort: Sort | None = Field(
        None,
        description="By name, by the price of the cheapest matching variant (products without one are left out),"
        " newest first, or best match first; `-` reverses it. The default is the best match with `q`, otherwise the"
        " newest.",
    )
    status: Literal["active", "draft", "archived", "any"] = Field(
        ACTIVE, description="All but `active` need the scope `catalogue:read`."
    )
    page: int = Field(1, ge=1, le=PAGE_NUMBER_MAX)
    limit: int = Field(20, ge=1, le=PRODUCTS_PAGE_MAX, description="Products on a page.")
    cursor: str | None = Field(
        None,
        max_length=_CURSOR_MAX_CHARS,
        description="The `next_cursor` of the previous page, instead of `page`: costs the same at any depth.",
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> ProductsQuery:
        if self.sort == "relevance" and self.q is None:
            raise ValueError("Sorting by relevance needs `q`.")
        if self.cursor is not None and self.page != 1:
            raise ValueError("Give either a page number or a cursor, not both.")
        return self

    @property
    def asks_of_variants(self) -> bool:
        """Whether products without a matching variant are left out."""
        asked = (self.currency, self.min_price, self.max_price) != (None, None, None)
        return asked or self.in_stock or self.order[0] == "price"

    @property
    def order(self) -> tuple[str, bool]:
        """The sort key, and whether the greatest comes first."""
        sort = self.sort or ("newest" if self.q is None else "relevance")
        name = sort.removeprefix("-")
        return name, sort.startswith("-") != (name in ("newest", "relevance"))


# What a cursor holds after the name of its order: where the previous page ended.
_KEYS: Final[dict[str, Any]] = {
    "newest": tuple[Literal["newest"], Annotated[int, msgspec.Meta(ge=0, le=MOMENT_MAX_MICROSECONDS)], UUID],
    "name": tuple[Literal["name"], str, UUID],
    "price": tuple[Literal["price"], Annotated[int, msgspec.Meta(ge=0, le=PRICE_MAX_MINOR)], UUID],
    "relevance": tuple[Literal["relevance"], float, UUID],
}


def write_cursor(name: str, key: Any, product_id: UUID) -> str:
    """The cursor's content, in this order, after a row."""
    plain = microseconds(key) if isinstance(key, datetime) else key
    return msgspec.json.encode((name, plain, product_id)).decode()


def read_cursor(query: ProductsQuery, text: str) -> tuple[Any, UUID]:
    """The key and the id in a cursor's content. Raises ValueError if it is for a different order."""
    name, _ = query.order
    try:
        _, key, product_id = msgspec.json.decode(text, type=_KEYS[name])
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None
    if isinstance(key, str) and not is_text(key):
        raise ValueError("no key holds control characters")
    return (moment(key) if name == "newest" else key), product_id
