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
    "accepted_at": "When the command became durable.",
    "account_id": "The account.",
    "actor": "The principal who asked for it, or the part of Tidegate that did.",
    "applied_at": "When the command was applied; null while it waits.",
    "at": "When it happened.",
    "command_id": "The command; `/api/v1/commands/{command_id}` has its outcome.",
    "created_at": "When it was created.",
    "created_by": "The principal who created it.",
    "customer_id": "The principal whose order it is: an account's id, or a guest's principal for this one order.",
    "expires_at": "When it expires.",
    "failed_at": "When it was dead-lettered.",
    "finished_at": "When it ended; null until then.",
    "job_id": "The job: a report or an import.",
    "key_id": "The API key.",
    "last_used_at": "When it was last used, to the minute; null if never.",
    "next_attempt_at": "When it is tried next; null when nothing is due.",
    "order_id": "The order.",
    "placed_at": "When the order was placed.",
    "principal": "Who is acting: an account's id, an API key's principal, or a guest's for one order.",
    "product_id": "The product.",
    "report_id": "The report.",
    "import_id": "The import.",
    "requested_at": "When it was requested.",
    "requested_by": "The principal who requested it.",
    "session_id": "The session: one sign-in.",
    "time": "When it was applied (RFC 3339, UTC, microseconds).",
    "updated_at": "When it was last changed.",
    "user_id": "The account.",
    "webhook_id": "The endpoint.",
    # Lists.
    "after": "The seq after which to begin.",
    "cursor": "The `next_cursor` of the previous page.",
    "items": "The items of this page, in the order that the operation names.",
    "last_seq": "The seq of the last event here, to continue after; the requested one if there are none.",
    "log": "The log a seq belongs to: the UUID in its events' `source`, to be sent back with the seq.",
    "limit": "How many items a page has; capped at the maximum page size.",
    "next_cursor": "Where the next page begins; null on the last.",
    "page": "The page's number, from 1.",
    "total": "The number of items on all pages.",
    "total_is_exact": "Whether `total` is exact, or where counting stopped.",
    # The catalogue.
    "active": "Whether it is in use. An inactive variant is not for sale; a paused webhook gets no deliveries.",
    "attributes": "What distinguishes a product's variants, by name.",
    "barcode": "The code on the package, as text.",
    "category_id": "Its category; null for none.",
    "children": "The categories directly below it.",
    "compare_at_minor": "The former price that it is shown as reduced from, in minor units.",
    "currency": "ISO 4217.",
    "description": "Its description.",
    "name": "Its name.",
    "on_sale": "Whether it can be ordered: it and its product are active.",
    "parent_id": "The category above; null at the top.",
    "position": "Sorts it among its siblings, lowest first.",
    "price_minor": "Per piece, in the minor units of `currency`.",
    "product_status": "The product's status at that moment.",
    "sku": "Stock keeping unit: the code of one variant.",
    "slug": "Its name in URLs: lower case letters, digits and hyphens.",
    "title": "What distinguishes the variant, in words.",
    "variants": "Its variants, each a SKU with a price.",
    "version": "Counts its changes; also its entity tag.",
    "weight_grams": "The weight of one piece, in grams.",
    # Stock and orders.
    "ShelfView.available": "Pieces that can be ordered; ten means ten or more.",
    "available": "Pieces that can be ordered: on hand and not reserved.",
    "change": "Pieces added; negative if removed.",
    "confirmed": "Whether it had been confirmed, and its pieces sold.",
    "email": "An e-mail address.",
    "lines": "What was ordered: SKUs, quantities and prices.",
    "on_hand": "Pieces on the shelf.",
    "quantity": "How many pieces.",
    "reason": "The reason.",
    "reference": "The delivery's own number, if it has one.",
    "reserved": "Pieces on the shelf that are reserved for orders.",
    "total_minor": "The total of all lines, in the minor units of `currency`.",
    "unit_price_minor": "The price of one piece when the order was applied, in minor units.",
    # Accounts, sessions, keys.
    "access_token": "The bearer token, valid for minutes.",
    "current_password": "The current password.",
    "development": "Whether it was created in development mode; production refuses it.",
    "epoch": "Incremented by whatever ends all sessions of the account, such as a new password.",
    "expires_in": "How many seconds the access token is valid.",
    "generation": "Counts the session's refreshes.",
    "grant_type": "How to sign in; there is only one way.",
    "guest_token": "The bearer token for this one order of a guest; shown this once.",
    "key": "The API key itself; shown this once.",
    "keys": "The keys, as JWKs.",
    "new_password": "The new password.",
    "password": "The password.",
    "refresh_token": "Valid for one refresh, which returns the next one.",
    "refreshed_at": "When the session was last refreshed.",
    "revoked": "Whether it has been revoked.",
    "role": "Its holder's role; each role includes those before it.",
    "scope": "What the token allows, separated by spaces.",
    "scopes": "What it allows.",
    "token": "A bearer token.",
    "token_type": "How the token is sent: in the Authorization header, after `Bearer`.",
    "username": "The account's e-mail address.",
    # Commands and the log.
    "command": "The type of the command.",
    "commandid": "The command that caused it.",
    "data": "The event's own members, by its type.",
    "datacontenttype": "The media type of `data`.",
    "entry": "The mailbox entry, base64; null if it holds a secret.",
    "entry_id": "Its place in the mailbox.",
    "first_command_id": "The first command with the same idempotency key.",
    "lost": "What was removed from the entry because it is private: fields of the command; `*` if unreadable.",
    "mailbox": "The number of the mailbox.",
    "outcome": "The outcome: of a command, the data of the event at `seq` (null while it waits); of an import's row, a"
    " word (in a dry run, what it would be).",
    "particulars": "The rejection's own members: those of the problem with this code.",
    "request": "The command's fields, without secrets.",
    "seq": "The place in the log: gapless, in commit order.",
    "source": "The log that it belongs to.",
    "specversion": "The version of CloudEvents.",
    "status_url": "Where to ask for its status.",
    "subject": "What it happened to, or what a task is for: an id, a SKU, or the command itself.",
    # Jobs.
    "applied": "Rows that changed something; in a dry run, that would have.",
    "attempts": "How often it was started.",
    "before": "The value before, or now in a dry run; long texts are cut.",
    "by": "How the sums are grouped.",
    "categories_created": "Categories that were named in paths and did not exist.",
    "changed": "Rows that changed a product, a variant or a count; in a dry run, that would have.",
    "changes": "What the row changes, by column.",
    "column": "The column at fault; null if there is none.",
    "created": "Rows that created a product or a variant; in a dry run, that would have.",
    "dry_run": "Whether nothing is applied, and each row only says what it would do.",
    "encoding": "The character encoding of the file.",
    "errors_kept": "How many of the rejected rows can be listed.",
    "errors_url": "The URL of the rejected rows.",
    "failure": "Why it failed; null if it did not.",
    "format": "The format of the file.",
    "from": "The first day.",
    "ignored_columns": "Columns of the file that are not used.",
    "kind": "The kind of job, report or task.",
    "left_aside": "Rows that are not for this shop: in another language, or of a kind it does not have.",
    "line": "The line of the file, from 1.",
    "params": "The parameters of the request.",
    "progress": "The fraction done, from 0 to 1.",
    "rejected": "Rows that could not be applied.",
    "report": "What the report covers.",
    "result_url": "Where the result is; null until it exists, and after it has expired.",
    "rows": "The number of rows; for an import, those read so far.",
    "rows_url": "The URL of the rows, each with its outcome.",
    "run": "The run of the job that finished it; 0 for none yet.",
    "separator": "What separates the cells of the file; null for JSON Lines, and until it is known.",
    "size_bytes": "The size of the file.",
    "statuses": "Orders that now have one of these statuses are counted.",
    "summary": "The job's results.",
    "time_zone": "The time zone in which days begin, by its IANA name.",
    "unchanged": "Rows that changed nothing.",
    # Webhooks.
    "attempt": "The number of the attempt, from 1.",
    "delivered": "Whether the endpoint accepted it, with 2xx.",
    "delivery": "The delivery state of the endpoint.",
    "owner": "The principal whose rights the endpoint delivers with: the last one to leave it active or resume it.",
    "ownership": "With whose rights it delivers from now on; null if unchanged.",
    "disabled_reason": "Why it was disabled; null if it was not.",
    "duration_ms": "How long the attempt took, in milliseconds.",
    "error": "Why it was not delivered; null if it was.",
    "event_type": "The type of the event.",
    "event_types": "The event types delivered: names, `order.*` for all types of a kind, `*` for all.",
    "failing_since": "Since when the due event has been failing; null if it has not.",
    "failures": "How many attempts for the due event have failed.",
    "from_seq": "The event to continue from.",
    "lag": "How many events the log has after `position`.",
    "last_error": "Why the last attempt failed; null if it did not.",
    "task_id": "The task.",
    "subject_id": "What the task is for: an id, such as a job's.",
    "payload": "What the task needs to know besides its subject: ids and numbers.",
    "created_seq": "The seq of the event that led to the task.",
    "due_at": "When it may be run next.",
    "blocked": "Whether an earlier task of the same subject is not done yet.",
    "running": "Whether it is being run now.",
    "runs": "How often it was started.",
    "state": "Whether it is waiting to run or has been given up.",
    "overlap_until": "Until when the previous secret also signs.",
    "previous_secret_until": "Until when the previous secret also signs; null if it does not.",
    "secret": "What deliveries are signed with, in the form of Standard Webhooks; shown once, null in repetitions.",
    "url": "Where events are delivered.",
    # Problems.
    "code": "A stable code for the error.",
    "detail": "The error in a sentence.",
    "errors": "The parts of the request that are not valid, and why.",
    "pointer": "Where: a JSON Pointer (RFC 6901) into the body, or `/query`, `/path` and the name.",
    # Health.
    "postgres": "Whether Postgres answers.",
    "redis": "Whether Redis answers.",
    # The feed.
    "events": "The events, in order.",
    "stats": "The figures.",
    "subscription": "The subscription it belongs to.",
    "topics": "The topics of the subscription.",
    "cancelled_per_minute": "Orders cancelled in the last minute.",
    "confirmed_per_minute": "Orders confirmed in the last minute.",
    "events_per_minute": "Events of all types in the last minute.",
    "expired_per_minute": "Orders that expired in the last minute.",
    "orders_last_second": "Orders placed in the last second.",
    "orders_per_minute": "Orders placed in the last minute.",
    "refused_orders_per_minute": "Orders refused in the last minute.",
    "rejections": "Commands rejected in the last minute, by code.",
    "revenue_minor_per_minute": "The total of the orders of the last minute, in minor units by currency.",
    "accept_to_commit_ms": "The time from accepted to committed, of the commands of the last minute, in milliseconds.",
    "backlog": "Commands waiting in all mailboxes; null while that cannot be read.",
    "low": "SKUs on sale that run low, the most urgent first.",
    "low_skus": "How many SKUs run low.",
    "missed_skus": "SKUs whose shortage made orders fail.",
    "orders": "The number of orders.",
    "p50": "The median; null if nothing happened.",
    "p99": "The 99th percentile; null if nothing happened.",
    "past": "The ten minutes before; only with the first figures of a subscription.",
    "pieces": "Pieces ordered in the last minute.",
    "shelf": "What is running low.",
    "sold_out_skus": "How many SKUs are sold out.",
    "top_skus": "The best sellers.",
    "window_seconds": "How far back the figures look, in seconds.",
    # What a word means in one place only.
    "AcceptedView.id": "What the command changes or creates.",
    "AccountView.active": "Whether its owner may sign in.",
    "Authenticated.expires_at": "When the token expires, in seconds of Unix time.",
    "CommandView.id": "The command.",
    "CommandView.status": "`accepted` while it waits; then its outcome.",
    "CommandView.type": "The type of the command.",
    "DeliveryStateView.position": "The seq up to which everything was delivered.",
    "DeliveryView.seq": "The event.",
    "DeliveryView.status": "The HTTP status of the response; null if there was none.",
    "Error.id": "The `id` of the message that was refused.",
    "HealthView.status": "`degraded`: reads or writes are refused; `unavailable`: both.",
    "InvalidPartView.type": "The kind of error, as a stable word.",
    "OrderBody.email": "Where mail about this order goes: guests must give one, customers have theirs in the account.",
    "OrderBody.lines": "What to order.",
    "OrderView.email": "Where mail about this order goes; null for the account's own address.",
    "ProblemView.status": "The HTTP status.",
    "ProblemView.title": "The code, in words.",
    "ProblemView.type": "The code, as a URI.",
    "PlacedView.email": "Where mail about this order goes; null for the account's own address.",
    "status": "Its status.",
    "type": "What happened.",
    "Figures.at": "When, in seconds of Unix time.",
    "Figures.seq": "The last event counted.",
    "Heartbeat.seq": "Everything up to here has been sent: it is safe to resume from there.",
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
        "job.finished.kind": JOB_KINDS,
        "job.requested.kind": JOB_KINDS,
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
