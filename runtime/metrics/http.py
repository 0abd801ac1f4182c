"""HTTP: what clients ask of gateways, and what they are refused."""

from http import HTTPMethod, HTTPStatus
from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from domain.model import COMMANDS
from runtime.metrics.closed import ClosedCounter, ClosedGauge, ClosedHistogram

ROLES: Final = ("gateway",)

REQUEST_SECONDS = ClosedHistogram(
    "tidegate_http_request_seconds",
    "HTTP requests, by route and status.",
    ["method", "route", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
).allow(method=[method.value for method in HTTPMethod], status=[str(status.value) for status in HTTPStatus])
PROBLEMS = ClosedCounter("tidegate_problems_total", "Requests answered with an error, by its code.", ["code"])
ACCEPTED = ClosedCounter(
    "tidegate_commands_accepted_total", "Commands that became durable in a mailbox.", ["type"]
).allow(type=(command_type.__name__ for command_type in COMMANDS))
ACCEPT_DURABLE = Gauge(
    "tidegate_accept_durable",
    "1: Redis has every accepted command on disk before 202 is sent; 0: its settings are weaker, or unknown.",
    multiprocess_mode="livemostrecent",
)
CATALOGUE_PAGES = Counter(
    "tidegate_catalogue_pages_made_total", "Catalogue pages that gateways had to read from Postgres."
)
THROTTLED = ClosedCounter(
    "tidegate_throttled_total", "Requests and attempts refused by rate limiting, by policy.", ["policy"]
)
THROTTLE_LOCAL = Counter(
    "tidegate_throttle_local_total",
    "Requests and attempts that a process limited by itself because Redis was unavailable.",
)
PAYMENT_REPORTS_FOREIGN = Counter(
    "tidegate_payment_reports_foreign_total",
    "Reports from providers about payments that are not ours, which are ignored.",
)
PAYMENT_WEBHOOKS = ClosedCounter(
    "tidegate_payment_webhooks_total",
    "Webhooks of payment providers, by result: `taken`; `signature`: not signed by the provider, or too old; "
    "`unreadable`; `problem`: answered with another error.",
    ["provider", "result"],
).allow(result=("taken", "signature", "unreadable", "problem"))
CONNECTIONS = Gauge("tidegate_connections", "Open connections of clients.", multiprocess_mode="livesum")
CONNECTIONS_REFUSED = ClosedCounter(
    "tidegate_connections_refused_total", "Connections refused, by bound.", ["bound"]
).allow(bound=("all", "address"))
REQUESTS_TIMED_OUT = ClosedCounter(
    "tidegate_requests_timed_out_total",
    "Requests that clients did not send in time, by the part that was awaited.",
    ["part"],
).allow(part=("head", "body"))
POST_SECONDS = Histogram(
    "tidegate_post_seconds",
    "Round trips in which Redis made all waiting commands durable, its disk write included.",
    buckets=(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
POST_QUEUED = Gauge(
    "tidegate_post_queue_commands", "Commands on their way from gateways to Redis.", multiprocess_mode="livesum"
)
WAITS_OPEN = Gauge(
    "tidegate_waits_open", "Requests waiting for the outcome of their command.", multiprocess_mode="livesum"
)
PASSWORDS_ASKED = Gauge(
    "tidegate_passwords_in_progress",
    "Passwords being checked or hashed, or waiting for it.",
    multiprocess_mode="livesum",
)
REPLICA_READS = ClosedCounter(
    "tidegate_replica_reads_total",
    "Reads that may go to a replica, by result; all but `answered` went to the primary.",
    ["result"],
).allow(result=("answered", "distrusted", "not_reached", "failed"))
REPLICA_GATEWAYS = ClosedGauge(
    "tidegate_replica_gateways",
    "Gateway processes that have a replica to read from, by whether they use it.",
    ["trusted"],
    multiprocess_mode="livesum",
).allow(trusted=("yes", "no"))
REPLICA_LAG_EVENTS = Gauge(
    "tidegate_replica_lag_events",
    "Events of the log that the replica lacked when it last answered.",
    multiprocess_mode="livemax",
)
REPLICA_LAG_SECONDS = Gauge(
    "tidegate_replica_lag_seconds",
    "How long the replica had lacked the first of them.",
    multiprocess_mode="livemax",
)
