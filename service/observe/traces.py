"""Traces with OpenTelemetry. One trace has an image's whole life, from the request for its URL to each variant."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from http import HTTPStatus
from importlib.metadata import version

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, NonRecordingSpan, SpanContext, SpanKind, Status, StatusCode, TraceFlags

from processor.probe import TRACE, Position, Span

#: Steps that can begin a trace. Other steps are only parts of a trace.
_BEGINNINGS = frozenset({"request", "event"})
_KINDS = {
    "request": SpanKind.SERVER,
    "event": SpanKind.CONSUMER,
    "aws": SpanKind.CLIENT,
    "delivery": SpanKind.CLIENT,
}
#: Facts with standard names (https://opentelemetry.io/docs/specs/semconv/).
_NAMES = {
    "method": "http.request.method",
    "path": "url.path",
    "route": "http.route",
    "status": "http.response.status_code",
    "bytes": "http.response.body.size",
    "agent": "user_agent.original",
    "service": "rpc.service",
    "operation": "rpc.method",
}
#: The longest wait for the collector at the end, in milliseconds.
_FLUSH_MILLISECONDS = 5_000


class Traces:
    """A probe. Each step becomes a span. `processor.probe.TRACE` has the present one."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("truss-image", version("truss-image"))
        #: The open spans, each with the step around it.
        self._open: dict[Span, tuple[trace.Span, str]] = {}

    def begun(self, span: Span) -> None:
        around = TRACE.get()
        continued = span.facts.get("continues")
        parent = Position.read(continued) or Position.read(around)
        if (parent is None and span.name not in _BEGINNINGS) or span.facts.get("quiet"):
            return
        links = [_link(around)] if parent and str(parent) != around else []
        told = self._tracer.start_span(
            _name(span),
            context=_context(parent),
            kind=_KINDS.get(span.name, SpanKind.INTERNAL),
            attributes=dict(_attributes(span)),
            links=[link for link in links if link is not None],
        )
        self._open[span] = told, around
        TRACE.set(_position(told.get_span_context()))

    def ended(self, span: Span) -> None:
        if span not in self._open:
            return
        told, around = self._open.pop(span)
        for name, value in _attributes(span).items():
            told.set_attribute(name, value)
        if why := _failure(span):
            told.set_status(Status(StatusCode.ERROR))
            told.set_attribute("error.type", why)
        told.end()
        TRACE.set(around)

    def close(self) -> None:
        """Send the remaining spans. It takes at most a few seconds."""
        self._provider.force_flush(_FLUSH_MILLISECONDS)
        self._provider.shutdown()


def otlp_traces(stage: str, revision: str) -> Traces:
    """Traces for a collector. The variables of OpenTelemetry's SDK name the collector and the share of traces."""
    known = {
        "service.name": "truss-image",
        "service.version": version("truss-image"),
        "service.instance.id": f"{socket.gethostname()}-{os.getpid()}",
        "deployment.environment.name": stage,
        "vcs.ref.head.revision": revision,
    }
    # Variables of the environment override these.
    provider = TracerProvider(resource=Resource.create(known).merge(OTELResourceDetector().detect()))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Traces(provider)


def _name(span: Span) -> str:
    facts = span.facts
    named: Mapping[str, Callable[[], str]] = {
        "request": lambda: f"{facts['method']} {facts['route']}",
        "aws": lambda: f"{facts['service']}.{facts['operation']}",
        "wait": lambda: f"wait for {facts['of']}",
        "encode": lambda: f"encode {facts['variant']}",
        "delivery": lambda: f"deliver {facts['type']}",
        "store": lambda: f"store {facts['variant']}.{facts['format']}",
    }
    return named[span.name]() if span.name in named else span.name


def _attributes(span: Span) -> dict[str, str | int | float | bool]:
    """What is plain of the facts; of an outcome and of a delivery, what its log line says."""
    facts = dict(span.facts)
    outcome, delivery = facts.pop("outcome", None), facts.pop("delivery", None)
    if delivery is not None:
        facts |= {"webhookId": delivery.webhook_id, "eventId": delivery.event_id, "tries": delivery.tries}
        facts |= {"status": delivery.attempts[-1].status, "code": delivery.attempts[-1].code}
    if outcome is not None:
        facts |= {"outcome": outcome.kind.value, "code": outcome.code}
        facts |= {"uniqueId": outcome.unique_id, "processingId": outcome.processing_id}
    return {
        _NAMES.get(name, f"truss.{name}"): value
        for name, value in facts.items()
        if name not in ("continues", "quiet") and isinstance(value, str | int | float | bool) and value != ""
    }


def _failure(span: Span) -> str:
    """Why the step failed, or empty. A mistake of the caller is not a failure of the step."""
    if span.error is not None:
        return span.error.__name__
    delivery = span.facts.get("delivery")
    if delivery is not None:
        return str(delivery.attempts[-1].code)
    status = span.facts.get("status")
    failed = span.name == "request" and isinstance(status, int) and status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return str(status) if failed else ""


def _context(parent: Position | None) -> Context:
    """The context of a span, from `TRACE`. The SDK's own context is not used."""
    return (
        Context() if parent is None else trace.set_span_in_context(NonRecordingSpan(_span_context(parent)), Context())
    )


def _link(around: str) -> Link | None:
    position = Position.read(around)
    return None if position is None else Link(_span_context(position))


def _span_context(position: Position) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if position.recorded else TraceFlags.DEFAULT)
    return SpanContext(int(position.trace, 16), int(position.span, 16), is_remote=True, trace_flags=flags)


def _position(context: SpanContext) -> str:
    return str(
        Position(
            trace=trace.format_trace_id(context.trace_id),
            span=trace.format_span_id(context.span_id),
            recorded=context.trace_flags.sampled,
        )
    )
