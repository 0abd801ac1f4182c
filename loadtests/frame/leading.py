"""The leading process of a load test (the only one, or the master): prepares the shop, and gives the verdict in the
end."""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import flask
import gevent
from gevent import Greenlet
from gevent.event import Event
from locust.env import Environment
from locust.runners import STATE_RUNNING, STATE_SPAWNING
from locust.stats import StatsEntry

from domain.roles import CUSTOMER, SCOPES_OF_ROLE, STAFF
from loadtests.frame import options as common
from loadtests.frame import reports
from loadtests.frame.company import Company
from loadtests.frame.records import Record, seen_by_all
from loadtests.frame.run import Scene
from loadtests.frame.scenario import Outcome, Scenario
from loadtests.frame.staff import NotPrepared, Staff
from loadtests.frame.subscribers import SUBSCRIBERS, log_position
from loadtests.frame.verdict import ALL, Check, Measured, Row, Verdict, check, judged, skipped, timed

SOCKETS_PER_KEY: Final = 50
"""Well below what the gateway allows one principal."""

_STAFF_SCOPES: Final = ["events:read", "inventory:read", "inventory:write", "orders:read"]
_VERIFY_SECONDS: Final = 1_800.0
_SAID_MAX_CHARS: Final = 1_000

_log = logging.getLogger(__name__)


class Leading:
    """The runs of one scenario that this process leads."""

    def __init__(self, environment: Environment, scenario: Scenario) -> None:
        self._environment = environment
        self._scenario = scenario
        self._company = Company(environment)
        self._staff: Staff | None = None
        self._scene: Scene | None = None
        self._since = 0
        self._all_there = False
        self._stopping = Event()
        self._during: Greenlet | None = None
        self._verdict: Verdict | None = None
        assert environment.parsed_options is not None
        self._options = environment.parsed_options

    def open(self) -> None:
        """Prepares the run: now if there is no web page, otherwise at each start from it. Exits with one sentence if
        that is not possible."""
        environment = self._environment
        events: Any = environment.events  # Locust has no types there
        common.fill_in(self._options, self._scenario)
        environment.stop_timeout = environment.stop_timeout or common.STOP_TIMEOUT_SECONDS
        events.test_start.add_listener(lambda **_: self._begin())
        events.spawning_complete.add_listener(lambda **_: self._note_all_there())
        events.test_stopping.add_listener(lambda **_: self._end())
        events.test_stop.add_listener(lambda **_: self._judge())
        events.quitting.add_listener(lambda **_: self._leave())
        events.quit.add_listener(lambda **_: self._show())
        if self._options.headless:
            if lack := self._prepare():
                sys.exit(lack)
        elif (web_ui := environment.web_ui) is not None and web_ui.app is not None:
            self._scenario.cast(self._options)
            guarded: Any = web_ui.auth_required_if_enabled  # Locust has no types there
            web_ui.app.before_request(lambda: guarded(self._start)() if self._is_start() else None)
            web_ui.app.add_url_rule("/verdict", view_func=guarded(self._verdict_page))

    def _is_start(self) -> bool:
        """Whether the request comes from the page's start button, and does not just change the number of users."""
        starts = flask.request.method == "POST" and flask.request.path.endswith("/swarm")
        runner = self._environment.runner
        return starts and runner is not None and runner.state not in (STATE_SPAWNING, STATE_RUNNING)

    def _start(self) -> flask.Response | None:
        """Prepares the run that the page's form describes; the form shows errors."""
        form = flask.request.form
        for name, value in form.items():
            known = getattr(self._options, name, None)
            if isinstance(known, int | float | str) and not isinstance(known, bool):
                try:
                    setattr(self._options, name, type(known)(value))
                except ValueError:
                    continue  # Locust validates its own options
        lack = self._prepare()
        return flask.jsonify({"success": False, "message": lack, "host": form.get("host")}) if lack else None

    def _verdict_page(self) -> flask.Response:
        said = "No run has ended yet.\n" if self._verdict is None else reports.table(self._verdict)
        return flask.Response(said, mimetype="text/plain")

    def _prepare(self) -> str | None:
        """Prepares a run; returns a sentence about what is missing, or None."""
        try:
            self._scene = self._prepared()
        except NotPrepared as error:
            return str(error)
        return None

    def _prepared(self) -> Scene:
        options, scenario = self._options, self._scenario
        if not options.host:
            raise NotPrepared("give --host")
        staff = self._staff = self._hired(options)
        scenario.cast(options)
        props = scenario.prepare(staff, options)
        keys = max(1, -(-scenario.watchers(options) // SOCKETS_PER_KEY))
        scene = Scene(
            props=props,
            shoppers=self._shoppers(staff, options),
            staff=staff.make_keys("staff", keys, STAFF, _STAFF_SCOPES),
            row=scenario.row,
            stages=scenario.stages(options),
            most=scenario.arrivals(options),
        )
        self._since = log_position(options.host, staff.token)
        return scene

    def _hired(self, options: Any) -> Staff:
        """The staff that the run's credentials belong to."""
        if self._staff is not None:
            self._staff.revoke_keys()
        staff = Staff(options.host, options.token)
        staff.check_ready()
        if options.token:
            return staff
        if not options.email:
            raise NotPrepared("say who prepares the run: --token (an admin's), or --email and --password")
        return Staff.signed_in(options.host, options.email, options.password)

    def _shoppers(self, staff: Staff, options: Any) -> list[str]:
        if not options.shopper_tokens:
            return staff.make_keys("shopper", options.shoppers, CUSTOMER, sorted(SCOPES_OF_ROLE[CUSTOMER]))
        try:
            tokens = Path(options.shopper_tokens).read_text().split()
        except OSError as error:
            raise NotPrepared(f"{options.shopper_tokens}: {error.strerror}") from None
        if not tokens:
            raise NotPrepared(f"{options.shopper_tokens} has no tokens")
        return tokens

    def _begin(self) -> None:
        self._all_there = False
        self._verdict = None
        if self._scene is None and (lack := self._prepare()):  # started by --autostart
            _log.error("%s", lack)
            self._environment.process_exit_code = 1
            gevent.spawn(self._environment.runner.quit)  # type: ignore[union-attr]
            return
        assert self._scene is not None
        self._company.begin(self._scene)
        self._stopping.clear()
        self._during = gevent.spawn(self._scenario.during, self._staff, self._options, self._stopping)

    def _end(self) -> None:
        self._stopping.set()
        self._company.finish()

    def _note_all_there(self) -> None:
        self._all_there = True

    def _judge(self) -> None:
        """Gives the verdict on the run that has just ended."""
        if self._scene is None or self._staff is None:
            return
        if self._during is not None:
            self._during.join()
        checks = list(self._checks(self._scene, self._staff))
        entries = self._environment.stats.entries.items()
        rows = [timed(Row(method, name), entry) for (name, method), entry in sorted(entries)]
        figures = dict(sorted(self._company.gather().tallies.items()))
        self._verdict = Verdict(self._scenario.name, checks, rows, figures)
        self._scene = None
        if self._options.reports:
            reports.write(self._verdict, Path(self._options.reports))
        self._environment.process_exit_code = 0 if self._verdict.passed else 1
        if not self._options.headless:
            sys.stdout.write(reports.table(self._verdict))

    def _checks(self, scene: Scene, staff: Staff) -> Iterator[Check]:
        noted, runner = self._company.gather(), self._environment.runner
        assert runner is not None
        yield check(
            "all users started",
            self._all_there,
            wanted=f"{self._options.num_users:,} users",
            measured="all" if self._all_there else "the run ended before",
            because="a run with less load than it was to have shows nothing",
        )
        errors = len(runner.exceptions)
        because = "a user that stumbles over an answer has got one that it should not"
        yield check("no user failed", not errors, wanted="no exceptions", measured=f"{errors:,}", because=because)
        yield from judged(self._scenario.thresholds, self._figures, self._options.slower)
        try:
            outcome = Outcome(staff, self._options, scene.props, noted.tallies, self._figures, self._since)
            yield from self._scenario.check(outcome)
            records = [Record(**record) for record in noted.records]
            expected = max(self._scenario.watchers(self._options), noted.tallies[SUBSCRIBERS])
            yield seen_by_all(records, expected, staff.events)
        except NotPrepared as error:
            because = "without an answer nothing is shown"
            yield check("the shop can be asked", False, wanted="an answer", measured=str(error), because=because)
        yield self._verified()

    def _verified(self) -> Check:
        name, because = "tidegate verify", "every table is what the log says, and every mailbox is where it says it is"
        if not self._options.verify:
            return skipped(name, "not asked for: run it on the system's own machine, or give --verify there")
        done = subprocess.run(
            [str(Path(sys.executable).with_name("tidegate")), "verify"],
            capture_output=True,
            text=True,
            check=False,
            timeout=_VERIFY_SECONDS,
        )
        said = " ".join((done.stdout + done.stderr).split())
        return check(
            name,
            done.returncode == 0,
            wanted="no differences",
            measured="none" if done.returncode == 0 else said[-_SAID_MAX_CHARS:],
            because=because,
        )

    def _figures(self, row: Row) -> Measured:
        stats = self._environment.stats
        if row == ALL:
            return stats.total
        return stats.entries.get((row.name, row.method)) or StatsEntry(stats, row.name, row.method)

    def _leave(self) -> None:
        if self._staff is None:
            return
        try:
            self._staff.revoke_keys()
        except NotPrepared as error:
            _log.warning("the run's API keys were not all revoked: %s", error)

    def _show(self) -> None:
        if self._verdict is not None and self._options.headless:
            sys.stdout.write(reports.table(self._verdict, colour=sys.stdout.isatty()))
