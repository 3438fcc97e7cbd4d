"""The two log lines that tell of all that this process does: one for each request, one for each event."""

from __future__ import annotations

import logging
from http import HTTPStatus

import structlog

from processor.probe import Span
from processor.work.outcomes import Outcome, OutcomeKind

#: An event that says nothing about our images is worth a person's look.
_WORTH_A_LOOK = frozenset({OutcomeKind.FAILED, OutcomeKind.FOREIGN, OutcomeKind.UNKNOWN, OutcomeKind.REFUSED})

log = structlog.get_logger(__name__)


class LogLines:
    """A probe that writes lines. What is bound to the context, such as the id of the message or request, is in them."""

    def begun(self, span: Span) -> None:
        """Nothing is said before there is a result."""

    def ended(self, span: Span) -> None:
        """One line, if the step has a result."""
        if span.name == "request" and span.error is None:
            _request(span)
        elif span.name == "event" and "outcome" in span.facts:
            _event(span.facts["outcome"])


def _request(span: Span) -> None:
    facts = span.facts
    log.log(
        _level(facts["status"], quiet=facts["quiet"]),
        "Request answered",
        **{name: facts[name] for name in ("method", "route", "path", "status")},
        duration_ms=round(span.seconds * 1000, 1),
        bytes=facts["bytes"],
    )


def _level(status: int, *, quiet: bool) -> int:
    """Probes are noise while all is well; what is our fault is worth a look."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return logging.ERROR if status == HTTPStatus.INTERNAL_SERVER_ERROR else logging.WARNING
    return logging.DEBUG if quiet else logging.INFO


def _event(outcome: Outcome) -> None:
    fields: dict[str, object] = {"outcome": outcome.kind.value}
    if outcome.unique_id:
        fields["uniqueId"] = outcome.unique_id
    if outcome.processing_id:
        fields["processingId"] = outcome.processing_id
    if outcome.code:
        fields["code"] = outcome.code
    if outcome.timings:
        fields["totalMs"] = outcome.timings.total
    log.log(logging.WARNING if outcome.kind in _WORTH_A_LOOK else logging.INFO, "Event handled", **fields)
