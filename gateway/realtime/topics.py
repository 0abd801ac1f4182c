"""Topics: what a subscriber can ask for, who may, and which events belong to which.

A subscriber names a topic; inside, it becomes an address that says for whom as well, so that the filter is a look-up
and runs before anything is encoded: `orders/{id}` of a customer is another address than that of staff.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from uuid import UUID

import msgspec

from domain.catalogue import ACTIVE, ProductCreated
from domain.disclosure import READS_ALL, may_read
from domain.fields.catalogue import canonical_sku
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
    """A topic that is none, or not for this caller; `code` is stable."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


def address(topic: str, caller: Caller) -> str:
    """Where the topic's events arrive for this caller. Raises TopicRefused."""
    found = _TOPIC.fullmatch(topic)
    if found is None:
        raise _unknown(topic)
    noun, particular = found.groups()
    if particular is None:
        return _whole(noun, topic, caller)
    if noun == ORDERS and (order_id := _uuid(particular)) is not None:
        _within(_OWN_SCOPE, topic, caller)
        return f"{ORDERS}/{order_id}" if caller.actor.is_staff else f"{ORDERS}/{order_id}@{caller.actor.principal}"
    if noun == INVENTORY and (sku := canonical_sku(particular)) is not None:
        _staff_only(topic, caller)
        return f"{INVENTORY}/{sku}"
    raise _unknown(topic)


def _whole(noun: str, topic: str, caller: Caller) -> str:
    if noun in _STAFF_TOPICS:
        _staff_only(topic, caller)
        return noun
    if noun == CATALOGUE:
        hears_all = caller.actor.is_staff and may_read(ProductCreated.type, caller.actor.scopes)
        return CATALOGUE if hears_all else _PUBLIC_CATALOGUE
    if noun == ME:
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
    """How the past of these addresses of one caller is found without a look at all of the log, if it can be."""
    principal, order_ids, catalogue = None, [], False
    for each in sorted(addresses):
        noun, _, particular = each.partition("@")[0].partition("/")
        if noun == ME and principal is None:
            principal = each.partition("/")[2]
        elif noun == ORDERS and particular:
            order_ids.append(UUID(particular))
        elif noun == CATALOGUE:
            catalogue = True
        elif noun != STATS:
            return None
    return Narrow(principal, tuple(order_ids), catalogue)


class _Line(msgspec.Struct, gc=False):
    sku: str


class _Said(msgspec.Struct, gc=False):
    """Of an event's data, what decides where it goes."""

    customer_id: str = ""
    account_id: str = ""
    lines: list[_Line] = []
    status: str = ""
    product_status: str = ""


_said = msgspec.json.Decoder(_Said)

# An order that was fulfilled had left the stock before.
_MOVES_STOCK: Final = frozenset({"order.placed", "order.confirmed", "order.cancelled", "order.expired"})


def addresses_of(record: EventRecord) -> Iterable[str]:
    """Every address that the event belongs to."""
    noun = record.type.partition(".")[0]
    yield LOG
    if noun == "order":
        said = _said.decode(record.data)
        yield ORDERS
        yield f"{ORDERS}/{record.subject}"
        yield f"{ORDERS}/{record.subject}@{said.customer_id}"
        yield f"{ME}/{said.customer_id}"
        if record.type in _MOVES_STOCK:
            yield INVENTORY
            for line in said.lines:
                yield f"{INVENTORY}/{line.sku}"
    elif noun == "stock":
        yield INVENTORY
        yield f"{INVENTORY}/{record.subject}"
    elif noun == "category":
        yield CATALOGUE
        yield _PUBLIC_CATALOGUE
    elif noun == "product":
        said = _said.decode(record.data)
        yield CATALOGUE
        if (said.status or said.product_status) == ACTIVE:
            yield _PUBLIC_CATALOGUE
    elif noun == "account":
        yield f"{ME}/{record.subject}"
    elif noun == "session":
        if account_id := _said.decode(record.data).account_id:
            yield f"{ME}/{account_id}"
    elif noun == "command":
        yield f"{ME}/{record.actor}"
