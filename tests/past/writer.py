"""Writes the past of one shop, by ordinary commands: orders, the catalogue, people and machinery. What is about money
is in `money`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

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
from domain.erasure import EraseAccount, EraseOrderAddress, ExpireRegistration
from domain.jobs import FinishJob, RequestJob
from domain.model import COMMANDS, EVENTS, Command, Personal, Secret
from domain.orders import CancelOrder, ConfirmOrder, ExpireOrder, FulfilOrder
from domain.passwords import ChangePassword
from domain.registration import ConfirmAddress, RegisterAgain, RequestPasswordReset, ResetPassword
from domain.sessions import CloseSession, OpenSession, RefreshSession
from domain.stock import AdjustStock, ReceiveStock, SetStock
from domain.tasks import RetryTask
from domain.webhooks import (
    ChangeWebhook,
    DeleteWebhook,
    DisableWebhook,
    RedeliverEvents,
    RegisterWebhook,
    RotateWebhookSecret,
    WebhookFields,
)
from tests.past import NEWER
from tests.past.kit import ADMIN, GUEST, HASH, Kit
from tests.past.money import Money

_EXPIRES: Final = datetime(2100, 1, 1, tzinfo=UTC)
_SECRET: Final = Secret("a secret")
_FINISHED: Final = "succeeded"


class Writer(Kit):
    """Writes all of it."""

    async def write(self) -> list[str]:
        """Returns the names of the commands that wait in the end."""
        floor = self.floor
        await floor.fill(MUG=1_000, LAMP=100)
        await self._orders()
        await self._catalogue()
        await self._people()
        await self._machinery()
        money = Money(floor)
        await money.write()
        await self._refusals()
        told = {row["type"] for row in await floor.pool.fetch("SELECT DISTINCT type FROM events")}
        assert set(EVENTS) - told <= set(NEWER), set(EVENTS) - told
        await floor.verified()
        later = await self._waiting()
        waiting = [*await money.waiting(), *later]  # of these, one erases addresses
        names = {type(command).__name__ for command in waiting}
        known = {command.__name__ for command in COMMANDS}
        assert known - names <= set(NEWER), known - names
        for command in waiting:
            await floor.post(command, actor=ADMIN)
        return sorted(names)

    async def _orders(self) -> None:
        sent, cancelled, expired, guests = self.order(), self.order(), self.order(), self.order(GUEST, "g@x.org")
        await self.apply(sent, cancelled, expired)
        await self.apply(guests, actor=GUEST)
        await self.apply(ConfirmOrder(sent.order_id), CancelOrder(cancelled.order_id), ExpireOrder(expired.order_id))
        await self.apply(FulfilOrder(sent.order_id))
        await self.apply(EraseOrderAddress(guests.order_id), actor=GUEST)
        await self.apply(AdjustStock("MUG", -1, "broken"), SetStock("MUG", 900), SetStock("MUG", 900))

    async def _catalogue(self) -> None:
        category_id, product_id = self.floor.new_id(), self.floor.new_id()
        listing = self.floor.listing("MUG")
        await self.apply(CreateCategory(category_id, CategoryFields("kitchen", "Kitchen")))
        await self.apply(*[ChangeCategory(category_id, {"name": "The kitchen"})] * 2)
        await self.apply(
            CreateProduct(product_id, ProductFields("cup", "Cup", status=ACTIVE), (VariantFields("CUP", 300, "GBP"),)),
        )
        await self.apply(
            ChangeProduct(product_id, {"category_id": str(category_id)}),
            SetVariant(product_id, VariantFields("CUP-2", 350, "GBP", "Large")),
            ChangeVariant(product_id, "CUP", {"price_minor": 310}),
            listing,
        )

    async def epoch(self, account_id: Any) -> int:
        epoch: int = await self.floor.pool.fetchval("SELECT epoch FROM accounts WHERE id = $1", account_id)
        return epoch

    async def _people(self) -> None:
        ada, eve, forgotten = (
            await self.account("ada@x.org", confirmed=False),
            await self.account("eve@x.org"),
            await self.account("bob@x.org", confirmed=False),
        )
        session = self.floor.new_id()
        await self.apply(RegisterAgain(ada, Personal("Ada L."), HASH))
        await self.apply(ConfirmAddress(ada, 1))
        await self.apply(RegisterAgain(ada, Personal("Eve"), HASH))
        await self.apply(OpenSession(session, ada, 1, ("orders:read",), _EXPIRES), RefreshSession(session, ada, 0))
        await self.apply(ChangePassword(ada, 1, HASH, session), CloseSession(session, ada))
        await self.apply(RequestPasswordReset(ada))
        await self.apply(ResetPassword(ada, await self.epoch(ada), HASH))
        await self.apply(ChangeAccount(ada, Personal("Ada")), DeactivateAccount(ada), ReactivateAccount(ada))
        await self.apply(ExpireRegistration(forgotten, 0), EraseAccount(eve))

    async def _machinery(self) -> None:
        key, job, hook = (self.floor.new_id() for _ in range(3))
        await self.apply(CreateApiKey(key, "scanner", "staff", ("inventory:read",), HASH), RevokeApiKey(key))
        await self.apply(RequestJob(job, "report", {"by": "day"}), FinishJob(job, _FINISHED, 1, {"rows": 1}))
        await self.apply(RetryTask(self.floor.new_id(), "report", str(job)))
        await self.apply(self._register(hook), ChangeWebhook(hook, {"description": "the till"}, self._scopes()))
        await self.apply(RotateWebhookSecret(hook, _SECRET, _EXPIRES), RedeliverEvents(hook, 1, self._scopes()))
        await self.apply(DisableWebhook(hook, "gone", await self._version(hook)), DeleteWebhook(hook))

    @staticmethod
    def _scopes() -> tuple[str, ...]:
        return tuple(sorted(ADMIN.scopes))

    def _register(self, hook: Any) -> RegisterWebhook:
        return RegisterWebhook(hook, WebhookFields("https://x.org/hook", ("order.*",)), _SECRET, self._scopes())

    async def _version(self, hook: Any) -> int:
        version: int = await self.floor.pool.fetchval("SELECT version FROM webhooks WHERE id = $1", hook)
        return version

    async def _refusals(self) -> None:
        floor = self.floor
        order = self.order()
        for _ in range(2):
            await floor.post(order, key="once", actor=ADMIN)
        await floor.post(floor.place(0, LAMP=999))
        await floor.put(2, {b"gar": b"bage"})
        await floor.drain()

    async def _waiting(self) -> list[Command]:
        """A command of every type. Their subjects exist, so that they can be applied."""
        floor = self.floor
        placed = [self.order() for _ in range(4)]
        confirmed, guests = self.order(), self.order(email="h@x.org")
        await self.apply(*placed, confirmed, guests)
        await self.apply(ConfirmOrder(confirmed.order_id))
        people = [await self.account(f"p{n}@x.org", confirmed=n > 1) for n in range(9)]
        sessions = [floor.new_id() for _ in range(3)]
        await self.apply(*(OpenSession(each, people[3], 0, ("orders:read",), _EXPIRES) for each in sessions[:2]))
        await self.apply(DeactivateAccount(people[4]), RequestPasswordReset(people[5]))
        category, product, key, job = (floor.new_id() for _ in range(4))
        hooks = [floor.new_id() for _ in range(6)]
        await self.apply(CreateCategory(category, CategoryFields("waiting", "Waiting")))
        await self.apply(
            CreateProduct(product, ProductFields("pot", "Pot", status=ACTIVE), (VariantFields("POT", 900, "GBP"),))
        )
        await self.apply(CreateApiKey(key, "till", "staff", ("inventory:read",), HASH), RequestJob(job, "report", {}))
        await self.apply(*(self._register(hook) for hook in hooks[:5]))
        return [
            self.order(),
            ConfirmOrder(placed[0].order_id),
            CancelOrder(placed[1].order_id),
            ExpireOrder(placed[2].order_id),
            FulfilOrder(confirmed.order_id),
            EraseOrderAddress(guests.order_id),
            ReceiveStock("MUG", 5, "a pallet"),
            AdjustStock("MUG", -1, "broken"),
            SetStock("LAMP", 90),
            CreateCategory(floor.new_id(), CategoryFields("late", "Late", category)),
            ChangeCategory(category, {"name": "No longer waiting"}),
            CreateProduct(floor.new_id(), ProductFields("jug", "Jug"), (VariantFields("JUG", 500, "GBP"),)),
            ChangeProduct(product, {"name": "A pot"}),
            SetVariant(product, VariantFields("POT-2", 950, "GBP", attributes={"size": "L"})),
            ChangeVariant(product, "POT", {"price_minor": 905}),
            PutListing(
                floor.new_id(), ProductFields("bowl", "Bowl", status=ACTIVE), VariantFields("BOWL", 250, "GBP"), 7
            ),
            CreateAccount(floor.new_id(), Personal("new@x.org"), Personal("New"), "customer", HASH),
            ConfirmAddress(people[0], 0),
            ExpireRegistration(people[1], 0),
            ChangeAccount(people[2], None, "staff"),
            OpenSession(sessions[2], people[3], 0, ("orders:read",), _EXPIRES),
            RefreshSession(sessions[0], people[3], 0),
            CloseSession(sessions[1], people[3]),
            ReactivateAccount(people[4]),
            ResetPassword(people[5], await self.epoch(people[5]), HASH),
            ChangePassword(people[6], 0, HASH),
            EraseAccount(people[7]),
            RegisterAgain(people[8], Personal("Again"), HASH),
            RequestPasswordReset(people[8]),
            DeactivateAccount(people[8]),
            CreateApiKey(floor.new_id(), "shelf", "staff", ("inventory:read",), HASH),
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
        ]
