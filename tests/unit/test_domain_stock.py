"""Stock: receipts, corrections, and each reason to refuse one."""

import pytest

from domain.ids import slot_of_key
from domain.ledgers import Balance
from domain.limits import STOCK_MAX_ON_HAND
from domain.model import Command, Offer, Rejection, Shop, decide, evolve
from domain.stock import (
    COUNTED,
    STOCK,
    AdjustStock,
    ReceiveStock,
    SetStock,
    StockAdjusted,
    StockReceived,
    StockUnchanged,
)
from tests.contexts import context

STAFF = context("sam", "staff")


def shop(stock: Balance | None = None) -> Shop:
    """One SKU, with this stock."""
    return Shop({"MUG": Offer("MUG", 100, "GBP")}, {STOCK: {} if stock is None else {"MUG": stock}}, {})


def after(before: Shop, command: Command) -> Balance:
    """The SKU's stock after the command has been applied."""
    decision = decide(before, command, STAFF)
    assert not isinstance(decision, Rejection)
    for event in decision:
        evolve(before, event)
    return before.balance(STOCK, "MUG")


def test_received_goods_are_on_hand() -> None:
    assert decide(shop(), ReceiveStock("MUG", 5, "PO-7"), STAFF) == (StockReceived("MUG", 5, "PO-7"),)
    assert after(shop(), ReceiveStock("MUG", 5)) == Balance(5)
    assert after(shop(Balance(7, 3)), ReceiveStock("MUG", 5)) == Balance(12, 3)


def test_a_correction_goes_both_ways_and_keeps_its_reason() -> None:
    assert decide(shop(), AdjustStock("MUG", 2, "found"), STAFF) == (StockAdjusted("MUG", 2, "found"),)
    assert after(shop(Balance(7, 3)), AdjustStock("MUG", 2, "found")) == Balance(9, 3)
    assert after(shop(Balance(7, 3)), AdjustStock("MUG", -4, "broken")) == Balance(3, 3)


def test_a_count_corrects_what_is_on_hand_or_confirms_it() -> None:
    assert decide(shop(Balance(7, 3)), SetStock("MUG", 4), STAFF) == (StockAdjusted("MUG", -3, COUNTED),)
    assert after(shop(Balance(7, 3)), SetStock("MUG", 9)) == Balance(9, 3)
    assert decide(shop(Balance(7, 3)), SetStock("MUG", 7), STAFF) == (StockUnchanged("MUG"),)
    refused = decide(shop(Balance(7, 3)), SetStock("MUG", 2), STAFF)
    assert isinstance(refused, Rejection)
    assert refused.code == "insufficient_stock"
    unknown = decide(shop(), SetStock("CUP", 2), STAFF)
    assert isinstance(unknown, Rejection)
    assert unknown.code == "unknown_sku"


def test_reserved_pieces_cannot_be_written_off() -> None:
    refused = decide(shop(Balance(7, 3)), AdjustStock("MUG", -5, "broken"), STAFF)
    assert isinstance(refused, Rejection)
    assert refused.code == "insufficient_stock"
    assert refused.particulars == {"lines": [{"sku": "MUG", "requested": 5, "available": 4}]}


@pytest.mark.parametrize("command", [ReceiveStock("NOPE", 1), AdjustStock("NOPE", 1, "found")])
def test_unknown_skus_are_refused(command: Command) -> None:
    refused = decide(shop(), command, STAFF)
    assert isinstance(refused, Rejection)
    assert (refused.code, refused.particulars) == ("unknown_sku", {"skus": ["NOPE"]})


@pytest.mark.parametrize("command", [ReceiveStock("MUG", 11), AdjustStock("MUG", 11, "found")])
def test_the_stock_of_a_sku_is_bounded(command: ReceiveStock | AdjustStock) -> None:
    assert after(shop(Balance(STOCK_MAX_ON_HAND - 11)), command).posted == STOCK_MAX_ON_HAND
    refused = decide(shop(Balance(STOCK_MAX_ON_HAND - 10)), command, STAFF)
    assert isinstance(refused, Rejection)
    assert refused.code == "stock_limit_exceeded"
    assert refused.particulars == {"sku": "MUG", "on_hand": STOCK_MAX_ON_HAND - 10, "limit": STOCK_MAX_ON_HAND}


def test_goods_are_received_even_for_products_not_on_sale() -> None:
    archived = Shop({"MUG": Offer("MUG", 100, "GBP", on_sale=False)}, {}, {})
    assert after(archived, ReceiveStock("MUG", 5)) == Balance(5)
    assert after(archived, AdjustStock("MUG", -5, "broken")) == Balance(0)


def test_all_commands_about_a_sku_share_its_slot() -> None:
    assert ReceiveStock("MUG", 1).slot() == AdjustStock("MUG", 1, "found").slot() == slot_of_key("MUG")
