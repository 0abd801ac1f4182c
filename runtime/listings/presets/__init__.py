"""The product exports of other shop systems, one file a system; `base` is what they are written against.

A preset says which of a system's columns is which of our fields, and reads what is no cell of its own: variants that
belong to a parent, options in pairs of columns, categories as paths, rows that are none of ours.
"""

from collections.abc import Mapping
from typing import Final

from runtime.listings.presets import google, magento, prestashop, shopify, square, woocommerce
from runtime.listings.presets.base import Preset

PRESETS: Final[Mapping[str, Preset]] = {
    "shopify": shopify.PRESET,
    "woocommerce": woocommerce.PRESET,
    "magento": magento.PRESET,
    "prestashop": prestashop.PRESET,
    "google": google.PRESET,
    "square": square.PRESET,
}
