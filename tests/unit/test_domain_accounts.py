"""The rules of accounts, sessions and API keys: what ends what, and what people may not do to themselves."""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from domain.accounts import (
    Account,
    AccountChanged,
    ChangeAccount,
    CreateAccount,
    DeactivateAccount,
    ReactivateAccount,
)
from domain.api_keys import ApiKey, CreateApiKey, RevokeApiKey
from domain.fields.people import canonical_email, normal_password
from domain.ids import new_id, slot_of_id
from domain.limits import REFRESH_AGAIN_SECONDS
from domain.model import Command, Context, Event, Personal, Rejection, Secret, Shop, decide, evolve
from domain.passwords import ChangePassword
from domain.sessions import (
    REUSED,
    SIGNED_OUT,
    CloseSession,
    OpenSession,
    RefreshSession,
    Session,
    SessionClosed,
    SessionRefreshed,
)
from tests.contexts import context

ADA = new_id(1, 7, 1)
SESSION = new_id(2, slot_of_id(ADA), 2)
OTHER = new_id(3, slot_of_id(ADA), 3)
KEY = new_id(4, 9, 4)
ADMIN = context("root", "staff")
OWNER = context(str(ADA), "customer")
HASH, ANOTHER_HASH = Secret("hash"), Secret("another hash")
EXPIRES = datetime(2026, 12, 1, tzinfo=UTC)


def owner_at(seconds: int) -> Context:
    """The owner, this long after the first refresh."""
    return context(str(ADA), "customer", at=EXPIRES - timedelta(days=20) + timedelta(seconds=seconds))


def done(shop: Shop, command: Command, actor: Context = OWNER) -> list[Event]:
    """Applies a command, which must be allowed."""
    decision = decide(shop, command, actor)
    assert not isinstance(decision, Rejection), decision
    for event in decision:
        evolve(shop, event)
    return list(decision)


def refused(shop: Shop, command: Command, actor: Context = OWNER) -> str:
    decision = decide(shop, command, actor)
    assert isinstance(decision, Rejection)
    return decision.code


def opening(session_id: UUID = SESSION, epoch: int = 0, scopes: tuple[str, ...] = ("orders:read",)) -> OpenSession:
    return OpenSession(session_id, ADA, epoch, scopes, EXPIRES)


@pytest.fixture
def shop() -> Shop:
    """With Ada, a customer who is signed in."""
    shop = Shop()
    done(shop, CreateAccount(ADA, Personal("ada@example.com"), Personal("Ada"), "customer", HASH))
    done(shop, opening())
    return shop


def account(shop: Shop) -> Account:
    return shop.of(Account)[ADA]


def session(shop: Shop, session_id: UUID = SESSION) -> Session:
    return shop.of(Session)[session_id]


def test_an_address_has_one_account(shop: Shop) -> None:
    again = CreateAccount(new_id(5, 1, 5), Personal("ada@example.com"), Personal("Eve"), "customer", HASH)
    assert refused(shop, again) == "email_taken"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("Ada@Example.COM", "ada@example.com"),
        (" ada@example.com\n", "ada@example.com"),
        ("ada+shop@example.co.uk", "ada+shop@example.co.uk"),
        ("ada@example.com\r\nBcc: eve@example.com", None),
        ("ada@example", None),
        ("ada example.com", None),
        ("@example.com", None),
        ("ada@", None),
        ("", None),
        ("\u0430da@example.com", None),
        ("a" * 65 + "@example.com", None),
        ("ada.b.lovelace@example.com", "ada.b.lovelace@example.com"),
        ("ada..b@example.com", None),
        (".ada@example.com", None),
        ("ada.@example.com", None),
        ("ada@" + "a" * 250 + ".com", None),
    ],
)
def test_an_address_is_normalized(said: str, meant: str | None) -> None:
    assert canonical_email(said) == meant


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("12345678", "12345678"),
        ("1234567", None),
        ("x" * 256, "x" * 256),
        ("x" * 257, None),
        ("pa\u0308sswort", "p\u00e4sswort"),
        ("\uff41\uff42\uff43\uff44\uff45\uff46\uff47\uff48", "abcdefgh"),
        ("\ufdfa", "\u0635\u0644\u0649 \u0627\u0644\u0644\u0647 \u0639\u0644\u064a\u0647 \u0648\u0633\u0644\u0645"),
        ("        ", "        "),
    ],
)
def test_a_password_is_normalized_before_its_length_is_checked(typed: str, meant: str | None) -> None:
    assert normal_password(typed) == meant


@pytest.mark.parametrize(
    ("email", "role"), [("Ada@example.com", "customer"), ("ada", "customer"), ("ada@example.com", "guest")]
)
def test_no_command_creates_an_invalid_account(email: str, role: str) -> None:
    with pytest.raises(ValueError, match=r"e-mail|role"):
        CreateAccount(ADA, Personal(email), Personal("Ada"), role, HASH)


def test_nothing_private_is_in_a_repr(shop: Shop) -> None:
    shown = repr(account(shop)) + repr(HASH) + str(HASH)
    assert "hash" not in shown.replace("password_hash", "")
    assert "ada" not in shown.lower()
    assert Secret("same") != Personal("same")


def test_a_change_of_name_ends_nothing_and_of_role_ends_all(shop: Shop) -> None:
    done(shop, ChangeAccount(ADA, name=Personal("Ada Lovelace")))
    assert (account(shop).name, account(shop).epoch) == (Personal("Ada Lovelace"), 0)
    assert session(shop).is_open(account(shop).epoch)
    (changed,) = done(shop, ChangeAccount(ADA, role="staff"), ADMIN)
    assert changed == AccountChanged(ADA, Personal("Ada Lovelace"), "staff", 1)
    assert refused(shop, RefreshSession(SESSION, ADA, 0)) == "session_closed"


def test_nobody_changes_their_own_role_or_ends_their_own_account(shop: Shop) -> None:
    assert refused(shop, ChangeAccount(ADA, role="admin")) == "own_account"
    assert refused(shop, DeactivateAccount(ADA)) == "own_account"
    done(shop, ChangeAccount(ADA, role="customer"))  # which it already is


def test_an_account_that_is_not_active_opens_and_refreshes_nothing(shop: Shop) -> None:
    done(shop, DeactivateAccount(ADA), ADMIN)
    assert refused(shop, DeactivateAccount(ADA), ADMIN) == "account_state_conflict"
    assert refused(shop, opening(OTHER)) == refused(shop, opening(OTHER, epoch=1)) == "account_changed"
    assert refused(shop, RefreshSession(SESSION, ADA, 0)) == "session_closed"
    done(shop, ReactivateAccount(ADA), ADMIN)
    assert refused(shop, ReactivateAccount(ADA), ADMIN) == "account_state_conflict"
    assert refused(shop, RefreshSession(SESSION, ADA, 0)) == "session_closed"
    done(shop, opening(OTHER, epoch=1))


def test_commands_about_a_missing_account_are_refused() -> None:
    for command in (ChangeAccount(ADA), DeactivateAccount(ADA), ReactivateAccount(ADA), ChangePassword(ADA, 0, HASH)):
        assert refused(Shop(), command) == "account_not_found"


def test_a_password_change_ends_all_sessions_but_its_own(shop: Shop) -> None:
    done(shop, opening(OTHER))
    done(shop, ChangePassword(ADA, 0, ANOTHER_HASH, SESSION))
    assert account(shop).password_hash == ANOTHER_HASH
    assert refused(shop, RefreshSession(OTHER, ADA, 0)) == "session_closed"
    (refreshed,) = done(shop, RefreshSession(SESSION, ADA, 0))
    assert isinstance(refreshed, SessionRefreshed)
    assert (refreshed.generation, refreshed.epoch) == (1, 1)


def test_of_two_password_changes_at_once_one_wins(shop: Shop) -> None:
    done(shop, ChangePassword(ADA, 0, ANOTHER_HASH))
    assert refused(shop, ChangePassword(ADA, 0, HASH)) == "account_changed"
    assert refused(shop, opening(OTHER)) == "account_changed"  # checked against the password from before


def test_a_password_change_does_not_reopen_a_closed_session(shop: Shop) -> None:
    done(shop, CloseSession(SESSION, ADA))
    assert len(done(shop, ChangePassword(ADA, 0, ANOTHER_HASH, SESSION))) == 1
    assert refused(shop, RefreshSession(SESSION, ADA, 0)) == "session_closed"


def test_each_refresh_token_is_valid_once_and_an_old_one_ends_the_session(shop: Shop) -> None:
    done(shop, RefreshSession(SESSION, ADA, 0), owner_at(0))
    done(shop, RefreshSession(SESSION, ADA, 1), owner_at(1))
    # Two before the newest: no client sends that by mistake, however soon.
    assert done(shop, RefreshSession(SESSION, ADA, 0), owner_at(2)) == [SessionClosed(SESSION, ADA, REUSED)]
    for generation in (0, 1, 2):
        assert refused(shop, RefreshSession(SESSION, ADA, generation)) == "session_closed"


@pytest.mark.parametrize("seconds", [0, 2, REFRESH_AGAIN_SECONDS])
def test_a_refresh_that_comes_twice_within_seconds_gives_the_same_generation_again(shop: Shop, seconds: int) -> None:
    """From two tabs, or after a lost response."""
    (first,) = done(shop, RefreshSession(SESSION, ADA, 0), owner_at(0))
    assert done(shop, RefreshSession(SESSION, ADA, 0), owner_at(seconds)) == [first]
    # Whichever of the two uses its tokens first, both can continue.
    (second,) = done(shop, RefreshSession(SESSION, ADA, 1), owner_at(900))
    assert done(shop, RefreshSession(SESSION, ADA, 1), owner_at(905)) == [second]


@pytest.mark.parametrize("seconds", [REFRESH_AGAIN_SECONDS + 1, 60])
def test_repeated_refreshes_do_not_extend_the_grace_period(shop: Shop, seconds: int) -> None:
    done(shop, RefreshSession(SESSION, ADA, 0), owner_at(0))
    done(shop, RefreshSession(SESSION, ADA, 0), owner_at(REFRESH_AGAIN_SECONDS))
    assert done(shop, RefreshSession(SESSION, ADA, 0), owner_at(seconds)) == [SessionClosed(SESSION, ADA, REUSED)]


def test_production_refuses_accounts_and_sessions_from_development() -> None:
    shop = Shop()
    developer = context(str(ADA), "customer", development=True)
    done(shop, CreateAccount(ADA, Personal("ada@example.com"), Personal("Ada"), "customer", HASH), developer)
    done(shop, opening(), developer)
    assert refused(shop, opening(OTHER), OWNER) == "account_changed"
    assert refused(shop, RefreshSession(SESSION, ADA, 0), OWNER) == "session_closed"
    done(shop, RefreshSession(SESSION, ADA, 0), developer)
    # A new password does not change the account's origin: whoever knew the old one may have set it.
    done(shop, ChangePassword(ADA, 0, ANOTHER_HASH), developer)
    assert refused(shop, opening(OTHER, epoch=1), OWNER) == "account_changed"


def test_a_refresh_from_the_future_or_of_another_s_session_is_refused(shop: Shop) -> None:
    bob = new_id(6, 1, 6)
    done(shop, CreateAccount(bob, Personal("bob@example.com"), Personal("Bob"), "customer", HASH))
    assert refused(shop, RefreshSession(SESSION, ADA, 1)) == "session_closed"
    assert refused(shop, RefreshSession(SESSION, bob, 0)) == "session_closed"
    assert refused(shop, CloseSession(SESSION, bob)) == "session_closed"
    assert session(shop).is_open(0)


def test_a_session_is_closed_once(shop: Shop) -> None:
    assert done(shop, CloseSession(SESSION, ADA)) == [SessionClosed(SESSION, ADA, SIGNED_OUT)]
    assert refused(shop, CloseSession(SESSION, ADA)) == "session_closed"
    assert refused(shop, CloseSession(OTHER, ADA)) == "session_closed"


def test_a_session_has_only_scopes_that_its_role_allows(shop: Shop) -> None:
    assert refused(shop, opening(OTHER, scopes=("orders:read", "users:write"))) == "account_changed"


def test_commands_about_a_session_go_to_its_account_s_mailbox() -> None:
    for command in (opening(), RefreshSession(SESSION, ADA, 0), CloseSession(SESSION, ADA), ChangeAccount(ADA)):
        assert command.slot() == slot_of_id(ADA)


def test_a_key_is_created_and_revoked_once() -> None:
    shop = Shop()
    done(shop, CreateApiKey(KEY, "scanner", "staff", ("inventory:read",), HASH), ADMIN)
    assert shop.of(ApiKey)[KEY] == ApiKey(KEY, "scanner", "staff", ("inventory:read",), "root", HASH, False)
    done(shop, RevokeApiKey(KEY), ADMIN)
    assert shop.of(ApiKey)[KEY].revoked
    assert refused(shop, RevokeApiKey(KEY), ADMIN) == "api_key_revoked"
    assert refused(shop, RevokeApiKey(ADA), ADMIN) == "api_key_not_found"


@pytest.mark.parametrize(
    ("role", "scopes"), [("guest", ()), ("staff", ("users:write",)), ("customer", ("orders:eat",))]
)
def test_no_command_creates_a_key_that_can_do_more_than_its_role(role: str, scopes: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="role"):
        CreateApiKey(KEY, "scanner", role, scopes, HASH)


def test_events_can_be_folded_without_what_came_before(shop: Shop) -> None:
    """`verify` folds some kinds of state at a time."""
    events = [
        *done(shop, ChangeAccount(ADA, role="staff"), ADMIN),
        *done(shop, ChangePassword(ADA, 1, ANOTHER_HASH)),
        *done(shop, opening(OTHER, epoch=2)),
        *done(shop, RefreshSession(OTHER, ADA, 0)),
        *done(shop, ChangePassword(ADA, 2, HASH, OTHER)),
        *done(shop, CloseSession(OTHER, ADA)),
        *done(shop, DeactivateAccount(ADA), ADMIN),
        *done(shop, ReactivateAccount(ADA), ADMIN),
    ]
    for event in events:
        evolve(Shop(), event)
