"""The bounds of the shop itself, each with its unit and its reason; `domain/fields` says what a value may be within.

Bounds of the machinery (queues, batches, pages) are settings; these are rules and the same everywhere.
"""

import re
from typing import Final

# The largest invoice of the real data (all of its thirteen months) has 1,114 lines, and the largest line 80,995 pieces:
# both fit, the number of lines twice.
ORDER_MAX_LINES: Final = 2_500
LINE_MAX_QUANTITY: Final = 100_000

# One receipt or adjustment; and what one SKU may hold on hand. Both fit a 32-bit column with room to add.
MOVEMENT_MAX_QUANTITY: Final = 10_000_000
STOCK_MAX_ON_HAND: Final = 2_000_000_000
AVAILABLE_SHOWN_MAX: Final = 10
"""Customers see whether there is enough, and how few are left; how much there is, is the shop's own business."""

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
CATEGORY_MAX_POSITION: Final = 1_000_000
CATEGORIES_MAX: Final = 5_000

# Webhooks. Every endpoint may hang at once, each with a request and, while its name is looked up, a thread.
WEBHOOKS_MAX: Final = 100
WEBHOOK_URL_MAX_CHARS: Final = 2_000
WEBHOOK_MAX_EVENT_TYPES: Final = 50
WEBHOOK_DESCRIPTION_MAX_CHARS: Final = 500

PRODUCTS_PAGE_MAX: Final = 100
SEARCH_MAX_CHARS: Final = 200

EMAIL_MAX_CHARS: Final = 254

# Ten years.
REPORT_MAX_DAYS: Final = 3_653

# A refresh token is forgiven a second use for so long: two tabs, an answer that was lost and is asked for again.
REFRESH_AGAIN_SECONDS: Final = 10

ACCOUNT_NAME_MAX_CHARS: Final = 100
# Longer ones than anybody types are welcome, as password managers make them; beyond that they only cost.
PASSWORD_MIN_CHARS: Final = 8
PASSWORD_MAX_CHARS: Final = 256
KEY_NAME_MAX_CHARS: Final = 100
PRINCIPAL_MAX_CHARS: Final = 64
REASON_MAX_CHARS: Final = 200
IDEMPOTENCY_KEY_MAX_CHARS: Final = 200

SKU_MAX_CHARS: Final = 40
SKU_PATTERN: Final = rf"^[A-Z0-9][A-Z0-9._-]{{0,{SKU_MAX_CHARS - 1}}}$"

SLUG_MAX_CHARS: Final = 120
SLUG_PATTERN: Final = r"^[a-z0-9]+(?:-[a-z0-9]+)*$"

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def is_text(text: str) -> bool:
    """Whether the text can be kept at all: line breaks and tabs, but no other control characters. Postgres has no text
    with a zero in it. This is what commands are held to; what may come in, say `domain/fields`."""
    return _CONTROL.search(text) is None
