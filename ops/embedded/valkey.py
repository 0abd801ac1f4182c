"""An embedded Valkey 9 (the Redis protocol): every write is on disk before it is answered, on a TCP port of 127.0.0.1
with a password of its own. Its configuration file is written anew by every start.
"""

import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from ops.children import Account
from ops.embedded.programs import valkey_program
from ops.embedded.server import EmbeddedServer, kept_password

_ANSWER_TIMEOUT_SECONDS: Final = 1.0

SETTINGS: Final = {
    # What a 202 promises: on disk. One fsync covers all commands of an event-loop turn.
    "appendonly": "yes",
    "appendfsync": "always",
    "no-appendfsync-on-rewrite": "no",
    # Snapshots would add nothing to the append-only file.
    "save": '""',
    # A full memory refuses commands; it must never drop a mailbox.
    "maxmemory-policy": "noeviction",
    "bind": "127.0.0.1",
    "protected-mode": "yes",
    "daemonize": "no",
    "logfile": '""',
}

# What Settings leave out of durability, for tests that ask other questions.
NOT_DURABLE: Final = {"appendfsync": "everysec"}


class ValkeyServer(EmbeddedServer):
    """`url` names database 0."""

    name = "valkey"
    title = "Valkey"
    stop_signal = signal.SIGTERM
    stop_timeout_seconds = 10.0

    @property
    def url(self) -> str:
        return f"redis://:{self._password()}@127.0.0.1:{self.port}/0"

    def _prepare(self) -> Account | None:
        self.data.mkdir(mode=0o700, exist_ok=True)
        settings = {"port": str(self.port), "requirepass": self._password(), **SETTINGS, **self.settings}
        # The file holds the password, like the folder it lies in for its owner's eyes only. Files are relative to the
        # folder the server runs in, so that no path needs quoting.
        self._configuration.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        return None

    def _command(self) -> Sequence[str]:
        return [str(valkey_program()), self._configuration.name]

    def _answers(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), _ANSWER_TIMEOUT_SECONDS) as client:
            client.sendall(f"AUTH {self._password()}\r\nPING\r\nQUIT\r\n".encode())
            with client.makefile("rb") as answers:  # while it loads its file, it answers -LOADING
                return answers.read().startswith(b"+OK\r\n+PONG\r\n")
        return False

    @property
    def _configuration(self) -> Path:
        return self.data / "valkey.conf"

    def _password(self) -> str:
        return kept_password(self.home / f"{self.name}.password")
