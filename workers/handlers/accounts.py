"""What commands about accounts, sessions and API keys are decided on. Their entities are written whole (see
`runtime/entities.py`)."""

from domain.accounts import Account, ChangeAccount, CreateAccount, DeactivateAccount, ReactivateAccount
from domain.api_keys import ApiKey, CreateApiKey, RevokeApiKey
from domain.customers import Customer
from domain.erasure import AccountErased, EraseAccount, ExpireRegistration
from domain.passwords import ChangePassword
from domain.registration import ConfirmAddress, RegisterAgain, RequestPasswordReset, ResetPassword
from domain.sessions import CloseSession, OpenSession, RefreshSession, Session
from workers.handlers import reads, writes
from workers.loading import ReadSet
from workers.rows import Rows

_AboutAccount = (
    ChangeAccount
    | DeactivateAccount
    | ReactivateAccount
    | RegisterAgain
    | ConfirmAddress
    | RequestPasswordReset
    | ResetPassword
)


@reads(CreateAccount)
def _create(command: CreateAccount, into: ReadSet) -> None:
    into.add(Account, command.email.value, by="email")


@reads(ChangeAccount)
@reads(DeactivateAccount)
@reads(ReactivateAccount)
@reads(RegisterAgain)
@reads(ConfirmAddress)
@reads(RequestPasswordReset)
@reads(ResetPassword)
def _change(command: _AboutAccount, into: ReadSet) -> None:
    into.add(Account, command.account_id)


@reads(EraseAccount)
@reads(ExpireRegistration)
def _erase(command: EraseAccount | ExpireRegistration, into: ReadSet) -> None:
    into.add(Account, command.account_id)
    into.add(Customer, command.account_id)


@reads(ChangePassword)
def _change_password(command: ChangePassword, into: ReadSet) -> None:
    into.add(Account, command.account_id)
    if command.session_id is not None:
        into.add(Session, command.session_id)


@reads(OpenSession)
def _open(command: OpenSession, into: ReadSet) -> None:
    into.add(Account, command.account_id)


@reads(RefreshSession)
@reads(CloseSession)
def _session(command: RefreshSession | CloseSession, into: ReadSet) -> None:
    into.add(Account, command.account_id)
    into.add(Session, command.session_id)


@reads(CreateApiKey)
@reads(RevokeApiKey)
def _key(command: CreateApiKey | RevokeApiKey, into: ReadSet) -> None:
    into.add(ApiKey, command.key_id)


@writes(AccountErased)
def _erased(event: AccountErased, into: Rows) -> None:
    into.erasure.of_account(event.account_id)
