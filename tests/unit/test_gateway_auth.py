"""Tokens to principals, and the memory of those that were verified."""

import time

import jwt
import pytest

from domain.model import Who
from gateway.auth import Authenticator
from gateway.problems import Problem
from runtime.tokens import ALGORITHM, AUDIENCE, ISSUER, mint

SECRET = "a-secret-for-tests-of-at-least-32-bytes"


def token(subject: str = "ada", roles: tuple[str, ...] = ("customer",), *, lifetime_seconds: int = 60) -> str:
    return mint(SECRET, subject, roles, lifetime_seconds=lifetime_seconds)


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


@pytest.fixture
def authenticator() -> Authenticator:
    return Authenticator(SECRET, cache_max_entries=3)


def test_a_token_says_who_asks(authenticator: Authenticator) -> None:
    assert authenticator.who(bearer(token())) == Who("ada", staff=False)
    assert authenticator.who(bearer(token("bob", ("staff",)))) == Who("bob", staff=True)
    assert authenticator.who(bearer(token("eve", ("customer", "staff")))) == Who("eve", staff=True)


def test_staff_is_a_role(authenticator: Authenticator) -> None:
    assert authenticator.staff(bearer(token("bob", ("staff",)))).principal == "bob"
    with pytest.raises(Problem, match="role `staff`"):
        authenticator.staff(bearer(token()))


@pytest.mark.parametrize("expires_at", [10**400, "9" * 400, 2**53 + 1])
def test_an_expiry_that_is_no_time_is_refused(authenticator: Authenticator, expires_at: object) -> None:
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "roles": ["customer"], "iat": 1, "exp": expires_at}
    with pytest.raises(Problem) as refused:
        authenticator.who(bearer(jwt.encode(claims, SECRET, algorithm=ALGORITHM)))
    assert refused.value.code == "invalid_token"


def test_what_is_remembered_is_bounded_and_still_right(authenticator: Authenticator) -> None:
    tokens = {name: token(name) for name in map(str, range(10))}
    for _ in range(3):
        for name, each in tokens.items():
            assert authenticator.who(bearer(each)).principal == name
            assert len(authenticator._verified) <= 3


def test_a_remembered_token_expires(authenticator: Authenticator, monkeypatch: pytest.MonkeyPatch) -> None:
    remembered = bearer(token(lifetime_seconds=60))
    authenticator.who(remembered)
    later = time.time() + 60
    monkeypatch.setattr(time, "time", lambda: later)
    with pytest.raises(Problem) as refused:
        authenticator.who(remembered)
    assert refused.value.code == "invalid_token"
    assert not authenticator._verified


def test_what_was_refused_is_not_remembered(authenticator: Authenticator) -> None:
    for bad in (
        "abc",
        token(roles=()),
        mint("another-secret-of-32-bytes-at-least", "ada", ["staff"], lifetime_seconds=60),
    ):
        with pytest.raises(Problem):
            authenticator.who(bearer(bad))
    assert not authenticator._verified
