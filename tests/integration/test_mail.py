"""Customers get a mail when their order is confirmed or cancelled; whatever the mail server does, none is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from domain.erasure import EraseOrderAddress
from domain.model import Actor, Personal, Wanted
from domain.orders import CancelOrder, ConfirmOrder, PlaceOrder
from domain.payments.commands import CreatePayment, ReportPayment
from domain.payments.entries import Entry
from domain.payments.payment import Capabilities
from tests.integration.reacting import Stage, tools
from tests.integration.shopfloor import STAFF, Shopfloor
from tests.mailserver import MailServer, Step
from workers.failures import Away
from workers.reactions.mail import transport
from workers.reactions.mail.reaction import Mail

ANN = UUID("01a20422-d30e-779e-b9e2-846832828929")


@asynccontextmanager
async def mailing(floor: Shopfloor, **settings: object) -> AsyncIterator[Stage]:
    """The reaction, in a shop that has tea and a customer whose account has an address."""
    await floor.fill(TEA=100)
    await floor.pool.execute(
        """
        INSERT INTO accounts (id, email, name, role, active, epoch, password_hash, created_at, updated_at)
        VALUES ($1, 'ann@example.com', 'Ann', 'customer', true, 0, '', now(), now())
        """,
        ANN,
    )
    async with tools(floor, **settings) as given:
        mail = Mail(given)
        stage = Stage(floor, mail)
        await stage.begin()
        try:
            yield stage
        finally:
            await mail.close()


@asynccontextmanager
async def mailing_to(server: MailServer, floor: Shopfloor, **settings: object) -> AsyncIterator[Stage]:
    async with mailing(floor, smtp_url=SecretStr(server.url), smtp_timeout_seconds=0.3, **settings) as stage:
        yield stage


async def confirmed(
    floor: Shopfloor, customer: str = str(ANN), email: str | None = None, *, by: str | None = None
) -> UUID:
    """Places and confirms an order; staff confirm unless another actor is named."""
    order_id = floor.new_id()
    await floor.post(
        PlaceOrder(order_id, customer, (Wanted("TEA", 2),), Personal(email) if email else None),
        actor=Actor.in_role(customer, "customer"),
    )
    await floor.post(ConfirmOrder(order_id), actor=STAFF if by is None else Actor.in_role(by, "customer"))
    await floor.drain()
    return order_id


async def seq_of(floor: Shopfloor, kind: str, order_id: UUID) -> int:
    seq: int = await floor.pool.fetchval("SELECT seq FROM events WHERE type = $1 AND subject = $2", kind, str(order_id))
    return seq


async def test_a_customer_gets_mail_at_the_accounts_address(floor: Shopfloor) -> None:
    async with MailServer() as server, mailing_to(server, floor) as stage:
        order_id = await confirmed(floor)
        await floor.post(CancelOrder(order_id), actor=STAFF)
        await floor.drain()
        await stage.run_to_the_end()
        assert [(mail["To"], mail["Subject"]) for mail in server.mails] == [
            ("Ann <ann@example.com>", "Your order T-000001 is confirmed"),
            ("Ann <ann@example.com>", "Your order T-000001 is cancelled"),
        ]
        seq = await seq_of(floor, "order.confirmed", order_id)
        assert server.mails[0]["Message-ID"] == f"<{order_id}.{seq}@tidegate.example>"
        assert "GBP 2.00" in server.mails[0].get_body(["plain"]).get_content()  # type: ignore[union-attr]
        # One connection serves them all.
        assert server.connections == 1


async def test_a_guest_gets_mail_at_the_orders_address_if_there_is_one(floor: Shopfloor) -> None:
    async with MailServer() as server, mailing_to(server, floor) as stage:
        await confirmed(floor, "guest:somebody", "guest@example.com")
        await confirmed(floor, "a-machine")
        await confirmed(floor, str(uuid4()))
        await stage.run_to_the_end()
        assert [mail["To"] for mail in server.mails] == ["guest@example.com"]
        assert await stage.dead_letters() == []


async def test_the_number_of_mails_to_one_address_is_limited(floor: Shopfloor) -> None:
    async with MailServer() as server, mailing_to(server, floor, mails_max_per_recipient=3) as stage:
        for number in range(6):
            await confirmed(floor, f"guest:{number}", "stranger@example.com")
        await confirmed(floor, "guest:other", "other@example.com")
        await stage.run_to_the_end()
        to = [mail["To"] for mail in server.mails]
        assert (to.count("stranger@example.com"), to.count("other@example.com")) == (3, 1)
        assert await stage.dead_letters() == []


async def test_the_number_of_mails_that_a_principal_causes_is_limited_except_for_staff(floor: Shopfloor) -> None:
    async with MailServer() as server, mailing_to(server, floor, mails_max_per_sender=2) as stage:
        for number in range(5):
            await confirmed(floor, "machine", f"stranger-{number}@example.com", by="machine")
        assert len(await sent(stage, server)) == 2
        for number in range(5):
            await confirmed(floor, f"guest:{number}", f"customer-{number}@example.com")
        assert len(await sent(stage, server)) == 2 + 5


async def test_a_retried_mail_counts_once(floor: Shopfloor) -> None:
    async with MailServer() as server, mailing_to(server, floor, mails_max_per_recipient=1) as stage:
        server.trouble["MAIL"] = "451 later"
        await confirmed(floor)
        for _ in range(3):
            await stage.run()
            await floor.pool.execute("UPDATE reactions SET due_at = NULL WHERE name = 'mail'")
        server.trouble.clear()
        assert len(await sent(stage, server)) == 1


async def test_an_unconfirmed_account_gets_no_mail_about_orders(floor: Shopfloor) -> None:
    async with MailServer() as server, mailing_to(server, floor) as stage:
        await floor.pool.execute("UPDATE accounts SET confirmed = false WHERE id = $1", ANN)
        await confirmed(floor)
        assert await sent(stage, server) == []


async def sent(stage: Stage, server: MailServer) -> list[EmailMessage]:
    await stage.run_to_the_end()
    return server.mails


async def test_an_invalid_address_holds_up_no_other_mail(floor: Shopfloor) -> None:
    async with MailServer() as server, mailing_to(server, floor) as stage:
        order_id = await confirmed(floor, "guest:a", "guest@example.com")
        await floor.pool.execute("UPDATE orders SET email = 'not an address' WHERE id = $1", order_id)
        await confirmed(floor)
        await stage.run_to_the_end()
        assert [mail["To"] for mail in server.mails] == ["Ann <ann@example.com>"]
        ((_, error),) = await stage.dead_letters()
        seq = await seq_of(floor, "order.confirmed", order_id)
        assert error == f"GiveUp: no mail can be sent to the recipient of event {seq}"


@pytest.mark.parametrize(
    ("step", "answer"),
    [
        ("greeting", "421 too busy"),
        ("greeting", None),
        ("MAIL", "451 later"),
        ("MAIL", "550 who are you?"),
        ("RCPT", "421 closing"),
        ("DATA", None),
        ("taken", None),
        ("taken", "421 closing"),
    ],
)
async def test_mails_wait_while_the_server_is_away_or_hangs(floor: Shopfloor, step: Step, answer: str | None) -> None:
    async with MailServer() as server, mailing_to(server, floor) as stage:
        await confirmed(floor)
        server.trouble[step] = answer
        await stage.run()
        row = await stage.row()
        assert row["failures"] == 1
        assert row["last_error"].startswith("Away: ")
        server.trouble.clear()
        await stage.run_to_the_end()
        assert [mail["Subject"] for mail in server.mails] == ["Your order T-000001 is confirmed"]
        assert await stage.dead_letters() == []


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        ("550 5.1.1 <ann@example.com>: no such user", "<(the recipient)>: no such user"),
        ("450 Ann@Example.COM is over quota", "(the recipient) is over quota"),
        ("421 ann is unknown", "(the recipient) is unknown"),
    ],
)
async def test_a_server_s_words_about_a_recipient_are_kept_without_the_address(
    floor: Shopfloor, caplog: pytest.LogCaptureFixture, answer: str, kept: str
) -> None:
    async with MailServer() as server, mailing_to(server, floor) as stage:
        server.trouble["RCPT"] = answer
        await confirmed(floor)
        await stage.run()
        said = [error for _, error in await stage.dead_letters()] + [(await stage.row())["last_error"]]
        assert any(kept in str(error) for error in said)
        assert "ann@" not in f"{said} {caplog.text}".lower()


@pytest.mark.parametrize(("step", "answer"), [("RCPT", "550 no such user"), ("taken", "554 spam")])
async def test_a_permanent_refusal_makes_a_dead_letter(floor: Shopfloor, step: Step, answer: str) -> None:
    async with MailServer() as server, mailing_to(server, floor) as stage:
        server.trouble[step] = answer
        await confirmed(floor)
        await stage.run_to_the_end()
        ((_, error),) = await stage.dead_letters()
        assert answer[4:] in error
        server.trouble.clear()
        await confirmed(floor)
        await stage.run_to_the_end()
        assert len(server.mails) == 1


async def test_a_temporary_refusal_is_retried_a_limited_number_of_times(floor: Shopfloor) -> None:
    async with MailServer() as server, mailing_to(server, floor) as stage:
        server.trouble["RCPT"] = "450 mailbox busy"
        await confirmed(floor)
        await stage.run_to_the_end()
        assert len(server.recipients) == stage.reaction._failures_max
        assert len(await stage.dead_letters()) == 1


async def test_a_long_absence_of_the_server_does_not_use_up_a_mail_s_retries(
    floor: Shopfloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with MailServer() as server, mailing_to(server, floor) as stage:
        await confirmed(floor)
        with monkeypatch.context() as away:

            async def handle(*_: object) -> None:
                raise Away("the server is away")

            away.setattr(stage.reaction, "handle", handle)
            await stage.fail(times := stage.reaction._failures_max + 3)
        server.trouble["RCPT"] = "450 mailbox busy"
        await stage.fail(times + 1)
        server.trouble.clear()
        await stage.run_to_the_end()
        assert len(server.mails) == 1


async def test_a_connection_closed_by_the_server_is_reopened_at_once(floor: Shopfloor) -> None:
    async with MailServer() as server, mailing_to(server, floor) as stage:
        await confirmed(floor)
        await stage.run()
        server.hang_up()
        await confirmed(floor)
        await stage.run()
        assert (len(server.mails), server.connections) == (2, 2)


async def test_a_server_that_delays_every_answer_is_not_waited_for_for_ever(
    floor: Shopfloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "SEND_MAX_SECONDS", 0.1)
    async with MailServer() as server, mailing_to(server, floor) as stage:
        await confirmed(floor)
        server.trouble["MAIL"] = None
        await stage.run()
        assert (await stage.row())["last_error"].startswith("TimeoutError")
        server.trouble.clear()
        await stage.run_to_the_end()
        assert len(server.mails) == 1


async def test_without_a_server_mails_are_files_and_a_repeat_replaces_the_first(
    floor: Shopfloor, tmp_path_factory: pytest.TempPathFactory
) -> None:
    home = tmp_path_factory.mktemp("home")
    async with mailing(floor, home=home) as stage:
        order_id = await confirmed(floor)
        seq = await seq_of(floor, "order.confirmed", order_id)
        await stage.run_to_the_end()
        await floor.pool.execute("UPDATE reactions SET position = $1 WHERE name = 'mail'", seq - 1)
        before = await asyncio.to_thread((home / "mail" / f"{seq:012}.eml").read_bytes)
        await stage.run_to_the_end()
        assert {path.name: path.read_bytes() for path in (home / "mail").iterdir()} == {f"{seq:012}.eml": before}


async def report(floor: Shopfloor, order_id: UUID, payment_id: UUID, *entries: Entry) -> None:
    await floor.post(ReportPayment(order_id, payment_id, "GBP", entries), actor=STAFF)
    await floor.drain()


async def test_who_could_not_pay_and_who_gets_money_back_is_told(floor: Shopfloor) -> None:
    async with MailServer() as server, mailing_to(server, floor) as stage:
        order_id, payment_id = floor.new_id(), floor.new_id()
        actor = Actor.in_role("guest:ann", "guest")
        await floor.post(
            PlaceOrder(order_id, actor.principal, (Wanted("TEA", 2),), Personal("ann@example.com")), actor=actor
        )
        await floor.post(CreatePayment(order_id, payment_id, "sandbox", Capabilities()), actor=actor)
        await floor.drain()
        at = datetime(2026, 11, 30, tzinfo=UTC)
        reference = str(payment_id)
        await report(floor, order_id, payment_id, Entry("charge_failure", reference, 200, at, "declined"))
        await stage.run_to_the_end()
        paid = Entry("charge_success", reference, 200, at + timedelta(minutes=1))
        await report(floor, order_id, payment_id, paid, Entry("info", None, 200, at, "noted"))
        await report(floor, order_id, payment_id, Entry("refund_success", "back", 50, at + timedelta(minutes=2)))
        await report(floor, order_id, payment_id, Entry("refund_failure", "more", 50, at + timedelta(minutes=3)))
        mails = await sent(stage, server)
        assert [mail["Subject"] for mail in mails] == [
            "Your payment for order T-000001 did not go through",
            "Your order T-000001 is confirmed",
            "Refund for your order T-000001",
        ]
        assert "refunded GBP 0.50" in mails[-1].get_body(["plain"]).get_content()  # type: ignore[union-attr]


async def test_an_order_that_was_given_up_needs_no_mail_about_its_payment(floor: Shopfloor) -> None:
    async with MailServer() as server, mailing_to(server, floor) as stage:
        order_id, payment_id = floor.new_id(), floor.new_id()
        ann = Actor.in_role(str(ANN), "customer")
        await floor.post(PlaceOrder(order_id, ann.principal, (Wanted("TEA", 2),)), actor=ann)
        await floor.post(CreatePayment(order_id, payment_id, "sandbox", Capabilities()), actor=ann)
        await floor.post(CancelOrder(order_id), actor=ann)
        await floor.drain()
        failure = Entry("charge_failure", str(payment_id), 200, datetime(2026, 11, 30, tzinfo=UTC))
        await report(floor, order_id, payment_id, failure)
        assert [mail["Subject"] for mail in await sent(stage, server)] == ["Your order T-000001 is cancelled"]


async def test_an_erased_guest_gets_no_mail(floor: Shopfloor) -> None:
    async with MailServer() as server, mailing_to(server, floor) as stage:
        order_id = await confirmed(floor, "guest:a", "guest@example.com")
        await floor.post(EraseOrderAddress(order_id), actor=STAFF)
        await floor.drain()
        assert await sent(stage, server) == []
