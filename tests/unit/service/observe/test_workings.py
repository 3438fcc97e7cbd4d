"""What goes on inside is counted by names that are few."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from processor.errors import CorruptImage, DecoderCrashed, TimedOut, TooLargeForMemory, Unavailable
from processor.probe import Probes
from service.observe.workings import MAX_CODES, WAITS, Workings


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def probes(registry: CollectorRegistry) -> Probes:
    return Probes((Workings(registry),))


def _step(probes: Probes, name: str, error: BaseException | None = None, **facts: Any) -> None:
    with suppress(BaseException), probes.span(name, **facts):
        if error is not None:
            raise error


def test_calls_of_aws_count_by_operation_and_code_and_tell_how_long_they_took(
    registry: CollectorRegistry, probes: Probes
) -> None:
    call: dict[str, Any] = {"service": "sqs", "operation": "SendMessage"}
    for code in ("ok", "ok", "AccessDenied", "AWS.SimpleQueueService.NonExistentQueue"):
        _step(probes, "aws", **call, code=code)
    _step(probes, "aws", asyncio.CancelledError(), **call)

    counted = {
        code: registry.get_sample_value("truss_aws_calls_total", {**call, "code": code}) for code in _codes(registry)
    }
    assert counted == {"ok": 2, "AccessDenied": 1, "AWS.SimpleQueueService.NonExistentQueue": 1, "called_off": 1}
    assert registry.get_sample_value("truss_aws_call_seconds_count", call) == 5


def test_whoever_makes_up_codes_makes_no_more_than_so_many_series(registry: CollectorRegistry, probes: Probes) -> None:
    for number in range(3 * MAX_CODES):
        _step(probes, "aws", service="s3", operation="GetObject", code=f"Made{number}")
    _step(probes, "aws", service="s3", operation="GetObject", code="with spaces\n")
    codes = _codes(registry)
    assert len(codes) == MAX_CODES + 1
    assert "other" in codes


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (None, "completed"),
        (DecoderCrashed(), "crashed"),
        (TimedOut(), "timed_out"),
        (TooLargeForMemory(), "too_large"),
        (CorruptImage(), "refused"),
        (Unavailable(), "unavailable"),
        (RuntimeError(), "unavailable"),
        (asyncio.CancelledError(), "called_off"),
    ],
)
def test_children_count_by_how_they_ended(
    registry: CollectorRegistry, probes: Probes, error: BaseException | None, end: str
) -> None:
    assert (
        registry.get_sample_value("truss_children_total", {"end": end}) == 0
    )  # so that the first shows as an increase
    _step(probes, "child", error)
    assert registry.get_sample_value("truss_children_total", {"end": end}) == 1


def test_a_suspect_counts_before_it_can_do_harm(registry: CollectorRegistry, probes: Probes) -> None:
    with probes.span("render", suspect=True):
        assert registry.get_sample_value("truss_suspects_total") == 1
    _step(probes, "render", suspect=False)
    assert registry.get_sample_value("truss_suspects_total") == 1


def test_waits_and_heartbeats(registry: CollectorRegistry, probes: Probes) -> None:
    for what in WAITS:
        assert registry.get_sample_value("truss_wait_seconds_count", {"what": what}) == 0
        _step(probes, "wait", of=what)
        assert registry.get_sample_value("truss_wait_seconds_count", {"what": what}) == 1
    _step(probes, "heartbeat")
    _step(probes, "heartbeat", Unavailable())
    for result in ("ok", "failed"):
        assert registry.get_sample_value("truss_heartbeats_total", {"result": result}) == 1


def _codes(registry: CollectorRegistry) -> set[str]:
    return {
        sample.labels["code"]
        for family in registry.collect()
        for sample in family.samples
        if sample.name == "truss_aws_calls_total"
    }
