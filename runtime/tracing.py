"""Traces with OpenTelemetry, configured only by its standard variables (OTEL_*). While they are off, they cost a
comparison here and there; turning them on takes the extra `tidegate[otel]`.

Work done within a request is one trace of parents and children. What a command causes later (its batch, a task, a
reaction) has a trace of its own that *links* to the one in which the command was sent, whose context is in the
command's envelope. Spans carry only ids, and of errors only the kind: error messages often quote data.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from importlib.metadata import entry_points, version
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Link, Span, Tracer

Role: TypeAlias = Literal["internal", "server", "client", "producer", "consumer"]

_FLUSH_MILLISECONDS: Final = 1_000
_EXPORTERS: Final = "opentelemetry_traces_exporter"
# OTLP over HTTP is what the extra installs, and what the specification prefers.
_OTLP_BY_PROTOCOL: Final = {"": "otlp_proto_http", "http/protobuf": "otlp_proto_http", "grpc": "otlp_proto_grpc"}
_TRACEPARENT: Final = re.compile("00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")
_OFF: Final[AbstractContextManager[None]] = nullcontext()

_log = logging.getLogger(__name__)


class _State:
    tracer: Tracer | None = None
    provider: TracerProvider | None = None


def start(service: str) -> None:
    """Turns traces on for this process if the environment asks for it; `service` is its name there (`service.name`)
    unless the environment gives another. To be called once per process, after it was forked."""
    exporters = exporters_wanted()
    if not exporters or _State.provider is not None:
        return
    try:
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        _log.error(
            "no traces, although OTEL_* variables request them: %s is missing (pip install 'tidegate[otel]')",
            error.name,
        )
        return
    ours = Resource({"service.name": service, "service.version": version("tidegate"), "process.pid": os.getpid()})
    resource = Resource.create(ours.merge(OTELResourceDetector().detect()).attributes)
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)  # the sampler and limits are OTEL_*'s too
    for name in exporters:
        found = list(entry_points(group=_EXPORTERS, name=name))
        if not found:
            _log.error("no traces through the exporter %s: it is not installed", name)
            continue
        provider.add_span_processor(BatchSpanProcessor(found[0].load()()))
    use(provider)


def use(provider: TracerProvider | None) -> None:
    """Sends traces to this provider from now on; None turns traces off."""
    _State.provider = provider
    _State.tracer = provider.get_tracer("tidegate", version("tidegate")) if provider else None


def is_on() -> bool:
    return _State.tracer is not None


async def stop() -> None:
    """Sends what is left, with a short timeout: an unavailable collector must not hold up the process."""
    provider = _State.provider
    if provider is not None:
        use(None)
        with suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_MILLISECONDS / 1000):
                await _in_daemon_thread(provider)


def span(
    name: str, role: Role = "internal", *, links: Iterable[str] = (), parent: object = None, **attributes: object
) -> AbstractContextManager[Span | None]:
    """A span around what is done inside; None if traces are off. `links` are traceparents; in the names of attributes,
    two underscores stand for a dot."""
    if _State.tracer is None:
        return _OFF
    return _span(_State.tracer, name, role, links, parent, attributes)


@contextmanager
def _span(
    tracer: Tracer, name: str, role: Role, links: Iterable[str], parent: object, attributes: Mapping[str, object]
) -> Iterator[Span]:
    from opentelemetry.trace import SpanKind, StatusCode

    with tracer.start_as_current_span(
        name,
        context=parent,  # type: ignore[arg-type]  # what `received` gave
        kind=SpanKind[role.upper()],
        links=[link for each in links if (link := _link(each)) is not None],
        attributes={key.replace("__", "."): value for key, value in attributes.items()},  # type: ignore[misc]
        record_exception=False,
        set_status_on_exception=False,
    ) as current:
        try:
            yield current
        except BaseException as error:
            current.set_attribute("error.type", type(error).__name__)
            current.set_status(StatusCode.ERROR)
            raise


def traceparent() -> str | None:
    """The context of the current span as W3C text, to link later spans to; None if it is not recorded."""
    if _State.tracer is None:
        return None
    from opentelemetry.trace import get_current_span

    context = get_current_span().get_span_context()
    if not (context.is_valid and context.trace_flags.sampled):
        return None
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def ids() -> dict[str, str]:
    """The ids of the current trace and span as log lines name them; none if there is none."""
    if _State.tracer is None:
        return {}
    from opentelemetry.trace import get_current_span

    context = get_current_span().get_span_context()
    return {"trace_id": f"{context.trace_id:032x}", "span_id": f"{context.span_id:016x}"} if context.is_valid else {}


def received(headers: Iterable[tuple[bytes, bytes]]) -> object:
    """The context that a request came with, as a `parent`; by OTEL_PROPAGATORS."""
    from opentelemetry.propagate import extract

    return extract({name.decode("latin-1"): value.decode("latin-1") for name, value in headers})


def send_along(headers: MutableMapping[str, str]) -> None:
    """Adds the current span's context to the headers of a request to others, if there is one; by OTEL_PROPAGATORS."""
    if _State.tracer is None:
        return
    from opentelemetry.propagate import inject

    inject(headers)


def _link(traceparent: str) -> Link | None:
    """The link to a traceparent; None if that is invalid, which must not make anything else fail."""
    from opentelemetry.trace import Link, SpanContext, TraceFlags

    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None:
        return None
    trace_id, span_id, flags = (int(part, 16) for part in found.groups())
    return Link(SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags)))


def exporters_wanted() -> list[str]:
    """The exporters that the environment asks for; an OTLP endpoint alone asks for OTLP."""
    if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return []
    has_endpoint = any(
        os.environ.get(name) for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    )
    asked = os.environ.get("OTEL_TRACES_EXPORTER", "") or ("otlp" if has_endpoint else "none")
    names = [name.strip() for name in asked.split(",")]
    protocol = os.environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL") or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "")
    return [_OTLP_BY_PROTOCOL.get(protocol, protocol) if name == "otlp" else name for name in names if name != "none"]


async def _in_daemon_thread(provider: TracerProvider) -> None:
    """Shuts the provider down in a daemon thread, for which the end of the process does not wait."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def run() -> None:
        provider.shutdown()
        with suppress(RuntimeError):  # the loop has closed meanwhile
            loop.call_soon_threadsafe(done.set)

    threading.Thread(target=run, name="traces", daemon=True).start()
    await done.wait()
