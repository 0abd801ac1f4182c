"""Mail to people about their accounts: how to confirm the address, how to set a new password, and that somebody tried
to register an address that already has an account. Each link is bound to the event's epoch: if the account has moved
on, the link would no longer work, so no mail is sent.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from domain.accounts import AccountCreated
from domain.model import Event
from domain.registration import AccountRegisteredAgain, PasswordResetRequested, RegistrationRepeated
from runtime.records import EventRecord, moment
from runtime.signing_keys import key_ring
from runtime.tokens import CONFIRM_AUDIENCE, RESET_AUDIENCE, Link, mint_link
from workers.reactions.core import Tools
from workers.reactions.mail.message import Notice

NOTICES: Final = frozenset(
    event.type for event in (AccountCreated, AccountRegisteredAgain, RegistrationRepeated, PasswordResetRequested)
)
"""The event types that may lead to a mail."""

_SECONDS_PER_HOUR: Final = 3_600
_ACCOUNT: Final = "SELECT email, name, active, confirmed, epoch FROM accounts WHERE id = $1"


class Notices:
    """Makes notices from events and the account."""

    def __init__(self, tools: Tools) -> None:
        self._pool = tools.pool
        self._config = tools.config
        self._keys = key_ring(tools.config)

    async def about(self, record: EventRecord, event: Event) -> Notice | None:
        """The notice to the owner of the address; None if the event calls for none."""
        if isinstance(event, AccountCreated) and event.confirmed:
            return None
        assert isinstance(
            event, AccountCreated | AccountRegisteredAgain | RegistrationRepeated | PasswordResetRequested
        )
        account = await self._pool.fetchrow(_ACCOUNT, event.account_id)
        if account is None or account["email"] is None or not account["active"]:
            return None
        notice = Notice(
            record.seq, record.type, moment(record.occurred_at), event.account_id, account["name"], account["email"]
        )
        if isinstance(event, RegistrationRepeated):
            return notice
        if isinstance(event, PasswordResetRequested):
            if account["epoch"] != event.epoch:
                return None
            return self._with_token(
                notice, RESET_AUDIENCE, "reset-password", event.epoch, self._config.reset_link_seconds
            )
        epoch = 0 if isinstance(event, AccountCreated) else event.epoch
        if account["confirmed"] or account["epoch"] != epoch:
            return None
        return self._with_token(notice, CONFIRM_AUDIENCE, "confirm", epoch, self._config.confirm_link_seconds)

    def _with_token(self, notice: Notice, audience: str, page: str, epoch: int, seconds: int) -> Notice:
        link = Link(UUID(int=notice.account_id.int), epoch)
        issued_at = int(notice.at.timestamp())
        token = mint_link(self._keys, audience, link, issued_at=issued_at, lifetime_seconds=seconds)
        # After the hash, it appears in no server's log.
        url = None if self._config.site_url is None else f"{self._config.site_url}/{page}#token={token}"
        return notice._replace(token=token, link=url, hours=max(1, seconds // _SECONDS_PER_HOUR))
