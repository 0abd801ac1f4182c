"""From tokens to callers: who they are, what they may do, remembered tokens, and revocations."""

import time
from collections.abc import Sequence
from typing import Any
from uuid import UUID

import jwt
import msgspec
import pytest

from domain.accounts import AccountChanged, AccountDeactivated
from domain.api_keys import ApiKeyRevoked
from domain.ids import new_id
from domain.model import Actor, Event
from domain.passwords import PasswordChanged
from domain.roles import ROLES, SCOPES_OF_ROLE
from domain.sessions import SessionClosed
from gateway.identity.api_keys import ApiKeys
from gateway.identity.authenticator import Authenticator
from gateway.identity.caller import Caller
from gateway.identity.requirements import require_role
from gateway.identity.revocations import Revocations
from gateway.web.problems import Problem
from runtime.engine import create_engine
from runtime.records import EventRecord, moment
from runtime.signing_keys import HS256, KeyRing
from runtime.tokens import AUDIENCE, ISSUER, REFRESH_AUDIENCE, Refresh, mint, mint_in_session, mint_refresh, refresh_of

SECRET = "a-secret-for-tests-of-at-least-32-bytes"
KEYS = KeyRing.shared(SECRET)
ADA = new_id(1, 7, 1)
SESSION = new_id(2, 7, 2)
KEY = new_id(4, 7, 4)
TOKEN_SECONDS = 900


def token(
    subject: str = "ada", roles: Sequence[str] = ("customer",), *, lifetime_seconds: int = 60, **more: Any
) -> str:
    return mint(KEYS, subject, roles, lifetime_seconds=lifetime_seconds, more=more)


def of_sign_in(epoch: int = 0, session_id: UUID = SESSION) -> str:
    return mint_in_session(
        KEYS, ADA, "customer", session_id=session_id, scopes=["orders:read"], epoch=epoch, lifetime_seconds=60
    )


def record(event: Event) -> EventRecord:
    data = msgspec.Raw(msgspec.json.encode(event))
    return EventRecord(1, event.type, event.subject(), UUID(int=0), "root", 0, data)


@pytest.fixture
def revocations() -> Revocations:
    return Revocations(
        create_engine("postgresql://nobody@127.0.0.1:1/nothing", pool_size=1), token_seconds=TOKEN_SECONDS
    )


@pytest.fixture
def authenticator(revocations: Revocations) -> Authenticator:
    engine = create_engine("postgresql://nobody@127.0.0.1:1/nothing", pool_size=1)
    api_keys = ApiKeys(engine, revocations, development=True, trusted_seconds=TOKEN_SECONDS, cache_max_entries=3)
    return Authenticator(KEYS, revocations, api_keys, cache_max_entries=3)


def refused(authenticator: Authenticator, token: str) -> str:
    with pytest.raises(Problem) as problem:
        authenticator.verify(token)
    return problem.value.code


def test_a_token_identifies_the_caller(authenticator: Authenticator) -> None:
    assert authenticator.verify(token()).actor == Actor.in_role("ada", "customer")
    assert authenticator.verify(token("bob", ["staff"])).actor == Actor.in_role("bob", "staff")
    assert authenticator.verify(token("eve", ["customer", "admin", "staff"])).actor.role == "admin"


def test_roles_include_those_below_them() -> None:
    for rank, role in enumerate(ROLES):
        caller = Caller(Actor("ada", role, frozenset()), 0.0)
        for other_rank, other in enumerate(ROLES):
            if other_rank <= rank:
                require_role(other).check(caller)
            else:
                with pytest.raises(Problem, match=f"role `{other}`"):
                    require_role(other).check(caller)


def test_a_scope_is_needed_besides_the_role(authenticator: Authenticator) -> None:
    all_of_it = authenticator.verify(token("bob", ["staff"]))
    assert all_of_it.actor.scopes == SCOPES_OF_ROLE["staff"]
    less = authenticator.verify(token("bob", ["staff"], scope="events:read users:write"))
    assert less.actor.scopes == {"events:read"}  # a token grants nothing beyond its role
    require_role("staff", "events:read").check(less)
    with pytest.raises(Problem, match="scope `inventory:write`"):
        require_role("staff", "inventory:write").check(less)
    assert authenticator.verify(token("bob", ["staff"], scope="")).actor.scopes == frozenset()


@pytest.mark.parametrize(
    "more",
    [
        {"scope": ["orders:read"]},
        {"scope": 7},
        {"sid": "x"},
        {"sid": str(SESSION)},
        {"sid": str(SESSION), "epoch": "new"},
        {"sid": str(SESSION), "epoch": None},
        {"sid": str(SESSION), "epoch": float("inf")},
        {"sid": None, "epoch": 0},
        {"sid": [1], "epoch": 0},
    ],
)
def test_invalid_claims_of_a_session_are_refused(authenticator: Authenticator, more: dict[str, Any]) -> None:
    assert refused(authenticator, token(**more)) == "invalid_token"


@pytest.mark.parametrize("expires_at", [10**400, "9" * 400, 2**53 + 1])
def test_an_invalid_expiry_is_refused(authenticator: Authenticator, expires_at: object) -> None:
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "roles": ["customer"], "iat": 1, "exp": expires_at}
    assert refused(authenticator, jwt.encode(claims, SECRET, algorithm=HS256)) == "invalid_token"


def test_the_memory_of_tokens_is_bounded_and_still_correct(authenticator: Authenticator) -> None:
    tokens = {name: token(name) for name in map(str, range(10))}
    for _ in range(3):
        for name, each in tokens.items():
            assert authenticator.verify(each).actor.principal == name
            assert len(authenticator._verified) <= 3


def test_a_remembered_token_expires(authenticator: Authenticator, monkeypatch: pytest.MonkeyPatch) -> None:
    remembered = token(lifetime_seconds=60)
    caller = authenticator.verify(remembered)
    assert authenticator.stands(caller)
    later = time.time() + 60
    monkeypatch.setattr(time, "time", lambda: later)
    assert refused(authenticator, remembered) == "invalid_token"
    assert not authenticator._verified
    assert not authenticator.stands(caller)


def test_refused_tokens_are_not_remembered(authenticator: Authenticator) -> None:
    stranger = KeyRing.shared("another-secret-of-32-bytes-at-least")
    for bad in ("abc", token(roles=()), mint(stranger, "ada", ["staff"], lifetime_seconds=60)):
        refused(authenticator, bad)
    assert not authenticator._verified


def test_refresh_and_access_tokens_are_not_interchangeable(authenticator: Authenticator) -> None:
    refresh = Refresh(SESSION, ADA, 3)
    signed = mint_refresh(KEYS, refresh, moment(int(time.time() + 60) * 1_000_000))
    assert refresh_of(signed, KEYS) == refresh
    assert refused(authenticator, signed) == "invalid_token"
    with pytest.raises(jwt.InvalidTokenError):
        refresh_of(of_sign_in(), KEYS)


@pytest.mark.parametrize(
    "changes", [{"sid": "x"}, {"sid": None}, {"sub": "ada"}, {"gen": "1"}, {"gen": None}, {"exp": 1}]
)
def test_a_refresh_token_with_invalid_claims(changes: dict[str, Any]) -> None:
    now = int(time.time())
    good = {"sub": str(ADA), "sid": str(SESSION), "gen": 0, "iat": now, "exp": now + 60}
    claims = {"iss": ISSUER, "aud": REFRESH_AUDIENCE, **good, **changes}
    with pytest.raises(jwt.InvalidTokenError):
        refresh_of(jwt.encode(claims, SECRET, algorithm=HS256), KEYS)


def test_a_closed_session_is_refused_and_others_are_not(authenticator: Authenticator, revocations: Revocations) -> None:
    here, elsewhere = of_sign_in(), of_sign_in(session_id=new_id(3, 7, 3))
    caller = authenticator.verify(here)
    authenticator.verify(elsewhere)
    revocations.take([record(SessionClosed(SESSION, ADA, "signed_out"))])
    assert refused(authenticator, here) == "invalid_token"
    assert not authenticator.stands(caller)
    authenticator.verify(elsewhere)


@pytest.mark.parametrize(
    "event",
    [
        AccountChanged(ADA, None, "staff", 1),
        AccountDeactivated(ADA, 1),
        PasswordChanged(ADA, 1, None),
    ],
)
def test_tokens_of_an_older_epoch_are_refused(
    authenticator: Authenticator, revocations: Revocations, event: Event
) -> None:
    before, after = of_sign_in(epoch=0), of_sign_in(epoch=1)
    authenticator.verify(before)
    revocations.take([record(event)])
    assert refused(authenticator, before) == "invalid_token"
    authenticator.verify(after)
    authenticator.verify(token(str(ADA)))  # minted by an operator, for no session: it ends when it expires


def test_epochs_never_fall(authenticator: Authenticator, revocations: Revocations) -> None:
    """The initial read may finish after newer events have arrived from the log."""
    revocations.take([record(AccountDeactivated(ADA, 2))])
    revocations.take([record(AccountChanged(ADA, None, "customer", 1))])
    assert refused(authenticator, of_sign_in(epoch=1)) == "invalid_token"


def test_watchers_are_notified_only_of_revocations(revocations: Revocations) -> None:
    told: list[bool] = []
    caller = Caller(Actor(str(ADA), "customer", frozenset()), float("inf"), SESSION, 0)
    revocations.watch(lambda: told.append(revocations.refuse(caller)))
    revocations.take([record(ApiKeyRevoked(ADA)), record(SessionClosed(SESSION, ADA, "reused"))])
    other = msgspec.Raw(b"{}")
    revocations.take([EventRecord(2, "order.placed", "x", UUID(int=0), "ada", 0, other)])
    assert told == [True]


def test_revocations_older_than_any_token_are_forgotten(
    revocations: Revocations, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    revocations.take([record(SessionClosed(SESSION, ADA, "reused")), record(AccountDeactivated(ADA, 1))])
    now += TOKEN_SECONDS + 30
    revocations.take([record(SessionClosed(KEY, ADA, "reused"))])
    assert revocations.is_ended(SESSION)
    now += 60
    revocations.take([record(SessionClosed(KEY, ADA, "reused"))])
    assert not revocations.is_ended(SESSION)
    assert revocations.is_ended(KEY)
    assert not revocations._epochs


@pytest.mark.parametrize("key", ["tgk_", "tgk_x_y", f"tgk_{KEY.hex}_short", f"tgk_{KEY.hex}_{'a' * 44}", "tgk_ä_ö"])
async def test_an_invalid_key_is_refused_without_a_look_up(authenticator: Authenticator, key: str) -> None:
    with pytest.raises(Problem) as problem:
        await authenticator.authenticate(key)
    assert problem.value.code == "invalid_token"
