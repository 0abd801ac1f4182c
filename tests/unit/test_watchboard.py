"""The dashboard in a terminal: everything is shown at any size, and nothing is too wide."""

from typing import Any

import msgspec
import pytest
from rich.console import Console

from gateway.realtime.statistics.figures import Figures, Latency, Missed, Past, RunningLow, Selling, Shelf, Waiting
from ops.console.watchboard import Board

NOW = 1_800_000_000


def figures() -> dict[str, Any]:
    told = Figures(
        orders_per_minute=1_234,
        orders_last_second=21,
        confirmed_per_minute=800,
        cancelled_per_minute=12,
        expired_per_minute=0,
        refused_orders_per_minute=1_234,
        events_per_minute=5_000,
        revenue_minor_per_minute={"EUR": 5, "GBP": 1_234_567},
        paid_minor_per_minute={"GBP": 987_654},
        charged_payments_per_minute=700,
        failed_payments_per_minute=9,
        completed_checkouts_per_minute=650,
        rejections={"insufficient_stock": 1_234},
        top_skus=[Selling("MUG", 300, "Mug with the tide table of 1910", 0), Selling("NEW", 7)],
        missed_skus=[Missed("MUG", 99, "Mug with the tide table of 1910")],
        accept_to_commit_ms=Latency(4.2, 31.0),
        at=NOW,
        seq=42,
        window_seconds=60,
        shelf=Shelf([RunningLow("CLOCK", "Diner wall clock", 4, 8)], low_skus=1, sold_out_skus=3),
        backlog=None,
        waiting=Waiting(17, 125.0, 4_321, 56),
        past=Past([NOW - 10, NOW - 5], [0, 600], {"GBP": [0, 500]}),
    )
    built: dict[str, Any] = msgspec.to_builtins(told)
    return built


def order(number: int) -> dict[str, Any]:
    data = {"currency": "GBP", "total_minor": 250, "lines": [{"sku": "MUG", "quantity": 1}]}
    subject = f"01a203dc-fb6e-7f19-b198-{number:012}"
    return {"seq": number, "type": "order.placed", "subject": subject, "time": "2026-11-22T17:00:00Z", "data": data}


def picture(board: Board, width: int, height: int) -> list[str]:
    console = Console(width=width, height=height, force_terminal=False, color_system=None)
    with console.capture() as captured:
        console.print(board)
    return captured.get().splitlines()


@pytest.mark.parametrize(("width", "height"), [(160, 48), (100, 30), (80, 48), (80, 24), (60, 20)])
def test_it_fits(width: int, height: int) -> None:
    board = Board("http://127.0.0.1:8000")
    board.state("connected")
    board.counted(figures())
    for number in range(100):
        board.happened(order(number))
    lines = picture(board, width, height)
    assert max(map(len, lines)) <= width
    assert len(lines) <= height
    seen = "\n".join(lines)
    for said in ("live", "1,234", "GBP 12,345.67", "50 % of orders", "4.2 ms", "000099"):
        assert said in seen
    assert ("Selling fast" in seen) == (height >= 24)


def test_everything_is_there() -> None:
    board = Board("http://127.0.0.1:8000")
    board.counted(figures())
    seen = "\n".join(picture(board, 160, 48))
    for said in ("sold out", "Diner wall clock", "30 s", "3 sold out", "insufficient stock", "for lack of Mug", "▄"):
        assert said in seen, said
    assert "EUR 0.05" in seen
    for said in ("GBP 9,876.54", "700 paid, 9 failed", "17", "for up to 2 min", "4,321", "56 active"):
        assert said in seen, said
    assert "No orders yet." in seen


def test_an_unknown_number_of_waiting_tasks_is_a_question_mark() -> None:
    board = Board("http://127.0.0.1:8000")
    board.counted({**figures(), "backlog": 3, "waiting": None})
    assert "\n".join(picture(board, 160, 48)).count("?") == 2


def test_it_says_that_it_is_waiting_or_disconnected() -> None:
    board = Board("http://127.0.0.1:8000")
    assert "Waiting for the first figures" in "\n".join(picture(board, 100, 30))
    board.state("disconnected")
    assert "connection lost" in picture(board, 100, 30)[0]
