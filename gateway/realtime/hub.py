"""The hub of one gateway process: passes every event of the tail to every subscription that it belongs to.
Subscriptions to the same addresses share an audience: its events are selected once, encoded once, and put into the send
queues of all. A resuming subscription reads the log up to where the hub is, and joins without a gap or a repeat.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final, Protocol

import msgspec
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from gateway.realtime.packets import Packet, encode, packets
from gateway.realtime.tail import Tail
from gateway.realtime.topics import LOG, addresses_of, narrow
from gateway.realtime.turns import Replay, Turns
from gateway.views import log
from gateway.views.narrow import Narrow, Page
from gateway.views.narrow import read as read_narrow
from runtime.metrics import FEED_BROADCAST_SECONDS
from runtime.records import CHUNK_MAX_EVENTS, EventRecord

_PAGE_EVENTS: Final = 2_000

_log = logging.getLogger(__name__)


class Deliver(Protocol):
    """Takes events that are new (`live`), or past ones for which there is `Room`."""

    def __call__(self, packet: Packet, *, live: bool) -> None: ...


Room = Callable[[], Awaitable[None]]


class FellBehind(Exception):
    """While the log was being read, more new events came in than may wait: the subscription is too slow."""


class Audience:
    """All subscriptions to the same addresses."""

    def __init__(self, addresses: frozenset[str]) -> None:
        self.addresses = addresses
        self.narrow = narrow(addresses)
        self.subscriptions: set[Subscription] = set()
        self.gathering: list[tuple[int, str]] = []

    def sees(self, record: EventRecord) -> bool:
        """Whether the event belongs to any of the addresses."""
        return any(address in self.addresses for address in _addresses(record))


def _addresses(record: EventRecord) -> Iterable[str]:
    """The addresses that the event belongs to. An unreadable event must not keep others from arriving."""
    try:
        return list(addresses_of(record))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        _log.exception("event %d (%s) cannot be read; it goes only to the topic `%s`", record.seq, record.type, LOG)
        return (LOG,)


class Subscription:
    """One subscription: its audience, and where its packets go. Its events up to `seq` have been delivered."""

    __slots__ = ("_deliver", "_held", "_live", "audience", "left", "replay", "seq")

    def __init__(self, audience: Audience, deliver: Deliver) -> None:
        self.audience = audience
        self.seq = 0
        self.left = False
        self.replay: Replay | None = None
        self._live = False
        self._deliver = deliver
        self._held: list[Packet] | None = None

    @property
    def up_to_date(self) -> bool:
        """Whether everything handed on so far has been delivered."""
        return self._live and self._held is None

    @property
    def held(self) -> tuple[int, int]:
        """How many events it holds back, and their bytes."""
        held = self._held or ()
        return sum(len(packet.bodies) for packet in held), sum(packet.size for packet in held)

    def go_live(self) -> None:
        """From now on, it gets new events."""
        self._live = True

    def take(self, packet: Packet) -> None:
        """Delivers or holds back the part of the packet after `seq`."""
        if self._held is not None:
            self._held.append(packet)
        else:
            self._pass_on_news(packet, live=True)

    def pass_on(self, packet: Packet, *, live: bool) -> None:
        """Delivers a packet that begins after `seq`."""
        self.seq = packet.seq
        self._deliver(packet, live=live)

    def _pass_on_news(self, packet: Packet, *, live: bool) -> None:
        if not self.left and (news := packet.after(self.seq)) is not None:
            self.pass_on(news, live=live)

    def hold(self) -> None:
        """Holds new events back."""
        self._held = []

    def release(self) -> None:
        """Delivers the events held back, and continues with new ones."""
        held, self._held = self._held or [], None
        for packet in held:
            self._pass_on_news(packet, live=False)

    def end_replay(self) -> None:
        """Its past has been read, or is no longer wanted."""
        if self.replay is not None:
            self.replay.end()

    def leave(self) -> None:
        """Takes nothing more."""
        self.left = True
        self.end_replay()
        self._live = False
        self._held = None


class Hub:
    """Hands the tail's events to subscriptions."""

    def __init__(self, engine: AsyncEngine, tail: Tail, turns: Turns) -> None:
        self._engine = engine
        self._tail = tail
        self._audiences: dict[frozenset[str], Audience] = {}
        self._by_address: dict[str, set[Audience]] = {}
        self._turns = turns
        tail.watch(self._hand_on)

    @property
    def seq(self) -> int:
        """The seq of the last event handed on."""
        return self._tail.seq

    async def ready(self) -> None:
        """Returns when the tail follows the log."""
        await self._tail.watching.wait()

    def subscription(self, addresses: Iterable[str], deliver: Deliver) -> Subscription:
        """A new subscription, which gets nothing until it is joined or resumed."""
        key = frozenset(addresses)
        return Subscription(self._audiences.get(key) or Audience(key), deliver)

    def join(self, subscription: Subscription) -> None:
        """From now on, the subscription gets new events."""
        audience = self._audiences.setdefault(subscription.audience.addresses, subscription.audience)
        subscription.audience = audience
        subscription.go_live()
        audience.subscriptions.add(subscription)
        for address in audience.addresses:
            self._by_address.setdefault(address, set()).add(audience)

    def admit(self, subscription: Subscription, after: int, principal: str) -> None:
        """Counts a replay as long if it takes more than a page of the whole log. Raises TooManyReplays."""
        if subscription.audience.narrow is None and self.seq - after > _PAGE_EVENTS:
            subscription.replay = self._turns.begin(principal)

    async def resume(
        self, subscription: Subscription, after: int, room: Room, *, max_events: int, max_bytes: int
    ) -> None:
        """Delivers the log after `after`, and then joins; stops if the subscription leaves meanwhile. `room` is awaited
        before each packet. Raises what a view raises; NotThisLog if the rest is archived or replaced meanwhile; and
        FellBehind if more than `max_events` or `max_bytes` came in while the last page was being read."""
        subscription.seq = after
        try:
            joined = False
            while not joined:
                page, joined = await self._next_page(subscription)
                if not await self._deliver(subscription, page, room):
                    return
            await room()
            events, size = subscription.held
            if events > max_events or size > max_bytes:
                raise FellBehind
            subscription.release()
        finally:
            subscription.end_replay()

    async def _next_page(self, subscription: Subscription) -> tuple[Page, bool]:
        """A page of the log after the subscription's seq, and whether the subscription has joined because this is the
        last page. After joining, new events are held back until that page is delivered. Waiting for a turn to read may
        take long, so it joins only when its turn has come."""
        wanted, joined = subscription.audience.narrow, False
        async with self._turns.turn(whole_log=wanted is None), self._engine.connect() as connection:
            after, until, identity = subscription.seq, self.seq, self._tail.branches.identity
            if subscription.left:
                return Page([], after), joined
            if until - after <= _PAGE_EVENTS:
                subscription.hold()
                self.join(subscription)
                joined = True
            if until <= after:
                return Page([], after), joined
            page = await self._read_page(connection, wanted, after, until)
            await log.check_read(connection, after, identity)
            return page, joined

    async def _read_page(self, connection: AsyncConnection, wanted: Narrow | None, after: int, until: int) -> Page:
        if wanted is not None:
            return await read_narrow(connection, wanted, after, until, _PAGE_EVENTS)
        records = await log.read(connection, after, min(until - after, _PAGE_EVENTS))
        self._turns.spend(len(records))
        return Page(records, records[-1].seq if records else until)

    async def _deliver(self, subscription: Subscription, page: Page, room: Room) -> bool:
        """Delivers the subscription's part of a page; False if the subscription has left."""
        records = page.records
        while records and not subscription.left:
            part, records = records[:CHUNK_MAX_EVENTS], records[CHUNK_MAX_EVENTS:]
            seen = [
                (record.seq, encode(record, self._tail.branches))
                for record in part
                if subscription.audience.sees(record)
            ]
            for packet in packets(seen):
                await room()
                if subscription.left:
                    return False
                subscription.pass_on(packet, live=False)
            subscription.seq = part[-1].seq
        if not subscription.left:
            subscription.seq = page.seq
        return not subscription.left

    def leave(self, subscription: Subscription) -> None:
        """Ends a subscription; repeating it does no harm."""
        audience = subscription.audience
        audience.subscriptions.discard(subscription)
        subscription.leave()
        if not audience.subscriptions and self._audiences.get(audience.addresses) is audience:
            del self._audiences[audience.addresses]
            for address in audience.addresses:
                self._by_address[address].discard(audience)
                if not self._by_address[address]:
                    del self._by_address[address]

    def _hand_on(self, records: Sequence[EventRecord]) -> None:
        if self._audiences:
            with FEED_BROADCAST_SECONDS.time():
                self._broadcast(records)

    def _broadcast(self, records: Sequence[EventRecord]) -> None:
        hit: set[Audience] = set()
        for record in records:
            audiences = {audience for address in _addresses(record) for audience in self._by_address.get(address, ())}
            if audiences:
                event = record.seq, encode(record, self._tail.branches)
                for audience in audiences:
                    audience.gathering.append(event)
                hit |= audiences
        for audience in hit:
            gathered, audience.gathering = audience.gathering, []
            for packet in packets(gathered, records[0].occurred_at):
                for subscription in list(audience.subscriptions):
                    subscription.take(packet)
