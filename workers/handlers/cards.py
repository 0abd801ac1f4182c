"""What commands about gift cards and store credit are decided on. Cards are written whole (see
`runtime/entities.py`)."""

from domain.cards import CARDS, card_key, store_credit_id
from domain.gift_cards import DisableGiftCard, GiftCard, IssueGiftCard, MailGiftCard
from domain.store_credit import ChangeStoreCredit
from workers.handlers import reads
from workers.loading import ReadSet


@reads(IssueGiftCard)
def _issue(command: IssueGiftCard, into: ReadSet) -> None:
    into.add(GiftCard, command.card_id)
    into.add_balance(CARDS, card_key(command.card_id))


@reads(DisableGiftCard)
@reads(MailGiftCard)
def _one(command: DisableGiftCard | MailGiftCard, into: ReadSet) -> None:
    into.add(GiftCard, command.card_id)


@reads(ChangeStoreCredit)
def _change(command: ChangeStoreCredit, into: ReadSet) -> None:
    into.add_balance(CARDS, card_key(store_credit_id(command.customer_id, command.currency)))
