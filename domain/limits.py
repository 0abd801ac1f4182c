"""The shop's own bounds, each with its unit and its reason; within them, `domain/fields` defines what a value may be.

Bounds of the machinery (queues, batches, pages) are settings; these are rules, the same everywhere.
"""

import re
from typing import Final

# In all thirteen months of the real data, the largest invoice has 1,114 lines and the largest line 80,995 pieces.
ORDER_MAX_LINES: Final = 2_500
LINE_MAX_QUANTITY: Final = 100_000

# One receipt or adjustment, and the stock of one SKU. Both fit a 32-bit column, and so does their sum.
MOVEMENT_MAX_QUANTITY: Final = 10_000_000
STOCK_MAX_ON_HAND: Final = 2_000_000_000
AVAILABLE_SHOWN_MAX: Final = 10
"""Customers see whether there is enough and, up to this, how few are left; exact stock levels are the shop's
business."""

# In minor units. A whole order fits well within a 64-bit column and the integers that JSON readers keep exact (2**53).
PRICE_MAX_MINOR: Final = 10**10
ORDER_MAX_TOTAL_MINOR: Final = 10**15

# The catalogue. A whole product with its variants is one command, and one page on staff's screens.
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

# Webhooks. All endpoints may hang at once, each holding a request and, during its DNS look-up, a thread.
WEBHOOKS_MAX: Final = 100
WEBHOOK_URL_MAX_CHARS: Final = 2_000
WEBHOOK_MAX_EVENT_TYPES: Final = 50
WEBHOOK_DESCRIPTION_MAX_CHARS: Final = 500

# Payments. A provider reports a few entries for each act; an order shipped in many parts is charged in as many.
PAYMENT_MAX_ENTRIES: Final = 500
PAYMENTS_MAX_PER_ORDER: Final = 20
PAYMENT_METHOD_MAX_CHARS: Final = 200
PAYMENT_REFERENCE_MAX_CHARS: Final = 200
PAYMENT_CODE_MAX_CHARS: Final = 60
PAYMENT_MESSAGE_MAX_CHARS: Final = 300
PAYMENT_URL_MAX_CHARS: Final = 2_000
PROVIDER_NAME_MAX_CHARS: Final = 40

PRODUCTS_PAGE_MAX: Final = 100
SEARCH_MAX_CHARS: Final = 200

EMAIL_MAX_CHARS: Final = 254

# Checkouts and addresses.
CHECKOUT_MAX_CODES: Final = 20
CHECKOUT_MAX_GIFT_CARDS: Final = 5
# All lines of a request may be of one SKU.
CHECKOUT_LINE_MAX_QUANTITY: Final = LINE_MAX_QUANTITY * ORDER_MAX_LINES
CHECKOUT_NOTE_MAX_CHARS: Final = 1_000
PROMOTION_CODE_MAX_CHARS: Final = 60
WORD_MAX_CHARS: Final = 64  # tax classes, customers' groups
PROMOTION_CODES_AT_ONCE: Final = 1_000
SKU_MAX_PRICES: Final = 100
PRICE_HISTORY_MAX: Final = 60
TERMS_MAX_PARTS: Final = 2_000
# Parts of the terms whose rows remain when they are withdrawn.
TERMS_MAX_NAMES: Final = 20_000
DELIVERY_OPTIONS_MAX: Final = 20
PART_MAX_TAXES: Final = 20
ADDRESS_LINE_MAX_CHARS: Final = 200
POSTAL_CODE_MAX_CHARS: Final = 16
REGION_MAX_CHARS: Final = 6
GIFT_CARD_SHOWN_CHARS: Final = 4

# Ten years.
REPORT_MAX_DAYS: Final = 3_653

# How long a refresh token may be used a second time: by another tab, or after a lost response.
REFRESH_AGAIN_SECONDS: Final = 10

ACCOUNT_NAME_MAX_CHARS: Final = 100
# Enough for what password managers generate; longer ones would only cost time.
PASSWORD_MIN_CHARS: Final = 8
PASSWORD_MAX_CHARS: Final = 256
KEY_NAME_MAX_CHARS: Final = 100
CUSTOMER_MAX_GROUPS: Final = 50
TAX_ID_MIN_CHARS: Final = 4
TAX_ID_MAX_CHARS: Final = 20
PRINCIPAL_MAX_CHARS: Final = 64
SELLER_ADDRESS_MAX_LINES: Final = 8
SELLER_LINE_MAX_CHARS: Final = 200

REASON_MAX_CHARS: Final = 200
IDEMPOTENCY_KEY_MAX_CHARS: Final = 200

SKU_MAX_CHARS: Final = 40
SKU_PATTERN: Final = rf"^[A-Z0-9][A-Z0-9._-]{{0,{SKU_MAX_CHARS - 1}}}$"

SLUG_MAX_CHARS: Final = 120
SLUG_PATTERN: Final = r"^[a-z0-9]+(?:-[a-z0-9]+)*$"

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def is_text(text: str) -> bool:
    """Whether the text can be stored: no control characters except line breaks and tabs, as Postgres text cannot
    contain NUL. Commands check only this; `domain/fields` defines what is accepted as input."""
    return _CONTROL.search(text) is None
