"""Before and after a Locust run: receives stock first, and checks in the end that the run was valid.

Stock is received before Locust's clock starts, so a run is just as long on a slow machine. A run that did less than
requested (not all customers started, hardly any requests) has failed, however few failures it counted.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Coroutine
from functools import lru_cache
from typing import Any, Final, TypeVar

import asyncpg
import flask
import gevent
import uvloop
from locust.env import Environment
from locust.runners import STATE_RUNNING, STATE_SPAWNING, WorkerRunner

from loadtests import baskets
from loadtests.baskets import Invoices
from loadtests.replay.client import Client
from loadtests.replay.shop import NotPrepared, Replay
from ops.console.failures import explanation
from ops.home import join_running
from ops.verify import Report, verify
from runtime.database import asyncpg_dsn
from runtime.mailboxes.sender import Sender
from runtime.settings import settings
from runtime.signing_keys import key_ring

RECEIPTS_AT_A_TIME: Final = 32
_LACKS: Final = (
    "Locust needs the system's settings, to mint tokens and to list products: run it in the folder of `make up` (or set"
    " TIDEGATE_HOME to its home), or set DATABASE_URL, REDIS_URL and TIDEGATE_JWT_SECRET as the system has them"
)

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


@lru_cache(maxsize=1)
def invoices() -> Invoices:
    """The invoices whose baskets customers order."""
    return baskets.read()


class LoadRun:
    """The run of one leading Locust process: a local one, or the master."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._all_came = False

    def open(self) -> None:
        """Prepares the run: now if there is no web page, otherwise at each start from it. Exits with one sentence if
        there is no system to run against."""
        events: Any = self._environment.events  # Locust has no types there
        events.test_start.add_listener(lambda **_: self._begin())
        events.spawning_complete.add_listener(lambda **_: self._note_all())
        events.test_stop.add_listener(lambda **_: self._end())
        join_running(os.environ)
        if (web_ui := self._environment.web_ui) is None:
            if lack := self._stock_up():
                sys.exit(lack)
        elif web_ui.app is not None:
            web_ui.app.before_request(self._before_a_page)

    def close(self) -> None:
        """Runs `verify`, once the last customer has stopped."""
        config = settings()
        report: Report = _run(verify(config.database_url, config.redis_url, mailbox_count=config.mailbox_count))
        if report.clean:
            _log.info("verify found no differences: %s", report.counts)
        else:
            self._fail(f"verify found differences: {report.differences}")

    def _before_a_page(self) -> flask.Response | None:
        """Handles the web page's start button: its form has the options and shows what is wrong."""
        starts = flask.request.method == "POST" and flask.request.path.endswith("/swarm")
        runner = self._environment.runner
        if not starts or runner is None or runner.state in (STATE_SPAWNING, STATE_RUNNING):
            return None
        form = flask.request.form
        lack = self._stock_up(host=form.get("host"), rounds=form.get("rounds"))
        return flask.jsonify({"success": False, "message": lack, "host": form.get("host")}) if lack else None

    def _stock_up(self, *, host: str | None = None, rounds: str | None = None) -> str | None:
        """Receives stock for all baskets; returns a sentence about what was missing, or None."""
        options = self._environment.parsed_options
        assert options is not None
        url = host or options.host
        if not url:
            return "give --host"
        try:
            times = int(options.rounds if rounds is None else rounds)
            _run(_receive_stock(url, times))
        except NotPrepared as error:
            return f"{error}. {_LACKS}" if "unauthenticated" in str(error) or "token" in str(error) else str(error)
        except Exception as error:
            reason = explanation(error)
            if reason is None:
                raise
            return f"{reason}. {_LACKS}"
        return None

    def _begin(self) -> None:
        self._all_came = False

    def _note_all(self) -> None:
        self._all_came = True

    def _end(self) -> None:
        options, runner = self._environment.parsed_options, self._environment.runner
        assert options is not None
        assert runner is not None
        wanted = options.num_users or 1
        least = options.least_requests or wanted
        made = runner.stats.total.num_requests
        if not self._all_came:
            self._fail(f"the run ended before all of its {wanted} customers had started ({made} requests were made)")
        elif made < least:
            self._fail(f"{made} requests were made, but at least {least} were expected from {wanted} customers")

    def _fail(self, why: str) -> None:
        _log.error("The run has failed: %s.", why)
        self._environment.process_exit_code = 1


def leads(environment: Environment) -> bool:
    """Whether this process leads, rather than being a worker of a master."""
    return not isinstance(environment.runner, WorkerRunner)


async def _receive_stock(url: str, rounds: int) -> None:
    config = settings()
    pieces = {sku: quantity * rounds for sku, quantity in baskets.demand(invoices().baskets).items()}
    async with (
        asyncpg.create_pool(asyncpg_dsn(config.database_url), min_size=0, max_size=1) as pool,
        Client(url, key_ring(config), connections=RECEIPTS_AT_A_TIME) as client,
        Sender(config) as sender,
    ):
        if not await client.is_ready():
            raise NotPrepared(f"no Tidegate is ready at {url}: start one with `make up`")
        replay = Replay(client, sender, pool, concurrency=RECEIPTS_AT_A_TIME)
        await replay.load_products(invoices().products)
        await replay.receive(pieces, lambda: None)


def _run(work: Coroutine[Any, Any, _T]) -> _T:
    """Runs asyncio code to its end, while there are no customers. Uses uvloop, because gevent has patched what the
    standard event loop is built on. gevent's clock stands still meanwhile, and would count the time towards whatever is
    timed next, which is the run."""
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(work)
    finally:
        gevent.get_hub().loop.update_now()
