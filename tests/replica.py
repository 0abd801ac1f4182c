"""A streaming replica of an embedded Postgres, on a port of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from ops.embedded import postgres
from ops.embedded.postgres import USER, PostgresServer
from ops.embedded.programs import postgres_program
from ops.embedded.server import START_TIMEOUT_SECONDS
from tests import pace
from tests.system import eventually


class PostgresReplica(PostgresServer):
    """Made from a backup of the running `primary` when it first starts, it follows that from then on."""

    name = "replica"
    title = "The replica of Postgres"

    def __init__(
        self, primary: PostgresServer, home: Path, *, settings: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        super().__init__(
            home,
            settings={**postgres.NOT_DURABLE, **settings},
            start_timeout_seconds=pace.seconds(START_TIMEOUT_SECONDS),
        )
        self._primary = primary

    def pause(self) -> None:
        """Holds what comes from the primary, and shows the shop as it is now, until `resume`."""
        self.psql("SELECT pg_wal_replay_pause()")
        is_paused = "SELECT pg_get_wal_replay_pause_state() = 'paused'"
        eventually("a paused replay", lambda: self.psql(is_paused) == "t", within_seconds=5)

    def resume(self) -> None:
        self.psql("SELECT pg_wal_replay_resume()")

    def promote(self) -> None:
        """Begins to make it a server of its own, which takes writes and follows nobody."""
        self.psql("SELECT pg_promote(wait => false)")

    def _maker(self, data: Path) -> Sequence[str]:
        return (
            str(postgres_program("pg_basebackup")),
            f"--pgdata={data}",
            "--host=127.0.0.1",
            f"--port={self._primary.port}",
            f"--username={USER}",
            "--checkpoint=fast",
            "--write-recovery-conf",
        )

    @property
    def _password_file(self) -> Path:
        return self._primary._password_file


@contextmanager
def replica_of(primary: PostgresServer, home: Path) -> Iterator[PostgresReplica]:
    """A running replica."""
    server = PostgresReplica(primary, home)
    server.start()
    try:
        yield server
    finally:
        server.stop()
