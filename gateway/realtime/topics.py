"""Topics: what a subscriber can ask for, who may, and which events belong to which.

A subscriber names a topic; internally it becomes an address that includes the audience, so that filtering is a look-up,
before anything is encoded: `orders/{id}` has a different address for a customer than for staff.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Final
from uuid import UUID

import msgspec

from domain.catalogue import ACTIVE, ProductCreated
from domain.disclosure import READS_ALL, may_read
from domain.fields.catalogue import canonical_sku
from domain.model import EVENTS, Event
from gateway.identity.caller import Caller
from gateway.views.narrow import Narrow
from runtime.records import EventRecord

LOG: Final = "log"
ORDERS: Final = "orders"
INVENTORY: Final = "inventory"
CATALOGUE: Final = "catalogue"
ME: Final = "me"
STATS: Final = "stats"

_OWN_SCOPE: Final = "orders:read"
_STAFF_TOPICS: Final = frozenset({LOG, ORDERS, INVENTORY, STATS})
_FORMS: Final = (LOG, ORDERS, f"{ORDERS}/{{id}}", INVENTORY, f"{INVENTORY}/{{sku}}", CATALOGUE, ME, STATS)
_TOPIC: Final = re.compile(r"([a-z]{1,16})(?:/([!-~]{1,64}))?")
_PUBLIC_CATALOGUE: Final = f"{CATALOGUE}@public"


class TopicRefused(Exception):
    """A topic that does not exist, or is not for this caller; `code` is stable."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def address(topic: str, caller: Caller) -> str:
    """The address at which the topic's events arrive for this caller. Raises TopicRefused."""
    found = _TOPIC.fullmatch(topic)
    if found is None:
        raise _unknown(topic)
    name, particular = found.groups()
    if particular is None:
        return _whole(name, topic, caller)
    if name == ORDERS and (order_id := _uuid(particular)) is not None:
        _within(_OWN_SCOPE, topic, caller)
        return f"{ORDERS}/{order_id}" if caller.actor.is_staff else f"{ORDERS}/{order_id}@{caller.actor.principal}"
    if name == INVENTORY and (sku := canonical_sku(particular)) is not None:
        _staff_only(topic, caller)
        return f"{INVENTORY}/{sku}"
    raise _unknown(topic)


def _whole(name: str, topic: str, caller: Caller) -> str:
    if name in _STAFF_TOPICS:
        _staff_only(topic, caller)
        return name
    if name == CATALOGUE:
        hears_all = caller.actor.is_staff and may_read(ProductCreated.type, caller.actor.scopes)
        return CATALOGUE if hears_all else _PUBLIC_CATALOGUE
    if name == ME:
        _within(_OWN_SCOPE, topic, caller)
        return f"{ME}/{caller.actor.principal}"
    raise _unknown(topic)


def _staff_only(topic: str, caller: Caller) -> None:
    if not caller.actor.is_staff:
        raise TopicRefused("forbidden", f"The topic `{topic}` is for staff.")
    _within(READS_ALL, topic, caller)


def _within(scope: str, topic: str, caller: Caller) -> None:
    if scope not in caller.actor.scopes:
        raise TopicRefused("forbidden", f"The topic `{topic}` needs the scope `{scope}`.")


def _unknown(topic: str) -> TopicRefused:
    return TopicRefused("unknown_topic", f"There is no topic `{topic[:100]}`; the topics are {', '.join(_FORMS)}.")


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None


def narrow(addresses: Iterable[str]) -> Narrow | None:
    """How to find the past of one caller's addresses without reading the whole log; None if that is not possible."""
    principal, order_ids, catalogue = None, [], False
    for each in sorted(addresses):
        name, _, particular = each.partition("@")[0].partition("/")
        if name == ME and principal is None:
            principal = each.partition("/")[2]
        elif name == ORDERS and particular:
            order_ids.append(UUID(particular))
        elif name == CATALOGUE:
            catalogue = True
        elif name != STATS:
            return None
    return Narrow(principal, tuple(order_ids), catalogue)


class _Line(msgspec.Struct, gc=False):
    sku: str


class _Data(msgspec.Struct, gc=False):
    """The parts of an event's data that determine its addresses. They are read without the event's own class, so that
    an event of a newer release still reaches its subscribers."""

    customer_id: str = ""
    account_id: str = ""
    lines: list[_Line] = []
    status: str = ""
    product_status: str = ""


_data = msgspec.json.Decoder(_Data)

# The types of events that move a ledger. Fulfilling an order does not: its pieces left the stock when it was confirmed.
_MOVING: Final = frozenset(name for name, event in EVENTS.items() if event.moves is not Event.moves)


def addresses_of(record: EventRecord) -> Iterable[str]:
    """Every address that the event belongs to."""
    yield LOG
    if further := _FURTHER.get(record.type.partition(".")[0]):
        yield from further(record)


def _of_order(record: EventRecord) -> Iterable[str]:
    data = _data.decode(record.data)
    yield ORDERS
    yield f"{ORDERS}/{record.subject}"
    yield f"{ORDERS}/{record.subject}@{data.customer_id}"
    yield f"{ME}/{data.customer_id}"
    if data.lines and record.type in _MOVING:
        yield INVENTORY
        for line in data.lines:
            yield f"{INVENTORY}/{line.sku}"


def _of_stock(record: EventRecord) -> Iterable[str]:
    return INVENTORY, f"{INVENTORY}/{record.subject}"


def _of_category(record: EventRecord) -> Iterable[str]:
    return CATALOGUE, _PUBLIC_CATALOGUE


def _of_product(record: EventRecord) -> Iterable[str]:
    data = _data.decode(record.data)
    is_public = (data.status or data.product_status) == ACTIVE
    return (CATALOGUE, _PUBLIC_CATALOGUE) if is_public else (CATALOGUE,)


def _of_account(record: EventRecord) -> Iterable[str]:
    return (f"{ME}/{record.subject}",)


def _of_session(record: EventRecord) -> Iterable[str]:
    account_id = _data.decode(record.data).account_id
    return (f"{ME}/{account_id}",) if account_id else ()


def _of_command(record: EventRecord) -> Iterable[str]:
    return (f"{ME}/{record.actor}",)


# By the first word of the event's type. Events of other entities are for readers of the whole log.
_FURTHER: Final[dict[str, Callable[[EventRecord], Iterable[str]]]] = {
    "order": _of_order,
    "stock": _of_stock,
    "category": _of_category,
    "product": _of_product,
    "account": _of_account,
    "session": _of_session,
    "command": _of_command,
}
