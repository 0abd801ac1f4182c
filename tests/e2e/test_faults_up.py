"""Everything that `tidegate up` runs is killed in turn, while a customer keeps ordering: it comes back by itself within
seconds, and nothing accepted is lost.
"""

import http.client
import json
import os
import signal
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self
from uuid import uuid4

import pytest

from runtime.settings import DEVELOPMENT_SECRET
from runtime.signing_keys import KeyRing
from runtime.tokens import mint
from tests import pace, servers
from tests.e2e.up import Up, new_home
from tests.system import eventually

# On an idle machine everything is back within 5 seconds (docs/measurements.md, and `pytest -rP`). Here, others starve
# what starts anew: a deadline only tells "late" from "never".
_BACK_SECONDS: Final = 30.0
_PAUSE_SECONDS: Final = 0.05
_ANSWER_SECONDS: Final = 15.0
_SKU: Final = "BAG-JUMBO"
_PLENTY: Final = 100_000


@pytest.fixture
def home() -> Iterator[Path]:
    with new_home() as folder:
        yield folder


def _open_shop(home: Path, **environment: str) -> Up:
    """A `tidegate up` that is ready, with plenty of what is ordered."""
    servers.prepare(home)
    up = Up(home, **environment)
    up.wait_until_ready()
    _, answer = _ask(
        f"http://127.0.0.1:{up.port}/api/v1/inventory/{_SKU}/receipts",
        _token("staff"),
        json.dumps({"quantity": _PLENTY}).encode(),
        {"Content-Type": "application/json", "Prefer": "wait=10"},
    )
    assert answer["on_hand"] >= _PLENTY
    return up


class Trickle:
    """A careful customer, who orders one piece after another, each with its own key, and retries until it is
    accepted."""

    def __init__(self, up: Up, wait_seconds: int = 0) -> None:
        """With `wait_seconds` it waits that long for each outcome."""
        self._prefer = {"Prefer": f"wait={wait_seconds}"} if wait_seconds else {}
        self._url = f"http://127.0.0.1:{up.port}/api/v1/orders"
        self._token = _token("customer")
        self._enough = threading.Event()
        self._thread = threading.Thread(target=self._order_on, daemon=True)
        self.accepted: list[str] = []
        self.sent_again: Counter[int] = Counter()
        self.surprises: list[tuple[int, str]] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._enough.set()
        self._thread.join(pace.seconds(_ANSWER_SECONDS))

    def goes_on(self) -> None:
        """Returns when an order was accepted that was sent from now on."""
        seen = len(self.accepted)

        def goes_on() -> bool:
            assert not self.surprises
            assert self._thread.is_alive()
            return len(self.accepted) > seen + 1

        eventually("more accepted orders", goes_on, within_seconds=_BACK_SECONDS)

    def _order_on(self) -> None:
        while not self._enough.is_set():
            key = uuid4().hex
            while not self._placed(key) and not self.surprises:
                time.sleep(_PAUSE_SECONDS)
            time.sleep(_PAUSE_SECONDS)

    def _placed(self, key: str) -> bool:
        """Whether the order was accepted; if not, it may be sent again."""
        body = json.dumps({"lines": [{"sku": _SKU, "quantity": 1}]}).encode()
        headers = {"Content-Type": "application/json", "Idempotency-Key": key, **self._prefer}
        status, answer = _ask(self._url, self._token, body, headers)
        if status in (201, 202):
            self.accepted.append(answer["id"])
        elif status in (0, 503):
            self.sent_again[status] += 1
        else:
            self.surprises.append((status, str(answer)))
        return status in (201, 202)

    def status_of(self, order_id: str) -> str:
        return str(_ask(f"{self._url}/{order_id}", self._token)[1].get("status"))


def _token(role: str) -> str:
    return mint(KeyRing.shared(DEVELOPMENT_SECRET), "trickle", [role], lifetime_seconds=3_600)


def _ask(
    url: str, token: str, body: bytes | None = None, headers: Mapping[str, str] = MappingProxyType({})
) -> tuple[int, Any]:
    """The status and the answer, a problem as well; status 0 if the connection broke."""
    request = urllib.request.Request(
        url, body, {"Authorization": f"Bearer {token}", **headers}, method="POST" if body else "GET"
    )
    try:
        with urllib.request.urlopen(request, timeout=pace.seconds(_ANSWER_SECONDS)) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)
    except (OSError, http.client.HTTPException):
        return 0, {}


def _kill_in_turn(up: Up, trickle: Trickle, names: Sequence[str]) -> None:
    for name in names:
        pid = up.pid(name)
        assert pid is not None
        seen = up.output.count(f"{name.capitalize()} exited unexpectedly (SIGKILL); it is back after")
        begun = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        up.wait_for_more(f"{name.capitalize()} exited unexpectedly (SIGKILL); it is back after", seen)
        trickle.goes_on()
        took = time.monotonic() - begun
        print(f"{name}: back, and orders accepted, after {took:.1f} s")  # noqa: T201 - shown by `pytest -rP`


def _nothing_is_lost(up: Up, *trickles: Trickle) -> None:
    accepted = 0
    for trickle in trickles:
        assert trickle.surprises == []
        accepted += len(trickle.accepted)
        for order_id in trickle.accepted:
            eventually(
                "the order placed",
                lambda trickle=trickle, order_id=order_id: trickle.status_of(order_id) == "placed",  # type: ignore[misc]
                within_seconds=20,
            )
    verified = up.tidegate("verify", "--json")
    assert verified.returncode == 0, verified.stdout + verified.stderr
    assert json.loads(verified.stdout)["counts"]["orders"] >= accepted
    assert "Traceback" not in up.output
    assert up.stop() == 0


@pytest.mark.campaign
def test_a_killed_gateway_and_a_killed_valkey_come_back_and_nothing_is_lost(home: Path) -> None:
    up = _open_shop(home)
    with Trickle(up) as trickle:
        trickle.goes_on()
        _kill_in_turn(up, trickle, ["gateway", "valkey"])
    _nothing_is_lost(up, trickle)


@pytest.mark.campaign
def test_whatever_is_killed_comes_back_and_nothing_is_lost(home: Path) -> None:
    up = _open_shop(home, TIDEGATE_GATEWAY_PROCESSES="2")
    with Trickle(up) as trickle:
        trickle.goes_on()
        for _ in range(2):
            _kill_in_turn(up, trickle, ["gateway", "worker", "background", "scheduler", "valkey", "postgres"])
    _nothing_is_lost(up, trickle)


@pytest.mark.campaign
def test_everything_killed_at_once_comes_back_and_nothing_is_lost(home: Path) -> None:
    up = _open_shop(home)
    names = ["postgres", "valkey", "gateway", "worker", "background", "scheduler"]
    with Trickle(up) as trickle:
        trickle.goes_on()
        for pid in [up.pid(name) for name in names]:
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
        for name in names:
            up.wait_for(f"{name.capitalize()} exited unexpectedly (SIGKILL); it is back after")
        trickle.goes_on()
    _nothing_is_lost(up, trickle)


@pytest.mark.campaign
@pytest.mark.parametrize("gateways", [1, 2])
def test_a_rolling_restart_refuses_no_request(home: Path, gateways: int) -> None:
    up = _open_shop(home, TIDEGATE_GATEWAY_PROCESSES=str(gateways))
    names = ("worker", "background", "scheduler", "gateway")
    with ExitStack() as going_on:
        trickles = [going_on.enter_context(Trickle(up, wait_seconds)) for wait_seconds in (0, 0, 10, 10)]
        for _ in range(2):
            before = [up.pid(name) for name in names]
            restarted = up.tidegate("restart")
            assert restarted.returncode == 0, restarted.stdout + restarted.stderr
            assert not {up.pid(name) for name in names} & {None, *before}
            for trickle in trickles:
                trickle.goes_on()
        assert "exited unexpectedly" not in up.output
    sent_again = sum((trickle.sent_again for trickle in trickles), Counter())
    accepted = sum(len(trickle.accepted) for trickle in trickles)
    print(f"{accepted} orders accepted, sent again by status: {dict(sent_again)}")  # noqa: T201 - shown by `pytest -rP`
    assert set(sent_again) <= {0}, "a connection may be closed while a request is being sent, but nothing is refused"
    assert sent_again[0] <= accepted // 20
    _nothing_is_lost(up, *trickles)


@pytest.mark.campaign
def test_an_impossible_restart_leaves_the_old_processes_running(home: Path) -> None:
    up = Up(home, TIDEGATE_WORKER_PROCESSES="1")
    assert up.tidegate("restart").stderr.startswith("Error: no `tidegate up` is running in")
    up.wait_until_ready()
    worker = up.pid("worker")
    # A new process that fails before it can do anything.
    (home / "workers.py").write_text("raise SystemExit(7)")
    refused = up.tidegate("restart")
    assert refused.returncode == 1
    assert "Error: the new worker ended with exit code 7" in refused.stderr
    assert up.pid("worker") == worker
    (home / "workers.py").unlink()
    assert up.curl()["status"] == "placed"
    assert up.stop() == 0
