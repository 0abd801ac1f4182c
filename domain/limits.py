"""The bounds of the shop itself, each with its unit and its reason.

Bounds of the machinery (queues, batches, pages) are settings; these are rules and the same everywhere.
"""

import re
from typing import Final

# The largest invoice of the real data has 675 lines and the largest line 74,215 pieces: both fit with room.
ORDER_MAX_LINES: Final = 1_000
LINE_MAX_QUANTITY: Final = 100_000

# One receipt or adjustment; and what one SKU may hold on hand. Both fit a 32-bit column with room to add.
MOVEMENT_MAX_QUANTITY: Final = 10_000_000
STOCK_MAX_ON_HAND: Final = 2_000_000_000

# Minor units. A whole order stays far inside a 64-bit column and inside what JSON readers hold exactly (2**53).
PRICE_MAX_MINOR: Final = 10**10
ORDER_MAX_TOTAL_MINOR: Final = 10**15

# The catalogue. A whole product with its variants is one command, and one page of a staff member's work.
NAME_MIN_CHARS: Final = 2
NAME_MAX_CHARS: Final = 255
DESCRIPTION_MAX_CHARS: Final = 20_000
PRODUCT_MAX_VARIANTS: Final = 100
VARIANT_MAX_ATTRIBUTES: Final = 20
ATTRIBUTE_MAX_CHARS: Final = 100
BARCODE_MAX_CHARS: Final = 64
WEIGHT_MAX_GRAMS: Final = 10_000_000
CATEGORY_MAX_DEPTH: Final = 8
CATEGORIES_MAX: Final = 5_000

EMAIL_MAX_CHARS: Final = 254
PRINCIPAL_MAX_CHARS: Final = 64
REASON_MAX_CHARS: Final = 200
IDEMPOTENCY_KEY_MAX_CHARS: Final = 200

SKU_MAX_CHARS: Final = 40
SKU_PATTERN: Final = rf"^[A-Z0-9][A-Z0-9._-]{{0,{SKU_MAX_CHARS - 1}}}$"
_SKU = re.compile(SKU_PATTERN)

SLUG_MAX_CHARS: Final = 120
SLUG_PATTERN: Final = r"^[a-z0-9]+(?:-[a-z0-9]+)*$"
_SLUG = re.compile(SLUG_PATTERN)


def canonical_sku(text: str) -> str | None:
    """The SKU in its one spelling (upper case), or None if no SKU can be written so.

    Codes that differ only by case mean the same shelf: the real data has both `85123A` and `85123a`.
    """
    sku = text.upper()
    # Some letters beyond ASCII have upper cases within it, and `$` would let a line break pass.
    return sku if text.isascii() and _SKU.fullmatch(sku) else None


def is_slug(text: str) -> bool:
    """Whether the text can stand in an address: lower case letters and digits, and single hyphens between them."""
    return len(text) <= SLUG_MAX_CHARS and _SLUG.fullmatch(text) is not None
