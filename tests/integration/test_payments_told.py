"""Reports by a provider that do not match our requests, and which of them are believed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import pytest
from click import ClickException
from click.testing import CliRunner

from domain.orders import CancelOrder
from domain.payments.amounts import Amounts
from domain.payments.commands import (
    CapturePayment,
    RefundPayment,
    ReportPayment,
    VoidPayment,
)
from ops.cli.payments import compare, reconcile
from runtime.outside import Refused
from runtime.payments.provider import Attempt, Report
from runtime.payments.sandbox import Sandbox
from runtime.payments.stripe_reports import PAYMENT_KEY, reports_of_event
from tests.integration.till import PROVIDER, Till


async def test_a_request_that_the_provider_does_not_take_has_failed(till: Till) -> None:
    order = await till.order()
    payment_id = await till.paid(order.order_id, "card+no_such_mood")
    assert await till.status(payment_id) == "failed"
    assert await till.status(await till.paid(order.order_id)) == "charged"
    await till.floor.verified()


@pytest.mark.parametrize("verb", ["create", "capture", "refund"])
async def test_a_repetition_refused_as_already_done_counts_as_done(
    till: Till, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    """The answer was lost, and the provider has forgotten the idempotency key when the request is repeated."""
    does = getattr(Sandbox, verb)

    async def refused(*said: Any, **more: Any) -> None:
        await does(*said, **more)
        raise Refused("It was done already.")

    monkeypatch.setattr(Sandbox, verb, refused)
    order = await till.order()
    payment_id = await till.paid(order.order_id, capture="manual")
    about = (order.order_id, payment_id)
    assert await till.applied(CapturePayment(*about, till.id_beside(payment_id), 300)) == "applied"
    await till.run()
    assert await till.applied(RefundPayment(*about, till.id_beside(payment_id), 100, "Broken")) == "applied"
    await till.run()
    assert await till.amounts(payment_id) == Amounts(authorized=300, charged=300, refunded=100)
    assert await till.floor.order_status(order.order_id) == "confirmed"
    await till.verified()


@pytest.mark.parametrize("charged_too", [True, False])
async def test_a_payment_that_was_made_twice_at_the_provider_is_a_difference(
    till: Till, monkeypatch: pytest.MonkeyPatch, charged_too: bool
) -> None:
    payment_id = await till.paid((await till.order()).order_id)
    history = Sandbox.history

    async def twice(sandbox: Sandbox, since: datetime) -> AsyncIterator[Report]:
        async for report in history(sandbox, since):
            yield report
            entries = report.entries if charged_too else ()
            yield msgspec.structs.replace(report, provider_reference="another", entries=entries)

    monkeypatch.setattr("ops.cli.payments.settings", lambda: till.tasks.config)
    run = partial(CliRunner().invoke, reconcile, ["sandbox"])
    assert (await asyncio.to_thread(run)).exit_code == 0
    monkeypatch.setattr(Sandbox, "history", twice)
    ended = await asyncio.to_thread(run)
    named = (await till.row(payment_id))["provider_reference"]
    assert f"{payment_id}: 2 payments at the provider, {named}, another" in ended.output
    more = f"{payment_id}: charged GBP 6.00 at the provider, GBP 3.00 here"
    assert (ended.exit_code, more in ended.output) == (1, charged_too)


async def test_what_is_paid_while_the_provider_lists_its_ledger_is_no_difference(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = [await till.order(), await till.order()]
    history = Sandbox.history

    async def meanwhile(sandbox: Sandbox, since: datetime) -> AsyncIterator[Report]:
        listed = [report async for report in history(sandbox, since)]
        payment_id = await till.paid(orders.pop().order_id)
        assert payment_id not in {report.payment_id for report in listed}
        for report in listed:
            yield report

    monkeypatch.setattr(Sandbox, "history", meanwhile)
    day, config = timedelta(days=1), till.tasks.config
    assert await compare(config, "sandbox", day, settling=timedelta()) == ([], 0)
    up_to_tomorrow = -day
    (charged, *_), _ = await compare(config, "sandbox", day, settling=up_to_tomorrow)
    assert "charged GBP 0.00 at the provider, GBP 3.00 here" in charged


async def test_a_provider_whose_staff_report_has_no_ledger_to_reconcile(till: Till) -> None:
    with pytest.raises(ClickException, match="invoice has no ledger of its own"):
        await compare(till.tasks.config, "invoice", timedelta(days=1), settling=timedelta())


async def test_a_payment_s_amounts_in_lists_and_the_end_of_its_order_are_verified(till: Till) -> None:
    order = await till.order()
    payment_id = await till.pays(order.order_id, method=None)
    assert await till.applied(CancelOrder(order.order_id)) == "applied"
    await till.run()
    await till.verified()
    pool = till.floor.pool
    for spoil, mend in (
        ("refunded_minor = refunded_minor + 1", "refunded_minor = refunded_minor - 1"),
        ("is_pending = NOT is_pending", "is_pending = NOT is_pending"),
        ("order_ended_at = NULL", "order_ended_at = now()"),
    ):
        await pool.execute(f"UPDATE payments SET {spoil}")
        with pytest.raises(AssertionError, match=f"payments.*{payment_id}"):
            await till.floor.verified()
        await pool.execute(f"UPDATE payments SET {mend}")
    await till.verified()


async def test_after_a_webhook_that_tells_of_a_failure_another_payment_is_made_and_the_first_is_asked_about_once(
    till: Till, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step failed. The provider ends what failed when it is asked, so it is asked although nothing is pending."""
    order = await till.order()
    payment_id = await till.pays(order.order_id, method=None)
    await till.run()
    said = {
        "object": "payment_intent",
        "id": "pi_1",
        "status": "requires_payment_method",
        "amount": 300,
        "currency": "gbp",
        "capture_method": "automatic",
        "created": int(time.time()),
        "metadata": {PAYMENT_KEY: str(payment_id)},
        "last_payment_error": {"code": "payment_intent_authentication_failure"},
    }
    (report,) = reports_of_event({"type": "", "created": int(time.time()) + 1, "data": {"object": said}})
    command = ReportPayment(order.order_id, payment_id, report.currency, report.entries)
    assert await till.applied(command, PROVIDER) == "applied"
    assert await till.status(payment_id) == "failed"
    asked, ask = [], Sandbox.ask

    async def noted(sandbox: Sandbox, attempt: Attempt) -> Report:
        asked.append(attempt.payment_id)
        told = await ask(sandbox, attempt)
        return msgspec.structs.replace(told, entries=report.entries)

    monkeypatch.setattr(Sandbox, "ask", noted)
    before = await till.events(payment_id)
    for _ in range(2):
        await till.tasks.make_due()
        await till.run()
    assert (asked, await till.events(payment_id)) == ([payment_id], before)
    assert await till.tasks.task(f"ask:{payment_id}") is None
    assert await till.status(await till.paid(order.order_id)) == "charged"
    assert await till.floor.order_status(order.order_id) == "confirmed"


async def test_where_the_buyer_has_to_go_is_in_the_payment_s_row_only_and_while_it_is_so(till: Till) -> None:
    """Stripe's URL, for one, has a secret in it."""
    order = await till.order()
    payment_id = await till.pays(order.order_id, method=None)
    await till.run()
    row = await till.row(payment_id)
    assert row["action_url"] == f"{till.sandbox.url}/pay/{row['provider_reference']}"
    said = "SELECT data::text AS said FROM events WHERE subject = $1"
    recorded = "SELECT encode(request, 'escape') AS said FROM commands"
    kept = [each["said"] for each in await till.tasks.pool.fetch(said, str(payment_id))]
    kept += [each["said"] for each in await till.tasks.pool.fetch(recorded)]
    kept += [
        row["entries"],
        *(each["said"] for each in await till.tasks.pool.fetch("SELECT t::text AS said FROM tasks t")),
    ]
    assert any(row["provider_reference"] in each for each in kept)
    assert not [each for each in kept if "/pay/" in each]
    await till.floor.verified()
    assert await till.applied(VoidPayment(order.order_id, payment_id, till.id_beside(payment_id))) == "applied"
    assert (await till.row(payment_id))["action_url"] is not None
    await till.run()
    assert (await till.row(payment_id))["action_url"] is None
    await till.floor.verified()
