"""What providers are asked about a checkout, and say: a question is one, and nothing is asked or learnt of a checkout
that is not there, or no longer open."""

from datetime import UTC, datetime
from typing import Final, TypeAlias

import msgspec
import pytest

from domain.checkout_rates import AskRates, RecordRates
from domain.checkout_taxes import AskTaxes, RecordTaxes
from domain.checkouts import CANCELLED, COMPLETED, EXPIRED, OPEN, Checkout
from domain.ids import new_id
from domain.model import Actor, Context, Personal, Rejection, Shop, decide
from domain.quote.basket import RateAnswer, RateQuestion, TaxAnswer, TaxQuestion
from domain.roles import STAFF
from tests.quotes import LONDON

_CHECKOUT: Final = new_id(1, 7, 1)
_CONTEXT: Final = Context(Actor.in_role("tidegate", STAFF), datetime(2026, 11, 30, tzinfo=UTC))
_RATES: Final = RateQuestion("wheels", "GBP", LONDON, (), ()).sealed()
_TAXES: Final = TaxQuestion("remote", "GBP", LONDON, False, None, False, ()).sealed()

_Said: TypeAlias = AskRates | RecordRates | AskTaxes | RecordTaxes


def _all_said() -> tuple[_Said, ...]:
    return (
        AskRates(_CHECKOUT, 1, _RATES),
        RecordRates(_CHECKOUT, 0, RateAnswer()),
        AskTaxes(_CHECKOUT, 1, _TAXES),
        RecordTaxes(_CHECKOUT, 0, TaxAnswer()),
    )


def _shop(status: str) -> Shop:
    shop = Shop()
    shop.of(Checkout)[_CHECKOUT] = Checkout(
        _CHECKOUT, "ann", status, "GBP", (), None, Personal("in London"), None, None, (), None, None, None, 1
    )
    return shop


def _refusal(shop: Shop, said: _Said) -> str | None:
    decided = decide(shop, said, _CONTEXT)
    return decided.code if isinstance(decided, Rejection) else None


@pytest.mark.parametrize("asks", [AskRates, AskTaxes])
@pytest.mark.parametrize("question", ["", "{}", '{"provider": "wheels"}'])
def test_what_is_no_question_is_not_asked(asks: type[AskRates] | type[AskTaxes], question: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        asks(_CHECKOUT, 1, Personal(question))


@pytest.mark.parametrize("said", _all_said(), ids=lambda said: type(said).__name__)
def test_only_an_open_checkout_is_asked_about(said: _Said) -> None:
    assert _refusal(Shop(), said) == "checkout_not_found"
    for status in (CANCELLED, EXPIRED, COMPLETED):
        assert _refusal(_shop(status), said) == "checkout_not_open"
    assert _refusal(_shop(OPEN), said) is None
