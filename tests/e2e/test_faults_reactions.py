"""What follows from orders while things break: a mail server that hangs or refuses mail holds up nothing else, and
processes that are killed or paused leave nothing out. A mail that is sent twice has the same Message-ID.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Final, NamedTuple

import pytest
import pytest_asyncio

from ops.ports import free_port
from tests.e2e import faults
from tests.e2e.api import order_body
from tests.e2e.faults_client import FaultsClient
from tests.e2e.ledger import Ledger, stock_up
from tests.mailserver import MailServer, Step
from tests.system import System, eventually_seen

pytestmark = pytest.mark.campaign

SKU: Final = "KETTLE"
HOLD_SECONDS: Final = 2
# A lease expires and is found, a pause after a failure is over, a server is back: all within a few seconds.
GOES_ON_SECONDS: Final = 20.0
ORDERS: Final = 60
KILLS: Final = 4


class Town(NamedTuple):
    """A shop, and the mail server for its mails."""

    system: System
    mail: MailServer


@pytest_asyncio.fixture(scope="module")
async def town() -> AsyncIterator[Town]:
    """Two background processes, with short holds, leases and pauses. In the end every table must agree with the log,
    and nothing may have logged a traceback."""
    settings = {
        "TIDEGATE_BACKGROUND_PROCESSES": "2",
        "TIDEGATE_HOLD_SECONDS": str(HOLD_SECONDS),
        "TIDEGATE_REACTION_LEASE_SECONDS": "1",
        "TIDEGATE_REACTION_RETRY_MAX_SECONDS": "0.5",
        "TIDEGATE_REACTION_FAILURES_MAX": "3",
        "TIDEGATE_SMTP_TIMEOUT_SECONDS": "1",
    }
    async with MailServer(free_port()) as mail:
        unbounded = {"TIDEGATE_MAILS_MAX_PER_RECIPIENT": "100000", "TIDEGATE_MAILS_MAX_PER_SENDER": "100000"}
        with System({**settings, **unbounded, "TIDEGATE_SMTP_URL": mail.url}) as system:
            await stock_up(system, [SKU])
            yield Town(system, mail)
            code, found = await asyncio.to_thread(system.verify)
            assert code == 0, found
            assert not system.tracebacks(), system.log_tails()


@pytest_asyncio.fixture
async def client(town: Town) -> AsyncIterator[FaultsClient]:
    async with FaultsClient(town.system) as opened:
        yield opened
    town.mail.trouble.clear()


async def place(client: FaultsClient) -> str:
    body = {**order_body({SKU: 1}), "email": "customer@example.com"}
    reply = await client.post("/orders", body, customer="patient", wait=10)
    assert reply.status == 201, reply
    order_id: str = reply.body["id"]
    return order_id


async def confirmed(client: FaultsClient, count: int) -> set[str]:
    """This many orders, placed and confirmed."""

    async def one() -> str:
        order_id = await place(client)
        reply = await client.post(f"/orders/{order_id}/confirm", {}, wait=10)
        assert reply.status == 200, reply
        return order_id

    return set(await asyncio.gather(*(one() for _ in range(count))))


def mailed(mail: MailServer) -> set[str]:
    """The orders of the mails that were accepted."""
    return {order_of(message["Message-ID"]) for message in mail.mails}


def order_of(message_id: str) -> str:
    return message_id.strip("<>").partition("@")[0].partition(".")[0]


async def all_mailed(town: Town, order_ids: Iterable[str]) -> None:
    """Waits for the orders' mails; each has one, or several with the same Message-ID."""
    wanted = set(order_ids)

    async def are_there() -> bool:
        return wanted <= mailed(town.mail)

    await eventually_seen(f"the mails of {len(wanted)} orders", are_there, within_seconds=GOES_ON_SECONDS)
    ids: dict[str, set[str]] = {}
    for message in town.mail.mails:
        ids.setdefault(order_of(message["Message-ID"]), set()).add(message["Message-ID"])
    assert all(len(of_one) == 1 for of_one in ids.values()), "a repeat is recognisable"


async def is_expired(client: FaultsClient, order_id: str) -> None:
    async def look() -> bool:
        return bool((await client.get(f"/orders/{order_id}")).body.get("status") == "expired")

    await eventually_seen(f"order {order_id} expired", look, within_seconds=GOES_ON_SECONDS)


async def dead_letters(town: Town) -> int:
    async with Ledger(town.system) as ledger:
        return int(await ledger.connection.fetchval("SELECT count(*) FROM reaction_dead_letters"))


async def test_an_expired_hold_releases_its_stock(town: Town, client: FaultsClient) -> None:
    before = (await client.get(f"/inventory/{SKU}")).body
    order_id = await place(client)
    assert (await client.get(f"/inventory/{SKU}")).body["reserved"] == before["reserved"] + 1
    await is_expired(client, order_id)
    assert (await client.get(f"/inventory/{SKU}")).body == before
    reply = await client.post(f"/orders/{order_id}/confirm", {}, wait=10)
    assert (reply.status, reply.code) == (409, "order_state_conflict")


async def test_confirmations_that_race_with_expiry_have_one_winner(town: Town, client: FaultsClient) -> None:
    order_ids = await asyncio.gather(*(place(client) for _ in range(ORDERS)))

    async def confirm_late(order_id: str) -> int:
        """As soon as one has expired, the others are about to."""
        await is_expired(client, order_ids[0])
        return (await client.post(f"/orders/{order_id}/confirm", {}, wait=10)).status

    answers = await asyncio.gather(*(confirm_late(order_id) for order_id in order_ids))
    for order_id, status in zip(order_ids, answers, strict=True):
        said = (await client.get(f"/orders/{order_id}")).body["status"]
        assert (status, said) in {(200, "confirmed"), (409, "expired")}
    inventory = (await client.get(f"/inventory/{SKU}")).body
    assert inventory["reserved"] == 0


@pytest.mark.parametrize(("step", "answer"), [("greeting", None), ("taken", None), ("MAIL", "451 later")])
async def test_a_mail_server_that_hangs_or_is_busy_holds_up_nothing_else(
    town: Town, client: FaultsClient, step: Step, answer: str | None
) -> None:
    town.mail.trouble[step] = answer
    town.mail.hang_up()
    order_ids = await confirmed(client, 3)
    await is_expired(client, await place(client))
    async with Ledger(town.system) as ledger:

        async def fails() -> bool:
            return bool(await ledger.connection.fetchval("SELECT failures > 0 FROM reactions WHERE name = 'mail'"))

        await eventually_seen("a failure", fails, within_seconds=GOES_ON_SECONDS)
    assert not order_ids & mailed(town.mail)
    town.mail.trouble.clear()
    await all_mailed(town, order_ids)


@pytest.mark.parametrize("answer", ["450 mailbox busy", "550 no such user"])
async def test_a_refused_mail_holds_up_no_other(town: Town, client: FaultsClient, answer: str) -> None:
    before = await dead_letters(town)
    town.mail.trouble["RCPT"] = answer
    await confirmed(client, 2)

    async def are_given_up() -> bool:
        return await dead_letters(town) == before + 2

    await eventually_seen("two dead letters", are_given_up, within_seconds=GOES_ON_SECONDS)
    town.mail.trouble.clear()
    await all_mailed(town, await confirmed(client, 2))


async def test_background_processes_killed_while_mailing_leave_nothing_out(town: Town, client: FaultsClient) -> None:
    order_ids = await confirmed(client, ORDERS)
    for number in range(1, KILLS + 1):
        some = len(order_ids) * number // (KILLS + 2)

        async def enough_mails(of: frozenset[str] = frozenset(order_ids), some: int = some) -> bool:
            return len(of & mailed(town.mail)) >= some

        await eventually_seen(f"{some} mails", enough_mails, within_seconds=GOES_ON_SECONDS)
        await faults.kill(*town.system.background_pids())
        order_ids |= await confirmed(client, 5)
    await all_mailed(town, order_ids)


async def test_a_stopped_process_is_replaced_and_does_no_harm_when_it_continues(
    town: Town, client: FaultsClient
) -> None:
    town.mail.trouble["taken"] = None
    order_ids = await confirmed(client, 5)
    async with Ledger(town.system) as ledger:

        async def is_at_work() -> bool:
            query = "SELECT lease_until > now() FROM reactions WHERE name = 'mail'"
            return bool(await ledger.connection.fetchval(query))

        await eventually_seen("the mail reaction running", is_at_work, within_seconds=GOES_ON_SECONDS)
        pids = town.system.background_pids()
        for pid in pids:  # one of them has it
            await faults.stop(pid)
        town.mail.trouble.clear()
        try:
            town.system.resume(pids[0])
            await all_mailed(town, order_ids)
        finally:
            for pid in pids:
                town.system.resume(pid)
    await all_mailed(town, order_ids | await confirmed(client, 5))


async def test_valkey_and_postgres_restarted_leave_nothing_out(town: Town, client: FaultsClient) -> None:
    order_ids = await confirmed(client, ORDERS)
    await asyncio.to_thread(town.system.valkey.kill)
    await asyncio.to_thread(town.system.valkey.start)
    await asyncio.to_thread(town.system.postgres.stop_immediately)
    await asyncio.to_thread(town.system.postgres.start)

    async def is_whole() -> bool:
        return (await client.health()).body.get("status") == "ready"

    await eventually_seen("both servers", is_whole, within_seconds=GOES_ON_SECONDS)
    order_ids |= await confirmed(client, 5)
    await all_mailed(town, order_ids)
    await is_expired(client, await place(client))


async def test_a_process_that_is_asked_to_stop_gives_back_what_it_holds(town: Town, client: FaultsClient) -> None:
    town.mail.trouble["taken"] = None
    order_ids = await confirmed(client, 1)
    async with Ledger(town.system) as ledger:
        query = "SELECT lease_token IS NOT NULL FROM reactions WHERE name = 'mail'"

        async def is_at_work() -> bool:
            return bool(await ledger.connection.fetchval(query))

        await eventually_seen("the mail reaction running", is_at_work, within_seconds=GOES_ON_SECONDS)
        await asyncio.to_thread(town.system.stop_process, "background")
        assert not await is_at_work()
    town.mail.trouble.clear()
    town.system.start_process("background")
    await all_mailed(town, order_ids)


async def test_the_metrics_show_the_lag(town: Town, client: FaultsClient) -> None:
    town.mail.trouble["greeting"] = None
    town.mail.hang_up()
    order_ids = await confirmed(client, 1)

    async def is_seen() -> bool:
        late = await client.metric('tidegate_reaction_lag_seconds{reaction="mail"}')
        failing = await client.metric('tidegate_reaction_failing{reaction="mail"}')
        return bool(late and failing)

    await eventually_seen("the lag of the mails", is_seen, within_seconds=GOES_ON_SECONDS)
    assert await client.metric('tidegate_reaction_lag_events{reaction="mail"}')
    assert await client.metric('tidegate_reaction_failures_total{reaction="mail"}')
    town.mail.trouble.clear()
    await all_mailed(town, order_ids)

    async def caught_up() -> bool:
        return await client.metric('tidegate_reaction_lag_events{reaction="mail"}') == 0

    await eventually_seen("no lag", caught_up, within_seconds=GOES_ON_SECONDS)
