"""The part of a past that is about money: terms, codes and prices, checkouts, cards, payments, invoices and taxes. What
it takes to complete a checkout is looked up as gateways do."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from domain.addresses import Address
from domain.checkout_rates import AskRates, RecordRates
from domain.checkout_taxes import AskTaxes, RecordTaxes
from domain.checkouts import CancelCheckout, ChangeCheckout, ExpireCheckout, OpenCheckout, TakeOverCheckout
from domain.completion import CompleteCheckout
from domain.customers import SetCustomer
from domain.gift_cards import DisableGiftCard, IssueGiftCard, MailGiftCard
from domain.invoices import DrawUpInvoices, Seller
from domain.limits import GIFT_CARD_SHOWN_CHARS
from domain.model import Command, Personal, Price, Secret, Wanted
from domain.order_taxes import COMMIT, ReportTaxes
from domain.orders import CancelOrder, ConfirmOrder, ExpireOrder
from domain.payments.commands import (
    CapturePayment,
    CreatePayment,
    RefundPayment,
    ReportPayment,
    SettlePayment,
    VoidPayment,
)
from domain.payments.entries import Entry, EntryType
from domain.payments.payment import Capabilities, Capture
from domain.payments.refunding import RefundOrder
from domain.promotion_codes import CreateCodes, GiveUpCode
from domain.quote.actions.amounts import Percent
from domain.quote.basket import LiveMethod, LiveRate, RateAnswer, RateQuestion, SentPart, TaxAnswer, TaxQuestion
from domain.quote.places import Area, Place
from domain.quote.quoted import STANDARD, TaxLine
from domain.quote.terms.deliveries import Method, Rate
from domain.quote.terms.limits import PurchaseLimit
from domain.quote.terms.prices import PriceList
from domain.quote.terms.promotions import Code, Promotion
from domain.quote.terms.taxes import Taxes, TaxPolicy, TaxRate
from domain.sku_prices import PutPrices
from domain.store_credit import ChangeStoreCredit
from domain.terms import METHOD, PRICE_LIST, PROMOTION, PURCHASE_LIMIT, TAXES, StateTerms, part_name
from gateway.views import checkouts as views
from gateway.views.quoting import Quoting
from runtime.engine import create_engine
from runtime.payments.invoice import Invoice as ByInvoice
from runtime.taxing import remote
from tests.integration.shopfloor import PRICE_MINOR
from tests.past.kit import ADMIN, GUEST, Kit

_RATE_BP: Final = 2_000
_TAXES: Final = Taxes("GB", (TaxRate("VAT", Area("GB"), "standard", _RATE_BP),), TaxPolicy(included=True))
_ADDRESS: Final = Address("Ada Lovelace", "1 Harbour Street", "London", "GB", postal_code="E14 9GE").sealed()
_POST: Final = Method(UUID(int=1), "Post", areas=(Area("GB"),), rates=(Rate("GBP", 300, free_from_minor=5_000),))
_TENTH: Final = Promotion(
    UUID(int=2), 0, "A tenth off", Percent(percent_bp=1_000), coded=True, uses_limit=100, uses_per_customer=50
)
_TRADE: Final = PriceList(UUID(int=3), "Trade", groups=frozenset({"trade"}))
_FEW: Final = PurchaseLimit(UUID(int=4), 9_999)
_TERMS: Final = (
    StateTerms(TAXES, taxes=_TAXES),
    StateTerms(part_name(METHOD, _POST.id), method=_POST),
    StateTerms(part_name(PROMOTION, _TENTH.id), promotion=_TENTH),
    StateTerms(part_name(PRICE_LIST, _TRADE.id), price_list=_TRADE),
    StateTerms(part_name(PURCHASE_LIMIT, _FEW.id), purchase_limit=_FEW),
)
_LIKE: Final = Code(UUID(int=5), "", _TENTH.id, uses_limit=50)
_SELLER: Final = Seller("Tidegate", ("1 Quay", "London"), "GB123")
_ALL: Final = Capabilities()
_AT: Final = datetime(2026, 11, 30, 12, tzinfo=UTC)
_TOTAL_MINOR: Final = 3 * PRICE_MINOR


class Money(Kit):
    """Writes it. What is bought by checkout is a mug, by a code and by post; orders are of 300."""

    async def write(self) -> None:
        """Every type of event; afterwards, the shop has terms."""
        await self._checkouts_without_terms()
        await self.apply(*_TERMS)
        await self._prices_and_codes()
        await self._cards()
        await self._a_checkout_that_is_taken_over()
        await self._a_checkout_whose_delivery_is_asked_for()
        await self._an_order_that_is_paid_and_given_back()
        await self._orders_that_come_to_nothing()
        await self._an_order_whose_taxes_a_provider_computed()

    async def _checkouts_without_terms(self) -> None:
        done, given_up, forgotten = self._ids(3)
        await self.apply(*map(self.opened, (done, given_up, forgotten)))
        await self.apply(ChangeCheckout(done, cleared=("note",)))
        await self.apply(*[CompleteCheckout(done, self.floor.new_id(), (Wanted("MUG", 1),), PRICE_MINOR)] * 2)
        await self.apply(CancelCheckout(given_up), ExpireCheckout(forgotten, 1))

    async def _prices_and_codes(self) -> None:
        account_id = await self.account("trade@x.org")
        await self.apply(SetCustomer(account_id, ("trade",), Personal("GB123456789")))
        await self.apply(*[await self._prices(90)] * 2)
        codes = CreateCodes(_TENTH.id, ((UUID(int=11), "TENTH"), (UUID(int=12), "LOST")), _LIKE)
        await self.apply(codes, codes)
        await self.apply(GiveUpCode("LOST"))

    async def _prices(self, price_minor: int) -> PutPrices:
        product_id = await self.floor.pool.fetchval("SELECT product_id FROM variants WHERE sku = 'MUG'")
        price = Price("GBP", price_minor, _TRADE.id, 10)
        return PutPrices(UUID(int=product_id.int), "MUG", _TRADE.id, (price,))

    async def _cards(self) -> None:
        card = self._issue()
        await self.apply(card, card)
        await self.apply(MailGiftCard(card.card_id))
        await self.apply(DisableGiftCard(card.card_id), self._credit(ADMIN.principal))

    def _issue(self) -> IssueGiftCard:
        """Of a card that somebody has bought."""
        card_id = self.floor.new_id()
        return IssueGiftCard(
            card_id, Secret(f"hash of {card_id}"), "X" * GIFT_CARD_SHOWN_CHARS, "GBP", 100, order_id=card_id
        )

    @staticmethod
    def _credit(customer_id: str) -> ChangeStoreCredit:
        return ChangeStoreCredit(customer_id, "GBP", 50, "It was late")

    async def _a_checkout_that_is_taken_over(self) -> None:
        guests, own = self._ids(2)
        await self.apply(self.opened(guests), actor=GUEST)
        await self.apply(self.opened(own))
        await self.apply(TakeOverCheckout(guests, lines=(Wanted("LAMP", 1),), guest_id=GUEST.principal, own_id=own))

    async def _a_checkout_whose_delivery_is_asked_for(self) -> None:
        asked = self._rates(await self._cart())
        await self.apply(asked)
        await self.apply(self._rate(asked))

    @staticmethod
    def _rates(checkout_id: UUID) -> AskRates:
        part = SentPart("MUG", 1, 350, PRICE_MINOR)
        method = LiveMethod(_POST.id, _POST.name)
        question = RateQuestion("remote", "GBP", Place("GB", postal="E149GE"), (method,), (part,))
        return AskRates(checkout_id, 1, question.sealed())

    @staticmethod
    def _rate(asked: AskRates) -> RecordRates:
        return RecordRates(asked.checkout_id, asked.ask, RateAnswer((LiveRate(_POST.id, "GBP", 250),), _AT))

    async def _an_order_that_is_paid_and_given_back(self) -> None:
        card = self._issue()
        await self.apply(card)
        completion = await self._completed(await self._cart(card.card_id, store_credit=True))
        payment = completion.payment
        assert payment is not None
        due_minor = completion.due_minor
        paid = self._reported(payment, "charge_success", str(payment.payment_id), due_minor)
        await self.apply(paid)
        await self.apply(paid, self._invoices(payment.order_id))
        refund = RefundOrder(payment.order_id, self.floor.new_id(), 200, "It is chipped")
        await self.apply(refund)
        reference = f"{refund.act_id}:{payment.payment_id}"
        await self.apply(self._reported(payment, "refund_success", reference, 50))
        await self.apply(self._invoices(payment.order_id))

    async def _orders_that_come_to_nothing(self) -> None:
        """One gives back what it took of limits, and of a card; the hold of another ends while it is paid for."""
        card = self._issue()
        await self.apply(card)
        completion = await self._completed(await self._cart(card.card_id))
        await self.apply(CancelOrder(completion.order_id))
        waits = await self._paid_for()
        await self.apply(ExpireOrder(waits.order_id, 60.0))
        await self.apply(ExpireOrder(waits.order_id))

    async def _an_order_whose_taxes_a_provider_computed(self) -> UUID:
        self.floor.tax_provider = remote.NAME
        cart = await self._cart()
        asked = await self._asked(cart)
        await self.apply(asked)
        await self.apply(self._answer(asked))
        completion = await self._completed(cart)
        self.floor.tax_provider = None
        await self.apply(ConfirmOrder(completion.order_id))
        await self.apply(ReportTaxes(completion.order_id, COMMIT))
        return completion.order_id

    async def waiting(self) -> list[Command]:
        """A command of every type. Their subjects exist, so that they can be applied."""
        new, changed, cancelled, expired, guests = self._ids(5)
        await self.apply(*map(self.opened, (changed, cancelled, expired)))
        await self.apply(self.opened(guests), actor=GUEST)
        account_id, disabled, mailed = await self.account("buyer@x.org"), self._issue(), self._issue()
        await self.apply(disabled, mailed)
        delivered, weighed = [self._rates(await self._cart()) for _ in range(2)]
        await self.apply(weighed)
        self.floor.tax_provider = remote.NAME
        asking, answered = [await self._asked(await self._cart()) for _ in range(2)]
        await self.apply(answered)
        taxed = await self._an_order_whose_taxes_a_provider_computed()
        unpaid = self.order()
        await self.apply(unpaid)
        captured, voided = [await self._paid_for("authorization_success", "manual") for _ in range(2)]
        given_back, refunded, invoiced = [await self._paid_for("charge_success") for _ in range(3)]
        reported, settled = await self._paid_for(), await self._paid_for(provider=ByInvoice.name)
        act = self.floor.new_id
        return [
            StateTerms(part_name(PRICE_LIST, _TRADE.id), price_list=PriceList(_TRADE.id, "To the trade")),
            await self._prices(80),
            CreateCodes(_TENTH.id, ((UUID(int=13), "LATE"),), _LIKE),
            GiveUpCode("TENTH"),
            SetCustomer(account_id, ("trade",), Personal("GB123456789")),
            self._issue(),
            DisableGiftCard(disabled.card_id),
            MailGiftCard(mailed.card_id),
            self._credit("ann"),
            self.opened(new),
            ChangeCheckout(changed, cleared=("note",)),
            CancelCheckout(cancelled),
            ExpireCheckout(expired, 1),
            TakeOverCheckout(guests, guest_id=GUEST.principal),
            await self._completion(await self._cart(code=False)),
            delivered,
            self._rate(weighed),
            asking,
            self._answer(answered),
            self._pays(unpaid.order_id),
            CapturePayment(captured.order_id, captured.payment_id, act(), 100),
            VoidPayment(voided.order_id, voided.payment_id, act()),
            RefundPayment(given_back.order_id, given_back.payment_id, act(), 100, "It is chipped"),
            RefundOrder(refunded.order_id, act(), 100, "It is chipped"),
            self._invoices(invoiced.order_id),
            self._reported(reported, "charge_success", str(reported.payment_id), _TOTAL_MINOR),
            SettlePayment(settled.order_id, settled.payment_id, str(settled.payment_id), succeeded=True),
            ReportTaxes(taxed, COMMIT),
        ]

    def _ids(self, count: int) -> list[UUID]:
        return [self.floor.new_id() for _ in range(count)]

    async def _cart(self, *gift_cards: UUID, store_credit: bool = False, code: bool = True) -> UUID:
        """An open checkout that lacks nothing."""
        command = OpenCheckout(
            self.floor.new_id(),
            lines=(Wanted("MUG", 1),),
            email=Personal("root@x.org"),
            address=_ADDRESS,
            method_id=_POST.id,
            codes=("TENTH",) if code else (),
            gift_cards=gift_cards,
            store_credit=store_credit,
        )
        await self.apply(command)
        return command.checkout_id

    @asynccontextmanager
    async def _looking(self) -> AsyncIterator[tuple[AsyncConnection, Quoting]]:
        engine = create_engine(self.floor.database_url, pool_size=1)
        try:
            async with engine.connect() as connection:
                yield connection, Quoting(b"identities", tax_provider=self.floor.tax_provider)
        finally:
            await engine.dispose()

    async def _completion(self, checkout_id: UUID) -> CompleteCheckout:
        """What completes it, and pays what cards leave of it."""
        async with self._looking() as (connection, quoting):
            found = await views.find(connection, quoting, ADMIN, checkout_id)
            said = await views.completion(connection, quoting, ADMIN, checkout_id)
        assert found is not None
        assert said is not None
        assert found.view.quote is not None
        assert found.view.requirements == []
        quote, order_id = found.view.quote, self.floor.new_id()
        return CompleteCheckout(
            checkout_id,
            order_id,
            said.lines,
            quote.total_minor,
            said.gifts,
            said.codes,
            said.allowances,
            said.identities,
            self._pays(order_id),
            quote.due_minor,
            said.gift_cards,
            said.store_credit,
        )

    async def _completed(self, checkout_id: UUID) -> CompleteCheckout:
        completion = await self._completion(checkout_id)
        await self.apply(completion)
        return completion

    async def _asked(self, checkout_id: UUID) -> AskTaxes:
        """What has to be asked of the provider about it."""
        async with self._looking() as (connection, quoting):
            found = await views.find(connection, quoting, ADMIN, checkout_id)
        assert found is not None
        (asked,) = (each for each in found.asks if isinstance(each, AskTaxes))
        return asked

    @staticmethod
    def _answer(asked: AskTaxes) -> RecordTaxes:
        """What the provider says: prices contain the tax."""
        parts = TaxQuestion.opened(asked.question).parts
        taxes = [TaxLine("VAT", "GB", _RATE_BP, STANDARD, part.amount_minor // 6) for part in parts]
        return RecordTaxes(asked.checkout_id, asked.ask, TaxAnswer(tuple((tax,) for tax in taxes)))

    def _pays(self, order_id: UUID, capture: Capture = "automatic", provider: str = "sandbox") -> CreatePayment:
        can = ByInvoice.capabilities if provider == ByInvoice.name else _ALL
        return CreatePayment(order_id, self.floor.new_id(), provider, can, capture, None, "https://x.org/back")

    async def _paid_for(
        self, outcome: EntryType | None = None, capture: Capture = "automatic", provider: str = "sandbox"
    ) -> CreatePayment:
        """The payment of a new order, of which the provider has told this."""
        order = self.order()
        payment = self._pays(order.order_id, capture, provider)
        await self.apply(order)
        await self.apply(payment)
        if outcome is not None:
            await self.apply(self._reported(payment, outcome, str(payment.payment_id), _TOTAL_MINOR))
        return payment

    @staticmethod
    def _reported(payment: CreatePayment, outcome: EntryType, reference: str, amount_minor: int) -> ReportPayment:
        entry = Entry(outcome, reference, amount_minor, _AT)
        named = f"at the provider: {payment.payment_id}"
        return ReportPayment(payment.order_id, payment.payment_id, "GBP", (entry,), named, 60.0)

    @staticmethod
    def _invoices(order_id: UUID) -> DrawUpInvoices:
        return DrawUpInvoices(order_id, _SELLER, {"MUG": "Mug", "LAMP": "Lamp"})
