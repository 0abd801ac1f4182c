"""Passwords are checked off the event loop, a few at a time, and unknown accounts take as long as known ones."""

import asyncio
import threading
import time
import unicodedata
from collections.abc import Iterator

import pytest

from domain.fields.people import normal_password
from domain.limits import PASSWORD_MAX_CHARS
from gateway.identity import hashing as module
from gateway.identity.hashing import Passwords
from gateway.web.problems import Problem
from runtime.passwords import is_password
from tests import pace

PASSWORD = "correct horse"


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    threads = Passwords(concurrency=2, queue_max=2)
    yield threads
    threads.close()


async def test_a_password_matches_its_hash_in_any_unicode_form(passwords: Passwords) -> None:
    kept = (await passwords.hash("caf\u00e9 au lait")).value
    assert kept.startswith("$argon2id$")
    assert "caf" not in kept
    assert await passwords.check("cafe\u0301 au lait", kept)
    assert not await passwords.check("cafe au lait", kept)
    assert not await passwords.check("short", kept)
    assert not await passwords.check("", kept)


async def test_without_an_account_every_password_is_wrong_but_still_checked(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []

    def note(password: str, password_hash: str) -> bool:
        checked.append(password_hash)
        return is_password(password, password_hash)

    monkeypatch.setattr(module, "is_password", note)
    assert not await passwords.check(PASSWORD, None)
    (decoy,) = checked
    assert decoy.split("$")[:4] == (await passwords.hash(PASSWORD)).value.split("$")[:4]  # the same cost


async def test_too_many_at_once_are_asked_to_retry(passwords: Passwords, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, at_work = threading.Event(), []

    def slowly(password: str, password_hash: str) -> bool:
        at_work.append(threading.current_thread().name)
        return gate.wait(10)

    monkeypatch.setattr(module, "is_password", slowly)
    checks = [asyncio.create_task(passwords.check(PASSWORD, "hash")) for _ in range(5)]
    done, waiting = await asyncio.wait(checks, return_when=asyncio.FIRST_COMPLETED)
    (refused,) = done
    assert isinstance(error := refused.exception(), Problem)
    assert error.code == "gateway_busy"
    assert threading.current_thread().name not in at_work  # and the loop is free to see this
    gate.set()
    assert all(await asyncio.gather(*waiting))
    assert await passwords.check(PASSWORD, "hash")


def test_text_that_is_slow_to_normalize_is_not_normalized() -> None:
    """Accents in the wrong order are sorted one by one: of a body full of them, for many seconds."""
    accents = "a" + "\N{COMBINING ACUTE ACCENT}" * 30_000 + "\N{COMBINING GRAVE ACCENT BELOW}" * 30_000
    begun = time.monotonic()
    assert normal_password(accents) is None
    assert pace.is_within(time.monotonic() - begun, 1)


def test_every_password_may_be_typed_in_its_longest_form() -> None:
    longest = "\N{GREEK SMALL LETTER OMEGA WITH DASIA AND PERISPOMENI AND YPOGEGRAMMENI}" * PASSWORD_MAX_CHARS
    assert normal_password(unicodedata.normalize("NFKD", longest)) == longest
