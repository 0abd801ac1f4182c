"""Feed: WebSockets, event streams and the log's way to them."""

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

from runtime.metrics.closed import ClosedCounter
from runtime.metrics.noted import NotedCounter, NotedHistogram

ROLES: Final = ("gateway",)

SOCKETS = Gauge("tidegate_sockets", "Open WebSockets.", multiprocess_mode="livesum")
SOCKETS_REFUSED = ClosedCounter(
    "tidegate_sockets_refused_total", "WebSockets and event streams refused, by bound.", ["bound"]
).allow(bound=("all", "kind", "address", "principal", "unknown"))
FEED_GAPS = Counter("tidegate_feed_gaps_total", "Times a gateway had to read the log because the feed had a gap.")
FEED_LAG_SECONDS = NotedHistogram(
    "tidegate_feed_lag_seconds",
    "Time from an event's timestamp in the log, just before its commit, until it was handed to a socket or event "
    "stream; of the oldest event in a frame.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
)
FEED_BROADCAST_SECONDS = Histogram(
    "tidegate_feed_broadcast_seconds",
    "Time that a gateway took to put new events into the queues of all their subscribers.",
    buckets=(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1),
)
FEED_FRAMES = NotedCounter("tidegate_feed_frames_sent_total", "Frames sent to sockets and event streams.")
FEED_BYTES = NotedCounter("tidegate_feed_sent_bytes_total", "Bytes of those frames, before compression.")
FEED_RESUMES = ClosedCounter(
    "tidegate_feed_resumes_total",
    "Subscriptions that resumed after an event, by result; `level`: there was nothing to catch up on.",
    ["result"],
).allow(
    result=("level", "replayed", "left", "fell_behind", "too_many_replays", "not_this_log", "unavailable", "failed")
)
FEED_RESUMED_EVENTS = Histogram(
    "tidegate_feed_resumed_events",
    "Events of the log that a subscription had to catch up on when it resumed.",
    buckets=(1, 10, 100, 1_000, 10_000, 100_000, 1_000_000),
)
SOCKETS_CLOSED = ClosedCounter(
    "tidegate_sockets_closed_total",
    "WebSockets and event streams that ended, by the code sent to the client; `gone`: the client left.",
    ["code"],
).allow(code=("gone",))
