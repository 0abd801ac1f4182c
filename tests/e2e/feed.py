"""The feed as tests follow it: a socket that checks every message of both sides against `/api/asyncapi.json`, and what
a subscriber must have seen, derived from the log itself and without the gateway's code.
"""

import asyncio
import itertools
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, Final, Literal

import aiohttp
import asyncpg
import jsonschema_rs

from tests import pace
from tests.e2e.api import WAIT_SECONDS
from tests.system import System

Event = dict[str, Any]
Message = dict[str, Any]
After = int | Literal["now"]

# Between two pings that find out how far a socket has got.
_PING_SECONDS: Final = 0.05


class Judges:
    """The validators of an AsyncAPI document. Making them takes longer than most tests that need them."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        document = nothing_more(document)
        self.names = _names(document, "say") | _names(document, "tell")
        self.said = _judges(document, "say")
        self.told = _judges(document, "tell")
        self.notified = _judge(document, "CloudEvents")


@cache
def judges_of(document: bytes) -> Judges:
    return Judges(json.loads(document))


class Contract:
    """Validates messages against the AsyncAPI document, and records which kinds it has seen."""

    def __init__(self, document: bytes) -> None:
        judges = judges_of(document)
        self.seen: set[str] = set()
        self.names = judges.names
        self._said = judges.said
        self._told = judges.told
        self._notified = judges.notified

    def say(self, message: Message) -> None:
        """Fails unless a client may send this."""
        self._judge(self._said, message)

    def tell(self, message: Message) -> None:
        """Fails unless a client may receive this."""
        self._judge(self._told, message)

    def notify(self, events: list[Event]) -> None:
        """Fails unless this is a valid frame of notifications."""
        self._notified.validate(events)

    def _judge(self, judges: "Mapping[str, tuple[str, jsonschema_rs.Validator]]", message: Message) -> None:
        name, judge = judges[message["type"]]
        judge.validate(message)
        self.seen.add(name)


def nothing_more(part: Any) -> Any:
    """The same document, with no undocumented members allowed in any object: the gateway sends none."""
    if isinstance(part, list):
        return [nothing_more(inner) for inner in part]
    if not isinstance(part, dict):
        return part
    closed = {name: nothing_more(inner) for name, inner in part.items()}
    return {"additionalProperties": False, **closed} if isinstance(part.get("properties"), dict) else closed


def _names(document: Mapping[str, Any], operation: str) -> set[str]:
    return {message["$ref"].rpartition("/")[2] for message in document["operations"][operation]["messages"]}


def _judges(document: Mapping[str, Any], operation: str) -> "dict[str, tuple[str, jsonschema_rs.Validator]]":
    """By message `type`: its name in the document, and its validator."""
    schemas = document["components"]["schemas"]
    return {
        schemas[name]["properties"]["type"]["enum"][0]: (name, _judge(document, name))
        for name in _names(document, operation)
    }


def _judge(document: Mapping[str, Any], name: str) -> "jsonschema_rs.Validator":
    payload = document["components"]["messages"][name]["payload"]
    return jsonschema_rs.validator_for({**payload, "components": document["components"]})


class Socket:
    """One open WebSocket: the messages received, and the events by subscription."""

    def __init__(self, raw: aiohttp.ClientWebSocketResponse, contract: Contract | None = None) -> None:
        self.raw = raw
        self.told: list[Message] = []
        self.events: defaultdict[str, list[Event]] = defaultdict(list)
        self.closed_with: tuple[int, str | None] = (0, None)
        self._contract = contract
        self._numbers = itertools.count(1)

    async def more(self) -> Message | None:
        """The next message; None if the socket is closed instead."""
        frame = await self.raw.receive(pace.seconds(WAIT_SECONDS))
        if frame.type is not aiohttp.WSMsgType.TEXT:
            code = frame.data if frame.type is aiohttp.WSMsgType.CLOSE else self.raw.close_code
            self.closed_with = code or 1006, frame.extra
            return None
        message: Message = json.loads(frame.data)
        if self._contract is not None:
            self._contract.tell(message)
        if message["type"] == "events":
            self.events[message["subscription"]] += message["events"]
            assert message["seq"] == message["events"][-1]["seq"]
        else:
            self.told.append(message)
        return message

    async def say(self, kind: str, **fields: Any) -> None:
        """Sends a message that the contract allows."""
        message = {"type": kind, **fields}
        if self._contract is not None:
            self._contract.say(message)
        await self.raw.send_str(json.dumps(message))

    async def ask(self, kind: str, **fields: Any) -> Message:
        """Sends a message, and returns the answer to it."""
        reference = f"ask-{next(self._numbers)}"
        await self.say(kind, id=reference, **fields)
        while (message := await self._more()).get("id") != reference:
            pass
        return message

    async def next(self, kind: str) -> Message:
        """The next message of a kind."""
        while (message := await self._more())["type"] != kind:
            pass
        return message

    async def subscribe(self, *topics: str, after: After = "now", name: str = "s") -> Message:
        """Subscribes, which must succeed."""
        answer = await self.ask("subscribe", topics=list(topics), after=after, subscription=name)
        assert answer["type"] == "subscribed", answer
        return answer

    async def refused(self, *topics: str, after: After = "now", name: str = "s") -> str:
        """The code with which a subscription is refused."""
        answer = await self.ask("subscribe", topics=list(topics), after=after, subscription=name)
        assert answer["type"] == "error", answer
        return str(answer["code"])

    async def up_to(self, seq: int) -> None:
        """Returns when, according to the gateway, it has received all that it may see up to `seq`."""
        async with pace.timeout(WAIT_SECONDS):
            while (await self.ask("ping"))["seq"] < seq:
                await asyncio.sleep(_PING_SECONDS)

    async def closed(self) -> tuple[int, str | None]:
        """Waits until it is closed; returns code and reason."""
        while await self.more() is not None:
            pass
        return self.closed_with

    def seqs(self, subscription: str = "s") -> list[int]:
        """The seqs of the events received."""
        return [event["seq"] for event in self.events[subscription]]

    def cut(self) -> None:
        """Drops the connection without a close frame."""
        self.raw._response.connection.transport.abort()  # type: ignore[union-attr]

    async def _more(self) -> Message:
        message = await self.more()
        assert message is not None, f"closed with {self.closed_with}"
        return message


class Feeds:
    """Opens sockets to a system, as the holder of `token`."""

    def __init__(self, system: System, http: aiohttp.ClientSession, contract: Contract | None = None) -> None:
        self.system = system
        self.http = http
        self.contract = contract

    @asynccontextmanager
    async def opened(
        self, bearer: str | None = None, path: str = "/ws", /, **query: str | int
    ) -> AsyncIterator[Socket]:
        """A socket; `bearer` is the token of the Authorization header, if there is to be one."""
        headers = {} if bearer is None else {"Authorization": f"Bearer {bearer}"}
        async with self.http.ws_connect(self.system.url + path, params=query, headers=headers, max_msg_size=0) as raw:
            yield Socket(raw, self.contract)

    def staff(self, **query: str | int) -> Any:
        """A socket of staff."""
        return self.opened(self.system.token("staff", "feed-staff"), **query)

    def customer(self, principal: str, **query: str | int) -> Any:
        """A socket of a customer."""
        return self.opened(self.system.token("customer", principal), **query)


async def contract_of(system: System, http: aiohttp.ClientSession) -> Contract:
    """The system's AsyncAPI document."""
    async with http.get(f"{system.url}/api/asyncapi.json") as response:
        return Contract(await response.read())


async def last_seq(database: "asyncpg.Connection[Any]") -> int:
    """The newest event's seq."""
    return int(await database.fetchval("SELECT last_seq FROM event_counter"))


async def log_identity(database: "asyncpg.Connection[Any]") -> str:
    """The log's name, in a test that does not restore the log."""
    return str(await database.fetchval("SELECT identity FROM log_branches"))


async def log(database: "asyncpg.Connection[Any]", after: int = 0, until: int | None = None) -> list[Event]:
    """The log between two seqs, as CloudEvents, straight from its table."""
    identity = await log_identity(database)
    rows = await database.fetch(
        "SELECT *, to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"') AS time FROM events"
        " WHERE seq > $1 AND seq <= coalesce($2, 9223372036854775807) ORDER BY seq",
        after,
        until,
    )
    return [
        {
            "specversion": "1.0",
            "id": str(row["seq"]),
            "source": f"urn:uuid:{identity}",
            "type": row["type"],
            "subject": row["subject"],
            "time": row["time"],
            "datacontenttype": "application/json",
            "seq": row["seq"],
            "commandid": str(row["command_id"]),
            "actor": row["actor"],
            "data": json.loads(row["data"]),
        }
        for row in rows
    ]


def visible(events: Iterable[Event], *topics: str, to: str | None = None) -> list[Event]:
    """The events that belong to any of the topics, for the customer `to` or for staff."""
    return [event for event in events if any(_belongs(event, topic, to) for topic in topics)]


def _belongs(event: Event, topic: str, to: str | None) -> bool:
    noun, _, particular = topic.partition("/")
    kind, data = event["type"].partition(".")[0], event["data"]
    if noun == "log":
        return to is None
    if noun == "orders":
        mine = to is None if not particular else to in (None, data.get("customer_id"))
        return kind == "order" and mine and particular in ("", event["subject"])
    if noun == "inventory":
        skus = {line["sku"] for line in data.get("lines", [])} if kind == "order" else {event["subject"]}
        moves = kind == "stock" or event["type"] in (
            "order.placed",
            "order.confirmed",
            "order.cancelled",
            "order.expired",
        )
        return to is None and moves and (not particular or particular in skus)
    if noun == "catalogue":
        public = "active" in (data.get("status"), data.get("product_status"))
        return kind == "category" or (kind == "product" and (to is None or public))
    assert noun == "me", topic
    return to is not None and to in _concerned(event)


def _concerned(event: Event) -> set[str | None]:
    """The customer that an event is about."""
    kind, data = event["type"].partition(".")[0], event["data"]
    return {
        "order": {data.get("customer_id")},
        "command": {event["actor"]},
        "account": {event["subject"]},
        "session": {data.get("account_id")},
    }.get(kind, set())
