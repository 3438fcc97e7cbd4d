"""What Prometheus is told."""

from __future__ import annotations

import math
import platform
import re

from processor.jobs import Timings
from processor.pipeline.budget import MemoryBudget
from processor.pipeline.engine import Engine, EngineConfig
from processor.pipeline.limits import FileLimits
from processor.probe import Probes
from processor.work.circuit import CircuitState
from processor.work.outcomes import Outcome, OutcomeKind
from processor.work.worker import Worker, WorkerConfig
from service.observe.metrics import Metrics
from tests.unit.world import World


def _value(metrics: Metrics, sample: str) -> float | None:
    found = re.search(rf"^{re.escape(sample)} (.*)$", metrics.exposition()[0].decode(), re.MULTILINE)
    return None if found is None else float(found[1])


def _event(metrics: Metrics, outcome: Outcome) -> None:
    with Probes((metrics,)).span("event") as span:
        span.facts["outcome"] = outcome


def test_an_event_counts_by_its_outcome_and_a_failure_by_its_code() -> None:
    metrics = Metrics()
    _event(metrics, Outcome(kind=OutcomeKind.DUPLICATE))
    _event(metrics, Outcome(kind=OutcomeKind.DUPLICATE))
    _event(metrics, Outcome(kind=OutcomeKind.FAILED, code="corrupt_image"))
    assert _value(metrics, 'truss_events_total{code="",outcome="duplicate"}') == 2
    assert _value(metrics, 'truss_events_total{code="corrupt_image",outcome="failed"}') == 1


def test_steps_and_the_time_to_servable_are_seconds() -> None:
    metrics = Metrics()
    timings = Timings(download=10, process=1500, upload=40, total=1550)
    stored = {"thumbnail": 0.25, "webp": 2.0}
    _event(metrics, Outcome(kind=OutcomeKind.COMPLETED, timings=timings, servable_seconds=2.25, stored_seconds=stored))
    assert _value(metrics, 'truss_conversion_step_seconds_sum{step="process"}') == 1.5
    assert _value(metrics, "truss_servable_seconds_sum") == 2.25
    assert _value(metrics, 'truss_variant_stored_seconds_sum{variant="thumbnail"}') == 0.25
    assert _value(metrics, 'truss_variant_stored_seconds_sum{variant="webp"}') == 2.0


def test_a_further_format_counts_by_itself_and_a_failure_by_its_code() -> None:
    metrics = Metrics()
    _event(metrics, Outcome(kind=OutcomeKind.ADDED, formats={"avif": None}, format_seconds={"avif": 3.5}))
    _event(metrics, Outcome(kind=OutcomeKind.ADDED, formats={"avif": "timed_out"}))
    assert _value(metrics, 'truss_formats_total{code="",format="avif"}') == 1
    assert _value(metrics, 'truss_formats_total{code="timed_out",format="avif"}') == 1
    assert _value(metrics, 'truss_format_stored_seconds_sum{format="avif"}') == 3.5
    assert _value(metrics, 'truss_events_total{code="",outcome="added"}') == 2


def test_a_method_that_a_stranger_made_up_is_no_label() -> None:
    metrics = Metrics()
    with Probes((metrics,)).span("request", method="BREW", route="unmatched", status=405, quiet=False):
        """Nothing is done for it."""
    assert "BREW" not in metrics.exposition()[0].decode()
    assert _value(metrics, 'truss_http_request_seconds_count{method="other",route="unmatched",status="405"}') == 1


def test_requests_count_by_the_class_of_their_status_but_for_those_of_probes() -> None:
    metrics = Metrics()
    probes = Probes((metrics,))
    for status, quiet in ((200, False), (202, False), (404, False), (503, False), (200, True), (503, True)):
        with probes.span("request", method="GET", route="/images/x", status=status, quiet=quiet):
            """It is answered."""
    with probes.span("malformed request", status=400):
        """So is what is none."""
    counted = {each: _value(metrics, f'truss_api_requests_total{{class="{each}"}}') for each in ("2xx", "4xx", "5xx")}
    assert counted == {"2xx": 2, "4xx": 2, "5xx": 1}
    assert _value(metrics, 'truss_api_requests_total{class="3xx"}') == 0


def test_what_runs_here_is_told() -> None:
    metrics = Metrics()
    metrics.build(version="1.2", revision="abc", libvips="8.18.0")
    python = platform.python_version()
    labels = f'libvips="8.18.0",python="{python}",revision="abc",version="1.2"'
    assert _value(metrics, f"truss_build_info{{{labels}}}") == 1


def test_what_the_process_may_use_is_told() -> None:
    metrics, unlimited = Metrics(), Metrics()
    metrics.machine(threads=3, memory_budget_bytes=200, memory_limit_bytes=300)
    unlimited.machine(threads=1, memory_budget_bytes=200, memory_limit_bytes=None)

    assert _value(metrics, "truss_engine_threads") == 3
    assert _value(metrics, "truss_memory_budget_bytes") == _value(unlimited, "truss_memory_budget_bytes") == 200
    assert _value(metrics, "truss_memory_limit_bytes") == 300
    assert _value(unlimited, "truss_memory_limit_bytes") == math.inf


async def test_the_circuit_shows_the_one_state_that_holds() -> None:
    metrics, world = Metrics(), World()
    worker = Worker(world.queue, world.converter, WorkerConfig(slots=3))
    limits = FileLimits(max_bytes=1, max_pixels=1, max_side=1, max_frames=1, timeout_seconds=1)
    engine = Engine(EngineConfig(threads=1, memory_budget_bytes=100, limits=limits))
    metrics.watch(worker, engine, MemoryBudget(slots=1, budget_bytes=10))
    worker.circuit.failed()
    with Probes((metrics,)).span("message", end="untold"):
        """It is given back."""

    states = {state: _value(metrics, f'truss_circuit_state{{state="{state}"}}') for state in CircuitState}
    assert states == {CircuitState.CLOSED: 0, CircuitState.OPEN: 1, CircuitState.TRYING: 0}
    assert _value(metrics, "truss_circuit_failures") == 1
    assert _value(metrics, "truss_worker_slots") == 3
    assert _value(metrics, 'truss_messages_total{end="untold"}') == 1
    assert _value(metrics, "truss_engine_free_bytes") == 100
    assert _value(metrics, "truss_sources_free_bytes") == 10
    await engine.close()
