"""Spans around the steps of work: probes are called when a step begins and when it has ended."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

log = structlog.get_logger(__name__)

#: The step of which the present work is a part, as W3C's `traceparent` writes it, for whoever goes on with the work in
#: another process. Empty while nobody traces.
TRACE: ContextVar[str] = ContextVar("trace", default="")
_TRACEPARENT = re.compile(r"00-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})")


@dataclass(slots=True, eq=False)
class Span:
    """One step, from its beginning to its end. The code that does the step may add facts."""

    name: str
    facts: dict[str, Any] = field(default_factory=dict)
    #: What kind of error the step broke with; the error itself would keep whatever it was about in memory.
    error: type[BaseException] | None = None
    _began: float = field(default_factory=time.perf_counter)
    _ended: float | None = None

    @property
    def seconds(self) -> float:
        """How long it took; while it runs, how long so far."""
        return (time.perf_counter() if self._ended is None else self._ended) - self._began

    @property
    def milliseconds(self) -> int:
        """The same, as records have it."""
        return round(self.seconds * 1000)

    def end(self) -> None:
        """From now on it takes no longer."""
        self._ended = time.perf_counter()


class Probe(Protocol):
    """Called at every step, in the task or thread that does it. It must be quick and thread-safe."""

    def begun(self, span: Span) -> None:
        """The step begins."""
        ...

    def ended(self, span: Span) -> None:
        """It has ended, with all its facts; with an `error` if it broke."""
        ...


@dataclass(frozen=True, slots=True)
class Probes:
    """All probes of a process. A probe that fails is logged, and does not affect the work."""

    told: tuple[Probe, ...] = ()

    @contextmanager
    def span(self, name: str, **facts: Any) -> Iterator[Span]:
        """A step: what runs within it. Steps within steps end first."""
        span = Span(name, facts)
        _tell((probe.begun for probe in self.told), span)
        try:
            yield span
        except BaseException as error:
            span.error = type(error)
            raise
        finally:
            span.end()
            _tell((probe.ended for probe in reversed(self.told)), span)


#: For whoever wants to know nothing.
NO_PROBES = Probes()


def _tell(calls: Iterable[Callable[[Span], None]], span: Span) -> None:
    for call in calls:
        try:
            call(span)
        except Exception:
            log.exception("Probe broke", span=span.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """Where in which trace a step is: ids in hex, and whether the trace is recorded."""

    trace: str
    span: str
    recorded: bool

    @classmethod
    def read(cls, text: str | None) -> Position | None:
        """From a `traceparent` (https://www.w3.org/TR/trace-context/); None for anything else."""
        found = _TRACEPARENT.fullmatch(text or "")
        if found is None or not int(found["trace"], 16) or not int(found["span"], 16):
            return None
        return cls(trace=found["trace"], span=found["span"], recorded=bool(int(found["flags"], 16) & 1))

    def __str__(self) -> str:
        return f"00-{self.trace}-{self.span}-{int(self.recorded):02x}"
