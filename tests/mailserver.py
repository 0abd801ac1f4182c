"""An SMTP server for tests, on 127.0.0.1: it accepts mails, refuses them, or hangs, as the test says."""

from __future__ import annotations

import asyncio
import email
import email.policy
from email.message import EmailMessage
from types import TracebackType
from typing import Final, Literal, Self

# The command at which it misbehaves. A hanging server does not answer any more.
Step = Literal["greeting", "MAIL", "RCPT", "DATA", "taken"]

_EVERYTHING_IS_WELL: Final = {
    "greeting": "220 test ESMTP",
    "EHLO": "250 test",
    "MAIL": "250 sender ok",
    "RCPT": "250 recipient ok",
    "DATA": "354 go on",
    "taken": "250 taken",
    "RSET": "250 forgotten",
    "QUIT": "221 bye",
}


class MailServer:
    """An async context manager. `mails` are those accepted; `trouble` is its answer at a Step instead, None for no
    answer."""

    def __init__(self, port: int = 0) -> None:
        self.mails: list[EmailMessage] = []
        self.recipients: list[str] = []
        self.connections = 0
        self.trouble: dict[str, str | None] = {}
        self.port = port
        self._talks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.close()
        self.hang_up()
        await asyncio.gather(*self._talks, return_exceptions=True)

    def hang_up(self) -> None:
        """Closes every open connection."""
        for talk in self._talks:
            talk.cancel()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talk = asyncio.create_task(self._talk(reader, writer))
        self._talks.add(talk)
        talk.add_done_callback(self._talks.discard)

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            self._say(writer, "greeting")
            while line := (await reader.readline()).decode():
                command = line.split(":")[0].split()[0].upper()
                if command == "RCPT":
                    self.recipients.append(line.strip())
                self._say(writer, command)
                if command == "DATA" and "DATA" not in self.trouble:
                    mail = await reader.readuntil(b"\r\n.\r\n")
                    if "taken" not in self.trouble:
                        parsed = email.message_from_bytes(mail[:-5], policy=email.policy.default)
                        assert isinstance(parsed, EmailMessage)
                        self.mails.append(parsed)
                    self._say(writer, "taken")
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has disconnected
        finally:
            writer.close()

    def _say(self, writer: asyncio.StreamWriter, step: str) -> None:
        answer = self.trouble[step] if step in self.trouble else _EVERYTHING_IS_WELL.get(step, "502 what?")
        if answer is not None:
            writer.write(answer.encode() + b"\r\n")
