"""Traces: each step is a span, and what goes on elsewhere belongs to the trace of whoever asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from processor.probe import TRACE, Position, Probes
from processor.work.outcomes import Outcome, OutcomeKind
from service.observe.traces import Traces

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
REQUEST = {"method": "GET", "path": "/images/status/img_1", "route": "/images/status/{processingId}", "quiet": False}


class Recorded:
    """A probe that traces, and what it told."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.probes = Probes((Traces(provider),))

    @property
    def spans(self) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self._exporter.get_finished_spans()}


@pytest.fixture
def recorded() -> Iterator[Recorded]:
    yield Recorded()
    assert TRACE.get() == ""


def _ids(span: ReadableSpan) -> tuple[str, str]:
    return f"{span.context.trace_id:032x}", f"{span.context.span_id:016x}"


def _parent(span: ReadableSpan) -> str:
    return f"{span.parent.span_id:016x}" if span.parent else ""


def test_a_request_goes_on_with_the_callers_trace(recorded: Recorded) -> None:
    with recorded.probes.span("request", **REQUEST, continues=CALLER) as request:
        request.facts |= {"status": 200, "bytes": 12}
        with recorded.probes.span("aws", service="dynamodb", operation="GetItem"):
            pass

    request_span, call = recorded.spans["GET /images/status/{processingId}"], recorded.spans["dynamodb.GetItem"]
    assert _ids(request_span)[0] == _ids(call)[0] == Position.read(CALLER).trace  # type: ignore[union-attr]
    assert _parent(request_span) == "00f067aa0ba902b7"
    assert _parent(call) == _ids(request_span)[1]
    assert dict(request_span.attributes or {})["http.response.status_code"] == 200
    assert dict(call.attributes or {})["rpc.method"] == "GetItem"
    assert (request_span.kind, call.kind) == (SpanKind.SERVER, SpanKind.CLIENT)


def test_a_job_belongs_to_the_trace_of_whoever_asked_for_it_and_names_the_event_that_led_to_it(
    recorded: Recorded,
) -> None:
    probes = recorded.probes
    with probes.span("event") as event:
        with probes.span("job", continues=CALLER, processingId="img_1"), probes.span("render", suspect=False):
            here = Position.read(TRACE.get())
        event.facts["outcome"] = Outcome(kind=OutcomeKind.COMPLETED, unique_id="u", processing_id="img_1")

    spans = recorded.spans
    assert here is not None
    assert here.trace == _ids(spans["job"])[0] == CALLER[3:35]
    assert _ids(spans["event"])[0] != CALLER[3:35]
    assert [f"{link.context.span_id:016x}" for link in spans["job"].links] == [_ids(spans["event"])[1]]
    assert spans["event"].attributes == {
        "truss.outcome": "completed",
        "truss.uniqueId": "u",
        "truss.processingId": "img_1",
    }


def test_a_job_that_nobody_traced_is_a_part_of_its_event(recorded: Recorded) -> None:
    with recorded.probes.span("event"), recorded.probes.span("job", continues=None):
        pass

    spans = recorded.spans
    assert _parent(spans["job"]) == _ids(spans["event"])[1]
    assert not spans["job"].links


@pytest.mark.parametrize("name", ["aws", "wait", "heartbeat", "message"])
def test_what_belongs_to_nothing_is_not_told(recorded: Recorded, name: str) -> None:
    with recorded.probes.span(name, service="sqs", operation="ReceiveMessage", of="slot"):
        assert TRACE.get() == ""
    assert recorded.spans == {}


def test_probes_of_kubernetes_are_not_told_nor_what_they_ask(recorded: Recorded) -> None:
    quiet = REQUEST | {"quiet": True}
    with recorded.probes.span("request", **quiet), recorded.probes.span("aws", service="s3", operation="HeadBucket"):
        pass
    assert recorded.spans == {}


@pytest.mark.parametrize(("status", "failed"), [(200, False), (404, False), (503, True)])
def test_a_request_has_failed_when_it_is_our_fault(recorded: Recorded, status: int, *, failed: bool) -> None:
    with recorded.probes.span("request", **REQUEST) as span:
        span.facts["status"] = status
    (told,) = recorded.spans.values()
    assert (told.status.status_code is StatusCode.ERROR) == failed


def test_a_step_that_breaks_says_by_what_kind_of_error_and_none_of_its_words(recorded: Recorded) -> None:
    with pytest.raises(ValueError, match="secret"), recorded.probes.span("event"):
        raise ValueError("secret")
    (told,) = recorded.spans.values()
    assert told.attributes == {"error.type": "ValueError"}
    assert not told.events
    assert told.status.description is None


async def test_two_images_at_once_do_not_mix_their_traces(recorded: Recorded) -> None:
    async def work(trace: str) -> str:
        with recorded.probes.span("event"), recorded.probes.span("job", continues=trace):
            await asyncio.sleep(0)
            with recorded.probes.span("render"):
                await asyncio.sleep(0)
                return TRACE.get()[3:35]

    traces = [f"00-{digit * 32}-{digit * 16}-01" for digit in "123"]
    assert await asyncio.gather(*map(work, traces)) == [trace[3:35] for trace in traces]


def test_what_a_caller_does_not_want_recorded_is_not(recorded: Recorded) -> None:
    with recorded.probes.span("request", **REQUEST, continues=CALLER[:-2] + "00"):
        assert TRACE.get().endswith("-00")
    assert recorded.spans == {}


@given(st.text() | st.from_regex(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", fullmatch=True))
def test_a_position_is_read_or_it_is_none(text: str) -> None:
    position = Position.read(text)
    if position is not None:
        assert str(position)[:52] == text[:52]
        assert Position.read(str(position)) == position


@pytest.mark.parametrize(
    "text", [None, "", "00-" + "0" * 32 + "-00f067aa0ba902b7-01", "ff" + CALLER[2:], CALLER + "\n"]
)
def test_anything_else_begins_a_trace_of_its_own(recorded: Recorded, text: str | None) -> None:
    with recorded.probes.span("request", **REQUEST, continues=text):
        assert TRACE.get() != ""
    (told,) = recorded.spans.values()
    assert told.parent is None
