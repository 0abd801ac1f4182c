"""The closed sets of values by field name, for `gateway/apidocs/glossary.py`. A set that applies to one schema only is
under the schema's name, a dot and the field."""

from collections.abc import Mapping, Sequence
from functools import lru_cache

from domain.catalogue import PRODUCT_STATUSES, VARIANT_KINDS
from domain.jobs import FAILED, JOB_KINDS, SUCCEEDED
from domain.model import COMMANDS, EVENTS
from domain.money import CURRENCIES
from domain.orders import ORDER_STATUSES
from domain.quote.basket import GIFT_CARD, STORE_CREDIT
from domain.quote.quoted import TAX_REASONS
from domain.quote.terms.deliveries import METHOD_KINDS
from domain.roles import ACCOUNT_ROLES, ROLES, SCOPES_OF_ROLE
from domain.sessions import REUSED, SIGNED_OUT
from domain.webhooks import choices
from gateway.realtime.messages import ERROR_CODES
from gateway.web.problems import STATUS_OF_CODE
from runtime.metrics import UNREADABLE_COMMAND_TYPE
from runtime.records import ACCEPTED, OUTCOME_STATUSES


@lru_cache(maxsize=1)
def closed_sets() -> Mapping[str, Sequence[str]]:
    """The closed sets of values. Call it once all rules are registered."""
    return {
        "currency": sorted(CURRENCIES),
        "role": ACCOUNT_ROLES,
        "scopes": sorted(frozenset().union(*SCOPES_OF_ROLE.values())),
        "event_type": sorted(EVENTS),
        "event_types": choices(),
        "product_status": PRODUCT_STATUSES,
        "command": [*sorted(kind.__name__ for kind in COMMANDS), UNREADABLE_COMMAND_TYPE],
        "specversion": ("1.0",),
        "datacontenttype": ("application/json",),
        "token_type": ("bearer",),
        "grant_type": ("password",),
        "Error.code": ERROR_CODES,
        "Authenticated.role": ROLES,
        "CommandView.status": (ACCEPTED, *OUTCOME_STATUSES),
        "CommandView.type": [*sorted(kind.__name__ for kind in COMMANDS), UNREADABLE_COMMAND_TYPE],
        "CompletedView.status": ORDER_STATUSES,
        "HealthView.status": ("ready", "degraded", "unavailable"),
        "HappeningView.type": [name for name in sorted(EVENTS) if name.startswith("order.")],
        "OrderView.status": ORDER_STATUSES,
        "PaidByCard.kind": (GIFT_CARD, STORE_CREDIT),
        "PaidByCardView.kind": (GIFT_CARD, STORE_CREDIT),
        "PlacedView.status": ORDER_STATUSES,
        "ProblemView.code": sorted(STATUS_OF_CODE),
        "VariantView.kind": VARIANT_KINDS,
        "product.variant_added.kind": VARIANT_KINDS,
        "product.variant_changed.kind": VARIANT_KINDS,
        "Method.kind": METHOD_KINDS,
        "MethodBody.kind": METHOD_KINDS,
        "DeliveryOptionView.kind": METHOD_KINDS,
        "QuotedDelivery.kind": METHOD_KINDS,
        "QuotedDeliveryView.kind": METHOD_KINDS,
        "TaxLine.reason": TAX_REASONS,
        "TaxLineView.reason": TAX_REASONS,
        "TaxTotal.reason": TAX_REASONS,
        "TaxTotalView.reason": TAX_REASONS,
        "ProductItem.status": PRODUCT_STATUSES,
        "ProductView.status": PRODUCT_STATUSES,
        "command.rejected.code": sorted(STATUS_OF_CODE),
        "job.finished.kind": JOB_KINDS,
        "job.requested.kind": JOB_KINDS,
        "job.finished.status": (SUCCEEDED, FAILED),
        "product.changed.status": PRODUCT_STATUSES,
        "product.created.status": PRODUCT_STATUSES,
        "session.closed.reason": (SIGNED_OUT, REUSED),
    }
