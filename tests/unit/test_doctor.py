"""The doctor's findings: with each fact wrong in turn, and with all of them right."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from ops.doctor import finding, machine, postgres, redis, replica
from ops.doctor.finding import Finding
from ops.doctor.settings import of_settings
from runtime import migrations
from runtime.settings import Settings

_CONFIG = Settings()
_SOUND_POSTGRES = postgres.Facts(
    settings={
        "server_version": "18.6",
        "server_version_num": "180006",
        "server_encoding": "UTF8",
        "max_connections": "200",
        "autovacuum": "on",
        "fsync": "on",
        "full_page_writes": "on",
        "synchronous_commit": "on",
    },
    in_recovery=False,
    migration=migrations.head(),
    ahead_seconds=0.01,
    data_folder=None,
)
_SOUND_REDIS = redis.Facts(
    info={"redis_version": "7.2.4", "role": "master", "used_memory": 2**20, "maxmemory": 2**30},
    settings={
        "appendonly": "yes",
        "appendfsync": "always",
        "no-appendfsync-on-rewrite": "no",
        "maxmemory": str(2**30),
        "maxmemory-policy": "noeviction",
    },
    ahead_seconds=-0.01,
)


_SOUND_REPLICA = replica.Facts(last_seq=41, identity=UUID(int=1), in_recovery=True, gives_feedback=True)


def _wrong(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    """The failed checks, each with its level; every one says what to do."""
    found = [each for each in findings if each.level != "ok"]
    assert all(each.advice for each in found)
    return [(each.check, each.level) for each in found]


def test_sound_servers_give_no_cause_for_concern() -> None:
    assert _wrong(postgres.judge(_SOUND_POSTGRES, _CONFIG)) == []
    assert _wrong(redis.judge(_SOUND_REDIS, _CONFIG)) == []
    assert _wrong(replica.judge(_SOUND_REPLICA, _SOUND_REPLICA)) == []


@pytest.mark.parametrize(
    ("changes", "check", "level"),
    [
        ({"in_recovery": False}, "replica", "failure"),
        ({"identity": UUID(int=2)}, "replica", "failure"),
        ({"last_seq": 40}, "replica", "warning"),
        ({"gives_feedback": False}, "replica feedback", "warning"),
    ],
)
def test_a_replica_that_is_not_what_it_should_be(changes: dict[str, Any], check: str, level: str) -> None:
    found = replica.judge(_SOUND_REPLICA, msgspec.structs.replace(_SOUND_REPLICA, **changes))
    assert _wrong(found) == [(check, level)]


@pytest.mark.parametrize(
    ("changes", "check", "level"),
    [
        ({"server_version_num": "160009"}, "postgres version", "failure"),
        ({"server_encoding": "SQL_ASCII"}, "postgres encoding", "failure"),
        ({"fsync": "off"}, "postgres fsync", "failure"),
        ({"full_page_writes": "off"}, "postgres full_page_writes", "failure"),
        ({"synchronous_commit": "off"}, "postgres synchronous_commit", "failure"),
        ({"autovacuum": "off"}, "postgres autovacuum", "failure"),
        ({"max_connections": "10"}, "postgres connections", "warning"),
    ],
)
def test_what_is_wrong_with_postgres(changes: dict[str, str], check: str, level: str) -> None:
    facts = msgspec.structs.replace(_SOUND_POSTGRES, settings={**_SOUND_POSTGRES.settings, **changes})
    assert _wrong(postgres.judge(facts, _CONFIG)) == [(check, level)]


@pytest.mark.parametrize(
    ("changes", "check", "level"),
    [
        ({"in_recovery": True}, "postgres role", "failure"),
        ({"migration": None}, "migrations", "failure"),
        ({"migration": min(migrations.known())}, "migrations", "failure"),
        ({"migration": "of_the_future"}, "migrations", "failure"),
        ({"ahead_seconds": 3.0}, "postgres clock", "warning"),
        ({"ahead_seconds": -60.0}, "postgres clock", "failure"),
    ],
)
def test_what_else_is_wrong_with_postgres(changes: dict[str, Any], check: str, level: str) -> None:
    facts = msgspec.structs.replace(_SOUND_POSTGRES, **changes)
    assert _wrong(postgres.judge(facts, _CONFIG)) == [(check, level)]


@pytest.mark.parametrize(
    ("changes", "check", "level"),
    [
        ({"redis_version": "6.2.14"}, "redis version", "failure"),
        ({"role": "slave"}, "redis role", "failure"),
        ({"aof_last_write_status": "err"}, "redis disk", "failure"),
        ({"maxmemory": 0}, "redis memory", "warning"),
        ({"used_memory": 2**30 - 1}, "redis memory", "failure"),
    ],
)
def test_what_is_wrong_with_redis(changes: dict[str, Any], check: str, level: str) -> None:
    facts = msgspec.structs.replace(_SOUND_REDIS, info={**_SOUND_REDIS.info, **changes})
    assert _wrong(redis.judge(facts, _CONFIG)) == [(check, level)]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("appendonly", "no"),
        ("appendfsync", "everysec"),
        ("no-appendfsync-on-rewrite", "yes"),
        ("maxmemory-policy", "allkeys-lru"),
    ],
)
def test_what_is_wrong_with_the_settings_of_redis(name: str, value: str) -> None:
    assert _SOUND_REDIS.settings is not None
    facts = msgspec.structs.replace(_SOUND_REDIS, settings={**_SOUND_REDIS.settings, name: value})
    assert _wrong(redis.judge(facts, _CONFIG)) == [(f"redis {name}", "failure")]


@pytest.mark.parametrize(
    ("wanted", "there", "found"),
    [
        (0, [1, 1], [("redis replicas", "warning")]),
        (1, [1, 0], [("redis replicas", "failure")]),
        (1, [2, 1], [("redis replicas", "warning")]),
        (1, [2, 2], []),
    ],
)
def test_how_many_replicas_a_cluster_should_have(
    wanted: int, there: Sequence[int], found: Sequence[tuple[str, str]]
) -> None:
    config = _CONFIG.model_copy(update={"redis_url": "redis+cluster://a,b", "accept_min_replicas": wanted})
    servers = [
        redis.Facts({**_SOUND_REDIS.info, "connected_slaves": count}, _SOUND_REDIS.settings, 0.0) for count in there
    ]
    assert _wrong(redis.judge_replicas(servers, config)) == found


def test_one_server_needs_no_replica() -> None:
    assert list(redis.judge_replicas([_SOUND_REDIS], _CONFIG)) == []


def test_a_redis_that_hides_its_settings_is_a_warning() -> None:
    facts = msgspec.structs.replace(_SOUND_REDIS, settings=None, ahead_seconds=2.0)
    assert _wrong(redis.judge(facts, _CONFIG)) == [("redis durability", "warning"), ("redis clock", "warning")]


def test_a_full_disk(tmp_path: Path) -> None:
    levels = [finding.judge_disk("disk", tmp_path, free).level for free in (10**11, 3 * 2**30, 2**20)]
    assert levels == ["ok", "warning", "failure"]


def test_a_missing_folder_is_judged_by_the_disk_of_its_parent(tmp_path: Path) -> None:
    assert str(tmp_path) in finding.disk("disk", tmp_path / "later" / "home").said


def test_open_files() -> None:
    levels = [machine.judge_open_files(most, _CONFIG).level for most in (65_536, 4_096, 512)]
    assert levels == ["ok", "warning", "failure"]


def test_the_folder_for_metrics(tmp_path: Path) -> None:
    named = {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    assert machine.judge_metrics_folder(_CONFIG, named).level == "ok"
    for number in range(201):
        (tmp_path / f"counter_{number}.db").touch()
    crowded = machine.judge_metrics_folder(_CONFIG, named)
    assert (crowded.level, "201" in crowded.said) == ("warning", True)
    missing = machine.judge_metrics_folder(_CONFIG, {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path / "missing")})
    assert missing.level == "warning"


def test_settings_that_may_be_unintended() -> None:
    production = Settings(mode="production", jwt_secret="a-production-secret-of-32-bytes-or-more")
    assert _wrong(of_settings(_CONFIG)) == [("mode", "warning")]
    assert _wrong(of_settings(production)) == [("mail", "warning"), ("stop notice", "warning")]
