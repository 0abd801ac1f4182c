"""What the commands about accounts, sessions and API keys are decided on. What they change is written as it is (see
`runtime/nouns.py`)."""

from domain.accounts import Account, ChangeAccount, CreateAccount, DeactivateAccount, ReactivateAccount
from domain.api_keys import ApiKey, CreateApiKey, RevokeApiKey
from domain.erasure import AccountErased, EraseAccount, ExpireRegistration
from domain.passwords import ChangePassword
from domain.registration import ConfirmAddress, RegisterAgain, RequestPasswordReset, ResetPassword
from domain.sessions import CloseSession, OpenSession, RefreshSession, Session
from workers.handlers import needs, writes
from workers.rows import Needs, Rows

_AboutAccount = (
    ChangeAccount
    | DeactivateAccount
    | ReactivateAccount
    | RegisterAgain
    | ConfirmAddress
    | RequestPasswordReset
    | ResetPassword
    | EraseAccount
    | ExpireRegistration
)


@needs(CreateAccount)
def _create(command: CreateAccount, into: Needs) -> None:
    into.need(Account, command.email.value, by="email")


@needs(ChangeAccount)
@needs(DeactivateAccount)
@needs(ReactivateAccount)
@needs(RegisterAgain)
@needs(ConfirmAddress)
@needs(RequestPasswordReset)
@needs(ResetPassword)
@needs(EraseAccount)
@needs(ExpireRegistration)
def _change(command: _AboutAccount, into: Needs) -> None:
    into.need(Account, command.account_id)


@needs(ChangePassword)
def _change_password(command: ChangePassword, into: Needs) -> None:
    into.need(Account, command.account_id)
    if command.session_id is not None:
        into.need(Session, command.session_id)


@needs(OpenSession)
def _open(command: OpenSession, into: Needs) -> None:
    into.need(Account, command.account_id)


@needs(RefreshSession)
@needs(CloseSession)
def _session(command: RefreshSession | CloseSession, into: Needs) -> None:
    into.need(Account, command.account_id)
    into.need(Session, command.session_id)


@needs(CreateApiKey)
@needs(RevokeApiKey)
def _key(command: CreateApiKey | RevokeApiKey, into: Needs) -> None:
    into.need(ApiKey, command.key_id)


@writes(AccountErased)
def _erased(event: AccountErased, into: Rows) -> None:
    into.erasure.of_account(event.account_id)
