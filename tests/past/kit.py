"""What all parts of a past are written with."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from domain.accounts import CreateAccount
from domain.checkouts import OpenCheckout
from domain.model import Actor, Command, Personal, Secret, Wanted
from domain.orders import PlaceOrder
from tests.integration.shopfloor import Shopfloor

ADMIN: Final = Actor.in_role("root", "admin")
GUEST: Final = Actor.in_role("guest:1", "customer")
HASH: Final = Secret("a hash")


class Kit:
    """Applies commands on a shop floor, and makes the usual ones."""

    def __init__(self, floor: Shopfloor) -> None:
        self.floor = floor

    async def apply(self, *commands: Command, actor: Actor = ADMIN) -> None:
        """Has them applied; none may be refused."""
        posted = [await self.floor.post(command, actor=actor) for command in commands]
        await self.floor.drain()
        statuses = await self.floor.statuses(posted)
        assert statuses == ["applied"] * len(posted), statuses

    def order(self, actor: Actor = ADMIN, email: str | None = None) -> PlaceOrder:
        """An order of 300, or of 100 by somebody with an address."""
        wanted = (Wanted("MUG", 2), Wanted("LAMP", 1)) if email is None else (Wanted("MUG", 1),)
        return PlaceOrder(self.floor.new_id(), actor.principal, wanted, Personal(email) if email else None)

    def opened(self, checkout_id: UUID) -> OpenCheckout:
        """A checkout of a mug."""
        return OpenCheckout(checkout_id, lines=(Wanted("MUG", 1),), note=Personal("Ring twice."))

    async def account(self, email: str, *, confirmed: bool = True) -> UUID:
        """A new account."""
        account_id = self.floor.new_id()
        await self.apply(
            CreateAccount(account_id, Personal(email), Personal("Ada"), "customer", HASH, confirmed=confirmed)
        )
        return account_id
