"""Webhooks: what staff may register, how an endpoint changes, and when it is disabled."""

import re
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv6Address
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.disclosure import READS_ALL, lacking, may_read
from domain.limits import WEBHOOK_MAX_EVENT_TYPES, WEBHOOK_URL_MAX_CHARS, WEBHOOKS_MAX
from domain.model import EVENTS, Command, Event, Rejection, Secret, Shop, decide, evolve
from domain.urls import host_of
from domain.webhooks import (
    ChangeWebhook,
    DeleteWebhook,
    DisableWebhook,
    Ownership,
    RedeliverEvents,
    RegisterWebhook,
    RotateWebhookSecret,
    Webhook,
    WebhookCreated,
    WebhookDisabled,
    WebhookFields,
    types_meant,
)
from tests.contexts import context

SAM = context("sam", "staff")
HOOK = UUID(int=7)
URL = "https://shop.example/hook"
SECRET = Secret("whsec_first")
ALL = (READS_ALL,)
LATER = datetime(2026, 12, 1, tzinfo=UTC)


def register(number: int = 7, *event_types: str) -> RegisterWebhook:
    return RegisterWebhook(UUID(int=number), WebhookFields(URL, event_types or ("order.*",)), SECRET, ALL)


def after(shop: Shop, *commands: Command) -> Webhook:
    """The endpoint after the commands."""
    for command in commands:
        decision = decide(shop, command, SAM)
        assert not isinstance(decision, Rejection), decision
        for event in decision:
            evolve(shop, event)
    return shop.of(Webhook)[HOOK]


def refused(shop: Shop, command: Command) -> str:
    decision = decide(shop, command, SAM)
    assert isinstance(decision, Rejection)
    return decision.code


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://shop.example", "shop.example"),
        ("http://shop.example:8080/a/b?c=d&e=%20", "shop.example"),
        ("http://xn--mnchen-3ya.example/", "xn--mnchen-3ya.example"),
        ("http://localhost:9000/", "localhost"),
        ("http://receiver_1:9000", "receiver_1"),
        ("http://127.0.0.1/", "127.0.0.1"),
        ("https://[2606:4700::1111]:8443/x", "2606:4700::1111"),
    ],
)
def test_a_plain_url(url: str, host: str) -> None:
    assert host_of(url) == host


@pytest.mark.parametrize(
    "url",
    [
        "",
        "shop.example",
        "//shop.example/",
        "ftp://shop.example/",
        "file:///etc/passwd",
        "gopher://shop.example/",
        "HTTPS://shop.example",
        "https://",
        "https:///path",
        "https://user:password@shop.example/",
        "https://user@shop.example/",
        "https://shop.example@127.0.0.1/",
        "https://shop.example\\@127.0.0.1/",
        "https://shop.example#@127.0.0.1/",
        "https://shop.example/#fragment",
        "https://shop.example/a b",
        "https://shop.example/\r\nX-Injected: 1",
        "https://shop.example/\n",
        "https://shop.example\n",
        "https://shop..example/",
        "https://-shop.example/",
        "https://shop.example:0/",
        "https://shop.example:65536/",
        "https://shop.example:http/",
        "https://münchen.example/",
        "https://shop.example/ü",
        "https://127.1/",
        "https://0x7f000001/",
        "https://2130706433/",
        "https://0177.0.0.1/",
        "https://1.2.3.4.5/",
        "https://[::1/",
        "https://[::1%25eth0]/",
        "https://[12]/",
        "https://shop.example/" + "a" * WEBHOOK_URL_MAX_CHARS,
    ],
)
def test_urls_that_cannot_be_delivered_to(url: str) -> None:
    assert host_of(url) is None
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert([url, ["*"]], WebhookFields)


def test_event_types_are_chosen_by_name_entity_or_all() -> None:
    assert types_meant(["*"]) == set(EVENTS)
    assert types_meant(["order.placed"]) == {"order.placed"}
    orders = types_meant(["order.*"])
    assert {"order.placed", "order.confirmed"} <= orders
    assert all(name.startswith("order.") for name in orders)
    for nothing in ("", ".", ".*", "**", "order", "orders.*", "order.*.*", "ORDER.*", "order.nothing"):
        assert types_meant([nothing]) == frozenset()


def test_a_registered_endpoint_is_active_and_keeps_its_secret() -> None:
    assert decide(Shop(), register(), SAM) == (
        WebhookCreated(HOOK, URL, ("order.*",), "", True, SECRET, ownership=Ownership("sam", ALL)),
    )
    webhook = after(Shop(), register())
    assert (webhook.status, webhook.secret, webhook.version) == ("active", SECRET, 1)


def test_the_number_of_endpoints_is_bounded() -> None:
    shop = Shop()
    for number in range(1, WEBHOOKS_MAX + 1):
        after(shop, register(7), *([] if number == 1 else [register(100 + number)]))
    assert refused(shop, register(8)) == "too_many_webhooks"
    after(shop, DeleteWebhook(HOOK), register(8))
    assert refused(shop, register(9)) == "too_many_webhooks"


@pytest.mark.parametrize("count", [0, WEBHOOK_MAX_EVENT_TYPES + 1])
def test_the_number_of_an_endpoints_event_types_is_bounded(count: int) -> None:
    with pytest.raises(ValueError, match="event types"):
        WebhookFields(URL, ("*",) * count)


def test_unknown_event_types_are_refused() -> None:
    assert refused(Shop(), register(7, "order.placed", "order.plcaed")) == "unknown_event_type"
    shop = Shop()
    after(shop, register())
    assert refused(shop, ChangeWebhook(HOOK, {"event_types": ["nothing.*"]}, ALL)) == "unknown_event_type"


@pytest.mark.parametrize(
    ("changes", "status"),
    [({}, "active"), ({"description": "ours"}, "active"), ({"active": False}, "paused"), ({"active": True}, "active")],
)
def test_a_change_leaves_other_fields_alone(changes: dict[str, Any], status: str) -> None:
    webhook = after(Shop(), register(), ChangeWebhook(HOOK, changes, ALL))
    assert (webhook.url, webhook.event_types, webhook.status, webhook.version) == (URL, ("order.*",), status, 2)
    assert webhook.secret == SECRET


def test_rotating_a_secret_keeps_the_previous_one() -> None:
    second = Secret("whsec_second")
    webhook = after(Shop(), register(), RotateWebhookSecret(HOOK, second, LATER))
    assert (webhook.secret, webhook.previous_secret, webhook.previous_secret_until) == (second, SECRET, LATER)


def test_a_disabled_endpoint_stays_disabled_until_staff_change_it() -> None:
    shop = Shop()
    disabled = after(shop, register(), DisableWebhook(HOOK, "dead", 1))
    assert (disabled.status, disabled.disabled_reason) == ("disabled", "dead")
    assert after(shop, ChangeWebhook(HOOK, {"description": "dead"}, ALL)).disabled_reason == "dead"
    again = after(shop, ChangeWebhook(HOOK, {"active": True}, ALL))
    assert (again.status, again.disabled_reason) == ("active", None)
    after(shop, DisableWebhook(HOOK, "dead", again.version))
    again = after(shop, RedeliverEvents(HOOK, 1, ALL))
    assert (again.status, again.disabled_reason) == ("active", None)


def test_an_endpoint_that_has_changed_is_not_disabled() -> None:
    shop = Shop()
    after(shop, register(), ChangeWebhook(HOOK, {"url": "https://elsewhere.example/"}, ALL))
    assert refused(shop, DisableWebhook(HOOK, "dead", 1)) == "version_conflict"
    assert decide(shop, DisableWebhook(HOOK, "dead", 2), SAM) == (
        WebhookDisabled(HOOK, "https://elsewhere.example/", "dead"),
    )
    after(shop, ChangeWebhook(HOOK, {"active": False}, ALL))
    assert refused(shop, DisableWebhook(HOOK, "dead", 3)) == "version_conflict"


def test_a_deleted_endpoint_is_gone_with_its_secrets() -> None:
    shop = Shop()
    webhook = after(shop, register(), RotateWebhookSecret(HOOK, SECRET, LATER), DeleteWebhook(HOOK))
    assert (webhook.status, webhook.secret, webhook.previous_secret) == ("deleted", None, None)
    for command in (
        ChangeWebhook(HOOK, {"active": True}, ALL),
        RotateWebhookSecret(HOOK, SECRET, LATER),
        RedeliverEvents(HOOK, 1, ALL),
        DisableWebhook(HOOK, "dead", webhook.version),
        DeleteWebhook(HOOK),
    ):
        assert refused(shop, command) == "webhook_not_found"


def test_the_log_can_be_folded_without_secrets() -> None:
    shop, folded = Shop(), Shop()
    events: list[Event] = []
    for command in (
        register(),
        RotateWebhookSecret(HOOK, Secret("whsec_second"), LATER),
        ChangeWebhook(HOOK, {"active": False}, ALL),
        RedeliverEvents(HOOK, 3, ALL),
        DisableWebhook(HOOK, "dead", 4),
    ):
        decision = decide(shop, command, SAM)
        assert not isinstance(decision, Rejection)
        for event in decision:
            evolve(shop, event)
            events.append(event)
    for event in events:
        said = msgspec.json.encode(event, enc_hook=lambda secret: None)
        assert b"whsec" not in said
        evolve(folded, msgspec.json.decode(said, type=type(event)))
    mine, theirs = shop.of(Webhook)[HOOK], folded.of(Webhook)[HOOK]
    assert theirs == msgspec.structs.replace(mine, secret=None, previous_secret=None)


_HOSTS = st.one_of(
    st.ip_addresses(v=6).map(lambda address: f"[{address}]"),
    st.lists(st.sampled_from([":", "::", "1", "ffff", "g", "1.2.3.4"]), max_size=16).map(lambda on: f"[{''.join(on)}]"),
    st.lists(st.sampled_from(["1", "255", "256", "01", "0x1", "0xg", "1a", "a", "x_y", "-", ""]), max_size=5).map(
        ".".join
    ),
)
_PORTS = st.sampled_from(["", ":", ":0", ":1", ":80", ":65535", ":65536", ":00080", ":000080", ":99999"])


@given(_HOSTS, _PORTS, st.sampled_from(["", "/", "/a?b=1", "?b", "#", "/ ", "\n"]))
def test_the_pattern_of_urls_is_what_the_standard_library_takes_for_addresses(host: str, port: str, rest: str) -> None:
    """The pattern is both the rule and part of the OpenAPI document."""
    number = port.removeprefix(":")
    fits = (
        (port == "" or (0 < len(number) <= 5 and 1 <= int(number) <= 65_535))
        and rest not in ("#", "/ ", "\n")
        and _is_host(host)
    )
    assert host_of(f"https://{host}{port}{rest}") == (host.strip("[]") if fits else None)


def _is_host(host: str) -> bool:
    *_, last = host.split(".")
    try:
        if host.startswith("["):
            IPv6Address(host[1:-1])
        elif re.fullmatch("[0-9]+|0x[0-9a-f]*", last):
            IPv4Address(host)
    except ValueError:
        return False
    return host.startswith("[") or (host[:1].isalnum() and host[-1:].isalnum() and ".." not in host)


def test_every_event_needs_a_scope_and_one_scope_reads_the_whole_log() -> None:
    for event_type in EVENTS:
        assert may_read(event_type, ALL)
        open_to_all_staff = event_type.startswith("category.")
        assert may_read(event_type, ()) == open_to_all_staff
    assert may_read("order.placed", ["orders:read"])
    for sees_drafts in ("catalogue:read", "catalogue:write", READS_ALL):
        assert may_read("product.created", [sees_drafts])
    assert not may_read("order.placed", ["inventory:read", "webhooks:write"])
    assert not may_read("account.created", ["orders:read", "inventory:read", "webhooks:write"])
    assert not may_read("invention.made", ["orders:read", "inventory:read", "webhooks:write"])
    assert lacking(types_meant(["*"]), ["orders:read", "inventory:read", "catalogue:read", "webhooks:write"]) == [
        READS_ALL
    ]


def test_nobody_can_have_events_delivered_that_they_may_not_read() -> None:
    """Neither by registering, nor by redirecting another's endpoint, nor by redelivering old events."""
    little = ("webhooks:write",)
    for chosen in ("*", "order.*", "order.placed", "stock.*", "product.created", "account.created"):
        fields = WebhookFields(URL, (chosen,))
        assert refused(Shop(), RegisterWebhook(HOOK, fields, SECRET, little)) == "forbidden"
    shop = Shop()
    theirs = after(shop, register())
    for command in (
        ChangeWebhook(HOOK, {"url": "https://elsewhere.example/"}, little),
        ChangeWebhook(HOOK, {"event_types": ["*"]}, ("orders:read",)),
        ChangeWebhook(HOOK, {"active": True}),
        RedeliverEvents(HOOK, 1, little),
    ):
        assert refused(shop, command) == "forbidden"
    paused = after(shop, ChangeWebhook(HOOK, {"active": False, "url": "https://elsewhere.example/"}, little))
    assert (paused.status, paused.owner) == ("paused", theirs.owner)
    assert refused(shop, ChangeWebhook(HOOK, {"active": True}, little)) == "forbidden"
    assert after(shop, ChangeWebhook(HOOK, {"active": True}, ("orders:read",))).scopes == ("orders:read",)
    after(Shop(), RegisterWebhook(HOOK, WebhookFields(URL, ("category.*", "webhook.*")), SECRET, little))
