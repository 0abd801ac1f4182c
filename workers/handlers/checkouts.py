"""What commands about checkouts are decided on. Checkouts are written whole (see `runtime/entities.py`)."""

from domain.allowances import ALLOWANCES
from domain.cards import CARDS, card_key
from domain.checkout_rates import AskRates, RecordRates
from domain.checkout_taxes import AskTaxes, RecordTaxes
from domain.checkouts import (
    CancelCheckout,
    ChangeCheckout,
    Checkout,
    ExpireCheckout,
    OpenCheckout,
    TakeOverCheckout,
)
from domain.completion import CompleteCheckout
from domain.customers import Customer, account_of
from domain.gift_cards import GiftCard
from domain.promotion_codes import PromotionCode
from domain.quote.terms.limits import customer_among
from domain.stock import STOCK
from workers.handlers import reads
from workers.loading import ReadSet

_ByBuyers = OpenCheckout | ChangeCheckout | TakeOverCheckout | CancelCheckout | ExpireCheckout
_AboutOne = _ByBuyers | AskTaxes | RecordTaxes | AskRates | RecordRates


@reads(OpenCheckout)
@reads(ChangeCheckout)
@reads(TakeOverCheckout)
@reads(CancelCheckout)
@reads(ExpireCheckout)
@reads(AskTaxes)
@reads(RecordTaxes)
@reads(AskRates)
@reads(RecordRates)
def _known(command: _AboutOne, into: ReadSet) -> None:
    into.add(Checkout, command.checkout_id)


@reads(CompleteCheckout)
def _complete(command: CompleteCheckout, into: ReadSet) -> None:
    into.add(Checkout, command.checkout_id)
    into.quoted = True
    skus = [*(wanted.sku for wanted in command.lines), *command.gifts]
    into.skus.update(skus)
    into.balances_of(STOCK).update(skus)
    if (customer_id := customer_among(command.identities)) is not None:
        into.customers.add(customer_id)
        if (account_id := account_of(customer_id)) is not None:
            into.consult(Customer, account_id)
    for code in command.codes:
        into.consult(PromotionCode, code)
    for key in command.allowances:
        into.add_balance(ALLOWANCES, key, exact=True)
    for card_id in command.gift_cards:
        into.consult(GiftCard, card_id)
        into.add_balance(CARDS, card_key(card_id))
    if command.store_credit is not None:
        into.add_balance(CARDS, card_key(command.store_credit))
