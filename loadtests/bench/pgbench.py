"""What Postgres itself can do: pgbench, the C client, placing one order per transaction with prepared statements.

Three scripts, from Tidegate's guarantees to the fastest way to place an order: statement by statement with a gapless
log; statement by statement with a sequence instead; and everything in one statement with a sequence. Each is tried once
with 4, 8 and 16 clients; the best number is then measured in each round.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Generator
from pathlib import Path
from random import Random
from string import Template
from typing import Final, NamedTuple

from sqlalchemy import make_url

from loadtests.bench import goods
from loadtests.bench.plan import Measured, Plan
from loadtests.bench.stage import BenchError, Stage
from ops.embedded.programs import postgres_program

CLIENTS: Final = (4, 8, 16)
THREADS: Final = 2
SHAPES: Final = {"spread": goods.SPREAD_SKUS, "hot": goods.HOT_SKUS}

_SQL: Final = Path(__file__).parent / "sql"
_DATABASE: Final = "bench_pgbench"
_START_SECONDS: Final = 30.0
_TRANSACTIONS = re.compile(r"^number of transactions actually processed: (\d+)", re.MULTILINE)
_RATE = re.compile(r"^tps = ([\d.]+) \(without initial connection time\)", re.MULTILINE)

# The last lock of a transaction, or none at all: see order.sql.
_GAPLESS: Final = "UPDATE event_counter SET last_seq = last_seq + 1 RETURNING last_seq AS seq"
_SEQUENCE: Final = "SELECT nextval('event_seq') AS seq"


class Script(NamedTuple):
    """A way to place an order: the file under `sql/`, and where it takes an event's seq from."""

    name: str
    file: str
    counter: str

    @property
    def text(self) -> str:
        return Template((_SQL / self.file).read_text()).substitute(counter=self.counter)


GAPLESS: Final = Script("gapless", "order.sql", _GAPLESS)
SCRIPTS: Final = (
    GAPLESS,
    Script("sequence", "order.sql", _SEQUENCE),
    Script("one statement", "order_in_one.sql", _SEQUENCE),
)


class Pgbench:
    """Series `pgbench SHAPE: SCRIPT, N clients`."""

    name = "pgbench"

    def __init__(self, stage: Stage, plan: Plan) -> None:
        self._stage = stage
        self._plan = plan
        self._clients: dict[tuple[str, str], int] = {}
        # A mailbox entry of the same order, so that the command's record is as long as Tidegate's.
        purchase = next(goods.two_lines(Random(goods.SEED), goods.SPREAD_SKUS))
        (sample,) = goods.entries([purchase], stage.config.mailbox_count)
        self._request = "\\x" + sample.encoded.hex()

    def titles(self) -> list[str]:
        scouting = "" if self._clients else ", with 4, 8 or 16 clients"
        return [f"pgbench {shape}: {script.name}{scouting}" for shape in SHAPES for script in SCRIPTS]

    def measure(self) -> Generator[list[Measured]]:
        for shape in SHAPES:
            for script in SCRIPTS:
                clients = self._best_clients(shape, script)
                rate = self.rate(shape, script, clients, self._plan.seconds)
                yield [Measured(f"pgbench {shape}: {script.name}, {clients} clients", rate)]

    def _best_clients(self, shape: str, script: Script) -> int:
        known = self._clients.get((shape, script.name))
        if known is None:
            rates = {n: self.rate(shape, script, n, self._plan.scout_seconds) for n in CLIENTS}
            known = self._clients[shape, script.name] = max(rates, key=rates.__getitem__)
        return known

    def rate(self, shape: str, script: Script, clients: int, seconds: float) -> float:
        """Orders a second with this many clients, on a fresh database."""
        database_url = self._stage.fresh(_DATABASE)
        file = self._stage.home / "order.sql"
        file.write_text(script.text)
        variables = {
            "first_sku": str(goods.FIRST_SKU),
            "sku_count": str(SHAPES[shape]),
            "request": self._request,
            "fingerprint": "\\x" + "0f" * goods.FINGERPRINT_BYTES,
        }
        command = [
            str(postgres_program("pgbench")),
            "--no-vacuum",
            "--protocol=prepared",
            f"--client={clients}",
            f"--jobs={THREADS}",
            f"--time={max(1, round(seconds))}",
            f"--file={file}",
            *(f"--define={name}={value}" for name, value in variables.items()),
        ]
        done = subprocess.run(
            command,
            env=_connection_environment(database_url),
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds + _START_SECONDS,
            start_new_session=True,  # Ctrl-C must reach only us
        )
        transactions, rate = _TRANSACTIONS.search(done.stdout), _RATE.search(done.stdout)
        if done.returncode != 0 or transactions is None or rate is None:
            raise BenchError(f"pgbench failed:\n{done.stderr[-2_000:]}")
        orders = self._stage.row(database_url, "SELECT count(*) FROM orders")["count"]
        if orders != int(transactions[1]):
            raise BenchError(f"pgbench ran {transactions[1]} transactions and placed {orders} orders")
        return float(rate[1])


def _connection_environment(database_url: str) -> dict[str, str]:
    """Environment variables for libpq, because other users can see the arguments of a command."""
    url = make_url(database_url)
    return {
        **os.environ,
        "PGHOST": url.host or "",
        "PGPORT": str(url.port or ""),
        "PGUSER": url.username or "",
        "PGPASSWORD": str(url.password or ""),
        "PGDATABASE": url.database or "",
    }
