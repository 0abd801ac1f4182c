"""Every entity has one writer, and writes from elsewhere are refused: if two mailboxes changed one row, each would
write what it had read, and one change would be lost."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, Union
from uuid import UUID

import msgspec
import pytest

from domain import model
from domain.accounts import Account, ChangeAccount
from domain.api_keys import ApiKey, RevokeApiKey
from domain.catalogue import ChangeProduct, Product, PutListing, SetVariant, Variant, VariantFields
from domain.categories import Category, ChangeCategory
from domain.checkouts import CancelCheckout, ChangeCheckout, Checkout, OpenCheckout, TakeOverCheckout
from domain.completion import CompleteCheckout
from domain.customers import Customer, SetCustomer
from domain.gift_cards import DisableGiftCard, GiftCard, IssueGiftCard, MailGiftCard
from domain.ids import new_id, slot_of_key
from domain.invoices import DrawUpInvoices, Invoice, Seller
from domain.jobs import SUCCEEDED, FinishJob, Job
from domain.model import Actor, Command, Decision, Entity, Event, Order, Personal, Secret, Shop
from domain.orders import CancelOrder, ConfirmOrder
from domain.payments.commands import (
    CapturePayment,
    CreatePayment,
    RefundPayment,
    ReportPayment,
    SettlePayment,
    VoidPayment,
)
from domain.payments.payment import Capabilities, Payment
from domain.payments.refunding import RefundOrder
from domain.promotion_codes import GiveUpCode, PromotionCode
from domain.quote.terms.promotions import Code
from domain.sessions import CloseSession, RefreshSession, Session
from domain.sku_prices import PutPrices, SkuPrices
from domain.terms import StateTerms, TermsPart
from domain.webhooks import DeleteWebhook, Webhook
from runtime import envelope as envelopes
from runtime.entities import ENTITIES
from tests.integration.shopfloor import STAFF, Shopfloor
from workers.handlers import _READS
from workers.loading import ReadSet
from workers.ownership import ForeignWrite, Writes


class Praise(Command, frozen=True):
    """A command that ignores ownership: it goes to the slot of its own name, and renames a product of another slot."""

    product_id: UUID
    where: str

    def slot(self) -> int:
        return slot_of_key(self.where)


class ProductPraised(Event, frozen=True):
    type: ClassVar[str] = "product.praised"
    product_id: UUID

    def subject(self) -> str:
        return str(self.product_id)


def _praise(shop: Shop, command: Praise, actor: Actor) -> Decision:
    return (ProductPraised(command.product_id),)


def _praised(shop: Shop, event: ProductPraised) -> None:
    if product := shop.of(Product).get(event.product_id):
        shop.of(Product)[product.id] = msgspec.structs.replace(product, name=f"Fine {product.name}")


def _needs(command: Praise, into: ReadSet) -> None:
    into.add(Product, command.product_id)


@pytest.fixture
def praise(monkeypatch: pytest.MonkeyPatch) -> Callable[[UUID, str], Praise]:
    """Praise, as an ordinary command."""
    registered: list[tuple[dict[Any, Any], Any, Any]] = [
        (model.COMMANDS, Praise, _praise),
        (model.EVENTS, ProductPraised.type, ProductPraised),
        (model._EVOLVERS, ProductPraised, _praised),
        (_READS, Praise, _needs),
    ]
    for registry, name, known in registered:
        monkeypatch.setitem(registry, name, known)
    commands = msgspec.msgpack.Decoder(Union[tuple(model.COMMANDS)], dec_hook=envelopes._conceal)  # noqa: UP007
    monkeypatch.setattr(envelopes, "_commands", commands)
    return Praise


async def test_a_command_that_writes_another_slot_s_entity_is_put_aside_alone(
    floor: Shopfloor, praise: Callable[[UUID, str], Praise]
) -> None:
    await floor.fill(MUG=10)
    product_id = floor.listing("MUG").product_id
    foreign = praise(product_id, "somewhere else")
    mailbox = floor.mailbox_of(foreign)
    before, after = floor.place(mailbox, MUG=1), floor.place(mailbox, MUG=2)

    posted = await floor.post_all([before, foreign, after], actor=STAFF)
    await floor.drain()

    assert await floor.statuses(posted) == ["applied", "failed: foreign_write", "applied"]
    assert [message[2:] for message in await floor.dead_letters()] == [(posted[1], "foreign_write")]
    detail = await floor.pool.fetchval("SELECT detail FROM dead_letters")
    assert f"the Product {product_id}, which slot {(product_id.int >> 64) & 4095} owns" in detail
    assert await floor.pool.fetchval("SELECT name FROM products") == "Mug"
    await floor.verified()


async def test_its_own_slot_may_write_it(floor: Shopfloor, praise: Callable[[UUID, str], Praise]) -> None:
    await floor.fill(MUG=10)
    product_id = floor.listing("MUG").product_id
    owner = (product_id.int >> 64) & 4095
    where = next(name for name in map(str, range(1_000_000)) if slot_of_key(name) == owner)
    posted = await floor.post(praise(product_id, where), actor=STAFF)
    await floor.drain()
    assert await floor.statuses([posted]) == ["applied"]
    assert await floor.pool.fetchval("SELECT name FROM products") == "Fine Mug"
    await floor.verified()


_ID: Final = new_id(1_600_000_000_000, 1234, 1)
_OTHER: Final = new_id(1_600_000_000_000, 77, 2)

# One entity of each kind, and commands that change it.
OWNED: Final[dict[type[Entity], tuple[Entity, list[Command]]]] = {
    Order: (Order(_ID, "ann", "placed", "GBP", 0, ()), [ConfirmOrder(_ID), CancelOrder(_ID)]),
    Category: (Category(_ID, "a", "A", None, 0, 1), [ChangeCategory(_OTHER, {})]),
    Product: (
        Product(_ID, "a", "A", "", None, "active", 1),
        [ChangeProduct(_ID, {}), PutListing(_ID), SetVariant(_ID, VariantFields("A", 1, "GBP"))],
    ),
    Variant: (
        Variant("A", _ID, "", 1, "GBP", None, None, None, {}, True, True),
        [ChangeProduct(_ID, {}), PutListing(_ID), SetVariant(_ID, VariantFields("A", 1, "GBP"))],
    ),
    Customer: (Customer(_ID, (), None, False), [SetCustomer(_ID)]),
    SkuPrices: (SkuPrices("A", _ID, ()), [PutPrices(_ID, "A", None, ())]),
    Account: (Account(_ID, Personal("a@example.org"), Personal("A"), "customer", True, 0, None), [ChangeAccount(_ID)]),
    Session: (
        Session(_OTHER, _ID, (), 0, 0, datetime(2030, 1, 1, tzinfo=UTC), None),
        [RefreshSession(_OTHER, _ID, 0), CloseSession(_OTHER, _ID)],
    ),
    ApiKey: (ApiKey(_ID, "a", "staff", (), "root", None, False), [RevokeApiKey(_ID)]),
    Job: (Job(_ID, "report", {}, "ann", "queued", 0, {}), [FinishJob(_ID, SUCCEEDED, 1, {})]),
    Checkout: (
        Checkout(_ID, "ann", "open", None, (), None, None, None, None, (), None, None, None, 1),
        [
            OpenCheckout(_ID),
            ChangeCheckout(_ID),
            TakeOverCheckout(_ID),
            CancelCheckout(_ID),
            CompleteCheckout(_ID, _ID, (), 0),
        ],
    ),
    PromotionCode: (PromotionCode("SAVE", Code(_ID, "SAVE", _ID)), [GiveUpCode("SAVE")]),
    TermsPart: (TermsPart("taxes", None, None, None, None, None, 1), [StateTerms("taxes")]),
    Invoice: (
        Invoice(f"{_ID}/0", _ID, "a", "invoice", "GBP", 1, Seller("A"), (), (), (), None),
        [DrawUpInvoices(_ID, Seller("A"), {})],
    ),
    Payment: (
        Payment(_ID, _ID, "ann", "sandbox", 1, "GBP", "manual", Capabilities()),
        [
            CreatePayment(_ID, _ID, "sandbox", Capabilities()),
            CapturePayment(_ID, _ID, _ID, 1),
            VoidPayment(_ID, _ID, _ID),
            RefundPayment(_ID, _ID, _ID, 1, "Broken"),
            SettlePayment(_ID, _ID, "r", True),
            ReportPayment(_ID, _ID, "GBP", ()),
            RefundOrder(_ID, _ID, 1, "Broken"),
        ],
    ),
    GiftCard: (
        GiftCard(_ID, None, "0WZ8", "GBP", 1, True, None, None),
        [IssueGiftCard(_ID, Secret("hash"), "0WZ8", "GBP", 1), DisableGiftCard(_ID), MailGiftCard(_ID)],
    ),
    Webhook: (Webhook(_ID, "https://a.example", (), "", "active", None, None, None, None, 1), [DeleteWebhook(_OTHER)]),
}


def test_every_kind_of_entity_is_owned_by_the_slot_of_the_commands_that_change_it() -> None:
    assert OWNED.keys() == {Order, *(entity_table.state for entity_table in ENTITIES)}
    for entity, commands in OWNED.values():
        assert {command.slot() for command in commands} == {entity.slot()}, entity


def test_states_are_only_assigned_by_key() -> None:
    entity, (own, *_) = OWNED[Order]
    writes = Writes()
    states = writes.watched({})
    states[_ID] = entity
    writes.settle(own)
    states[_ID] = entity
    with pytest.raises(ForeignWrite):
        writes.settle(CancelOrder(_OTHER))
    for change in (
        lambda: states.update({_ID: entity}),
        lambda: states.setdefault(_OTHER, entity),
        lambda: states.pop(_ID),
        lambda: states.popitem(),
        lambda: states.clear(),
        lambda: states.__delitem__(_ID),
        lambda: states.__ior__({_OTHER: entity}),
    ):
        with pytest.raises(TypeError):
            change()
    assert dict(states) == {_ID: entity}
