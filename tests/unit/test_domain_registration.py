"""The rules of registration: which link works, how often, and what a second registration does."""

import pytest

from domain.accounts import Account, AccountCreated, CreateAccount, DeactivateAccount
from domain.ids import new_id, slot_of_id
from domain.model import Command, Context, Event, Personal, Rejection, Secret, Shop, decide, evolve
from domain.passwords import PasswordChanged
from domain.registration import (
    AccountConfirmed,
    AccountRegisteredAgain,
    ConfirmAddress,
    PasswordResetRequested,
    RegisterAgain,
    RegistrationRepeated,
    RequestPasswordReset,
    ResetPassword,
)
from domain.sessions import OpenSession, RefreshSession
from tests.contexts import context
from tests.unit.test_domain_accounts import EXPIRES

ADA = new_id(1, 7, 1)
SESSION = new_id(2, slot_of_id(ADA), 2)
OWNER = context(str(ADA), "customer")
FIRST, SECOND = Secret("first"), Secret("second")


def done(shop: Shop, command: Command, actor: Context = OWNER) -> list[Event]:
    decision = decide(shop, command, actor)
    assert not isinstance(decision, Rejection), decision
    for event in decision:
        evolve(shop, event)
    return list(decision)


def refused(shop: Shop, command: Command, actor: Context = OWNER) -> str:
    decision = decide(shop, command, actor)
    assert isinstance(decision, Rejection)
    return decision.code


@pytest.fixture
def shop() -> Shop:
    """A shop in which Ada has registered and not yet confirmed her address."""
    shop = Shop()
    registers = CreateAccount(ADA, Personal("ada@example.com"), Personal("Ada"), "customer", FIRST, confirmed=False)
    (created,) = done(shop, registers)
    assert isinstance(created, AccountCreated)
    assert not created.confirmed
    return shop


def account(shop: Shop) -> Account:
    return shop.of(Account)[ADA]


def opening(epoch: int) -> OpenSession:
    return OpenSession(SESSION, ADA, epoch, ("orders:read",), EXPIRES)


def test_nobody_signs_in_before_the_address_is_confirmed(shop: Shop) -> None:
    assert refused(shop, opening(0)) == "account_changed"
    assert done(shop, ConfirmAddress(ADA, 0)) == [AccountConfirmed(ADA)]
    done(shop, opening(0))


def test_a_link_works_once_and_only_the_newest_does(shop: Shop) -> None:
    again = AccountRegisteredAgain(ADA, 1, Personal("Ada L."), SECOND)
    assert done(shop, RegisterAgain(ADA, Personal("Ada L."), SECOND)) == [again]
    assert refused(shop, ConfirmAddress(ADA, 0)) == "invalid_link"
    done(shop, ConfirmAddress(ADA, 1))
    assert (account(shop).name, account(shop).password_hash) == (Personal("Ada L."), SECOND)
    assert refused(shop, ConfirmAddress(ADA, 1)) == "invalid_link"


def test_registering_a_confirmed_address_changes_nothing(shop: Shop) -> None:
    done(shop, ConfirmAddress(ADA, 0))
    before = account(shop)
    assert done(shop, RegisterAgain(ADA, Personal("Eve"), SECOND)) == [RegistrationRepeated(ADA)]
    assert account(shop) == before


def test_a_reset_works_once_confirms_the_address_and_ends_all_sessions(shop: Shop) -> None:
    assert done(shop, RequestPasswordReset(ADA)) == [PasswordResetRequested(ADA, 0)]
    assert done(shop, ResetPassword(ADA, 0, SECOND)) == [PasswordChanged(ADA, 1, SECOND), AccountConfirmed(ADA)]
    assert refused(shop, ResetPassword(ADA, 0, FIRST)) == "invalid_link"
    done(shop, opening(1))
    assert done(shop, ResetPassword(ADA, 1, FIRST)) == [PasswordChanged(ADA, 2, FIRST)]
    assert refused(shop, RefreshSession(SESSION, ADA, 0)) == "session_closed"


def test_inactive_accounts_get_no_mail(shop: Shop) -> None:
    done(shop, DeactivateAccount(ADA), context("root", "staff"))
    assert refused(shop, RequestPasswordReset(ADA)) == "account_not_found"
    assert refused(shop, ConfirmAddress(ADA, 1)) == "invalid_link"
    assert refused(shop, ResetPassword(ADA, 1, SECOND)) == "invalid_link"


def test_production_does_not_reset_passwords_from_development() -> None:
    shop = Shop()
    developer = context("demo", "staff", development=True)
    done(shop, CreateAccount(ADA, Personal("ada@example.com"), Personal("Ada"), "customer", FIRST), developer)
    assert refused(shop, RequestPasswordReset(ADA)) == "account_not_found"
    assert done(shop, RequestPasswordReset(ADA), developer)


def test_a_missing_account_is_refused_like_an_invalid_link() -> None:
    assert refused(Shop(), RequestPasswordReset(ADA)) == refused(Shop(), RegisterAgain(ADA, Personal("A"), FIRST))
    assert refused(Shop(), ConfirmAddress(ADA, 0)) == refused(Shop(), ResetPassword(ADA, 0, FIRST)) == "invalid_link"
    for event in (AccountRegisteredAgain(ADA, 1, None, None), AccountConfirmed(ADA), RegistrationRepeated(ADA)):
        evolve(Shop(), event)
