"""What is measured beside another shop, as far as it can be told without that shop: what its shoppers ask for and make
of the answers, how its processes are run, and what the figures are compared with."""

import os
import signal
import sys
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from domain.model import Wanted
from loadtests.bench import goods
from loadtests.bench.checkouts import CODE
from loadtests.bench.plan import Measured, Results
from loadtests.bench.shopper import CHECKOUT, COMPLETE, Shopper
from loadtests.bench.stage import BenchError
from loadtests.conversations import Answer, Conversation, Pause, Talked, Unexpected
from loadtests.peers import graphql
from loadtests.peers.graphql import GraphQLRefusal
from loadtests.peers.processes import PROGRAMS, Installed, running
from loadtests.peers.seeding import Seeded
from loadtests.peers.shopper import PAID, VendureShopper
from loadtests.peers.targets import targets
from loadtests.peers.vendure import in_turn

LINES = (Wanted("1000000", 2), Wanted("1000001", 1))
SEEDED = Seeded({"1000000": "11", "1000001": "12"}, "7", ["one", "two"])


def answered(**data: Any) -> bytes:
    return msgspec.json.encode({"data": data})


def order(state: str) -> dict[str, Any]:
    return {"code": "ABC", "state": state, "couponCodes": [CODE]}


def vendure_says(asked: bytes, *, paid: str = PAID, codes: tuple[str, ...] = (CODE,)) -> tuple[int, bytes]:
    """A shop in which everything works at once."""
    return 200, _said(body_of(asked)["query"], paid, codes)


def _said(document: str, paid: str, codes: tuple[str, ...]) -> bytes:
    if "search(" in document:
        return answered(search={"items": []})
    if "addItemsToOrder" in document:
        return answered(addItemsToOrder={"order": order("AddingItems"), "errorResults": []})
    if "applyCouponCode" in document:
        return answered(applyCouponCode={**order("AddingItems"), "couponCodes": codes})
    if "addPaymentToOrder" in document:
        return answered(transitionOrderToState={"state": "ArrangingPayment"}, addPaymentToOrder=order(paid))
    if "orderByCode" in document:
        return answered(orderByCode=order(PAID))
    return answered(set=order("AddingItems"))


def tidegate_says(asked: bytes) -> tuple[int, bytes]:
    line = asked.split(b"\r\n", 1)[0].decode()
    if line.startswith("POST"):
        return 201, msgspec.json.encode({"id": "1", "status": "confirmed"})
    return 200, msgspec.json.encode({"quote": {"total_minor": 1}})


def body_of(asked: bytes | Pause) -> Any:
    assert isinstance(asked, bytes)
    return msgspec.json.decode(asked.partition(b"\r\n\r\n")[2])


def held(conversation: Conversation, says: Callable[[bytes], tuple[int, bytes]]) -> list[bytes | Pause]:
    """All that is asked in a conversation with such a shop; each answer takes half a second."""
    asked = [next(conversation)]
    answer = Answer(200, b"", 0.0)
    while True:
        if isinstance(last := asked[-1], bytes):
            answer = Answer(*says(last), 0.5)
        try:
            asked.append(conversation.send(answer))
        except StopIteration:
            return asked


def bought(talked: Talked, **says: Any) -> list[bytes | Pause]:
    shopper = VendureShopper("shop", "a-token")
    return held(shopper.buys(talked, LINES, SEEDED.variants, SEEDED.method_id, CODE), partial(vendure_says, **says))


def test_a_checkout_is_one_request_a_step() -> None:
    talked = Talked()
    asked = [body_of(each) for each in bought(talked) if isinstance(each, bytes)]
    assert asked[1]["variables"] == {
        "lines": [{"productVariantId": "11", "quantity": 2}, {"productVariantId": "12", "quantity": 1}]
    }
    assert [step["variables"] for step in asked[3:5]] == [{"method": "7"}, {"code": CODE}]
    assert list(talked.waits[COMPLETE]) == [0.5]
    assert list(talked.waits[CHECKOUT]) == [2.5], "the page before it is not part of it"


def test_both_sides_take_as_many_requests() -> None:
    theirs = bought(Talked())
    ours = held(Shopper("shop", "a-token").buys(Talked(), LINES, "7", CODE), tidegate_says)
    assert len(theirs) == len(ours) == 6


def test_a_checkout_lasts_until_the_order_is_paid() -> None:
    talked = Talked()
    asked = bought(talked, paid="PaymentAuthorized")
    assert isinstance(asked[6], Pause)
    assert "orderByCode" in body_of(asked[7])["query"]
    assert list(talked.waits[CHECKOUT]) == [pytest.approx(3.02)]


def test_a_code_that_does_not_count_breaks_a_checkout_off() -> None:
    with pytest.raises(Unexpected, match="the code does not count"):
        bought(Talked(), codes=())


@pytest.mark.parametrize(
    "said",
    [
        b"<html>",
        b"[]",
        b'{"errors": [{"message": "deadlock"}], "data": null}',
        b'{"errors": [{"message": "deadlock"}], "data": {"a": {"id": 1}}}',
        b'{"data": null}',
        b'{"data": {"a": {"id": 1}, "b": {"errorCode": "NO_ACTIVE_ORDER_ERROR", "message": "there is none"}}}',
        b'{"data": {"a": {"order": {}, "errorResults": [{"errorCode": "INSUFFICIENT_STOCK_ERROR"}]}}}',
        b'{"data": {"a": [{"id": 1}, {"errorCode": "ANY"}]}}',
    ],
)
def test_every_form_of_refusal_is_recognised(said: bytes) -> None:
    with pytest.raises(GraphQLRefusal):
        graphql.data(said)


def test_an_answer_is_what_was_asked_for() -> None:
    assert graphql.data(b'{"data": {"a": {"id": "1", "errorResults": []}, "b": [1], "c": null}}') == {
        "a": {"id": "1", "errorResults": []},
        "b": [1],
        "c": None,
    }


def customer_of(asked: bytes | Pause) -> bytes:
    assert isinstance(asked, bytes)
    return asked.partition(b"Bearer ")[2].partition(b"\r\n")[0]


def test_a_customer_is_in_one_checkout_at_a_time() -> None:
    free = deque(VendureShopper("shop", token) for token in SEEDED.tokens)
    busy = [in_turn(free, Talked(), goods.Purchase("c1", LINES), SEEDED) for _ in SEEDED.tokens]
    assert {customer_of(next(each)) for each in busy} == {b"one", b"two"}


def test_the_shopper_freed_last_goes_next() -> None:
    free = deque(VendureShopper("shop", token) for token in SEEDED.tokens)
    checkouts = [held(in_turn(free, Talked(), goods.Purchase("c1", LINES), SEEDED), vendure_says) for _ in range(3)]
    assert len({customer_of(each) for asked in checkouts for each in asked}) == 1


def measured(**series: float) -> Results:
    results = Results()
    for name, value in series.items():
        results.add(Measured(name, value))
    return results


def test_ours_is_compared_with_the_fastest_way_and_with_the_cheapest() -> None:
    rate, cpu = targets(
        measured(
            **{
                "checkouts: tidegate": 400.0,
                "checkouts: vendure, 1 server": 8.0,
                "checkouts: vendure, 2 servers": 10.0,
                "CPU an order, whole checkout": 5.0,
                "CPU an order, vendure, 1 server": 100.0,
                "CPU an order, vendure, 2 servers": 125.0,
            }
        )
    )
    assert (rate.value, rate.verdict, rate.against) == (40.0, "must", "checkouts: vendure, 2 servers")
    assert (cpu.value, cpu.verdict, cpu.against) == (0.05, "for comparison", "CPU an order, vendure, 1 server")
    assert {target.verdict for target in targets(Results())} == {"not measured"}


def test_the_other_shop_is_run_as_in_production_and_reports_to_nobody(tmp_path: Path) -> None:
    environment = shop_in(tmp_path, "").environment("postgresql://", 1)
    assert environment["NODE_ENV"] == "production"
    assert environment["VENDURE_DISABLE_TELEMETRY"] == "true"
    assert environment["SHOP_HOST"] == "127.0.0.1"


def test_its_packages_are_fixed_and_name_no_registry() -> None:
    wanted = msgspec.json.decode((PROGRAMS / "package.json").read_bytes())["dependencies"]
    locked = msgspec.json.decode((PROGRAMS / "package-lock.json").read_bytes())["packages"]
    assert locked[""]["dependencies"] == wanted
    for name, version in wanted.items():
        assert locked[f"node_modules/{name}"]["version"] == version
    packages = [package for path, package in locked.items() if path]
    assert len(packages) > 100
    assert all("integrity" in package and "resolved" not in package for package in packages)
    assert b"://" not in (PROGRAMS / "package-lock.json").read_bytes()


def shop_in(folder: Path, program: str) -> Installed:
    """A shop whose Node is Python."""
    (folder / "shop.mjs").write_text(program)
    return Installed(sys.executable, folder, {"name": "admin", "password": "secret"})


READY_TWICE = """
import os, signal, sys
print(os.getpid(), flush=True)
print("ready\\n" * int(sys.argv[-1]) if sys.argv[1] == "server" else "ready", flush=True)
signal.pause()
"""


def test_processes_run_until_they_are_no_longer_needed(tmp_path: Path) -> None:
    with running(shop_in(tmp_path, READY_TWICE), tmp_path, "postgresql://", ("server", "2"), ("worker",)) as port:
        assert port > 0
        pids = [int((tmp_path / f"vendure-{name}.log").read_text().split()[0]) for name in ("server", "worker")]
        assert all(psutil.pid_exists(pid) for pid in pids)
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_a_process_that_ends_by_itself_says_why(tmp_path: Path) -> None:
    failing = "import sys; sys.exit('no such database')"
    with (
        pytest.raises(BenchError, match=r"vendure-server ended by itself: exit code 1; no such database"),
        running(shop_in(tmp_path, failing), tmp_path, "postgresql://", ("server", "1")),
    ):
        pass


def test_a_process_that_ends_while_it_is_measured_spoils_the_measurement(tmp_path: Path) -> None:
    def measure() -> None:
        with running(shop_in(tmp_path, READY_TWICE), tmp_path, "postgresql://", ("worker",)):
            pid = int((tmp_path / "vendure-worker.log").read_text().split()[0])
            os.kill(pid, signal.SIGKILL)
            os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)

    with pytest.raises(BenchError, match=r"vendure-worker ended by itself: SIGKILL"):
        measure()
