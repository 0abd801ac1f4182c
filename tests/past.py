"""A shop's past as one version of the code wrote it: every type of event in the log, and a waiting command of every
type.

`python -m tests.past FILE` writes one with today's code; `Past.load` puts one of those in `tests/data/past` into
today's servers. See the README there.
"""

from __future__ import annotations

import asyncio
import gzip
import io
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import asyncpg
import msgspec
from redis.asyncio import Redis

from domain.accounts import ChangeAccount, CreateAccount, DeactivateAccount, ReactivateAccount
from domain.api_keys import CreateApiKey, RevokeApiKey
from domain.catalogue import (
    ACTIVE,
    ChangeProduct,
    ChangeVariant,
    CreateProduct,
    ProductFields,
    PutListing,
    SetVariant,
    VariantFields,
)
from domain.categories import CategoryFields, ChangeCategory, CreateCategory
from domain.checkouts import CancelCheckout, ChangeCheckout, ExpireCheckout, OpenCheckout
from domain.completion import CompleteCheckout
from domain.erasure import EraseAccount, EraseOrderAddress, ExpireRegistration
from domain.jobs import FinishJob, RequestJob
from domain.model import COMMANDS, EVENTS, Actor, Command, Personal, Secret, Wanted
from domain.orders import CancelOrder, ConfirmOrder, ExpireOrder, FulfilOrder, PlaceOrder
from domain.passwords import ChangePassword
from domain.quote.terms.taxes import Taxes
from domain.registration import ConfirmAddress, RegisterAgain, RequestPasswordReset, ResetPassword
from domain.sessions import CloseSession, OpenSession, RefreshSession
from domain.stock import AdjustStock, ReceiveStock, SetStock
from domain.tasks import RetryTask
from domain.terms import StateTerms
from domain.webhooks import (
    ChangeWebhook,
    DeleteWebhook,
    DisableWebhook,
    RedeliverEvents,
    RegisterWebhook,
    RotateWebhookSecret,
    WebhookFields,
)
from runtime.database import asyncpg_dsn
from tests.integration.shopfloor import PRICE_MINOR, Shopfloor

MAILBOXES: Final = 4

_ADMIN: Final = Actor.in_role("root", "admin")
_GUEST: Final = Actor.in_role("guest:1", "customer")
_EXPIRES: Final = datetime(2100, 1, 1, tzinfo=UTC)
_HASH: Final = Secret("a hash")
_SECRET: Final = Secret("a secret")
_FINISHED: Final = "succeeded"


class Past(msgspec.Struct, frozen=True):
    """`revision` is the database's; `tables` are in COPY's text format, each with its columns; `keys` are Redis's, as
    DUMP gives them."""

    revision: str
    tables: dict[str, tuple[list[str], str]]
    keys: dict[str, bytes]

    @classmethod
    def read(cls, path: Path) -> Past:
        return msgspec.json.decode(gzip.decompress(path.read_bytes()), type=cls)

    async def load(self, database_url: str, redis_url: str) -> None:
        """Fills a database that was migrated to `revision`, and an empty Redis."""
        connection = await asyncpg.connect(asyncpg_dsn(database_url))
        try:
            await connection.execute("SET session_replication_role = replica")  # the tables may come in any order
            for table, (columns, rows) in self.tables.items():
                await connection.execute(f"DELETE FROM {table}")
                await connection.copy_to_table(table, source=io.BytesIO(rows.encode()), columns=columns)
        finally:
            await connection.close()
        async with Redis.from_url(redis_url) as client:
            for key, dumped in self.keys.items():
                await client.restore(key, 0, dumped)


class Writer:
    """Writes the past of one shop, by ordinary commands."""

    def __init__(self, floor: Shopfloor) -> None:
        self._floor = floor

    async def write(self) -> None:
        floor = self._floor
        await floor.fill(MUG=100, LAMP=10)
        await self._orders()
        await self._catalogue()
        await self._people()
        await self._machinery()
        await self._checkouts()
        await self._refusals()
        told = {row["type"] for row in await floor.pool.fetch("SELECT DISTINCT type FROM events")}
        assert told == set(EVENTS), set(EVENTS) - told
        await floor.verified()
        waiting = [*await self._waiting()]
        assert {type(command) for command in waiting} == set(COMMANDS)
        for command in waiting:
            await floor.post(command, actor=_ADMIN)

    async def _apply(self, *commands: Command, actor: Actor = _ADMIN) -> None:
        posted = [await self._floor.post(command, actor=actor) for command in commands]
        await self._floor.drain()
        statuses = await self._floor.statuses(posted)
        assert statuses == ["applied"] * len(posted), statuses

    def _order(self, actor: Actor = _ADMIN, email: str | None = None) -> PlaceOrder:
        wanted = (Wanted("MUG", 2), Wanted("LAMP", 1)) if email is None else (Wanted("MUG", 1),)
        return PlaceOrder(self._floor.new_id(), actor.principal, wanted, Personal(email) if email else None)

    async def _orders(self) -> None:
        sent, cancelled, expired, guests = self._order(), self._order(), self._order(), self._order(_GUEST, "g@x.org")
        await self._apply(sent, cancelled, expired)
        await self._apply(guests, actor=_GUEST)
        await self._apply(ConfirmOrder(sent.order_id), CancelOrder(cancelled.order_id), ExpireOrder(expired.order_id))
        await self._apply(FulfilOrder(sent.order_id))
        await self._apply(EraseOrderAddress(guests.order_id), actor=_GUEST)
        await self._apply(AdjustStock("MUG", -1, "broken"), SetStock("MUG", 97), SetStock("MUG", 97))

    async def _catalogue(self) -> None:
        category_id, product_id = self._floor.new_id(), self._floor.new_id()
        listing = self._floor.listing("MUG")
        await self._apply(CreateCategory(category_id, CategoryFields("kitchen", "Kitchen")))
        await self._apply(*[ChangeCategory(category_id, {"name": "The kitchen"})] * 2)
        await self._apply(
            CreateProduct(product_id, ProductFields("cup", "Cup", status=ACTIVE), (VariantFields("CUP", 300, "GBP"),)),
        )
        await self._apply(
            ChangeProduct(product_id, {"category_id": str(category_id)}),
            SetVariant(product_id, VariantFields("CUP-2", 350, "GBP", "Large")),
            ChangeVariant(product_id, "CUP", {"price_minor": 310}),
            listing,
        )

    async def _account(self, email: str, *, confirmed: bool = True) -> Any:
        account_id = self._floor.new_id()
        await self._apply(
            CreateAccount(account_id, Personal(email), Personal("Ada"), "customer", _HASH, confirmed=confirmed)
        )
        return account_id

    async def _epoch(self, account_id: Any) -> int:
        epoch: int = await self._floor.pool.fetchval("SELECT epoch FROM accounts WHERE id = $1", account_id)
        return epoch

    async def _people(self) -> None:
        ada, eve, forgotten = (
            await self._account("ada@x.org", confirmed=False),
            await self._account("eve@x.org"),
            await self._account("bob@x.org", confirmed=False),
        )
        session = self._floor.new_id()
        await self._apply(RegisterAgain(ada, Personal("Ada L."), _HASH))
        await self._apply(ConfirmAddress(ada, 1))
        await self._apply(RegisterAgain(ada, Personal("Eve"), _HASH))
        await self._apply(OpenSession(session, ada, 1, ("orders:read",), _EXPIRES), RefreshSession(session, ada, 0))
        await self._apply(ChangePassword(ada, 1, _HASH, session), CloseSession(session, ada))
        await self._apply(RequestPasswordReset(ada))
        await self._apply(ResetPassword(ada, await self._epoch(ada), _HASH))
        await self._apply(ChangeAccount(ada, Personal("Ada")), DeactivateAccount(ada), ReactivateAccount(ada))
        await self._apply(ExpireRegistration(forgotten, 0), EraseAccount(eve))

    async def _machinery(self) -> None:
        key, job, hook = (self._floor.new_id() for _ in range(3))
        await self._apply(CreateApiKey(key, "scanner", "staff", ("inventory:read",), _HASH), RevokeApiKey(key))
        await self._apply(RequestJob(job, "report", {"by": "day"}), FinishJob(job, _FINISHED, 1, {"rows": 1}))
        await self._apply(RetryTask(self._floor.new_id(), "report", str(job)))
        await self._apply(self._register(hook), ChangeWebhook(hook, {"description": "the till"}, self._scopes()))
        await self._apply(RotateWebhookSecret(hook, _SECRET, _EXPIRES), RedeliverEvents(hook, 1, self._scopes()))
        await self._apply(DisableWebhook(hook, "gone", await self._version(hook)), DeleteWebhook(hook))

    @staticmethod
    def _scopes() -> tuple[str, ...]:
        return tuple(sorted(_ADMIN.scopes))

    def _register(self, hook: Any) -> RegisterWebhook:
        return RegisterWebhook(hook, WebhookFields("https://x.org/hook", ("order.*",)), _SECRET, self._scopes())

    async def _version(self, hook: Any) -> int:
        version: int = await self._floor.pool.fetchval("SELECT version FROM webhooks WHERE id = $1", hook)
        return version

    def _opened(self, checkout_id: Any) -> OpenCheckout:
        return OpenCheckout(checkout_id, lines=(Wanted("MUG", 1),), note=Personal("Ring twice."))

    async def _checkouts(self) -> None:
        done, given_up, forgotten = (self._floor.new_id() for _ in range(3))
        await self._apply(*map(self._opened, (done, given_up, forgotten)))
        await self._apply(ChangeCheckout(done, cleared=("note",)))
        await self._apply(*[CompleteCheckout(done, self._floor.new_id(), (Wanted("MUG", 1),), PRICE_MINOR)] * 2)
        await self._apply(CancelCheckout(given_up), ExpireCheckout(forgotten, 1))
        await self._apply(StateTerms("taxes", Taxes("GB")))

    async def _refusals(self) -> None:
        floor = self._floor
        order = self._order()
        for _ in range(2):
            await floor.post(order, key="once", actor=_ADMIN)
        await floor.post(floor.place(0, LAMP=99))
        await floor.put(2, {b"gar": b"bage"})
        await floor.drain()

    async def _waiting(self) -> Iterable[Command]:
        """A command of every type. Their subjects exist, so that they can be applied."""
        floor = self._floor
        placed = [self._order() for _ in range(4)]
        confirmed, guests = self._order(), self._order(email="h@x.org")
        await self._apply(*placed, confirmed, guests)
        await self._apply(ConfirmOrder(confirmed.order_id))
        people = [await self._account(f"p{n}@x.org", confirmed=n > 1) for n in range(9)]
        sessions = [floor.new_id() for _ in range(3)]
        await self._apply(*(OpenSession(each, people[3], 0, ("orders:read",), _EXPIRES) for each in sessions[:2]))
        await self._apply(DeactivateAccount(people[4]), RequestPasswordReset(people[5]))
        category, product, key, job = (floor.new_id() for _ in range(4))
        hooks = [floor.new_id() for _ in range(6)]
        checkouts = [floor.new_id() for _ in range(4)]
        await self._apply(*map(self._opened, checkouts))
        await self._apply(CreateCategory(category, CategoryFields("waiting", "Waiting")))
        await self._apply(
            CreateProduct(product, ProductFields("pot", "Pot", status=ACTIVE), (VariantFields("POT", 900, "GBP"),))
        )
        await self._apply(CreateApiKey(key, "till", "staff", ("inventory:read",), _HASH), RequestJob(job, "report", {}))
        await self._apply(*(self._register(hook) for hook in hooks[:5]))
        return [
            self._order(),
            ConfirmOrder(placed[0].order_id),
            CancelOrder(placed[1].order_id),
            ExpireOrder(placed[2].order_id),
            FulfilOrder(confirmed.order_id),
            EraseOrderAddress(guests.order_id),
            ReceiveStock("MUG", 5, "a pallet"),
            AdjustStock("MUG", -1, "broken"),
            SetStock("LAMP", 50),
            CreateCategory(floor.new_id(), CategoryFields("late", "Late", category)),
            ChangeCategory(category, {"name": "No longer waiting"}),
            CreateProduct(floor.new_id(), ProductFields("jug", "Jug"), (VariantFields("JUG", 500, "GBP"),)),
            ChangeProduct(product, {"name": "A pot"}),
            SetVariant(product, VariantFields("POT-2", 950, "GBP", attributes={"size": "L"})),
            ChangeVariant(product, "POT", {"price_minor": 905}),
            PutListing(
                floor.new_id(), ProductFields("bowl", "Bowl", status=ACTIVE), VariantFields("BOWL", 250, "GBP"), 7
            ),
            CreateAccount(floor.new_id(), Personal("new@x.org"), Personal("New"), "customer", _HASH),
            ConfirmAddress(people[0], 0),
            ExpireRegistration(people[1], 0),
            ChangeAccount(people[2], None, "staff"),
            OpenSession(sessions[2], people[3], 0, ("orders:read",), _EXPIRES),
            RefreshSession(sessions[0], people[3], 0),
            CloseSession(sessions[1], people[3]),
            ReactivateAccount(people[4]),
            ResetPassword(people[5], await self._epoch(people[5]), _HASH),
            ChangePassword(people[6], 0, _HASH),
            EraseAccount(people[7]),
            RegisterAgain(people[8], Personal("Again"), _HASH),
            RequestPasswordReset(people[8]),
            DeactivateAccount(people[8]),
            CreateApiKey(floor.new_id(), "shelf", "staff", ("inventory:read",), _HASH),
            RevokeApiKey(key),
            RequestJob(floor.new_id(), "report", {"by": "day"}),
            FinishJob(job, _FINISHED, 1, {"rows": 2}),
            self._register(hooks[5]),
            ChangeWebhook(hooks[0], {"description": "changed"}, self._scopes()),
            RotateWebhookSecret(hooks[1], _SECRET, _EXPIRES),
            RedeliverEvents(hooks[2], 1, self._scopes()),
            DisableWebhook(hooks[3], "gone", await self._version(hooks[3])),
            DeleteWebhook(hooks[4]),
            RetryTask(floor.new_id(), "report", str(job)),
            self._opened(floor.new_id()),
            ChangeCheckout(checkouts[0], cleared=("note",)),
            CompleteCheckout(checkouts[1], floor.new_id(), (Wanted("MUG", 1),), PRICE_MINOR),
            CancelCheckout(checkouts[2]),
            ExpireCheckout(checkouts[3], 1),
            StateTerms("taxes"),
        ]


async def _taken(floor: Shopfloor) -> Past:
    """Reads what the servers hold."""
    async with floor.pool.acquire() as connection:
        revision: str = await connection.fetchval("SELECT version_num FROM alembic_version")
        names = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        tables = {}
        for (name,) in names:
            if name == "alembic_version":
                continue
            columns = [
                row[0]
                for row in await connection.fetch(
                    "SELECT attname FROM pg_attribute WHERE attrelid = $1::text::regclass AND attnum > 0"
                    " AND NOT attisdropped AND attgenerated = '' ORDER BY attnum",
                    name,
                )
            ]
            rows = io.BytesIO()
            await connection.copy_from_table(name, output=rows, columns=columns)
            if rows.getvalue():
                tables[name] = (columns, rows.getvalue().decode())
    keys: dict[str, bytes] = {}
    async with Redis.from_url(floor.redis_url) as client:
        async for key in client.scan_iter():
            if await client.ttl(key) == -1 and (dumped := await client.dump(key)) is not None:
                keys[key.decode()] = dumped
    return Past(revision, tables, keys)


async def _written(database_url: str, redis_url: str) -> Past:
    async with Shopfloor(database_url, redis_url, mailbox_count=MAILBOXES) as floor:
        await Writer(floor).write()
        return await _taken(floor)


def main() -> None:
    """Writes the named file, using its own servers."""
    from tests import servers

    with servers.databases() as databases, servers.shared_valkey() as valkey, databases.migrated() as database_url:
        past = asyncio.run(_written(database_url, valkey.url))
    Path(sys.argv[1]).write_bytes(gzip.compress(msgspec.json.encode(past), mtime=0))


if __name__ == "__main__":
    main()
