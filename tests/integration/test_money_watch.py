"""Money that waits is seen: payments that are pending, payments without an order, open checkouts; and how providers
answer."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from functools import partial
from uuid import UUID

import msgspec
import pytest
from prometheus_client import REGISTRY

from domain.checkouts import CancelCheckout
from domain.model import Command
from domain.orders import CancelOrder
from domain.payments.amounts import Change
from domain.payments.commands import RefundPayment
from gateway.realtime.statistics.figures import Waiting
from gateway.realtime.statistics.waiting import WaitingWatch
from gateway.views import payments as payment_views
from gateway.views.waiting import Waits, waits
from ops.ports import free_port
from runtime.engine import VIEW_FAILED, create_engine
from tests.integration.background import until
from tests.integration.shopfloor import ANN, STAFF
from tests.integration.till import Till
from workers.money_watch import MoneyWatch

PENDING = "tidegate_payments_pending"
OLDEST = "tidegate_payments_pending_oldest_seconds"
ORPHANED = "tidegate_payments_orphaned"
CALLS = "tidegate_provider_call_seconds_count"


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


def pending() -> dict[tuple[str, str], float]:
    """How many payments are pending, by provider and by whom they wait for."""
    told = [each for family in REGISTRY.collect() for each in family.samples if each.name == PENDING and each.value]
    return {(each.labels["provider"], each.labels["waits_for"]): each.value for each in told}


async def ago(till: Till, table: str, row_id: UUID, how_long: timedelta, column: str = "updated_at") -> None:
    """Moves a row's moments this far into the past."""
    await till.tasks.pool.execute(
        f"UPDATE {table} SET {column} = now() - $1::interval WHERE id = $2",
        how_long,
        row_id,
    )


async def waiting(till: Till) -> Waits:
    engine = create_engine(till.floor.database_url, pool_size=1)
    try:
        async with engine.connect() as connection:
            return await waits(connection)
    finally:
        await engine.dispose()


async def orphaned_payment(till: Till) -> UUID:
    order = await till.order()
    payment_id = await till.paid(order.order_id)
    assert await till.applied(CancelOrder(order.order_id), STAFF) == "applied"
    await till.run()
    return payment_id


def refund(till: Till, payment: dict[str, UUID]) -> Command:
    order_id, payment_id = (UUID(int=payment[name].int) for name in ("order_id", "id"))
    return RefundPayment(order_id, payment_id, till.id_beside(payment_id), 300, "The order is no more")


async def test_pending_payments_are_counted_by_whom_they_wait_for(till: Till) -> None:
    watch = MoneyWatch(till.tasks.pool)
    silent = await till.pays((await till.order()).order_id)
    await watch.look()
    assert pending() == {("sandbox", "provider"): 1}
    await ago(till, "payments", silent, timedelta(hours=2))
    invoiced = await till.pays((await till.order()).order_id, method=None, provider="invoice")
    await ago(till, "payments", invoiced, timedelta(days=3))
    await watch.look()
    assert pending() == {("sandbox", "provider"): 1, ("invoice", "staff"): 1}
    assert sample(OLDEST, provider="sandbox", waits_for="provider") == pytest.approx(7_200, abs=60)
    on_the_board = await waiting(till)
    assert on_the_board.pending_payments == 1
    assert on_the_board.oldest_pending_seconds == pytest.approx(7_200, abs=60)

    await till.run()
    await till.pays((await till.order()).order_id, method=None)
    await till.run()
    await watch.look()
    assert pending() == {("sandbox", "buyer"): 1, ("invoice", "staff"): 1}
    assert sample(OLDEST, provider="sandbox", waits_for="provider") == 0


async def test_orphaned_payments_are_seen_with_their_age_until_they_are_refunded(till: Till) -> None:
    watch = MoneyWatch(till.tasks.pool)
    kept = await till.paid((await till.order()).order_id)
    await watch.look()
    assert (sample(ORPHANED), sample(f"{ORPHANED}_oldest_seconds")) == (0, 0)

    payment_id = await orphaned_payment(till)
    row = await till.row(payment_id)
    order = await till.tasks.pool.fetchrow("SELECT updated_at FROM orders WHERE id = $1", row["order_id"])
    seen = await _views(till)
    assert (seen[kept].orphaned_since, seen[payment_id].orphaned_since) == (None, order["updated_at"])
    await ago(till, "payments", payment_id, timedelta(hours=3), "order_ended_at")
    await watch.look()
    assert sample(ORPHANED) == 1
    assert sample(f"{ORPHANED}_oldest_seconds") == pytest.approx(10_800, abs=60)

    assert await till.applied(refund(till, row)) == "applied"
    await watch.look()
    assert sample(ORPHANED) == 0, "it is on its way back"
    await till.run()
    await watch.look()
    assert (sample(ORPHANED), sample(f"{ORPHANED}_oldest_seconds")) == (0, 0)
    assert (await _views(till))[payment_id].orphaned_since is None
    assert await _changes(till, payment_id) == [Change("GBP", 300, 0), Change("GBP", 0, 300)]


async def _changes(till: Till, payment_id: UUID) -> list[Change]:
    """What the log says of the payment's money."""
    told = "SELECT data::json->'change' FROM events WHERE subject = $1 AND type = 'payment.reported' ORDER BY seq"
    found = [row[0] for row in await till.tasks.pool.fetch(told, str(payment_id))]
    return [msgspec.json.decode(change, type=Change) for change in found if change not in (None, "null")]


async def _views(till: Till) -> dict[UUID, payment_views.PaymentView]:
    engine = create_engine(till.floor.database_url, pool_size=1)
    try:
        async with engine.connect() as connection:
            page = await payment_views.newest(connection, None, None, 50, orphaned=False)
    finally:
        await engine.dispose()
    return {payment.id: payment for payment in page.items}


async def test_open_checkouts_are_counted(till: Till) -> None:
    watch = MoneyWatch(till.tasks.pool)
    first, second = [await till.checkout() for _ in range(2)]
    await watch.look()
    assert sample("tidegate_checkouts_open") == 2
    await ago(till, "checkouts", first, timedelta(minutes=11))
    assert await waiting(till) == Waits(0, None, 2, 1)
    assert await till.applied(CancelCheckout(second), ANN) == "applied"
    await watch.look()
    assert sample("tidegate_checkouts_open") == 1
    assert await waiting(till) == Waits(0, None, 1, 0)


async def test_the_last_known_figures_are_shown_during_a_new_look(till: Till) -> None:
    """The board would flicker otherwise, most of all when a query takes long."""
    await till.checkout()
    engine = create_engine(till.floor.database_url, pool_size=1)
    try:
        watch = WaitingWatch(engine)
        assert watch.known is None
        await watch.look()
        assert watch.known == Waiting(0, None, 1, 1)
        async with till.tasks.pool.acquire() as holder, holder.transaction():
            await holder.execute("LOCK TABLE checkouts IN ACCESS EXCLUSIVE MODE")
            looking = asyncio.create_task(watch.look())
            await until(partial(_somebody_waits_for_a_lock, till))
            assert watch.known == Waiting(0, None, 1, 1)
        await looking
        assert watch.known == Waiting(0, None, 1, 1)
    finally:
        await engine.dispose()
    nowhere = create_engine(f"postgresql://nobody@127.0.0.1:{free_port()}/nothing", pool_size=1)
    gone = WaitingWatch(nowhere)
    gone.known = watch.known
    with pytest.raises(VIEW_FAILED):
        await gone.look()
    assert gone.known is None
    await nowhere.dispose()


async def _somebody_waits_for_a_lock(till: Till) -> bool:
    waits_for = "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND relation = 'checkouts'::regclass)"
    return bool(await till.tasks.pool.fetchval(waits_for))


async def test_calls_of_payment_providers_are_timed_by_result(till: Till) -> None:
    def counted() -> dict[tuple[str, str], float]:
        told = [each for family in REGISTRY.collect() for each in family.samples if each.name == CALLS]
        return {
            (each.labels["operation"], each.labels["result"]): each.value
            for each in told
            if each.labels["provider"] == "sandbox"
        }

    before = counted()
    order = await till.order()
    declined = await till.paid(order.order_id, "card+decline")
    assert await till.status(declined) == "failed"
    payment_id = await till.paid(order.order_id, "card+lose_answer")
    await till.tasks.make_due()
    await till.run()
    assert await till.status(payment_id) == "charged"
    grown = {key: value - before.get(key, 0) for key, value in counted().items() if value != before.get(key, 0)}
    assert grown == {("create", "answered"): 2, ("create", "unknown"): 1}
