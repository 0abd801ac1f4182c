"""Endpoints that fail: they miss nothing, hold up no other endpoint, and are disabled in the end."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import pytest

from domain.webhooks import ChangeWebhook, DeleteWebhook
from tests import receiver as receivers
from tests.integration.couriers import ALL, Couriers, couriers
from tests.integration.shopfloor import Shopfloor
from tests.receiver import Receiver, with_status

FAILING: Final = {
    "hangs": receivers.hangs,
    "answers_500": with_status(500),
    "answers_302": with_status(302, Location="/elsewhere"),
    "fails_with_an_endless_body": receivers.fails_endlessly,
    "closes_the_connection": receivers.closes,
    "talks_nonsense": receivers.talks_nonsense,
}


@pytest.mark.parametrize("failing", FAILING)
async def test_a_failing_receiver_holds_up_no_other_and_misses_nothing(
    courier: Couriers, receiver: Receiver, other: Receiver, failing: str
) -> None:
    receiver.answer = FAILING[failing]
    bad = await courier.register(receiver.url)
    good = await courier.register(other.url)
    seqs = await courier.happen(5)
    await other.has(5)
    assert [event["seq"] for event in other.events(good.secret)] == seqs
    state = await courier.has_failed(bad, 2)
    assert state["position"] < seqs[0]
    receiver.answer = with_status(200)
    failed_first = len(receiver.received)
    await receiver.has(failed_first + 5)
    assert [event["seq"] for event in receiver.events(bad.secret)[-5:]] == seqs
    assert {received.headers["webhook-id"] for received in receiver.received[:failed_first]} == {
        f"msg_{bad.id.hex}_{seqs[0]}"
    }
    attempts = [row["attempt"] for row in await courier.deliveries(bad) if row["seq"] == seqs[0]]
    assert attempts == list(range(1, len(attempts) + 1))


async def test_a_success_counts_however_long_its_body(courier: Couriers, receiver: Receiver) -> None:
    receiver.answer = receivers.succeeds_endlessly
    endpoint = await courier.register(receiver.url)
    seqs = await courier.happen(3)
    await receiver.has(3)
    assert [event["seq"] for event in receiver.events(endpoint.secret)] == seqs


async def test_a_redirect_to_loopback_is_not_followed(courier: Couriers, receiver: Receiver, other: Receiver) -> None:
    receiver.answer = with_status(307, Location=other.url)
    endpoint = await courier.register(receiver.url)
    await courier.happen()
    state = await courier.has_failed(endpoint)
    assert "answered 307" in state["last_error"]
    assert other.received == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"])
async def test_no_connection_is_made_to_a_private_address(floor: Shopfloor, receiver: Receiver, host: str) -> None:
    async with couriers(floor, webhook_private_addresses=False) as courier:
        endpoint = await courier.register(f"http://{host}:{receiver.port}/")
        await courier.happen()
        state = await courier.has_failed(endpoint)
        assert "public addresses only" in state["last_error"]
    assert receiver.received == []


async def test_a_dead_endpoint_is_disabled_and_later_continues_where_it_stopped(
    floor: Shopfloor, receiver: Receiver, other: Receiver
) -> None:
    receiver.answer = with_status(500)
    async with couriers(floor, webhook_failing_max_seconds=0.5) as courier:
        dead = await courier.register(receiver.url)
        staff = await courier.register(other.url, "webhook.disabled")
        seqs = await courier.happen(2)
        row = await courier.becomes(dead, "disabled")
        assert "answered 500" in row["disabled_reason"]
        await other.has(1)
        (event,) = other.events(staff.secret)
        assert event["subject"] == str(dead.id)
        assert event["data"]["reason"] == row["disabled_reason"]
        seqs += await courier.happen()
        receiver.answer = with_status(204)
        failed = len(receiver.received)
        await courier.done(ChangeWebhook(dead.id, {"active": True}, ALL))
        await receiver.has(failed + 3)
        assert [event["seq"] for event in receiver.events(dead.secret)[failed:]] == seqs


async def test_an_endpoint_that_answers_410_gone_is_disabled_at_once(courier: Couriers, receiver: Receiver) -> None:
    receiver.answer = with_status(410)
    endpoint = await courier.register(receiver.url)
    await courier.happen()
    row = await courier.becomes(endpoint, "disabled")
    assert row["disabled_reason"] == "It answered 410 Gone."
    assert len(receiver.received) == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_an_endpoint_is_left_alone_as_long_as_it_asks_for(
    floor: Shopfloor, receiver: Receiver, status: int
) -> None:
    async with couriers(floor, webhook_retry_max_seconds=100.0) as courier:
        for asks, least, most in (("50", 40, 50), ("100000", 90, 100), ("Thu, 01 Jan 1970 00:00:00 GMT", 0, 2)):
            receiver.answer = with_status(status, Retry_After=asks)
            endpoint = await courier.register(receiver.url)
            await courier.happen()
            due_at: datetime = (await courier.has_failed(endpoint))["due_at"]
            assert least <= (due_at - datetime.now(UTC)).total_seconds() <= most
            await courier.done(DeleteWebhook(endpoint.id))


async def test_a_changed_url_is_tried_without_waiting(floor: Shopfloor, receiver: Receiver, other: Receiver) -> None:
    receiver.answer = with_status(503, Retry_After="3000")
    async with couriers(floor, webhook_retry_max_seconds=3_600.0) as courier:
        endpoint = await courier.register(receiver.url)
        (seq,) = await courier.happen()
        await courier.has_failed(endpoint)
        await courier.done(ChangeWebhook(endpoint.id, {"url": other.url}, ALL))
        await other.has(1)
        assert other.events(endpoint.secret)[0]["seq"] == seq
