"""The members that problems have besides those of RFC 9457 and `code`, by code.

The API's document is generated from this, and the tests check every problem that is returned against it.
"""

import copy
from collections.abc import Mapping
from typing import Any, Final

from domain.checkouts import CHECKOUT_STATUSES
from domain.orders import ORDER_STATUSES

_Schema = Mapping[str, Any]

_TEXT: Final[_Schema] = {"type": "string"}
_ID: Final[_Schema] = {"type": "string", "format": "uuid", "examples": ["01a203dc-fb6e-7f19-b198-be458dd22687"]}
_COUNT: Final[_Schema] = {"type": "integer", "minimum": 0}

_SKU: Final = {"type": "string", "description": "Stock keeping unit.", "examples": ["BAG-JUMBO"]}
_SKUS: Final = {"type": "array", "items": _TEXT, "description": "The SKUs at fault.", "examples": [["BAG-JUMBO"]]}
_SHORT: Final = {
    "type": "array",
    "description": "The lines that exceed what is available.",
    "items": {
        "type": "object",
        "properties": {
            "sku": {**_SKU},
            "requested": {**_COUNT, "description": "Pieces requested."},
            "available": {**_COUNT, "description": "Pieces available."},
        },
        "required": ["sku", "requested", "available"],
    },
    "examples": [[{"sku": "BAG-JUMBO", "requested": 2, "available": 1}]],
}
_REMARK: Final = {"field": "/email", "code": "email_required", "message": "Give an e-mail address for the order."}
_VERSIONS: Final = {
    "version": {**_COUNT, "description": "Its current version.", "examples": [4]},
    "expected_version": {**_COUNT, "description": "The version the request expected.", "examples": [3]},
}

_THE_LOG: Final = {
    "last_seq": {**_COUNT, "description": "The last seq of the log.", "examples": [1041]},
    "log": {**_ID, "description": "The current log's identity."},
}

_ORDER: Final = {"order_id": {**_ID, "description": "The requested order."}}
_PAYMENT: Final = {"payment_id": {**_ID, "description": "The payment concerned."}}
_LEFT: Final = {"description": "What is left, in minor units.", "examples": [416]}

OF_REFUSALS: Final[Mapping[str, _Schema]] = {
    "command_id": {**_ID, "description": "The command that was refused or failed, if one was created."},
    "seq": {**_COUNT, "description": "The seq of the event that records this.", "examples": [1041]},
}
"""Members of every problem that is the outcome of a command."""

OF_SIGNING_IN: Final[Mapping[str, _Schema]] = {
    "error": {**_TEXT, "description": "OAuth's error code (RFC 6749).", "examples": ["invalid_grant"]},
    "error_description": {**_TEXT, "description": "The same as `detail`, under OAuth's name."},
}
"""Members of every problem of `/api/auth/token`, `/refresh` and `/logout`."""

MEMBERS: Final[Mapping[str, Mapping[str, _Schema]]] = {
    "invalid_request": {
        "errors": {
            "type": "array",
            "items": {"$ref": "#/components/schemas/InvalidPartView"},
            "description": "The parts of the request that are not valid, and why.",
            "examples": [[{"pointer": "/lines/0/quantity", "detail": "Input should be at least 1", "type": "min"}]],
        }
    },
    "ahead_of_log": _THE_LOG,
    "another_log": _THE_LOG,
    "archived": {
        **_THE_LOG,
        "first_seq": {**_COUNT, "description": "The first event that is not archived.", "examples": [1001]},
    },
    "account_not_found": {"account_id": {**_ID, "description": "The requested account."}},
    "account_state_conflict": {
        "active": {"type": "boolean", "description": "Whether the account is active.", "examples": [False]}
    },
    "api_key_not_found": {"key_id": {**_ID, "description": "The requested key."}},
    "api_key_revoked": {"key_id": {**_ID, "description": "The requested key."}},
    "category_cycle": {"parent_id": {**_ID, "description": "The requested parent category."}},
    "category_not_found": {"category_id": {**_ID, "description": "The requested category."}},
    "category_too_deep": {"depth": {**_COUNT, "description": "How deep it would be.", "examples": [7]}},
    "checkout_changed": {
        "current_total_minor": {**_COUNT, "description": "What it costs now, in minor units.", "examples": [2198]},
        "current_due_minor": {
            **_COUNT,
            "description": "The amount due now, after gift cards and store credit, in minor units.",
            "examples": [198],
        },
    },
    "checkout_incomplete": {
        "requirements": {
            "type": "array",
            "items": {"$ref": "#/components/schemas/RemarkView"},
            "description": "What is missing, as in a checkout.",
            "examples": [[_REMARK]],
        }
    },
    "checkout_not_found": {"checkout_id": {**_ID, "description": "The requested checkout."}},
    "checkout_not_open": {
        "checkout_id": {**_ID, "description": "The checkout."},
        "checkout_status": {"type": "string", "enum": list(CHECKOUT_STATUSES), "description": "Its status."},
    },
    "code_not_found": {"code_text": {**_TEXT, "description": "The requested code.", "examples": ["SAVE"]}},
    "promotion_not_found": {"promotion_id": {**_ID, "description": "The requested promotion."}},
    "price_list_not_found": {"price_list_id": {**_ID, "description": "The requested price list."}},
    "too_many_prices": {"limit": {**_COUNT, "description": "The maximum number.", "examples": [100]}},
    "terms_not_found": {"name": {**_TEXT, "description": "The requested part.", "examples": ["taxes"]}},
    "too_many_lines": {"limit": {**_COUNT, "description": "The maximum number.", "examples": [100]}},
    "too_many_terms": {"limit": {**_COUNT, "description": "The maximum number.", "examples": [2000]}},
    "insufficient_stock": {"lines": _SHORT},
    "invalid_scope": {"refused": {**_TEXT, "description": "The scopes that the role does not allow."}},
    "job_finished": {"job_id": {**_ID, "description": "The job."}},
    "job_not_found": {"job_id": {**_ID, "description": "The requested job."}},
    "mixed_currencies": {
        "currencies": {
            "type": "array",
            "items": _TEXT,
            "description": "The currencies of the lines (ISO 4217).",
            "examples": [["EUR", "GBP"]],
        }
    },
    "capture_exceeds_authorized": {**_PAYMENT, "capturable_minor": {**_COUNT, **_LEFT}},
    "partial_capture_unsupported": {**_PAYMENT, "capturable_minor": {**_COUNT, **_LEFT}},
    "gift_card_not_found": {"card_id": {**_ID, "description": "The requested gift card."}},
    "gift_card_not_mailable": {"card_id": {**_ID, "description": "The requested gift card."}},
    "store_credit_too_low": {"available_minor": {**_COUNT, **_LEFT}},
    "store_credit_too_high": {"limit_minor": {**_COUNT, "description": "The maximum amount.", "examples": [10**15]}},
    "refund_exceeds_paid": {**_ORDER, "refundable_minor": {**_COUNT, **_LEFT}},
    "refund_exceeds_charged": {**_PAYMENT, "refundable_minor": {**_COUNT, **_LEFT}},
    "partial_refund_unsupported": {**_PAYMENT, "refundable_minor": {**_COUNT, **_LEFT}},
    "multi_capture_unsupported": _PAYMENT,
    "manual_capture_unsupported": _ORDER,
    "nothing_pending": _PAYMENT,
    "nothing_to_void": _PAYMENT,
    "nothing_to_invoice": _ORDER,
    "nothing_to_report": _ORDER,
    "order_paid": _ORDER,
    "payment_busy": _PAYMENT,
    "payment_entries_exceeded": _PAYMENT,
    "payment_not_found": _PAYMENT,
    "payment_pending": {**_ORDER, **_PAYMENT},
    "provider_reports": _PAYMENT,
    "too_many_payments": _ORDER,
    "not_on_sale": {"skus": _SKUS},
    "order_not_found": {"order_id": {**_ID, "description": "The requested order."}},
    "order_state_conflict": {
        "order_id": {**_ID, "description": "The requested order."},
        "order_status": {
            "type": "string",
            "enum": list(ORDER_STATUSES),
            "description": "The order's current status.",
            "examples": ["cancelled"],
        },
    },
    "order_total_exceeded": {
        "total_minor": {**_TEXT, "description": "The total, as text: it may be too large for a number."},
        "limit_minor": {**_COUNT, "description": "The largest total an order may have, in minor units."},
    },
    "product_not_found": {"product_id": {**_ID, "description": "The requested product."}},
    "report_failed": {"reason": {**_TEXT, "description": "Why the report failed, as a stable identifier."}},
    "report_not_ready": {
        "status_url": {**_TEXT, "format": "uri-reference", "description": "The URL of the report's status."}
    },
    "seq_not_reached": {"last_seq": _THE_LOG["last_seq"]},
    "sku_taken": {"sku": _SKU},
    "slug_taken": {"slug": {**_TEXT, "description": "The slug that is taken.", "examples": ["enamel-mug"]}},
    "task_not_dead": {"state": {**_TEXT, "description": "The state of the task.", "examples": ["queued"]}},
    "stock_limit_exceeded": {
        "sku": _SKU,
        "on_hand": {**_COUNT, "description": "Pieces on the shelf.", "examples": [12]},
        "limit": {**_COUNT, "description": "The most pieces that one SKU may have on the shelf."},
    },
    "unknown_category": {"category_id": {**_ID, "description": "The requested category."}},
    "unknown_event_type": {
        "event_types": {"type": "array", "items": _TEXT, "description": "The ones that do not exist."}
    },
    "unknown_sku": {"skus": _SKUS},
    "variant_kind_fixed": {"sku": _SKU},
    "variant_not_found": {"sku": _SKU},
    "version_conflict": _VERSIONS,
    "webhook_address_refused": {"host": {**_TEXT, "description": "The host that is not public."}},
    "webhook_not_found": {"webhook_id": {**_ID, "description": "The requested endpoint."}},
}
"""Members by code."""


def members_of(code: str) -> set[str]:
    """The members that a problem with this code may have, besides those of all problems."""
    return {*OF_REFUSALS, *OF_SIGNING_IN, *MEMBERS.get(code, ())}


def properties() -> dict[str, dict[str, Any]]:
    """All members as properties of one schema; each names the codes that it belongs to."""
    found: dict[str, dict[str, Any]] = {name: dict(said) for name, said in {**OF_REFUSALS, **OF_SIGNING_IN}.items()}
    codes: dict[str, list[str]] = {}
    for code, members in MEMBERS.items():
        for name, said in members.items():
            found.setdefault(name, dict(said))
            codes.setdefault(name, []).append(code)
    for name, those in codes.items():
        with_codes = ", ".join(f"`{code}`" for code in those)
        found[name]["description"] = f"{found[name]['description']} With {with_codes}."
    return {name: copy.deepcopy(said) for name, said in found.items()}  # copies, because callers modify them


def example(code: str) -> dict[str, Any]:
    """Example values for the members of a code."""
    return {name: said["examples"][0] for name, said in MEMBERS.get(code, {}).items() if "examples" in said}
