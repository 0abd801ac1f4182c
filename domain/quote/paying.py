"""What gift cards and store credit pay of a total: each as much as it has, in the given order."""

from domain.quote.basket import GIFT_CARD, Basket, Card
from domain.quote.periods import in_period
from domain.quote.quoted import PaidByCard, Remark
from domain.quote.worksheet import Worksheet


def pay(sheet: Worksheet, total_minor: int) -> tuple[tuple[PaidByCard, ...], tuple[Remark, ...]]:
    """What each card pays, and a remark on each that cannot pay. The remark is the same whatever is wrong with the
    card, so that it does not reveal which codes exist."""
    paid: list[PaidByCard] = []
    remarks: list[Remark] = []
    used = set()
    for place, card in enumerate(sheet.basket.cards):
        if card is None or card.id in used or not _pays(card, sheet):
            if card is None or card.kind == GIFT_CARD:
                remarks.append(Remark(f"/gift_cards/{place}", "card_not_usable", "This gift card cannot be used here."))
            continue
        used.add(card.id)
        if amount := min(card.balance_minor, total_minor):
            total_minor -= amount
            paid.append(PaidByCard(card.id, card.kind, card.shown, amount))
    return tuple(paid), tuple(remarks)


def _pays(card: Card, sheet: Worksheet) -> bool:
    basket: Basket = sheet.basket
    return (
        card.active
        and card.currency == basket.currency
        and card.balance_minor > 0
        and in_period(sheet.at, None, card.expires_at)
    )
