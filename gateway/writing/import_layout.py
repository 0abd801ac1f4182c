"""How the file of an import is written, as a request says it: the parts of its query."""

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
    """What was said, as it was said."""

    fields: dict[str, Any]
    mapping: str | None


def layout_query(
    preset: Annotated[PresetName | None, Query(description="The shop system whose product export this is.")] = None,
    mapping: Annotated[
        str | None,
        Query(
            max_length=_MAPPING_MAX_CHARS,
            description="Which column of the file is which, as a JSON object from its names to ours: "
            f"{', '.join(FIELDS)}, `{OPTION}` with the name of an option, or `ignore`. Columns that it leaves out are "
            "ignored, unless they are called as ours. Beside a preset it says otherwise of single columns.",
            examples=['{"Artikel": "name", "Preis": "price", "Farbe": "option:Colour"}'],
        ),
    ] = None,
    separator: Annotated[
        Literal["comma", "semicolon", "tab", "pipe"] | None,
        Query(description="What stands between the cells. Without it the one that finds most columns."),
    ] = None,
    decimal: Annotated[
        Literal["point", "comma"] | None,
        Query(
            description="Which separator the fractions of amounts and weights have; the other one may group thousands. "
            "Without it only what a preset's system always writes is read, and nothing is guessed."
        ),
    ] = None,
    currency: Annotated[
        str | None, Query(max_length=3, description="The currency (ISO 4217) of amounts that do not say theirs.")
    ] = None,
    weight_unit: Annotated[
        Literal["g", "kg", "lb", "oz"] | None, Query(description="The unit of weights that do not say theirs.")
    ] = None,
    category_separator: Annotated[
        str | None, Query(min_length=1, max_length=3, description="Between the names of a `category_path`; else `>`.")
    ] = None,
    create_categories: Annotated[bool, Query(description="Create the categories that paths name and lack.")] = False,
    derive_skus: Annotated[
        bool, Query(description="Make SKUs of slug and options for variants that have none.")
    ] = False,
    sale_prices: Annotated[
        bool,
        Query(description="Sell at the sale price where there is one, and compare it with the regular price."),
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
    """The layout that was said. Raises a 422 Problem."""
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
