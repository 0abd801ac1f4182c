"""Where mails go: into a folder, or to an SMTP server. Both return once the mail is stored safely. Mails wait for as
long as an SMTP server is unavailable or refuses us. Only a mail that it permanently rejects is given up.
"""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import unquote, urlsplit

from aiosmtplib import (
    SMTP,
    SMTPAuthenticationError,
    SMTPConnectError,
    SMTPException,
    SMTPHeloError,
    SMTPNotSupported,
    SMTPRecipientsRefused,
    SMTPResponseException,
    SMTPSenderRefused,
    SMTPServerDisconnected,
    SMTPTimeoutError,
)

from runtime.settings import Settings
from workers.failures import Away
from workers.reactions.core import GiveUp, NotNow
from workers.reactions.mail.letter import Letter

SEND_MAX_SECONDS: Final = 25.0
"""For one whole mail, however slowly the server responds."""

_NOT_THE_MAIL: Final = (
    SMTPConnectError,
    SMTPServerDisconnected,
    SMTPTimeoutError,
    SMTPAuthenticationError,
    SMTPHeloError,
)
_FIRST_PERMANENT_CODE: Final = 500
_SERVICE_NOT_AVAILABLE: Final = 421
_EXCEEDED_STORAGE: Final = 552


class Transport(Protocol):
    """Accepts mails. `seq` is that of the event the mail is about."""

    async def send(self, letter: Letter, seq: int) -> None:
        """Raises Away if the mail cannot be accepted now, GiveUp if it never can."""

    async def close(self) -> None: ...


def transport(config: Settings) -> Transport:
    """The transport chosen by the settings."""
    if config.smtp_url is None:
        return Folder(config.home / "mail")
    return Smtp(config.smtp_url.get_secret_value(), timeout_seconds=config.smtp_timeout_seconds)


class Folder:
    """Files that any mail program opens, named by the event's seq: a repeat replaces the first."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def send(self, letter: Letter, seq: int) -> None:
        await asyncio.to_thread(self._write, self._folder / f"{seq:012}.eml", letter.content)

    async def close(self) -> None:
        """Nothing is kept open."""

    @staticmethod
    def _write(path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}.part")
        with unfinished.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)


class Smtp:
    """An SMTP server. The connection is kept between mails for as long as the server allows; one mail at a time."""

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        parts = urlsplit(url)
        self._client = SMTP(
            hostname=parts.hostname,
            port=parts.port,
            username=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            local_hostname=socket.gethostname(),
            use_tls=parts.scheme == "smtps",
            start_tls=parts.scheme == "smtp+starttls",
            timeout=timeout_seconds,
        )

    async def send(self, letter: Letter, seq: int) -> None:
        was_connected = self._client.is_connected
        try:
            async with asyncio.timeout(SEND_MAX_SECONDS):
                try:
                    await self._send(letter)
                except SMTPServerDisconnected:
                    if not was_connected:
                        raise
                    await self._send(letter)  # the server had closed the idle connection
        except BaseException as error:
            self._client.close()  # the state of the conversation is unknown
            if isinstance(error, SMTPException):
                raise _said(error) from error
            raise

    async def close(self) -> None:
        self._client.close()

    async def _send(self, letter: Letter) -> None:
        if not self._client.is_connected:
            self._client.close()
            await self._client.connect()
        await self._client.sendmail(letter.sender.addr_spec, [letter.recipient.addr_spec], letter.content)


def _said(error: SMTPException) -> Exception:
    """What the server's reply means for the mail: wait, give up, or retry a limited number of times."""
    if isinstance(error, SMTPNotSupported):
        return GiveUp(str(error))
    if isinstance(error, SMTPRecipientsRefused):
        codes = [refused.code for refused in error.recipients]
    elif isinstance(error, SMTPResponseException):
        codes = [error.code]
    else:
        codes = []
    if isinstance(error, _NOT_THE_MAIL) or _SERVICE_NOT_AVAILABLE in codes:
        return Away(f"{type(error).__name__}: {error}")
    if isinstance(error, SMTPSenderRefused) and error.code != _EXCEEDED_STORAGE:
        return Away(f"{type(error).__name__}: {error}")
    if codes and min(codes) >= _FIRST_PERMANENT_CODE:
        return GiveUp(str(error))
    return NotNow(f"{type(error).__name__}: {error}")
