"""Traces: asked for by OTEL_* variables, off without them, and never a word of what an error quotes."""

import asyncio
import json
import logging
import os
import sys
import threading
from collections.abc import Iterator
from uuid import UUID

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from domain.model import Actor
from domain.orders import CancelOrder
from domain.roles import STAFF
from gateway.app import create_app
from runtime import envelope as envelopes
from runtime import logs, tracing
from runtime.envelope import ENVELOPE_FIELD, SCHEMA_VERSION, VERSION_FIELD, seal, traceparent_of
from runtime.settings import Settings
from tests.unit.test_gateway_middleware import ask, text

ACTOR = Actor.in_role("somebody", STAFF)
COMMAND = CancelOrder(UUID("01a203dc-fb6e-7f19-b198-be458dd22687"))
THEIRS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """Traces are on, and what they would send is here."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(provider)
    yield exporter
    tracing.use(None)


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OTEL_")]:
        monkeypatch.delenv(name)


def test_off_there_is_nothing() -> None:
    with tracing.span("anything", "server", links=["rubbish"], a=1) as span:
        assert span is None
        assert tracing.traceparent() is None
        assert seal(COMMAND, ACTOR).traceparent is None
        assert tracing.ids() == {}
        headers: dict[str, str] = {}
        tracing.send_along(headers)
        assert headers == {}


@pytest.mark.parametrize(
    ("environment", "exporters"),
    [
        ({}, []),
        ({"OTEL_SERVICE_NAME": "shop"}, []),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, ["otlp_proto_http"]),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces"}, ["otlp_proto_http"]),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, ["otlp_proto_grpc"]),
        ({"OTEL_TRACES_EXPORTER": "console,otlp"}, ["console", "otlp_proto_http"]),
        ({"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, []),
        ({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"}, []),
    ],
)
def test_the_environment_decides(
    environment: dict[str, str], exporters: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert tracing.exporters_wanted() == exporters


def test_without_the_extra_it_says_so_and_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_TRACES_EXPORTER", "otlp")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    tracing.start("tidegate-gateway")
    assert not tracing.is_on()
    assert "pip install 'tidegate[otel]'" in caplog.text


async def test_a_request_is_a_child_of_its_callers_span(spans: InMemorySpanExporter) -> None:
    await ask(text("hi"), path="/orders", traceparent=THEIRS)
    await ask(text("hi"), path="/health/ready")
    (span,) = spans.get_finished_spans()
    assert span.kind is SpanKind.SERVER
    assert span.parent is not None
    assert f"{span.parent.trace_id:032x}-{span.parent.span_id:016x}" in THEIRS
    assert span.attributes is not None
    assert span.attributes["http.response.status_code"] == 200


def test_a_command_carries_the_trace_it_was_sent_in(spans: InMemorySpanExporter) -> None:
    with tracing.span("post command", "producer"):
        sealed = seal(COMMAND, ACTOR)
        assert sealed.traceparent == tracing.traceparent()
    entry = {VERSION_FIELD: SCHEMA_VERSION, ENVELOPE_FIELD: envelopes.encode(sealed)}
    read, _ = envelopes.decode(entry)
    assert read.traceparent == sealed.traceparent
    # What is stored of the command has it, too: tasks and reactions find it there.
    assert traceparent_of(envelopes.record(sealed, entry[ENVELOPE_FIELD], COMMAND).envelope) == sealed.traceparent
    assert traceparent_of(b"\xc1") is None


def test_what_follows_links_and_rubbish_does_no_harm(spans: InMemorySpanExporter) -> None:
    with tracing.span("apply batch", "consumer", links=[THEIRS, "00-rubbish"], messaging__batch__message_count=2):
        pass
    (span,) = spans.get_finished_spans()
    assert [f"00-{link.context.trace_id:032x}-{link.context.span_id:016x}-01" for link in span.links] == [THEIRS]
    assert dict(span.attributes or {}) == {"messaging.batch.message_count": 2}
    assert span.parent is None


def test_of_an_error_only_its_kind_is_told(spans: InMemorySpanExporter) -> None:
    def fail() -> None:
        with tracing.span("something"):
            raise ValueError("somebody@example.com is not a number")

    with pytest.raises(ValueError, match="somebody"):
        fail()
    (span,) = spans.get_finished_spans()
    assert span.status.status_code is StatusCode.ERROR
    assert span.attributes == {"error.type": "ValueError"}
    assert "somebody" not in span.to_json()


def test_log_lines_name_the_trace(spans: InMemorySpanExporter, capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    logs.configure("INFO", as_json=True)
    try:
        with tracing.span("something"):
            said = tracing.traceparent()
            logging.getLogger("ours").info("hm")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    line = json.loads(capsys.readouterr().err)
    assert said is not None
    assert said.startswith(f"00-{line['trace_id']}-{line['span_id']}-")


def test_without_traces_the_gateway_has_no_middleware_for_them() -> None:
    def layers(app: object) -> list[str]:
        inner = getattr(app, "_app", None)
        return [type(app).__name__, *(layers(inner) if inner is not None else [])]

    assert "Traced" not in layers(create_app(Settings()))


async def test_a_collector_that_hangs_holds_up_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracing, "_FLUSH_MILLISECONDS", 50)
    lets_go = threading.Event()

    class Hangs(InMemorySpanExporter):
        def shutdown(self) -> None:
            lets_go.wait()

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(Hangs()))
    tracing.use(provider)
    try:
        async with asyncio.timeout(10):
            await tracing.stop()
        assert not tracing.is_on()
        assert not lets_go.is_set()
    finally:
        lets_go.set()
