"""Gift cards: issued in a currency, disabled once, and mailed again until they can no longer pay."""

from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
import pytest

from domain.gift_cards import (
    DisableGiftCard,
    GiftCard,
    GiftCardDisabled,
    GiftCardMailRequested,
    GiftCardUnchanged,
    IssueGiftCard,
    MailGiftCard,
)
from domain.ids import new_id
from domain.model import Actor, Context, Event, Rejection, Secret, Shop, decide, evolve
from domain.roles import STAFF

_CARD: Final = new_id(1, 7, 1)
_ORDER: Final = new_id(1, 7, 2)
_NOW: Final = datetime(2026, 11, 30, tzinfo=UTC)
_CONTEXT: Final = Context(Actor.in_role("sam", STAFF), _NOW)


def _issue(currency: str = "GBP", amount_minor: int = 2_500, expires_at: datetime | None = None) -> IssueGiftCard:
    return IssueGiftCard(_CARD, Secret("hash"), "0WZ8", currency, amount_minor, expires_at, _ORDER)


def _applied(shop: Shop, command: IssueGiftCard | DisableGiftCard | MailGiftCard) -> type[Event] | str:
    """The event that comes of it, or the code of its rejection."""
    decided = decide(shop, command, _CONTEXT)
    if isinstance(decided, Rejection):
        return decided.code
    (event,) = decided
    evolve(shop, event)
    return type(event)


def test_a_card_is_in_a_currency() -> None:
    assert _issue("JPY").currency == "JPY"
    with pytest.raises(ValueError, match="'XXX' is not a currency"):
        _issue("XXX")


@pytest.mark.parametrize("amount_minor", [0, -1])
def test_a_card_is_worth_something(amount_minor: int) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**msgspec.structs.asdict(_issue()), "amount_minor": amount_minor}, type=IssueGiftCard)


def test_a_card_is_issued_once_and_disabled_once() -> None:
    shop = Shop()
    assert _applied(shop, DisableGiftCard(_CARD)) == "gift_card_not_found"
    _applied(shop, _issue())
    assert _applied(shop, _issue()) is GiftCardUnchanged
    assert _applied(shop, DisableGiftCard(_CARD)) is GiftCardDisabled
    assert _applied(shop, DisableGiftCard(_CARD)) is GiftCardUnchanged
    assert not shop.of(GiftCard)[_CARD].active


def test_a_card_is_mailed_until_it_expires() -> None:
    for seconds, becomes in ((1, GiftCardMailRequested), (0, "gift_card_not_mailable")):
        shop = Shop()
        _applied(shop, _issue(expires_at=_NOW + timedelta(seconds=seconds)))
        assert _applied(shop, MailGiftCard(_CARD)) == becomes
