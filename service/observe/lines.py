"""The log lines of requests and events."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from http import HTTPStatus

import structlog

from processor.jobs import Job
from processor.probe import Span
from processor.work.outcomes import Outcome, OutcomeKind

#: Somebody should look at events that are not about our images.
_WORTH_A_LOOK = frozenset({OutcomeKind.FAILED, OutcomeKind.FOREIGN, OutcomeKind.UNKNOWN, OutcomeKind.REFUSED})
#: Characters of a `User-Agent`, enough for the client and its version.
AGENT_CHARACTERS = 80

log = structlog.get_logger(__name__)


class LogLines:
    """A probe that logs lines. They include what is bound to the context, such as the id of the message or request."""

    def begun(self, span: Span) -> None:
        """Only results are logged."""

    def ended(self, span: Span) -> None:
        """Log one line if the step has a result."""
        if span.name == "request" and span.error is None:
            _request(span)
        elif span.name == "event" and "outcome" in span.facts:
            _event(span.facts["outcome"])


def _request(span: Span) -> None:
    facts = span.facts
    held: float = facts.get("held", 0.0)
    log.log(
        _level(facts["status"], quiet=facts["quiet"]),
        "Request answered",
        **{name: facts[name] for name in ("method", "path", "status")},
        **({"code": facts["code"]} if facts["code"] else {}),
        duration_ms=round((span.seconds - held) * 1000, 1),
        **({"waited_ms": round(held * 1000)} if held else {}),
        bytes=facts["bytes"],
        route=facts["route"],
        agent=facts["agent"][:AGENT_CHARACTERS],
    )


def _level(status: int, *, quiet: bool) -> int:
    """Successful health calls are logged at `debug`, because there are many. Status 500 is our own fault."""
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return logging.ERROR if status == HTTPStatus.INTERNAL_SERVER_ERROR else logging.WARNING
    return logging.DEBUG if quiet else logging.INFO


def _event(outcome: Outcome) -> None:
    fields: dict[str, object] = {"outcome": outcome.kind.value}
    if outcome.code:
        fields["code"] = outcome.code
    if outcome.unique_id:
        fields["uniqueId"] = outcome.unique_id
    if outcome.processing_id:
        fields["processingId"] = outcome.processing_id
    if outcome.job:
        fields |= dict(_told_of(outcome.job))
    if outcome.servable_seconds is not None:
        fields["servableMs"] = round(outcome.servable_seconds * 1000)
    if outcome.stored_seconds:
        fields["firstVariantMs"] = round(min(outcome.stored_seconds.values()) * 1000)
    if outcome.formats:
        fields["formats"] = {name: code or "made" for name, code in outcome.formats.items()}
    log.log(logging.WARNING if outcome.kind in _WORTH_A_LOOK else logging.INFO, "Event handled", **fields)


def _told_of(job: Job) -> Iterator[tuple[str, object]]:
    """The fields that say what happened to an image: its tenant, the times, its source, the result."""
    yield "tenant", job.tenant
    if job.timings:
        yield "totalMs", job.timings.total
        yield "downloadMs", job.timings.download
        yield "processMs", job.timings.process
        yield "uploadMs", job.timings.upload
    if job.error and job.error.limit is not None:
        yield "limit", job.error.limit
        yield "actual", job.error.actual
    if job.source:
        yield "sourceBytes", job.source.size
    if job.manifest:
        yield "format", job.manifest.format
        yield "width", job.manifest.width
        yield "height", job.manifest.height
        yield "frames", job.manifest.frames
    if job.variants:
        yield "variants", len(job.variants)
        yield "variantBytes", sum(variant.size for variant in job.variants)
    if job.recipe:
        yield "recipe", job.recipe.reference
        yield "fullSize", job.recipe.full_size.file_name
        if job.recipe.private:
            yield "private", True
    yield "attempts", job.attempts
