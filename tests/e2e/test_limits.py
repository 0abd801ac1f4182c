"""Requests of one client are limited, over all gateways together, and every answer says how it stands."""

import asyncio
import re
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Final, NamedTuple

import aiohttp
import pytest

from tests.e2e.api import API, PROBLEM, order_body
from tests.system import System

# Unit and integration tests say the same of what is counted without starting a system.
pytestmark = pytest.mark.campaign

WRITES: Final = 30
READS: Final = 40
FROM_ADDRESS: Final = 25
GUESTS_ORDERS: Final = 3
# So slow that nothing comes in again during the tests.
SLOW: Final = "0.01"
WRITES_POLICY: Final = f'"writes";q={WRITES};w={WRITES * 100}'
READS_POLICY: Final = f'"reads";q={READS};w={READS * 100}'
ADDRESS_POLICY: Final = f'"reads-by-address";q={FROM_ADDRESS};w={FROM_ADDRESS * 100}'

_ITEM: Final = re.compile(r'"([a-z-]+)";r=(\d+);t=(\d+)')


class Answer(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: Any

    @property
    def policies(self) -> str | None:
        return self.headers.get("RateLimit-Policy")

    def left(self, policy: str) -> int:
        """What RateLimit says is left."""
        items = self.headers["RateLimit"].split(", ")
        return {found[1]: int(found[2]) for found in map(_ITEM.fullmatch, items) if found}[policy]


@pytest.fixture(scope="module")
def system() -> Iterator[System]:
    """Two gateways that let little through."""
    bounds = {
        "PRINCIPAL_WRITES_BURST": WRITES,
        "PRINCIPAL_READS_BURST": READS,
        "ADDRESS_READS_BURST": FROM_ADDRESS,
        "GUEST_ORDERS_MAX_PER_ADDRESS": GUESTS_ORDERS,
        **dict.fromkeys(
            [f"{whose}_PER_SECOND" for whose in ("PRINCIPAL_WRITES", "PRINCIPAL_READS", "ADDRESS_READS")], SLOW
        ),
    }
    settings = {f"TIDEGATE_{name}": str(value) for name, value in bounds.items()}
    with System({"TIDEGATE_GATEWAY_PROCESSES": "2", "TIDEGATE_CORS_ORIGINS": "*", **settings}) as running:
        yield running


class Client:
    """Each request comes over a connection of its own, and so to either gateway."""

    def __init__(self, http: aiohttp.ClientSession, system: System) -> None:
        self._http = http
        self._system = system

    async def ask(self, method: str, path: str, token: str | None, *, body: object = None, **headers: str) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token is not None:
            sent["Authorization"] = f"Bearer {token}"
        async with self._http.request(method, self._system.url + path, json=body, headers=sent) as response:
            return Answer(response.status, response.headers, await response.json(content_type=None))

    def somebody(self, role: str = "customer") -> str:
        """The token of somebody who was never here."""
        return self._system.token(role, f"somebody-{uuid.uuid4().hex}")

    async def metric(self, name: str, labels: str = "") -> float:
        async with self._http.get(f"{self._system.url}/metrics") as response:
            lines = (await response.text()).splitlines()
        return sum(float(line.split()[1]) for line in lines if line.startswith(f"{name}{labels} "))


@pytest.fixture
async def client(system: System) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True)) as http:
        yield Client(http, system)


async def test_two_gateways_share_a_quota(client: Client) -> None:
    ann = client.somebody()
    answers = await asyncio.gather(*(client.ask("GET", f"{API}/orders", ann) for _ in range(3 * READS)))
    assert Counter(answer.status for answer in answers) == {200: READS, 429: 2 * READS}
    assert sorted(answer.left("reads") for answer in answers if answer.status == 200) == [*range(READS)]
    refused = next(answer for answer in answers if answer.status == 429)
    assert (refused.headers["Content-Type"], refused.body["code"]) == (PROBLEM, "too_many_requests")
    assert 0 < int(refused.headers["Retry-After"]) <= 100
    assert refused.headers["RateLimit"] == f'"reads";r=0;t={refused.headers["Retry-After"]}'
    assert await client.metric("tidegate_throttled_total", '{policy="reads"}') >= 2 * READS
    # Somebody else, and what is not a read, have quotas of their own.
    assert (await client.ask("GET", f"{API}/orders", client.somebody())).status == 200
    assert (await client.ask("POST", f"{API}/orders", ann, body={})).left("writes") == WRITES - 1


async def test_every_answer_of_a_limited_route_says_how_the_request_stands(client: Client, system: System) -> None:
    ann, sam, admin = (client.somebody(role) for role in ("customer", "staff", "admin"))
    put = {
        "name": "Mug",
        "slug": "mug",
        "status": "active",
        "variants": [{"sku": "MUG", "price_minor": 1, "currency": "GBP"}],
    }
    made = await client.ask("POST", f"{API}/products", admin, body=put)
    assert made.status == 201, made.body
    came = await client.ask("POST", f"{API}/inventory/MUG/receipts", sam, body={"quantity": 9}, Prefer="wait=10")
    assert came.status == 200, came.body
    order = order_body({"MUG": 1})
    writes = [
        (201, await client.ask("POST", f"{API}/orders", ann, body=order, Prefer="wait=10")),
        (202, await client.ask("POST", f"{API}/orders", ann, body=order)),
        (403, await client.ask("POST", f"{API}/inventory/MUG/receipts", ann, body={"quantity": 9})),
        (409, await client.ask("POST", f"{API}/orders", ann, body=order_body({"MUG": 90}), Prefer="wait=10")),
        (422, await client.ask("POST", f"{API}/orders", ann, body={"lines": "none"})),
    ]
    order_id = writes[0][1].body["id"]
    reads = [(200, await client.ask("GET", f"{API}/orders/{order_id}", ann))]
    tag = reads[0][1].headers["ETag"]
    reads += [
        (304, await client.ask("GET", f"{API}/orders/{order_id}", ann, If_None_Match=tag)),
        (404, await client.ask("GET", f"{API}/orders/{uuid.uuid4()}", ann)),
        (200, await client.ask("HEAD", f"{API}/orders/{order_id}", ann)),
        (200, await client.ask("GET", f"{API}/products", ann)),
    ]
    for answers, policy, name, most in (
        (writes, WRITES_POLICY, "writes", WRITES),
        (reads, READS_POLICY, "reads", READS),
    ):
        assert [answer.status for _, answer in answers] == [status for status, _ in answers]
        assert {answer.policies for _, answer in answers} == {policy}
        assert [answer.left(name) for _, answer in answers] == [*range(most - 1, most - 1 - len(answers), -1)]


async def test_what_is_refused_before_it_is_known_who_asks_counts_by_address(client: Client) -> None:
    for method, path in (("GET", f"{API}/products"), ("GET", f"{API}/events")):
        there = {"X_Forwarded_For": f"192.0.2.{len(path)}"}
        answer = await client.ask(method, f"{path}?what=this", client.somebody(), **there)
        assert (answer.status, answer.policies) == (422, ADDRESS_POLICY)


async def test_an_address_is_limited_whoever_asks_from_there_but_not_staff(client: Client) -> None:
    there = {"X_Forwarded_For": "192.0.2.7"}
    ann = client.somebody()
    first = await client.ask("GET", f"{API}/products", ann, **there)
    assert first.policies == f"{ADDRESS_POLICY}, {READS_POLICY}"
    assert (first.left("reads-by-address"), first.left("reads")) == (FROM_ADDRESS - 1, READS - 1)
    wrong = await client.ask("GET", f"{API}/orders", "no token", **there)
    assert (wrong.status, wrong.policies, wrong.left("reads-by-address")) == (401, ADDRESS_POLICY, FROM_ADDRESS - 2)
    # Pages that are kept are answered before anything else is looked at.
    answers = await asyncio.gather(*(client.ask("GET", f"{API}/products", None, **there) for _ in range(FROM_ADDRESS)))
    assert Counter(answer.status for answer in answers) == {200: FROM_ADDRESS - 2, 429: 2}
    assert {answer.policies for answer in answers} == {ADDRESS_POLICY}
    assert (await client.ask("GET", f"{API}/orders", "no token", **there)).status == 429
    assert (await client.ask("GET", f"{API}/orders", ann, **there)).status == 429
    staff = await client.ask("GET", f"{API}/orders", client.somebody("staff"), **there)
    assert (staff.status, staff.policies) == (200, READS_POLICY)
    elsewhere = await client.ask("GET", f"{API}/orders", ann, X_Forwarded_For="192.0.2.8")
    assert (elsewhere.status, elsewhere.left("reads-by-address")) == (200, FROM_ADDRESS - 1)


async def test_guests_orders_are_limited_by_address_whether_they_have_a_token_or_not(client: Client) -> None:
    body = {**order_body({"NOTHING": 1}), "email": "guest@example.com"}
    first = await client.ask("POST", f"{API}/orders", None, body=body)
    token = first.body["guest_token"]
    answers = [await client.ask("POST", f"{API}/orders", token, body=body) for _ in range(GUESTS_ORDERS)]
    assert [first.status, *(answer.status for answer in answers)] == [202] * GUESTS_ORDERS + [429]
    assert answers[-1].body["code"] == "too_many_attempts"


async def test_health_and_metrics_are_not_limited(client: Client) -> None:
    for path in ("/health/live", "/health/ready", "/metrics"):
        for _ in range(2):
            answer = await client.ask("HEAD", path, None, X_Forwarded_For="192.0.2.9")
            assert (answer.status, answer.policies) == (200, None)


async def test_scripts_of_other_origins_may_read_how_they_stand(client: Client) -> None:
    answer = await client.ask("GET", f"{API}/orders", client.somebody(), Origin="https://shop.example")
    exposed = {name.strip() for name in answer.headers["Access-Control-Expose-Headers"].split(",")}
    assert exposed >= {"RateLimit", "RateLimit-Policy", "Retry-After"}


async def test_without_redis_each_gateway_limits_by_itself(client: Client, system: System) -> None:
    ann = client.somebody()
    system.valkey.kill()
    try:
        answers = [await client.ask("GET", f"{API}/orders", ann) for _ in range(2 * READS + 5)]
        statuses = Counter(answer.status for answer in answers)
        assert READS <= statuses[200] <= 2 * READS
        assert statuses[200] + statuses[429] == len(answers)
        assert {answer.policies for answer in answers} == {READS_POLICY}
        assert await client.metric("tidegate_throttle_local_total") > 0
    finally:
        await asyncio.to_thread(system.valkey.start)
