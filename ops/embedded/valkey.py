"""An embedded Valkey 9 (the Redis protocol): every write is on disk before it is acknowledged; on a TCP port of
127.0.0.1, with its own password. Every start rewrites its configuration file.
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
    # A 202 means on disk. One fsync covers all commands of an event-loop turn.
    "appendonly": "yes",
    "appendfsync": "always",
    "no-appendfsync-on-rewrite": "no",
    # Snapshots would add nothing to the append-only file.
    "save": '""',
    # When memory is full, refuse commands, and never evict a mailbox.
    "maxmemory-policy": "noeviction",
    "bind": "127.0.0.1",
    "protected-mode": "yes",
    "daemonize": "no",
    "logfile": '""',
}

# Settings without durability, for tests of other things.
NOT_DURABLE: Final = {"appendfsync": "everysec"}


class ValkeyServer(EmbeddedServer):
    """`url` names database 0."""

    name = "valkey"
    title = "Valkey"
    stop_signal = signal.SIGTERM
    stop_timeout_seconds = 10.0

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def _prepare(self) -> Account | None:
        self.data.mkdir(mode=0o700, exist_ok=True)
        settings = {"port": str(self.port), "requirepass": self.password, **SETTINGS, **self.settings}
        # The file contains the password; only its owner can read it and its folder. File names are relative to the
        # server's working directory, so that no path needs quoting.
        self._configuration.write_text("".join(f"{name} {value}\n" for name, value in settings.items()))
        return None

    def _command(self) -> Sequence[str]:
        return [str(valkey_program()), self._configuration.name]

    def is_up(self) -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), _ANSWER_TIMEOUT_SECONDS) as client:
            client.sendall(f"AUTH {self.password}\r\nPING\r\nQUIT\r\n".encode())
            with client.makefile("rb") as answers:  # while it is loading its file, it answers -LOADING
                return answers.read().startswith(b"+OK\r\n+PONG\r\n")
        return False

    @property
    def _configuration(self) -> Path:
        return self.data / "valkey.conf"

    @property
    def password(self) -> str:
        return kept_password(self.home / f"{self.name}.password")
