"""Presets for the product exports of other shop systems, one file per system; `base` has what they share.

A preset maps a system's columns to our fields, and reads what takes more than one cell: variants with a parent, options
in pairs of columns, categories as paths, rows to leave aside.
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
