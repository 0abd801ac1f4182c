"""The layout of an import's file, as the request's query states it."""

from typing import Annotated, Any, Final, Literal, NamedTuple

import msgspec
from fastapi import Query

from gateway.web.problems import invalid_request
from runtime.listings.headers import SEPARATORS
from runtime.listings.layout import FIELDS, OPTION, Layout
from runtime.listings.sheets import BadLayout, check_layout

_MAPPING_MAX_CHARS: Final = 8_000

PresetName = Literal["shopify", "woocommerce", "magento", "prestashop", "google", "square"]


class LayoutQuery(NamedTuple):
    """The query's values, unchanged."""

    fields: dict[str, Any]
    mapping: str | None


def layout_query(
    preset: Annotated[PresetName | None, Query(description="The shop system whose product export this is.")] = None,
    mapping: Annotated[
        str | None,
        Query(
            max_length=_MAPPING_MAX_CHARS,
            description="What each column of the file holds, as a JSON object from its names to ours: "
            f"{', '.join(FIELDS)}, `{OPTION}` with the name of an option, or `ignore`. Columns that it leaves out are"
            f" ignored unless they have one of our names. Together with a preset, it overrides single columns.",
            examples=['{"Artikel": "name", "Preis": "price", "Farbe": "option:Colour"}'],
        ),
    ] = None,
    separator: Annotated[
        Literal["comma", "semicolon", "tab", "pipe"] | None,
        Query(description="The character that separates cells; by default, the one that yields the most columns."),
    ] = None,
    decimal: Annotated[
        Literal["point", "comma"] | None,
        Query(
            description="The decimal separator of amounts and weights; the other one may group thousands. Without it,"
            " only the format that the preset's system always writes is accepted; nothing is guessed."
        ),
    ] = None,
    currency: Annotated[
        str | None, Query(max_length=3, description="The currency (ISO 4217) of amounts that do not state one.")
    ] = None,
    weight_unit: Annotated[
        Literal["g", "kg", "lb", "oz"] | None, Query(description="The unit of weights that do not state one.")
    ] = None,
    category_separator: Annotated[
        str | None,
        Query(min_length=1, max_length=3, description="What separates the names in a `category_path`; by default `>`."),
    ] = None,
    create_categories: Annotated[
        bool, Query(description="Create the categories in paths that do not exist yet.")
    ] = False,
    derive_skus: Annotated[
        bool, Query(description="Generate SKUs from slug and options for variants without one.")
    ] = False,
    sale_prices: Annotated[
        bool,
        Query(description="Sell at the sale price if there is one, shown against the regular price."),
    ] = False,
) -> LayoutQuery:
    """As a dependency."""
    fields = {
        "preset": preset,
        "separator": SEPARATORS[separator] if separator else None,
        "decimal": decimal,
        "currency": currency,
        "weight_unit": weight_unit,
        "category_separator": category_separator,
        "create_categories": create_categories,
        "derive_skus": derive_skus,
        "sale_prices": sale_prices,
    }
    return LayoutQuery(fields, mapping)


def layout_of(said: LayoutQuery) -> Layout:
    """The stated layout. Raises a 422 Problem."""
    try:
        mapping = msgspec.json.decode(said.mapping, type=dict[str, str]) if said.mapping is not None else {}
    except (msgspec.MsgspecError, RecursionError):
        raise _unfit("mapping", "A mapping is a JSON object from the file's columns to our fields.") from None
    layout = Layout(mapping=mapping, **said.fields)
    try:
        check_layout(layout)
    except BadLayout as bad:
        raise _unfit(bad.field, str(bad)) from None
    return layout


def _unfit(name: str, detail: str) -> Exception:
    return invalid_request([{"loc": ("query", name), "msg": detail, "type": "layout_invalid"}])
