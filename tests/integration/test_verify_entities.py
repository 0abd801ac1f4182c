"""Every entity is checked by the same code: any column of any row that disagrees with the log is found."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, ClassVar, Final
from uuid import UUID

import asyncpg
import msgspec
import pytest
from sqlalchemy import Column, MetaData, Table, Text, Uuid
from sqlalchemy.dialects.postgresql import JSONB

from domain import model
from domain.categories import CategoryFields, CreateCategory
from domain.ids import slot_of_id
from domain.model import Entity, Event, Secret
from ops.verify import entities as checked
from ops.verify import verify
from ops.verify.snapshot import Snapshot
from runtime.database import asyncpg_dsn
from runtime.entities import ENTITIES, EntityTable
from runtime.proof.report import Report, no_progress
from runtime.proof.stored import Position
from runtime.tables.base import when
from tests.integration.shopfloor import STAFF, Shopfloor

_CATALOGUE: Final = {
    entity_table.table.name: entity_table
    for entity_table in ENTITIES
    if entity_table.table.name in ("categories", "products", "variants")
}

# A value other than the present one, by the column's type.
_ANOTHER: Final = {
    "TEXT": "coalesce({column}, '') || 'x'",
    "BIGINTEGER": "coalesce({column}, 0) + 1",
    "INTEGER": "coalesce({column}, 0) + 1",
    "BOOLEAN": "NOT {column}",
    "UUID": "gen_random_uuid()",
    "JSONB": """'{{"planted": "yes"}}'""",
    "DATETIME": "{column} + interval '1 microsecond'",
}

# Where an object would not be read: what was the price is gone.
_LIST: Final = "'[]'"


@pytest.fixture
async def filled(floor: Shopfloor) -> Shopfloor:
    """A shop with one category, one product and its variant."""
    await floor.fill(MUG=10)
    await floor.post(CreateCategory(floor.new_id(), CategoryFields("kitchen", "Kitchen")), actor=STAFF)
    await floor.drain()
    return floor


async def _report(floor: Shopfloor) -> Report:
    return await verify(floor.database_url, floor.redis_url, mailbox_count=floor.mailbox_count)


def _columns() -> list[tuple[str, str]]:
    return [
        (entity_table.table.name, name)
        for entity_table in _CATALOGUE.values()
        for name in (*entity_table.fields, "created_at", "updated_at")
    ]


@pytest.mark.parametrize(("table", "column"), _columns())
async def test_a_column_that_disagrees_with_the_log_is_found(filled: Shopfloor, table: str, column: str) -> None:
    entity_table = _CATALOGUE[table]
    kind = type(entity_table.table.c[column].type).__name__.upper()
    another = _LIST if column == "price_history" else _ANOTHER[kind].format(column=column)
    connection = await asyncpg.connect(asyncpg_dsn(filled.database_url))
    try:
        await connection.execute("SET session_replication_role = replica")  # foreign keys would prevent it
        assert await connection.execute(f"UPDATE {table} SET {column} = {another}") == "UPDATE 1"
    finally:
        await connection.close()
    report = await _report(filled)
    found = {(each["check"], each["problem"]) for each in report.differences}
    if column in (entity_table.key, entity_table.subject):  # it is now another row
        assert found == {(table, "has no event"), (table, "is in the log but not in the table")}
    else:
        assert found == {(table, "the table differs from the log")}
        (difference,) = report.differences
        assert difference["table"].keys() == difference["log"].keys() == {column}
        assert difference["table"] != difference["log"]


@pytest.mark.parametrize("table", _CATALOGUE)
async def test_a_missing_row_is_found(filled: Shopfloor, table: str) -> None:
    key = _CATALOGUE[table].key
    subject = await filled.pool.fetchval(f"SELECT {key}::text FROM {table}")
    await filled.pool.execute(f"TRUNCATE {table} CASCADE")
    missing = {(each["check"], each["subject"]) for each in (await _report(filled)).differences}
    assert (table, subject) in missing


async def test_a_made_up_row_is_found(filled: Shopfloor) -> None:
    made_up = UUID(int=7)
    await filled.pool.execute("INSERT INTO categories VALUES ($1, 'up', 'Made up', NULL, 0, 1, now(), now())", made_up)
    report = await _report(filled)
    assert [(each["check"], each["subject"], each["problem"]) for each in report.differences] == [
        ("categories", str(made_up), "has no event")
    ]
    assert report.counts["categories"] == 2


# A future entity: with a secret, a value that is not a plain one, and a column that is not in its state.


class Locker(Entity, frozen=True):
    id: UUID
    owner: str
    contents: dict[str, Any]
    key_hash: Secret | None

    def slot(self) -> int:
        return slot_of_id(self.id)


class LockerRented(Event, frozen=True):
    type: ClassVar[str] = "locker.rented"
    locker_id: UUID
    owner: str
    contents: dict[str, Any]
    key_hash: Secret | None = None

    def subject(self) -> str:
        return str(self.locker_id)


class LockerCleared(Event, frozen=True):
    type: ClassVar[str] = "locker.cleared"
    locker_id: UUID

    def subject(self) -> str:
        return str(self.locker_id)


def _rented(shop: model.Shop, event: LockerRented) -> None:
    shop.of(Locker)[event.locker_id] = Locker(event.locker_id, event.owner, event.contents, event.key_hash)


def _cleared(shop: model.Shop, event: LockerCleared) -> None:
    if locker := shop.of(Locker).get(event.locker_id):
        shop.of(Locker)[locker.id] = msgspec.structs.replace(locker, contents={})


_LOCKERS: Final = Table(
    "lockers",
    MetaData(),
    Column("id", Uuid, primary_key=True),
    Column("owner", Text, nullable=False),
    Column("contents", JSONB, nullable=False),
    Column("key_hash", Text, nullable=False),
    when("opened_at", nullable=True),
    when("created_at"),
    when("updated_at"),
)
_LOCKER_ID: Final = UUID(int=77)
_RENTED_AT: Final = "2026-11-22T10:00:00Z"
_CLEARED_AT: Final = "2026-11-22T11:00:00Z"


@pytest.fixture
async def lockers(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[asyncpg.Connection[Any]]:
    """A database in which one locker was rented, cleared and opened, and its declared entity."""
    for event_type, evolver in ((LockerRented, _rented), (LockerCleared, _cleared)):
        monkeypatch.setitem(model.EVENTS, event_type.type, event_type)
        monkeypatch.setitem(model._EVOLVERS, event_type, evolver)
    monkeypatch.setattr(checked, "ENTITIES", (EntityTable(Locker, _LOCKERS, "locker."),))
    connection = await asyncpg.connect(asyncpg_dsn(database_url))
    await connection.execute(
        f"""
        CREATE TABLE lockers (id uuid PRIMARY KEY, owner text, contents jsonb, key_hash text, opened_at timestamptz,
            created_at timestamptz, updated_at timestamptz);
        INSERT INTO lockers VALUES ('{_LOCKER_ID}', 'ann', '{{}}', 'secret', now(), '{_RENTED_AT}', '{_CLEARED_AT}');
        INSERT INTO events VALUES
            (1, 'locker.rented', '{_LOCKER_ID}', gen_random_uuid(), 'ann', '{_RENTED_AT}',
                '{{"locker_id": "{_LOCKER_ID}", "owner": "ann", "contents": {{"hat": 1}}, "key_hash": null}}'),
            (2, 'locker.cleared', '{_LOCKER_ID}', gen_random_uuid(), 'ann', '{_CLEARED_AT}',
                '{{"locker_id": "{_LOCKER_ID}"}}');
        """
    )
    yield connection
    await connection.close()


async def _locker_differences(database_url: str) -> list[dict[str, Any]]:
    report = Report()
    async with Snapshot(asyncpg_dsn(database_url)) as snapshot:
        await checked.check_entities(snapshot, Position(), report, no_progress)
    assert report.counts == {"lockers": 1}
    return report.differences


async def test_a_future_entity_is_checked_without_further_code(
    lockers: asyncpg.Connection[Any], database_url: str
) -> None:
    assert await _locker_differences(database_url) == []
    await lockers.execute("""UPDATE lockers SET contents = '{"hat": 2}', updated_at = created_at""")
    (difference,) = await _locker_differences(database_url)
    assert (difference["check"], difference["subject"]) == ("lockers", str(_LOCKER_ID))
    assert difference["table"].keys() == {"contents", "updated_at"}
    assert (difference["table"]["contents"], difference["log"]["contents"]) == ({"hat": 2}, {})


async def test_columns_unknown_to_the_log_are_left_alone(lockers: asyncpg.Connection[Any], database_url: str) -> None:
    await lockers.execute("UPDATE lockers SET key_hash = 'another', opened_at = NULL")
    assert await _locker_differences(database_url) == []


async def test_unreadable_events_are_reported_by_the_log_s_own_check(
    lockers: asyncpg.Connection[Any], database_url: str
) -> None:
    await lockers.execute("UPDATE events SET data = '[]' WHERE seq = 2")
    assert await _locker_differences(database_url) == []


async def test_changes_of_the_catalogue_while_it_reads_do_not_disturb_it(filled: Shopfloor) -> None:
    await filled.post_all([filled.listing(f"SKU-{number}", on_hand=number) for number in range(200)], actor=STAFF)
    trading = asyncio.gather(*(filled.new_drainer().drain([mailbox]) for mailbox in range(filled.mailbox_count)))
    looks = 0
    while not trading.done():
        await filled.verified()
        looks += 1
    await trading
    await filled.drain()  # what was given up because a look held its mailbox
    assert looks > 0
    counts = await filled.verified()
    assert (counts["products"], counts["variants"], counts["stock_rows"]) == (201, 201, 201)
