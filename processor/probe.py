"""Spans around the steps of work: probes are called when a step begins and when it has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import structlog

log = structlog.get_logger(__name__)


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
