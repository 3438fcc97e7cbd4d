"""Metrics for Prometheus. Some are counted as things happen, others are read from the worker and engine on request."""

from __future__ import annotations

import collections
import math
import platform
import resource
from collections.abc import Callable, Iterable
from dataclasses import asdict

from aiohttp import web
from aiohttp.hdrs import METH_ALL
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from processor.jobs import Job, Manifest
from processor.pipeline.engine import Engine
from processor.ports.room import Room
from processor.probe import TRACE, Position, Span
from processor.work.circuit import CircuitState
from processor.work.outcomes import Outcome
from processor.work.worker import Worker
from service.observe.looks import LookCounter

#: Upper bounds in seconds. A request takes milliseconds.
_REQUEST_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
#: For the service-level objective of all requests together.
_CLASSES = ("2xx", "3xx", "4xx", "5xx")
#: A conversion takes tenths of seconds to a minute.
_STEP_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
#: From the end of an upload. It may include hours in the queue.
_SERVABLE_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400)
#: A healthy loop is late by a millisecond or two.
_LAG_BUCKETS = (0.0025, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.25, 1)


class Metrics:
    """A probe, with one registry for each application. Labels have few values, and never an id, a key or a tenant."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self._messages: collections.Counter[str] = collections.Counter()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        registry.register(LookCounter())
        self._requests = Histogram(
            "truss_http_request_seconds",
            "Requests to the API, without the time that `wait` asked for. `route` is the pattern of the path.",
            ("method", "route", "status"),
            buckets=_REQUEST_BUCKETS,
            registry=registry,
        )
        self._classes = Counter(
            "truss_api_requests",
            "Requests to the API by the class of their status (`2xx` to `5xx`), without those of probes: for an "
            "objective such as: 999 of 1,000 do not end in 5xx.",
            ("class",),
            registry=registry,
        )
        for each in _CLASSES:
            self._classes.labels(each)
        self._items = Counter(
            "truss_batch_items",
            "Items of batches and of bulk jobs, by the call that they stand for; with the code of the problem, if any.",
            ("call", "code"),
            registry=registry,
        )
        self._events_sent = Counter(
            "truss_live_events_sent", "Events that were sent to streams, each stream by itself.", registry=registry
        )
        self._event_lag = Histogram(
            "truss_live_event_lag_seconds",
            "From a change of a record until its events were found for streams, by the oldest of each look.",
            buckets=_SERVABLE_BUCKETS,
            registry=registry,
        )
        self._events = Counter(
            "truss_events",
            "Events that came to their end, also duplicates, stale and superseded ones. `code` says why one failed.",
            ("outcome", "code"),
            registry=registry,
        )
        self._steps = Histogram(
            "truss_conversion_step_seconds",
            "Steps of completed conversions: `download`, `process`, `upload`, and `total`.",
            ("step",),
            buckets=_STEP_BUCKETS,
            registry=registry,
        )
        self._servable = Histogram(
            "truss_servable_seconds",
            "From the end of an upload, as S3 tells it, until its variants could be shown.",
            buckets=_SERVABLE_BUCKETS,
            registry=registry,
        )

        self._stored = Histogram(
            "truss_variant_stored_seconds",
            "From the end of an upload, as S3 tells it, until this variant was stored: how soon a thumbnail is there.",
            ("variant",),
            buckets=_SERVABLE_BUCKETS,
            registry=registry,
        )

        self._lag = Histogram(
            "truss_event_loop_lag_seconds",
            "How late the event loop was, looked at forty times a second. Above 0.05, something blocks it, or the "
            "processors are not enough.",
            buckets=_LAG_BUCKETS,
            registry=registry,
        )
        self._formats = Counter(
            "truss_formats",
            "Further formats of completed jobs that were made. `code` says why one could not be made.",
            ("format", "code"),
            registry=registry,
        )
        self._format_stored = Histogram(
            "truss_format_stored_seconds",
            "From the end of an upload, as S3 tells it, until its variants were stored in this further format.",
            ("format",),
            buckets=_SERVABLE_BUCKETS,
            registry=registry,
        )

        self._source_bytes = Counter(
            "truss_source_bytes",
            "Bytes of the sources of completed conversions, by the format that was found in them.",
            ("format",),
            registry=registry,
        )
        self._source_megapixels = Counter(
            "truss_source_megapixels",
            "Megapixels of the sources of completed conversions, over all frames. With `process_cpu_seconds_total` and "
            "`truss_children_cpu_seconds_total`: CPU seconds a megapixel.",
            ("format",),
            registry=registry,
        )
        self._variant_bytes = Counter(
            "truss_variant_bytes", "Bytes of the variants of completed conversions.", registry=registry
        )
        self._saved_bytes = Counter(
            "truss_saved_bytes",
            "How many bytes smaller the variants of the original's size are than the originals.",
            registry=registry,
        )
        self._conversion_cpu = Counter(
            "truss_conversion_cpu_seconds",
            "CPU of completed conversions, in threads and in child processes, without further formats.",
            registry=registry,
        )

    def late(self, seconds: float) -> None:
        """Record that the event loop was so many seconds late."""
        self._lag.observe(seconds)

    def begun(self, span: Span) -> None:
        """Only ends are counted."""

    def ended(self, span: Span) -> None:
        """Count a step if there is a metric for it."""
        facts = span.facts
        match span.name:
            case "request" if span.error is None:
                seconds = span.seconds - facts.get("held", 0.0)
                self._request(facts["method"], facts["route"], facts["status"], seconds)
                if not facts["quiet"]:
                    self._classes.labels(f"{facts['status'] // 100}xx").inc()
            case "malformed request":
                self._request("other", "unmatched", facts["status"], 0)
                self._classes.labels(f"{facts['status'] // 100}xx").inc()
            case "item":
                self._items.labels(facts["call"], facts["code"]).inc()
            case "tell" | "send" if span.error is None:
                self._live(span)
            case "message" if "end" in facts:
                self._messages[facts["end"]] += 1
            case "event" if "outcome" in facts:
                self._outcome(facts["outcome"])

    def _live(self, span: Span) -> None:
        if span.name == "send":
            self._events_sent.inc(span.facts["events"])
        else:
            self._event_lag.observe(span.facts["lag_seconds"])

    def _request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request. `route` is the pattern of the path, so that ids never become labels."""
        labels = self._requests.labels(method if method in METH_ALL else "other", route, str(status))
        labels.observe(seconds, _exemplar(TRACE.get()))

    def _outcome(self, outcome: Outcome) -> None:
        self._events.labels(outcome.kind.value, outcome.code or "").inc()
        exemplar = _exemplar(outcome.job.trace if outcome.job else None)
        if outcome.timings is not None:
            for step, milliseconds in asdict(outcome.timings).items():
                self._steps.labels(step).observe(milliseconds / 1000, exemplar)
        if outcome.job is not None and outcome.job.manifest is not None:
            self._went_in(outcome.job.manifest)
            self._came_out(outcome.job)
        if outcome.servable_seconds is not None:
            self._servable.observe(outcome.servable_seconds, exemplar)
        for name, seconds in outcome.stored_seconds.items():
            self._stored.labels(name).observe(seconds, exemplar)
        for name, code in outcome.formats.items():
            self._formats.labels(name, code or "").inc()
        for name, seconds in outcome.format_seconds.items():
            self._format_stored.labels(name).observe(seconds)

    def _went_in(self, source: Manifest) -> None:
        self._source_bytes.labels(source.format).inc(source.size)
        self._source_megapixels.labels(source.format).inc(source.width * source.height * source.frames / 1_000_000)

    def _came_out(self, job: Job) -> None:
        self._variant_bytes.inc(sum(variant.size for variant in job.variants))
        if job.cost is not None:
            self._saved_bytes.inc(job.cost.bytes_saved)
            self._conversion_cpu.inc(job.cost.cpu_ms / 1000)

    def watch(self, worker: Worker, engine: Engine, room: Room) -> None:
        """Read the state of the worker and the engine at every request for metrics."""
        self.registry.register(_Gauges(worker, engine, room, self._messages))

    def open_calls(self, *, waiting: Callable[[], float], streams: Callable[[], float]) -> None:
        """Count open calls at every request for metrics."""
        gauge = Gauge(
            "truss_open_calls",
            "Calls that are open for long: waiting (for a change of a job), streams (of events).",
            ("kind",),
            registry=self.registry,
        )
        gauge.labels("waiting").set_function(waiting)
        gauge.labels("streams").set_function(streams)

    def machine(self, *, threads: int, memory_budget_bytes: int, memory_limit_bytes: int | None) -> None:
        """Set the fixed limits of this process."""
        limit = math.inf if memory_limit_bytes is None else memory_limit_bytes
        facts = (
            ("truss_engine_threads", "Images that may be converted at once (`WORKER_THREADS`).", threads),
            (
                "truss_memory_budget_bytes",
                "`MEMORY_BUDGET_BYTES`: what images and their files may take together.",
                memory_budget_bytes,
            ),
            ("truss_memory_limit_bytes", "The memory limit of the container; `+Inf` where there is none.", limit),
        )
        for name, documentation, value in facts:
            Gauge(name, documentation, registry=self.registry).set(value)

    def build(self, *, version: str, revision: str, libvips: str) -> None:
        """Set the versions of this process."""
        Gauge(
            "truss_build_info",
            "1, with what runs here.",
            ("version", "revision", "python", "libvips"),
            registry=self.registry,
        ).labels(version, revision, platform.python_version(), libvips).set(1)

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """All metrics, and their content type. OpenMetrics, which has exemplars, if the caller accepts it."""
        encode, content_type = choose_encoder(accept)
        return encode(self.registry), content_type


METRICS = web.AppKey("metrics", Metrics)


class _Gauges(Collector):
    """The present states of the worker and the engine."""

    def __init__(self, worker: Worker, engine: Engine, room: Room, messages: collections.Counter[str]) -> None:
        self._worker = worker
        self._messages = messages
        self._engine = engine
        self._room = room

    def collect(self) -> Iterable[Metric]:
        worker, load = self._worker, self._engine.load
        messages = CounterMetricFamily(
            "truss_messages",
            "Messages by what became of them: see the table of ends.",
            labels=("end",),
        )
        for end, count in self._messages.items():
            messages.add_metric((end,), count)
        circuit = GaugeMetricFamily(
            "truss_circuit_state", "1 for the state of the circuit: `closed`, `open` or `trying`.", labels=("state",)
        )
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        for state in CircuitState:
            circuit.add_metric((state.value,), float(worker.circuit.state is state))
        return (
            messages,
            circuit,
            CounterMetricFamily(
                "truss_children_cpu_seconds",
                "CPU seconds of child processes that have ended, user and system.",
                value=children.ru_utime + children.ru_stime,
            ),
            _gauge("truss_circuit_failures", "Failures since the circuit was last closed.", worker.circuit.failures),
            _gauge("truss_worker_polling", "1 while the poll loop hears from its queue.", worker.polling),
            _gauge("truss_worker_slots", "Messages that may be in work at once.", worker.config.slots),
            _gauge("truss_worker_in_work", "Messages in work.", worker.in_work),
            _gauge("truss_worker_waiting", "Messages that wait here for their tenant's turn.", worker.waiting),
            _gauge("truss_worker_owing", "Messages kept here because their jobs owe further formats.", worker.owing),
            _gauge("truss_engine_running", "Images that are converted now.", load.running),
            _gauge("truss_engine_waiting", "Images that wait for a thread or for memory.", load.waiting),
            _gauge("truss_engine_free_bytes", "What is left of the memory for conversions.", load.free_bytes),
            _gauge("truss_sources_free_bytes", "What is left of the memory for waiting files.", self._room.free_bytes),
        )


def _exemplar(trace: str | None) -> dict[str, str] | None:
    """The id of the present trace, if it is recorded."""
    position = Position.read(trace)
    return {"trace_id": position.trace} if position and position.recorded else None


def _gauge(name: str, documentation: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, documentation, value=float(value))
