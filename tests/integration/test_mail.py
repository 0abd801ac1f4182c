"""Customers are written to when their order is confirmed or cancelled; whatever the mail server does, none is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.message import EmailMessage
from uuid import UUID, uuid4

import pytest
from pydantic import SecretStr

from domain.model import Actor, Personal
from domain.orders import CancelOrder, ConfirmOrder, PlaceOrder, Wanted
from tests.integration.reacting import Stage, tools
from tests.integration.shopfloor import STAFF, Shopfloor
from tests.mailserver import MailServer, Step
from workers.failures import Away
from workers.reactions.mail import transport
from workers.reactions.mail.reaction import Mail

_ANN = UUID("01a20422-d30e-779e-b9e2-846832828929")


@asynccontextmanager
async def mailing(floor: Shopfloor, **settings: object) -> AsyncIterator[Stage]:
    """The reaction, in a shop that has tea and a customer whose account says where she wants mail."""
    await floor.fill(TEA=100)
    await floor.pool.execute(
        """
        INSERT INTO accounts (id, email, name, role, active, epoch, password_hash, created_at, updated_at)
        VALUES ($1, 'ann@example.com', 'Ann', 'customer', true, 0, '', now(), now())
        """,
        _ANN,
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
    floor: Shopfloor, customer: str = str(_ANN), email: str | None = None, *, by: str | None = None
) -> UUID:
    """An order that is placed and confirmed, by staff unless somebody else is named."""
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


async def test_a_customer_is_written_to_at_the_accounts_address(floor: Shopfloor) -> None:
    async with MailServer() as server, mailing_to(server, floor) as stage:
        order_id = await confirmed(floor)
        await floor.post(CancelOrder(order_id), actor=STAFF)
        await floor.drain()
        await stage.run_to_the_end()
        assert [(mail["To"], mail["Subject"]) for mail in server.mails] == [
            ("Ann <ann@example.com>", f"Your order {order_id} is confirmed"),
            ("Ann <ann@example.com>", f"Your order {order_id} is cancelled"),
        ]
        seq = await seq_of(floor, "order.confirmed", order_id)
        assert server.mails[0]["Message-ID"] == f"<{order_id}.{seq}@tidegate.example>"
        assert "GBP 2.00" in server.mails[0].get_body(["plain"]).get_content()  # type: ignore[union-attr]
        # One connection serves them all.
        assert server.connections == 1


async def test_a_guest_at_the_orders_and_who_left_none_is_not(floor: Shopfloor) -> None:
    async with MailServer() as server, mailing_to(server, floor) as stage:
        await confirmed(floor, "guest:somebody", "guest@example.com")
        await confirmed(floor, "a-machine")
        await confirmed(floor, str(uuid4()))
        await stage.run_to_the_end()
        assert [mail["To"] for mail in server.mails] == ["guest@example.com"]
        assert await stage.dead_letters() == []


async def test_so_many_mails_go_to_one_address_and_no_more(floor: Shopfloor) -> None:
    async with MailServer() as server, mailing_to(server, floor, mails_max_per_recipient=3) as stage:
        for number in range(6):
            await confirmed(floor, f"guest:{number}", "stranger@example.com")
        await confirmed(floor, "guest:other", "other@example.com")
        await stage.run_to_the_end()
        to = [mail["To"] for mail in server.mails]
        assert (to.count("stranger@example.com"), to.count("other@example.com")) == (3, 1)
        assert await stage.dead_letters() == []


async def test_so_many_mails_are_sent_by_one_principal_but_staff_may_send_to_all(floor: Shopfloor) -> None:
    async with MailServer() as server, mailing_to(server, floor, mails_max_per_sender=2) as stage:
        for number in range(5):
            await confirmed(floor, "machine", f"stranger-{number}@example.com", by="machine")
        assert len(await sent(stage, server)) == 2
        for number in range(5):
            await confirmed(floor, f"guest:{number}", f"customer-{number}@example.com")
        assert len(await sent(stage, server)) == 2 + 5


async def test_a_mail_that_is_tried_again_counts_once(floor: Shopfloor) -> None:
    async with MailServer() as server, mailing_to(server, floor, mails_max_per_recipient=1) as stage:
        server.trouble["MAIL"] = "451 later"
        await confirmed(floor)
        for _ in range(3):
            await stage.run()
            await floor.pool.execute("UPDATE reactions SET due_at = NULL WHERE name = 'mail'")
        server.trouble.clear()
        assert len(await sent(stage, server)) == 1


async def test_an_account_that_is_not_confirmed_gets_no_mail_about_orders(floor: Shopfloor) -> None:
    async with MailServer() as server, mailing_to(server, floor) as stage:
        await floor.pool.execute("UPDATE accounts SET confirmed = false WHERE id = $1", _ANN)
        await confirmed(floor)
        assert await sent(stage, server) == []


async def sent(stage: Stage, server: MailServer) -> list[EmailMessage]:
    await stage.run_to_the_end()
    return server.mails


async def test_an_address_that_is_none_holds_up_nobody(floor: Shopfloor) -> None:
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
async def test_while_the_server_is_away_or_hangs_mails_wait(floor: Shopfloor, step: Step, answer: str | None) -> None:
    async with MailServer() as server, mailing_to(server, floor) as stage:
        order_id = await confirmed(floor)
        server.trouble[step] = answer
        await stage.run()
        row = await stage.row()
        assert row["failures"] == 1
        assert row["last_error"].startswith("Away: ")
        server.trouble.clear()
        await stage.run_to_the_end()
        assert [mail["Subject"] for mail in server.mails] == [f"Your order {order_id} is confirmed"]
        assert await stage.dead_letters() == []


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        ("550 5.1.1 <ann@example.com>: no such user", "<(the recipient)>: no such user"),
        ("450 Ann@Example.COM is over quota", "(the recipient) is over quota"),
        ("421 ann is unknown", "(the recipient) is unknown"),
    ],
)
async def test_what_a_server_says_of_a_recipient_is_kept_without_the_address(
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
async def test_a_refusal_for_good_is_a_dead_letter(floor: Shopfloor, step: Step, answer: str) -> None:
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


async def test_a_refusal_for_now_is_tried_again_so_many_times(floor: Shopfloor) -> None:
    async with MailServer() as server, mailing_to(server, floor) as stage:
        server.trouble["RCPT"] = "450 mailbox busy"
        await confirmed(floor)
        await stage.run_to_the_end()
        assert len(server.recipients) == stage.reaction._failures_max
        assert len(await stage.dead_letters()) == 1


async def test_a_server_that_was_away_for_long_takes_nothing_from_the_tries_of_a_mail(
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


async def test_a_connection_that_was_hung_up_meanwhile_is_made_again_at_once(floor: Shopfloor) -> None:
    async with MailServer() as server, mailing_to(server, floor) as stage:
        await confirmed(floor)
        await stage.run()
        server.hang_up()
        await confirmed(floor)
        await stage.run()
        assert (len(server.mails), server.connections) == (2, 2)


async def test_a_server_that_dawdles_over_every_answer_is_not_waited_for_without_end(
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


async def test_without_a_server_mails_are_files_and_a_repeat_takes_the_place_of_the_first(
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
