"""Writes and publishes events as a worker would, for sections that measure only the receivers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import asyncpg
import msgspec

from domain.ids import new_id
from runtime.database import asyncpg_dsn
from runtime.feed import EVENTS_CHANNEL, Publisher
from runtime.records import EventRecord, encode, moment


class Log:
    """Writes events as a worker would, and publishes them. It runs an event loop of its own."""

    def __init__(self, database_url: str, redis_url: str) -> None:
        self._runner = asyncio.Runner()
        self._connection = self._runner.run(asyncpg.connect(asyncpg_dsn(database_url)))
        self._redis_url = redis_url
        self._last: int = self._runner.run(self._connection.fetchval("SELECT last_seq FROM event_counter"))
        self._publisher = self._runner.run(self._connect())

    async def _connect(self) -> Publisher:
        return Publisher(self._redis_url)

    def __enter__(self) -> Log:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._publisher.close())
        self._runner.run(self._connection.close())
        self._runner.close()

    def write(self, count: int) -> list[EventRecord]:
        """Commits this many events."""
        records = records_from(self._last + 1, count)
        self._last += count
        self._runner.run(self._write(records))
        return records

    def tell(self, records: Sequence[EventRecord], *, committed: float | None = None) -> None:
        """Publishes the events; with the moment of their commit, if given."""
        if committed is not None:
            data = msgspec.Raw(msgspec.json.encode({"committed": committed}))
            records = [msgspec.structs.replace(record, data=data) for record in records]
        self._runner.run(self._publish(encode(records)))

    async def _publish(self, message: str) -> None:
        await self._publisher.publish([(EVENTS_CHANNEL, message)])
        await self._publisher.flush()

    async def _write(self, records: Sequence[EventRecord]) -> None:
        async with self._connection.transaction():
            await self._connection.copy_records_to_table(
                "events",
                records=[
                    (r.seq, r.type, r.subject, r.command_id, r.actor, moment(r.occurred_at), bytes(r.data).decode())
                    for r in records
                ],
                columns=("seq", "type", "subject", "command_id", "actor", "occurred_at", "data"),
            )
            await self._connection.execute("UPDATE event_counter SET last_seq = $1", records[-1].seq)


def records_from(first: int, count: int) -> list[EventRecord]:
    """Placed orders of two lines, as event records."""
    now_ms = time.time_ns() // 1_000_000
    order_id = new_id(now_ms, first % 4096, first)
    lines = [{"sku": str(1_000_000 + n), "quantity": 2, "unit_price_minor": 250} for n in range(2)]
    said = {"order_id": order_id, "customer_id": "c1", "currency": "GBP", "total_minor": 1000, "lines": lines}
    data = msgspec.Raw(msgspec.json.encode({**said, "email": None}))
    return [
        EventRecord(seq, "order.placed", str(order_id), order_id, "c1", now_ms * 1000, data)
        for seq in range(first, first + count)
    ]
