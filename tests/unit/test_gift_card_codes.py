"""Codes of gift cards: worked out, never stored, and read however people type them."""

from typing import Final
from uuid import UUID

import pytest
from pydantic import SecretStr

from domain.cards import store_credit_id
from domain.money import CURRENCIES
from runtime.gift_card_codes import CardCodes, hash_of_typed
from runtime.settings import Settings

CARD: Final = UUID("01a203dc-fb6e-7f19-b198-be458dd22687")
CODES: Final = CardCodes(Settings(gift_card_key=SecretStr("a key")))


def test_a_code_is_the_same_whenever_it_is_worked_out_and_another_for_another_card_or_key() -> None:
    code = CODES.of(CARD)
    assert code == CODES.of(CARD)
    assert code.code.endswith(code.shown)
    assert len({each.code for each in map(CODES.of, (UUID(int=number) for number in range(1_000)))}) == 1_000
    other = CardCodes(Settings(gift_card_key=SecretStr("another key"))).of(CARD)
    assert other.code != code.code
    assert other.code_hash != code.code_hash


def test_a_code_that_was_mailed_stays_the_card_s() -> None:
    """Another way of deriving them would leave cards that can never be mailed again."""
    assert CODES.of(CARD).code == "MA52S-VND94-QA26N-Q8C10"


def test_without_a_key_of_its_own_it_is_that_of_tokens() -> None:
    secret = SecretStr("s" * 32)
    assert CardCodes(Settings(jwt_secret=secret)).of(CARD) == CardCodes(Settings(gift_card_key=secret)).of(CARD)


def test_codes_have_only_characters_that_cannot_be_mistaken() -> None:
    said = "".join(CODES.of(UUID(int=number)).code for number in range(200))
    assert set(said) == set("0123456789ABCDEFGHJKMNPQRSTVWXYZ-")


def test_a_code_is_read_however_it_is_typed() -> None:
    code = CODES.of(CARD)
    for typed in (
        code.code,
        code.code.lower(),
        code.code.replace("-", ""),
        f" {code.code.replace('-', ' ')} ",
        code.code.replace("0", "o").replace("1", "l"),
        code.code.replace("1", "I"),
    ):
        assert hash_of_typed(typed) == code.code_hash


@pytest.mark.parametrize("typed", ["", "-", "7KQ2M", "U" * 20, "0" * 21, "\u0660" * 20])
def test_impossible_gift_card_codes_have_no_hash(typed: str) -> None:
    assert hash_of_typed(typed) is None


def test_each_customer_has_a_card_of_store_credit_in_each_currency() -> None:
    cards = {store_credit_id(customer, currency) for customer in ("ann", "bob") for currency in CURRENCIES}
    assert len(cards) == 2 * len(CURRENCIES)
    assert {card.version for card in cards} == {8}
    assert {card.variant for card in cards} == {"specified in RFC 4122"}
