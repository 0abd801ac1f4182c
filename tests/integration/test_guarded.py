"""What a batch was decided on is checked again in the statement that writes, for any ledger and every guard."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import asyncpg
import pytest

from domain.ledgers import Ledger
from runtime.ledgers import LEDGERS, LedgerTable
from runtime.tables.base import metadata
from runtime.tables.ledgers import create_ledger_table, ledger_table
from tests.integration.shopfloor import Shopfloor
from workers import guarded
from workers.guarded import Assumptions, Balances, move_guards
from workers.stale import StaleRead

TOKENS: Final = Ledger("tokens")


@pytest.fixture
async def tokens(floor: Shopfloor, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[asyncpg.Pool[Any]]:
    """A second ledger, with ten on one key and nothing on others."""
    table = LedgerTable(TOKENS, ledger_table("tokens"))
    metadata.remove(table.table)
    monkeypatch.setattr(guarded, "LEDGERS", (*LEDGERS, table))
    await floor.pool.execute(create_ledger_table("tokens"))
    await floor.pool.execute("INSERT INTO tokens VALUES ('ten', 10, 0)")
    yield floor.pool
    guarded._guarded.cache_clear()
    guarded._open.cache_clear()


async def _write(pool: asyncpg.Pool[Any], balances: Balances, assumptions: Assumptions | None = None) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SELECT FROM event_counter FOR UPDATE")
        await balances.write(connection, assumptions or Assumptions())


async def _balance(pool: asyncpg.Pool[Any], key: str) -> tuple[int, int] | None:
    row = await pool.fetchrow("SELECT posted, pending FROM tokens WHERE key = $1", key)
    return None if row is None else tuple(row)


def _moved(*moves: tuple[str, int, int]) -> Balances:
    balances = Balances()
    balances.move([(TOKENS, *move) for move in moves])
    return balances


async def test_moves_are_added(tokens: asyncpg.Pool[Any]) -> None:
    await _write(tokens, _moved(("ten", 5, 0), ("ten", 0, 3), ("ten", -1, -1)))
    assert await _balance(tokens, "ten") == (14, 2)


async def test_a_batch_is_checked_at_its_lowest_intermediate_balance(tokens: asyncpg.Pool[Any]) -> None:
    with pytest.raises(StaleRead, match="balance_moved"):
        await _write(tokens, _moved(("ten", 0, 11), ("ten", 0, -11)))
    await _write(tokens, _moved(("ten", 1, 0), ("ten", 0, 11), ("ten", 0, -11)))
    assert await _balance(tokens, "ten") == (11, 0)


@pytest.mark.parametrize(("key", "amount", "stands"), [("ten", 11, True), ("ten", 10, False), ("none", 1, True)])
async def test_a_refusal_is_written_only_while_the_balance_is_still_too_low(
    tokens: asyncpg.Pool[Any], key: str, amount: int, stands: bool
) -> None:
    balances = Balances()
    balances.lack({(TOKENS, key): amount})
    if stands:
        await _write(tokens, balances)
        assert await _balance(tokens, "none") is None, "a key that is only read gets no row"
    else:
        with pytest.raises(StaleRead, match="balance_moved"):
            await _write(tokens, balances)


@pytest.mark.parametrize(("key", "posted", "stands"), [("ten", 10, True), ("ten", 9, False), ("none", 0, True)])
async def test_what_must_be_known_exactly_is_compared(
    tokens: asyncpg.Pool[Any], key: str, posted: int, stands: bool
) -> None:
    exact = Assumptions(exact={TOKENS: {key: posted}})
    if stands:
        await _write(tokens, Balances(), exact)
    else:
        with pytest.raises(StaleRead, match="balance_moved"):
            await _write(tokens, Balances(), exact)


async def test_a_key_that_was_read_and_has_no_row_gets_one_with_its_first_move(tokens: asyncpg.Pool[Any]) -> None:
    await _write(tokens, _moved(("new", 7, 2)), Assumptions(absent={TOKENS: {"new", "other"}}))
    await _write(tokens, _moved(("opened", 0, 0)))
    assert [await _balance(tokens, key) for key in ("new", "other", "opened")] == [(7, 2), None, (0, 0)]


async def test_the_table_has_a_check_constraint_of_its_own(tokens: asyncpg.Pool[Any]) -> None:
    with pytest.raises(asyncpg.CheckViolationError):
        await tokens.execute("UPDATE tokens SET pending = 11 WHERE key = 'ten'")


@pytest.mark.parametrize("moves", [(), (("ten", 1, 0),)])
async def test_a_guard_that_moved_makes_the_batch_stale(
    tokens: asyncpg.Pool[Any], moves: tuple[tuple[str, int, int], ...]
) -> None:
    await _write(tokens, _moved(*moves), Assumptions(guards={"till": 0}))
    async with tokens.acquire() as connection:
        await move_guards(connection, ["till"], 5)
    with pytest.raises(StaleRead, match="guard_moved"):
        await _write(tokens, _moved(*moves), Assumptions(guards={"till": 0}))
    await _write(tokens, _moved(*moves), Assumptions(guards={"till": 5}))
    assert await _balance(tokens, "ten") == (10 + 2 * len(moves), 0)
