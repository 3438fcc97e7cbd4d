"""Metrics of the inside, to find the cause of a problem: AWS calls, waits, heartbeats, child processes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Counter, Histogram

from processor.errors import DecoderCrashed, ImageRejected, TimedOut, TooLargeForMemory
from processor.probe import Span

#: Upper bounds in seconds. A call takes milliseconds, a long poll up to 20 seconds, a call with retries even longer.
_CALL_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25)
#: Without load nothing waits. Under load an image waits as long as others take.
_WAIT_BUCKETS = (0.001, 0.01, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
#: The most error codes of AWS in labels. AWS has about a hundred, and a proxy may invent more.
MAX_CODES = 60
_CODE = re.compile(r"[A-Za-z0-9._]{1,64}")
#: How the work of a child process ended, by the error. Every other fault of a file counts as `refused`.
_ENDS: Mapping[type[BaseException], str] = {
    DecoderCrashed: "crashed",
    TimedOut: "timed_out",
    TooLargeForMemory: "too_large",
    asyncio.CancelledError: "called_off",
}
_OTHER_ENDS = ("completed", "refused", "unavailable")
#: What an image waits for: a slot of the worker, space for its file, memory for its conversion, a thread.
WAITS = ("slot", "place", "memory", "thread")


class Workings:
    """The probe. Counters of rare events start at zero, so that the first event is an increase."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._calls = Counter(
            "truss_aws_calls",
            "Calls of AWS, with their retries, by what they ended with: `ok`, the code of AWS, `unreachable`, "
            "`called_off`, `defect` (ours); after 60 codes `other`. A failed condition "
            "(`ConditionalCheckFailedException`, `TransactionCanceledException`) is no trouble.",
            ("service", "operation", "code"),
            registry=registry,
        )
        self._call_seconds = Histogram(
            "truss_aws_call_seconds",
            "How long calls of AWS took, with retries and pauses. `ReceiveMessage` includes the long poll.",
            ("service", "operation"),
            buckets=_CALL_BUCKETS,
            registry=registry,
        )
        self._waits = Histogram(
            "truss_wait_seconds",
            "How long work waited: a message for a `slot`, a file for a `place` in memory, an image for `memory` "
            "and its turn, and then for a `thread`.",
            ("what",),
            buckets=_WAIT_BUCKETS,
            registry=registry,
        )
        self._heartbeats = Counter(
            "truss_heartbeats",
            "Heartbeats of work: `ok`, `failed`. Two may fail before a message comes back.",
            ("result",),
            registry=registry,
        )
        self._suspects = Counter(
            "truss_suspects",
            "Images whose worker vanished the last time. They are rendered in a child process.",
            registry=registry,
        )
        self._children = Counter(
            "truss_children",
            "Child processes by how their work ended: `completed`, `refused` (the file), `crashed`, `timed_out`, "
            "`too_large`, `called_off`, `unavailable`.",
            ("end",),
            registry=registry,
        )
        self._codes: set[str] = set()
        self._at_end: Mapping[str, Callable[[Span], None]] = {
            "aws": self._call,
            "wait": lambda span: self._waits.labels(span.facts["of"]).observe(span.seconds),
            "heartbeat": lambda span: self._heartbeats.labels("failed" if span.error else "ok").inc(),
            "child": lambda span: self._children.labels(_end(span.error)).inc(),
        }
        for what in WAITS:
            self._waits.labels(what)
        for result in ("ok", "failed"):
            self._heartbeats.labels(result)
        for end in (*_ENDS.values(), *_OTHER_ENDS):
            self._children.labels(end)

    def begun(self, span: Span) -> None:
        """Count suspects at the beginning, because one may crash this process before the end."""
        if span.name == "render" and span.facts.get("suspect"):
            self._suspects.inc()

    def ended(self, span: Span) -> None:
        at_end = self._at_end.get(span.name)
        if at_end is not None:
            at_end(span)

    def _call(self, span: Span) -> None:
        service, operation = span.facts["service"], span.facts["operation"]
        code = span.facts.get("code", "called_off")
        self._calls.labels(service, operation, self._bounded(code)).inc()
        self._call_seconds.labels(service, operation).observe(span.seconds)

    def _bounded(self, code: str) -> str:
        if code not in self._codes and len(self._codes) < MAX_CODES and _CODE.fullmatch(code):
            self._codes.add(code)
        return code if code in self._codes else "other"


def _end(error: type[BaseException] | None) -> str:
    if error is None:
        return "completed"
    known = next((end for kind, end in _ENDS.items() if issubclass(error, kind)), None)
    return known or ("refused" if issubclass(error, ImageRejected) else "unavailable")
