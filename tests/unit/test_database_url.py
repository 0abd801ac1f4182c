"""Database URLs: parsed alike for every part, and refused with the reason where a driver would guess."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from runtime.database import application_name, asyncpg_dsn
from runtime.database_url import BadDatabaseUrl, read, with_absolute_files
from runtime.settings import Settings


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("postgresql://u@h/d", "postgresql://u@h/d"),
        ("postgres://u@h/d", "postgresql://u@h/d"),
        ("postgresql+asyncpg://u:p%40ss@h:6432/d", "postgresql://u:p%40ss@h:6432/d"),
        ("postgresql://u@one:1,two:2/d", "postgresql://u@one:1,two:2/d"),
        ("postgresql:///d?host=/run/postgresql", "postgresql:///d?host=%2Frun%2Fpostgresql"),
        ("postgresql://u@h/d?sslmode=require", "postgresql://u@h/d?sslmode=require"),
        ("postgresql://u@h/d?ssl=true", "postgresql://u@h/d?sslmode=require"),
        ("postgresql://u@h/d?ssl=verify-full", "postgresql://u@h/d?sslmode=verify-full"),
        (
            "postgresql://u@h/d?ssl=false&application_name=shop",
            "postgresql://u@h/d?sslmode=disable&application_name=shop",
        ),
        ("postgresql://u@h/d?options=-c%20search_path%3Dshop", "postgresql://u@h/d?options=-c+search_path%3Dshop"),
    ],
)
def test_a_url_is_converted_for_asyncpg(given: str, taken: str) -> None:
    assert asyncpg_dsn(given) == taken
    Settings(database_url=given)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("mysql://u@h/d", "begin with postgresql://"),
        ("h:5432/d", "begin with postgresql://"),
        ("postgresql:d", "begin with postgresql://"),
        ("postgresql://u:p#w@h/d", "%23"),
        ("postgresql://[::1/d", "not a URL"),
        ("postgresql://u@h/d?sslmode", "name=value"),
        ("postgresql://u@h/d?connect_timeout=3", "'connect_timeout' is not supported"),
        ("postgresql://u@h/d?sslmod=require", "did you mean sslmode"),
        ("postgresql://u@h/d?sslmode=yes", "sslmode must be one of disable"),
        ("postgresql://u@h/d?ssl=require&sslmode=require", "sslmode twice"),
    ],
)
def test_invalid_urls_are_refused_with_the_reason(given: str, said: str) -> None:
    with pytest.raises(BadDatabaseUrl, match=said):
        read(given)
    with pytest.raises(ValidationError, match="DATABASE_URL"):
        Settings(database_url=given)


def test_errors_never_contain_the_password() -> None:
    for given in ("postgresql://u:hush#w@h/d", "postgresql://u:hush@h/d?passwort=hush", "hush://u:hush@h"):
        with pytest.raises(BadDatabaseUrl) as refused:
            read(given)
        assert "hush" not in str(refused.value)


def test_connections_are_listed_under_the_name_that_the_url_gives() -> None:
    assert application_name("postgresql://u@h/d", "batch") == "tidegate-batch"
    assert application_name("postgresql://u@h/d?application_name=shop", "batch") == "shop-batch"


def test_relative_files_are_found_from_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    url = with_absolute_files("postgres://u:p%40@h/d?sslrootcert=ca.pem&sslcert=/etc/c.pem&sslmode=verify-full")
    assert read(url)[1] == {
        "sslrootcert": str(tmp_path / "ca.pem"),
        "sslcert": "/etc/c.pem",
        "sslmode": "verify-full",
    }
    assert url.startswith("postgresql://u:p%40@h/d?")
    assert with_absolute_files("postgresql://h/d?sslrootcert=system") == "postgresql://h/d?sslrootcert=system"
