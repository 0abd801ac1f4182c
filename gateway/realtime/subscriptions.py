"""The subscriptions of one socket, by name: what each has been sent, whether another may be added, and the replay of
those that resume.
"""

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable, Collection
from functools import partial
from typing import NamedTuple

from gateway.realtime.hub import FellBehind, Subscription
from gateway.realtime.messages import SOCKET_TOPICS_MAX, SUBSCRIPTIONS_MAX
from gateway.realtime.parts import Parts
from gateway.realtime.send_queue import Lane, SendQueue
from gateway.realtime.statistics.stats import Watcher
from gateway.realtime.topics import STATS, TopicRefused
from gateway.server.closing import INTERNAL_ERROR, NOT_THIS_LOG, TOO_SLOW, TRY_LATER, Closing
from gateway.views.log import NotThisLog
from runtime.engine import VIEW_FAILED
from runtime.metrics import FEED_RESUMED_EVENTS, FEED_RESUMES

_log = logging.getLogger(__name__)


class _Served(NamedTuple):
    subscription: Subscription
    lane: Lane


class Subscriptions:
    """The subscriptions of one socket. Events go into `queue`, figures to `watcher`. `failed` is called if a replay
    cannot be read, or if the socket falls behind during it."""

    def __init__(self, parts: Parts, queue: SendQueue, watcher: Watcher, failed: Callable[[Closing], object]) -> None:
        self._parts = parts
        self._queue = queue
        self._watcher = watcher
        self._failed = failed
        self._served: dict[str, _Served] = {}
        self._stats: set[str] = set()
        self._to_resume: deque[Subscription] = deque()
        self._resuming: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._served)

    def __contains__(self, name: str) -> bool:
        return name in self._served

    @property
    def lanes(self) -> list[Lane]:
        """The lane of each subscription."""
        return [lane for _, lane in self._served.values()]

    @property
    def seq(self) -> int:
        """Every event of every subscription up to this seq is sent, or is in the send queue."""
        handed_on = self._parts.hub.seq
        # A subscription that begins after a future event is ahead of the hub.
        return min(
            (max(handed_on, s.seq) if s.up_to_date else s.seq for s, _ in self._served.values()), default=handed_on
        )

    @property
    def resume_from(self) -> int:
        """The seq up to which every subscription has certainly been sent everything."""
        return min((lane.sent for lane in self.lanes), default=self._parts.hub.seq)

    def check_room(self, name: str, topics: Collection[str]) -> None:
        """Raises TopicRefused if there is no room for a subscription of that name."""
        if name in self._served:
            raise TopicRefused("subscription_exists", f"The subscription `{name[:100]}` already exists: end it first.")
        if len(self._served) >= SUBSCRIPTIONS_MAX:
            raise TopicRefused("too_many_subscriptions", f"A socket has at most {SUBSCRIPTIONS_MAX} subscriptions.")
        if len(topics) + sum(len(s.audience.addresses) for s, _ in self._served.values()) > SOCKET_TOPICS_MAX:
            raise TopicRefused("too_many_topics", f"A socket has at most {SOCKET_TOPICS_MAX} topics.")

    def add(self, name: str, addresses: Collection[str], after: int, principal: str) -> None:
        """Adds a subscription to what follows the seq `after`; nothing is sent until `start`. Raises TooManyReplays."""
        lane = Lane(json.dumps(name), after)
        subscription = self._parts.hub.subscription(addresses, partial(self._queue.put, lane))
        self._parts.hub.admit(subscription, after, principal)
        if STATS in addresses:
            self._stats.add(name)
            self._parts.stats.watch(self._watcher, name)
        subscription.seq = after
        self._served[name] = _Served(subscription, lane)

    def start(self, name: str) -> None:
        """Sends the subscription's replay, and then new events. A socket's replays run one after another, so that they
        take the memory of one. Does nothing if the socket has ended meanwhile."""
        if name not in self._served:
            return
        subscription = self._served[name].subscription
        if subscription.seq >= self._parts.hub.seq:
            self._parts.hub.join(subscription)
            return
        self._to_resume.append(subscription)
        if self._resuming is None:
            self._resuming = asyncio.create_task(self._resume_all())

    def remove(self, name: str) -> None:
        """Ends a subscription."""
        self._parts.hub.leave(self._served.pop(name).subscription)
        if name in self._stats:
            self._stats.discard(name)
            self._parts.stats.unwatch(self._watcher, name)

    def clear(self) -> None:
        """Ends all subscriptions."""
        for name in list(self._served):
            self.remove(name)
        self._to_resume.clear()

    async def _resume_all(self) -> None:
        config = self._parts.config
        try:
            while self._to_resume:
                subscription = self._to_resume.popleft()
                if not subscription.left:
                    FEED_RESUMED_EVENTS.observe(max(0, self._parts.hub.seq - subscription.seq))
                    await self._parts.hub.resume(
                        subscription,
                        subscription.seq,
                        self._queue.flushed,
                        max_events=config.socket_queue_max_events,
                        max_bytes=config.socket_queue_max_bytes,
                    )
                    FEED_RESUMES.labels("left" if subscription.left else "replayed").inc()
        except FellBehind:
            FEED_RESUMES.labels("fell_behind").inc()
            self._failed(Closing(TOO_SLOW, f"too slow; resume after {self.resume_from}"))
        except NotThisLog as error:
            FEED_RESUMES.labels("not_this_log").inc()
            self._failed(Closing(NOT_THIS_LOG, error.code))
        except VIEW_FAILED:
            FEED_RESUMES.labels("unavailable").inc()
            self._failed(Closing(TRY_LATER, f"the log cannot be read now; resume after {self.resume_from}"))
        except Exception:
            FEED_RESUMES.labels("failed").inc()
            _log.exception("a replay failed unexpectedly")
            self._failed(Closing(INTERNAL_ERROR, "internal_error"))
        finally:
            self._resuming = None
