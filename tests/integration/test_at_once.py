"""Small batches are decided without a lock, and written in one statement if nothing has changed in between."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from domain import tasks
from domain.accounts import CreateAccount
from domain.catalogue import CreateProduct, ProductFields
from domain.checkouts import ChangeCheckout, OpenCheckout
from domain.completion import CompleteCheckout
from domain.invoices import DrawUpInvoices, Seller
from domain.model import Personal, Secret, Wanted
from domain.orders import ConfirmOrder, FulfilOrder, OrderPlaced
from domain.payments.commands import CreatePayment, ReportPayment
from domain.payments.entries import Entry
from domain.payments.payment import Capabilities
from domain.quote.places import Area
from domain.quote.terms.taxes import Taxes, TaxPolicy, TaxRate
from domain.tasks import NewTask
from domain.terms import TAXES, StateTerms, part_name
from tests.integration.background import until
from tests.integration.gates import gate_before
from tests.integration.shopfloor import ANN, PRICE_MINOR, STAFF, Shopfloor, retries
from workers import batch, loading
from workers.apply import Applier
from workers.runs import AT_ONCE_MAX_COMMANDS, Run

_WITHIN_SECONDS = 10.0


@asynccontextmanager
async def _between(monkeypatch: pytest.MonkeyPatch, do: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Runs `do` after the first batch in the block has looked, and before it writes."""
    look, done = loading.look, False

    async def look_first(*arguments: Any) -> Any:
        nonlocal done
        looked = await look(*arguments)
        if not done:
            done = True
            await do()
        return looked

    monkeypatch.setattr(batch, "look", look_first)
    yield
    monkeypatch.setattr(batch, "look", look)
    assert done, "no batch was tried at once"


async def _run(floor: Shopfloor, *mailboxes: int) -> tuple[Applier, Run]:
    """The commands that wait in these mailboxes, and an applier for them."""
    applier = Applier(floor.pool, floor.publisher, floor.inbox.fence)
    positions, _ = await applier.positions(mailboxes)
    found = await floor.inbox.read_each(positions, 10)
    return applier, Run(positions, [(mailbox, entry) for mailbox in mailboxes for entry in found[mailbox]])


async def test_orders_are_placed_and_refused_in_one_statement(
    floor: Shopfloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    await floor.fill(MUG=3, LAMP=100)
    posted = await floor.post_all(floor.place(number % 4, MUG=1, LAMP=1) for number in range(5))
    keyed = await floor.post(floor.place(0, LAMP=1), key="k")
    with monkeypatch.context() as patched:
        patched.setattr(Applier, "_transact", None)
        await floor.drain()
    assert sorted(await floor.statuses([*posted, keyed])) == ["applied"] * 4 + ["rejected: insufficient_stock"] * 2
    await floor.verified()


async def test_their_tasks_are_written_in_the_same_statement(floor: Shopfloor, monkeypatch: pytest.MonkeyPatch) -> None:
    await floor.fill(MUG=10)
    posted = await floor.post_all(floor.place(number % 4, MUG=1) for number in range(3))

    def one_each(event: OrderPlaced) -> list[NewTask]:
        return [NewTask("of a test", event.subject(), {}, 0.0)]

    monkeypatch.setitem(tasks._SCHEDULERS, OrderPlaced, one_each)  # type: ignore[misc]  # of any type of event
    with monkeypatch.context() as patched:
        patched.setattr(Applier, "_transact", None)
        await floor.drain()
    rows = await floor.pool.fetch(
        "SELECT t.subject = e.subject, e.type FROM tasks t JOIN events e ON seq = created_seq"
    )
    assert [tuple(row) for row in rows] == [(True, "order.placed")] * len(posted)
    await floor.verified()


async def test_a_checkout_its_payment_and_its_invoice_are_each_written_in_one_statement(
    floor: Shopfloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    await floor.fill(MUG=10)
    checkout_id, order_id, payment_id = (floor.new_id(0) for _ in range(3))
    lines = (Wanted("MUG", 2),)
    payment = CreatePayment(order_id, payment_id, "sandbox", Capabilities(), method="card")
    paid = Entry("charge_success", str(payment_id), 2 * PRICE_MINOR, datetime.now(UTC))
    steps = (
        OpenCheckout(checkout_id),
        ChangeCheckout(checkout_id, lines=lines, note=Personal("Ring twice.")),
        CompleteCheckout(checkout_id, order_id, lines, 2 * PRICE_MINOR, payment=payment),
        ReportPayment(order_id, payment_id, "GBP", (paid,)),
        DrawUpInvoices(order_id, Seller("A shop"), {"MUG": "A mug"}),
        FulfilOrder(order_id),
    )
    with monkeypatch.context() as patched:
        patched.setattr(Applier, "_transact", None)
        for step in steps:
            posted = await floor.post(step, actor=STAFF if isinstance(step, FulfilOrder) else ANN)
            await floor.drain()
            assert await floor.statuses([posted]) == ["applied"], type(step).__name__
    number = await floor.pool.fetchval("SELECT number FROM invoices")
    assert (number, await floor.order_status(order_id)) == ("INV-000001", "fulfilled")
    await floor.verified()


async def test_a_torn_read_is_not_blamed_on_the_message(floor: Shopfloor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a transaction, statements that load one after the other may see different snapshots."""
    await floor.fill(MUG=10)
    posted = await floor.post(floor.place(0, MUG=1))
    decided, torn = batch._decided, True

    def torn_once(*arguments: Any, held: bool) -> Any:
        nonlocal torn
        if torn:
            torn = False
            raise AssertionError("it has no such payment")
        return decided(*arguments, held=held)

    monkeypatch.setattr(batch, "_decided", torn_once)
    await floor.drain()
    assert not torn
    assert await floor.statuses([posted]) == ["applied"]
    assert await floor.dead_letters() == []
    await floor.verified()


async def test_what_another_worker_has_just_done_is_no_fault_of_its_rule(
    floor: Shopfloor, caplog: pytest.LogCaptureFixture
) -> None:
    """A product that is there already is a fault, unless it is the very same command that has made it."""
    posted = await floor.post(CreateProduct(floor.new_id(0), ProductFields("jug", "Jug"), ()))
    applier, run = await _run(floor, 0)
    await floor.drain()
    with caplog.at_level(logging.WARNING):
        await applier.apply(run)
    assert caplog.records == []
    assert await floor.statuses([posted]) == ["applied"]
    assert await floor.dead_letters() == []
    await floor.verified()


async def test_a_batch_gives_way_to_a_holder_of_its_row_that_waits_for_the_counter(floor: Shopfloor) -> None:
    """As an erasure does, which changes the rows of all mailboxes."""
    checkout_id = floor.new_id(0)
    await floor.post(OpenCheckout(checkout_id))
    await floor.drain()
    posted = await floor.post(ChangeCheckout(checkout_id, note=Personal("Ring twice.")))
    gave_way = retries("gave_way")

    async def has_given_way() -> bool:
        return retries("gave_way") > gave_way

    async with floor.pool.acquire() as holder, asyncio.timeout(_WITHIN_SECONDS), holder.transaction():
        await holder.execute("SELECT FROM checkouts WHERE id = $1 FOR UPDATE", checkout_id)
        drained = asyncio.create_task(floor.drain())
        await until(has_given_way)
        await holder.execute("SELECT FROM event_counter FOR UPDATE")
    await drained
    assert await floor.statuses([posted]) == ["applied"]
    await floor.verified()


async def test_a_batch_gives_way_to_an_uncommitted_duplicate_that_waits_for_the_counter(floor: Shopfloor) -> None:
    """As another worker's long batch does, which has made an account for the same address."""
    account = CreateAccount(
        floor.new_id(0), Personal("ada@example.com"), Personal("Ada"), "customer", Secret("x"), confirmed=True
    )
    posted = await floor.post(account, actor=STAFF)
    gave_way = retries("gave_way")

    async def has_given_way() -> bool:
        return retries("gave_way") > gave_way

    async with floor.pool.acquire() as holder, asyncio.timeout(_WITHIN_SECONDS):
        transaction = holder.transaction()
        await transaction.start()
        await holder.execute(
            "INSERT INTO accounts (id, email, name, role, active, epoch, password_hash, created_at, updated_at)"
            " VALUES (gen_random_uuid(), 'ada@example.com', 'Ada', 'customer', true, 0, 'x', now(), now())"
        )
        drained = asyncio.create_task(floor.drain())
        await until(has_given_way)
        await holder.execute("SELECT FROM event_counter FOR UPDATE")
        await transaction.rollback()
    await drained
    assert await floor.statuses([posted]) == ["applied"]
    await floor.verified()


async def test_terms_that_change_in_between_are_heeded(floor: Shopfloor, monkeypatch: pytest.MonkeyPatch) -> None:
    await floor.fill(MUG=10)
    checkout_id, lines = floor.new_id(0), (Wanted("MUG", 1),)
    await floor.post(OpenCheckout(checkout_id, lines=lines))
    await floor.drain()
    posted = await floor.post(CompleteCheckout(checkout_id, floor.new_id(0), lines, PRICE_MINOR))
    taxes = Taxes("GB", rates=(TaxRate("VAT", Area("GB"), "standard", 2_000),), policy=TaxPolicy(included=False))

    async def tax_it() -> None:
        command = StateTerms(part_name(TAXES), taxes=taxes)
        await floor.post(command, actor=STAFF)
        await floor.drain(floor.mailbox_of(command))

    if floor.mailbox_of(StateTerms(part_name(TAXES), taxes=taxes)) == 0:
        raise AssertionError("the terms are in the checkout's mailbox: choose another for it")
    async with _between(monkeypatch, tax_it):
        await floor.drain(0)
    (status,) = await floor.statuses([posted])
    assert status in ("rejected: checkout_changed", "rejected: checkout_incomplete")
    await floor.verified()


async def test_larger_batches_take_locks(floor: Shopfloor, monkeypatch: pytest.MonkeyPatch) -> None:
    await floor.fill(MUG=200)
    floor.batch_max_commands = 2 * AT_ONCE_MAX_COMMANDS
    posted = await floor.post_all(floor.place(number % 4, MUG=1) for number in range(AT_ONCE_MAX_COMMANDS + 1))
    with monkeypatch.context() as patched:
        patched.setattr(Applier, "_at_once", None)
        await floor.drain()
    assert await floor.statuses(posted) == ["applied"] * len(posted)
    await floor.verified()


async def test_a_change_in_between_is_not_overwritten(floor: Shopfloor, monkeypatch: pytest.MonkeyPatch) -> None:
    await floor.fill(MUG=1)
    first, second = floor.place(0, MUG=1), floor.place(1, MUG=1)
    posted = [await floor.post(first)]
    moved = retries("log_moved")

    async def buy_it() -> None:
        posted.append(await floor.post(second))
        await floor.drain(1)

    async with _between(monkeypatch, buy_it):
        await floor.drain(0)
    assert await floor.statuses(posted) == ["rejected: insufficient_stock", "applied"]
    assert retries("log_moved") == moved + 1
    await floor.verified()


async def test_a_mailbox_that_has_moved_on_without_an_event_is_left_alone(
    floor: Shopfloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    await floor.fill(MUG=10)
    posted = await floor.post(floor.place(0, MUG=1))
    await floor.drain(1)

    async def move_on() -> None:
        await floor.pool.execute("UPDATE mailboxes SET position = '99-0' WHERE mailbox = 0")

    applier, run = await _run(floor, 0)
    async with _between(monkeypatch, move_on):
        assert (await applier.apply(run)).positions == {0: "99-0"}
    assert await floor.statuses([posted]) == ["not recorded"]
    await floor.pool.execute("UPDATE mailboxes SET position = $1 WHERE mailbox = 0", run.positions[0])
    await floor.drain()
    assert await floor.statuses([posted]) == ["applied"]
    await floor.verified()


async def test_a_held_mailbox_is_not_waited_for(floor: Shopfloor) -> None:
    await floor.fill(MUG=10)
    posted = [await floor.post(floor.place(mailbox, MUG=1)) for mailbox in (0, 1)]
    async with floor.pool.acquire() as holder, asyncio.timeout(_WITHIN_SECONDS), holder.transaction():
        await holder.execute("SELECT FROM mailboxes WHERE mailbox = 0 FOR UPDATE")
        applier, run = await _run(floor, 0, 1)
        assert (await applier.apply(run)).positions.keys() == {1}
    assert await floor.statuses(posted) == ["not recorded", "applied"]
    await floor.drain()
    assert await floor.statuses(posted) == ["applied"] * 2
    await floor.verified()


async def test_what_is_to_be_changed_and_is_gone_by_then_is_noticed(
    floor: Shopfloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody deletes it by hand. Pieces would be sold that no row counts, or an event tell of an order that nobody
    finds."""
    await floor.fill(MUG=10, LAMP=10)
    kept, lost = floor.place(0, MUG=1), floor.place(0, LAMP=1)
    await floor.post_all([kept])
    await floor.drain()
    gone = retries("row_gone")
    for command, deletion, refused in (
        (lost, "DELETE FROM stock WHERE sku = 'LAMP'", "insufficient_stock"),
        (FulfilOrder(kept.order_id), "DELETE FROM orders", "order_not_found"),
    ):
        if isinstance(command, FulfilOrder):
            await floor.post(ConfirmOrder(kept.order_id), actor=STAFF)
            await floor.drain()
        posted = await floor.post(command, actor=STAFF)
        async with _between(monkeypatch, partial(floor.pool.execute, deletion)):
            await floor.drain(0)
        assert await floor.statuses([posted]) == [f"rejected: {refused}"]
    assert retries("row_gone") == gone + 2


async def test_a_row_altered_by_hand_causes_no_dead_letter(floor: Shopfloor, monkeypatch: pytest.MonkeyPatch) -> None:
    await floor.fill(MUG=10)
    posted = await floor.post(floor.place(0, MUG=1))

    async def lose_them() -> None:
        await floor.pool.execute("UPDATE stock SET on_hand = 0 WHERE sku = 'MUG'")

    async with _between(monkeypatch, lose_them):
        await floor.drain()
    assert await floor.statuses([posted]) == ["rejected: insufficient_stock"]
    assert await floor.dead_letters() == []
    await floor.pool.execute("UPDATE stock SET on_hand = 10 WHERE sku = 'MUG'")
    await floor.verified()


async def test_a_worker_that_dies_in_the_middle_has_changed_nothing(floor: Shopfloor) -> None:
    await floor.fill(MUG=10)
    posted = await floor.post_all(floor.place(number % 4, MUG=1) for number in range(8))
    async with gate_before(floor.database_url, "commands", holds=1) as gate:
        dying = asyncio.create_task(floor.work())
        await gate.wait_for(1)
        await gate.cut_off()
        await dying
        await gate.open()
    await floor.drain()
    assert await floor.statuses(posted) == ["applied"] * 8
    await floor.verified()


async def test_a_repeated_command_is_told_from_the_first(floor: Shopfloor) -> None:
    await floor.fill(MUG=10)
    await floor.post(floor.place(0, MUG=1), key="k")
    await floor.drain()
    again = await floor.post(floor.place(1, MUG=1), key="k")
    await floor.drain()
    assert await floor.statuses([again]) == ["repeated"]
    assert await floor.stock("MUG") == (10, 1)
    await floor.verified()
