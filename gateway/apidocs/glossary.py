"""What the words of the API mean. A word means the same thing wherever it stands, so it is explained once, here, for
every schema, event and parameter that does not explain it itself; where it means something of its own, the name of the
schema stands before it. Values that are a closed set are listed the same way.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from domain.catalogue import PRODUCT_STATUSES
from domain.jobs import FAILED, JOB_KINDS, SUCCEEDED
from domain.model import COMMANDS, EVENTS
from domain.money import CURRENCIES
from domain.orders import ORDER_STATUSES
from domain.roles import ACCOUNT_ROLES, ROLES, SCOPES_OF_ROLE
from domain.sessions import REUSED, SIGNED_OUT
from domain.webhooks import choices
from gateway.realtime.messages import ERROR_CODES
from gateway.web.problems import STATUS_OF_CODE
from runtime.metrics import UNREADABLE_COMMAND_TYPE
from runtime.records import ACCEPTED, OUTCOME_STATUSES

_WORDS: Final[Mapping[str, str]] = {
    # Whose, which, when.
    "id": "Its id; ids are UUIDs, those of the log and of deliveries numbers.",
    "accepted_at": "When the command was durable.",
    "account_id": "The account.",
    "actor": "The principal who asked for it, or the part of Tidegate that did.",
    "applied_at": "When the command was applied; null while it waits.",
    "at": "When it happened.",
    "command_id": "The command; `/api/v1/commands/{command_id}` says what became of it.",
    "created_at": "When it was made.",
    "created_by": "The principal who made it.",
    "customer_id": "The principal whose order it is: an account's id, or a guest's name for this one order.",
    "expires_at": "Until when it is good.",
    "failed_at": "When it was put aside.",
    "finished_at": "When it ended; null until then.",
    "job_id": "The job: a report or an import.",
    "key_id": "The API key.",
    "last_used_at": "When it was last used, to the minute or so; null if it never was.",
    "next_attempt_at": "When it is tried next; null when nothing is due.",
    "order_id": "The order.",
    "placed_at": "When the order was placed.",
    "principal": "Who asked: an account's id, an API key's name for itself, or a guest's for one order.",
    "product_id": "The product.",
    "report_id": "The report.",
    "import_id": "The import.",
    "requested_at": "When it was asked for.",
    "requested_by": "The principal who asked for it.",
    "session_id": "The session: one sign-in.",
    "time": "When it was applied (RFC 3339, UTC, microseconds).",
    "updated_at": "When it was last changed.",
    "user_id": "The account.",
    "webhook_id": "The endpoint.",
    # Lists.
    "after": "The seq behind which to begin.",
    "cursor": "The `next_cursor` of the page before.",
    "items": "What is on this page, in the order that the operation names.",
    "last_seq": "The seq of the last event here, to ask behind next; what was asked behind if there is none.",
    "log": "Which log a seq is of: the UUID in `source` of its events, to be handed back with the seq.",
    "limit": "How many on a page; cut to the page's bound.",
    "next_cursor": "Where the next page begins; null on the last.",
    "page": "Which page, from 1.",
    "total": "How many there are on all pages.",
    "total_is_exact": "Whether `total` is all of them, or where counting stopped.",
    # The catalogue.
    "active": "Whether it is in use. A variant that is not is not for sale; a paused webhook is delivered nothing.",
    "attributes": "What tells a product's variants apart, by name.",
    "barcode": "The code on the package, as text.",
    "category_id": "The category that it hangs in; null for none.",
    "children": "The categories right below it.",
    "compare_at_minor": "The price that it is shown reduced from, in minor units.",
    "currency": "ISO 4217.",
    "description": "What is told of it.",
    "name": "What it is called.",
    "on_sale": "Whether it can be ordered: it and its product are active.",
    "parent_id": "The category above; null at the top.",
    "position": "Sorts it among its siblings, lowest first.",
    "price_minor": "Per piece, in the minor units of `currency`.",
    "product_status": "The product's status at that moment.",
    "sku": "Stock keeping unit: the code of one variant.",
    "slug": "Its name in addresses: lower case letters, digits and hyphens.",
    "title": "What tells the variant apart, for people.",
    "variants": "Its variants, each a SKU with a price.",
    "version": "Counts its changes; it is the entity tag, too.",
    "weight_grams": "What one piece weighs, in grams.",
    # Stock and orders.
    "ShelfView.available": "Pieces that can be ordered; ten is ten or more.",
    "available": "Pieces that can be ordered: on hand and not reserved.",
    "change": "Pieces more, or fewer if it is below zero.",
    "confirmed": "Whether it was confirmed before; its pieces were sold then.",
    "email": "An e-mail address.",
    "lines": "What was ordered: SKUs, how many of each, and at which price.",
    "on_hand": "Pieces on the shelf.",
    "quantity": "How many pieces.",
    "reason": "Why.",
    "reference": "The delivery's own number, if it has one.",
    "reserved": "Pieces on the shelf that are promised to orders.",
    "total_minor": "What all lines cost together, in the minor units of `currency`.",
    "unit_price_minor": "What one piece cost when the order was applied, in minor units.",
    # Accounts, sessions, keys.
    "access_token": "The bearer token, for minutes.",
    "current_password": "The password until now.",
    "development": "Whether it was made in development; production takes none of it.",
    "epoch": "Counts what ends all sessions of the account, as a new password does.",
    "expires_in": "Seconds that the access token is good for.",
    "generation": "Counts the refreshes of the session.",
    "grant_type": "How one signs in; there is one way.",
    "guest_token": "The bearer token that speaks for this one order of a guest; told this once.",
    "key": "The API key itself: told this once.",
    "keys": "The keys, as JWKs.",
    "new_password": "The password from now on.",
    "password": "The password.",
    "refresh_token": "Good for one refresh, which gives the next one.",
    "refreshed_at": "When the session was last refreshed.",
    "revoked": "Whether it is refused.",
    "role": "What its holder is; roles include those before them.",
    "scope": "What the token allows, with spaces between.",
    "scopes": "What it allows.",
    "token": "A bearer token.",
    "token_type": "How the token is sent: in the Authorization header, behind `Bearer`.",
    "username": "The account's e-mail address.",
    # Commands and the log.
    "command": "The type of the command.",
    "commandid": "The command that it came of.",
    "data": "The event's own members, by its type.",
    "datacontenttype": "What `data` is.",
    "entry": "What lay in the mailbox, base64; null if it holds a secret.",
    "entry_id": "Its place in the mailbox.",
    "first_command_id": "The command that had the same idempotency key first.",
    "lost": "What the entry lacks, because it is private: fields of the command; `*` if nobody can read it.",
    "mailbox": "The number of the mailbox.",
    "outcome": "The data of the event at `seq`: what was done, or why not; null while it waits.",
    "particulars": "The refusal's own members: those of the problem with this code.",
    "request": "What was asked for, without secrets.",
    "seq": "The place in the log: without gaps, in the order of what happened.",
    "source": "The installation that it happened in.",
    "specversion": "The version of CloudEvents.",
    "status_url": "Where to ask what became of it.",
    "subject": "What it happened to: an id, a SKU, or the command itself.",
    # Jobs.
    "applied": "Rows that changed something; in a dry run, that would.",
    "attempts": "How often it was begun.",
    "before": "What it was, or is in a dry run; long texts are cut.",
    "by": "What the sums are made by.",
    "categories_created": "Categories that paths named and the shop lacked.",
    "changed": "Rows that changed a product, a variant or a count; in a dry run, that would.",
    "changes": "What the row changes of what is there, column by column.",
    "column": "The column to blame; null if there is none.",
    "created": "Rows that made a product or a variant; in a dry run, that would.",
    "dry_run": "Whether it only says what would become of each row.",
    "encoding": "How the file's bytes are read as text.",
    "errors_kept": "How many of the rejected rows can be listed.",
    "errors_url": "Where the rejected rows are.",
    "failure": "Why it failed; null if it did not.",
    "fate": "What became of the row; in a dry run, what would.",
    "format": "The format of the file.",
    "from": "The first day.",
    "ignored_columns": "The columns of the file that nobody reads.",
    "kind": "The kind of job or report.",
    "left_aside": "Rows that are not for this shop: of another language, or of a kind that it does not have.",
    "line": "The line of the file, from 1.",
    "params": "What was asked for.",
    "progress": "How much is done, from 0 to 1.",
    "rejected": "Rows that could not be applied.",
    "report": "What the report is about.",
    "result_url": "Where the result is; null until it is there, and when it has expired.",
    "rows": "How many rows; of an import, those read so far.",
    "rows_url": "Where the rows are, each with what became of it.",
    "run": "Which run of the job finished it; 0 for none yet.",
    "separator": "What stands between the cells of the file; null of lines of JSON, and until it is known.",
    "size_bytes": "How large the file is.",
    "statuses": "Orders that now have one of these statuses are counted.",
    "summary": "What came of it.",
    "time_zone": "The time zone in which days begin, by its IANA name.",
    "unchanged": "Rows that said nothing new.",
    # Webhooks.
    "attempt": "Which try of this event it was, from 1.",
    "delivered": "Whether the endpoint took it, with 2xx.",
    "delivery": "How far the endpoint is.",
    "owner": "Whose rights the endpoint delivers with: the principal who last left it active, or had it go on.",
    "ownership": "Whose rights it delivers with from now on; null if that is as it was.",
    "disabled_reason": "Why it was disabled; null if it was not.",
    "duration_ms": "How long the try took, in milliseconds.",
    "error": "Why it was not delivered; null if it was.",
    "event_type": "The type of the event.",
    "event_types": "Which events are delivered: types, `order.*` for all of a noun, `*` for all.",
    "failing_since": "Since when the event that is due has failed; null if it has not.",
    "failures": "How often the event that is due was tried in vain.",
    "from_seq": "The event to go on from.",
    "lag": "How many events the log has behind `position`.",
    "last_error": "Why the last try failed; null if it did not.",
    "overlap_until": "Until when the former secret signs, too.",
    "previous_secret_until": "Until when the former secret signs beside the new one; null if it does not.",
    "secret": "What deliveries are signed with, in Standard Webhooks' form: told once; null in repetitions.",
    "url": "Where events are delivered.",
    # Problems.
    "code": "What is the matter, as a stable word.",
    "detail": "What is the matter, as a sentence.",
    "errors": "The parts of the request that are not valid, and why.",
    "pointer": "Where: a JSON Pointer (RFC 6901) into the body, or `/query`, `/path` and the name.",
    # Health.
    "postgres": "Whether Postgres answers.",
    "redis": "Whether Redis answers.",
    # The feed.
    "events": "The events, in order.",
    "stats": "The figures.",
    "subscription": "The subscription that it is about.",
    "topics": "The topics of the subscription.",
    "cancelled_per_minute": "Orders cancelled in the last minute.",
    "confirmed_per_minute": "Orders confirmed in the last minute.",
    "events_per_minute": "Events of the last minute, of every type.",
    "expired_per_minute": "Orders that expired in the last minute.",
    "orders_last_second": "Orders placed in the last second.",
    "orders_per_minute": "Orders placed in the last minute.",
    "refused_orders_per_minute": "Orders that were refused in the last minute.",
    "rejections": "Refused commands of the last minute, by code.",
    "revenue_minor_per_minute": "What the orders of the last minute cost, in minor units by currency.",
    "accept_to_commit_ms": "How long commands of the last minute took from accepted to committed, in milliseconds.",
    "backlog": "Commands that wait in all mailboxes; null while that cannot be seen.",
    "low": "SKUs on sale of which few are left, the most urgent first.",
    "low_skus": "Of how many SKUs few are left.",
    "missed_skus": "SKUs for want of which orders were refused.",
    "orders": "How many orders.",
    "p50": "Half took no longer; null where nothing happened.",
    "p99": "Of a hundred, ninety-nine took no longer; null where nothing happened.",
    "past": "How the ten minutes before went; with the first figures of a subscription alone.",
    "pieces": "Pieces ordered in the last minute.",
    "shelf": "What runs low.",
    "sold_out_skus": "Of how many SKUs none are left.",
    "top_skus": "What was ordered most.",
    "window_seconds": "How far back the figures look, in seconds.",
    # What a word means in one place only.
    "AcceptedView.id": "What the command is about, or will create.",
    "AccountView.active": "Whether its owner may sign in.",
    "Authenticated.expires_at": "Until when the token is good, in seconds of Unix time.",
    "CommandView.id": "The command.",
    "CommandView.status": "`accepted` while it waits; then what became of it.",
    "CommandView.type": "What was asked for.",
    "DeliveryStateView.position": "The seq up to which all was delivered.",
    "DeliveryView.seq": "The event.",
    "DeliveryView.status": "The HTTP status of the answer; null if there was none.",
    "Error.id": "The `id` of the message that was refused.",
    "HealthView.status": "`degraded`: reads or writes are refused; `unavailable`: both.",
    "InvalidPartView.type": "The kind of mistake, as a stable word.",
    "OrderBody.email": "Where mail about this order goes: a guest must give one; a customer's own is in the account.",
    "OrderBody.lines": "What to order.",
    "OrderView.email": "Where mail about this order goes; null for the account's own address.",
    "ProblemView.status": "The HTTP status.",
    "ProblemView.title": "The code, as words.",
    "ProblemView.type": "The code, as a URI.",
    "PlacedView.email": "Where mail about this order goes; null for the account's own address.",
    "status": "How it stands.",
    "type": "What happened.",
    "Figures.at": "When, in seconds of Unix time.",
    "Figures.seq": "The last event that is counted.",
    "Heartbeat.seq": "All up to here was sent: it is safe to resume from there.",
    "Past.at": "The moments, in seconds of Unix time, oldest first.",
    "Past.orders_per_minute": "At each of the moments.",
    "Past.revenue_minor_per_minute": "At each of the moments, by currency.",
}


@lru_cache(maxsize=1)
def _sets() -> Mapping[str, Sequence[str]]:
    """The closed sets of values; asked for when all rules are registered."""
    return {
        "currency": sorted(CURRENCIES),
        "role": ACCOUNT_ROLES,
        "scopes": sorted(frozenset().union(*SCOPES_OF_ROLE.values())),
        "event_type": sorted(EVENTS),
        "event_types": choices(),
        "product_status": PRODUCT_STATUSES,
        "command": [*sorted(kind.__name__ for kind in COMMANDS), UNREADABLE_COMMAND_TYPE],
        "kind": JOB_KINDS,
        "specversion": ("1.0",),
        "datacontenttype": ("application/json",),
        "token_type": ("bearer",),
        "grant_type": ("password",),
        "Error.code": ERROR_CODES,
        "Authenticated.role": ROLES,
        "CommandView.status": (ACCEPTED, *OUTCOME_STATUSES),
        "CommandView.type": [*sorted(kind.__name__ for kind in COMMANDS), UNREADABLE_COMMAND_TYPE],
        "HealthView.status": ("ready", "degraded", "unavailable"),
        "HappeningView.type": [name for name in sorted(EVENTS) if name.startswith("order.")],
        "OrderView.status": ORDER_STATUSES,
        "PlacedView.status": ORDER_STATUSES,
        "ProblemView.code": sorted(STATUS_OF_CODE),
        "ProductItem.status": PRODUCT_STATUSES,
        "ProductView.status": PRODUCT_STATUSES,
        "command.rejected.code": sorted(STATUS_OF_CODE),
        "job.finished.status": (SUCCEEDED, FAILED),
        "product.changed.status": PRODUCT_STATUSES,
        "product.created.status": PRODUCT_STATUSES,
        "session.closed.reason": (SIGNED_OUT, REUSED),
    }


def meaning(word: str, of: str = "") -> str | None:
    """What the word means; `of` is the schema, event type or operation that it stands in."""
    return _WORDS.get(f"{of}.{word}", _WORDS.get(word))


def explain(name: str, schema: dict[str, Any]) -> None:
    """Adds to the schema of an object what is known of its properties' words; what it says itself stays."""
    sets = _sets()
    for word, said in schema.get("properties", {}).items():
        if "description" not in said and (told := meaning(word, name)) is not None:
            said["description"] = told
        values = sets.get(f"{name}.{word}", sets.get(word))
        if values is not None:
            _close(said, values)


def _close(schema: dict[str, Any], values: Sequence[str]) -> None:
    """Lists the values where the schema has any text."""
    if schema.get("type") == "string" and not schema.keys() & {"enum", "const"}:
        schema["enum"] = list(values)
    for inner in schema.get("anyOf", ()):
        _close(inner, values)
    if "items" in schema:
        _close(schema["items"], values)
