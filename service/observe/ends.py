"""A listener that counts the ends of jobs for Prometheus."""

from __future__ import annotations

from collections import OrderedDict

from prometheus_client import CollectorRegistry, Counter

from processor.facts import Facts
from processor.hiding import hidden_in
from processor.jobs import End, Job
from processor.recipes import BLUR_FACES

#: Ends that are remembered, so that a repeated one counts once. They take about 2 MB, hours of a busy process.
REMEMBERED = 10_000


class EndCounter:
    """The listener. It may be called again, and counts a job's end once while it remembers it.

    So a job that failed, ran again and failed again counts once.
    """

    def __init__(self, registry: CollectorRegistry, *, remembered: int = REMEMBERED) -> None:
        self._ends = Counter(
            "truss_jobs_ended",
            "Jobs that ended, whoever ended them, also the API: `completed`, `rejected`, `failed`, `superseded`, "
            "`deleted`. `needs_review` is no end yet: `truss_held_total` says why. An end that is told again counts "
            "again only in another process, or after 10,000 others.",
            ("end",),
            registry=registry,
        )
        for end in End:  # a rate needs a zero at the beginning
            self._ends.labels(end.value)
        self._held = Counter(
            "truss_held",
            "Images that were held for a review, by why: `preset`, `check_failed`, or what a check has found.",
            ("reason",),
            registry=registry,
        )
        self._hidden = Counter(
            "truss_faces_hidden",
            "Faces that presets with `blurFaces` have hidden, in images that were shown or held.",
            registry=registry,
        )
        self._remembered = remembered
        #: The latest is last.
        self._counted: OrderedDict[tuple[str, End], None] = OrderedDict()

    async def ended(self, job: Job, end: End) -> None:
        told = (job.processing_id, end)
        if told not in self._counted:
            self._ends.labels(end.value).inc()
            if end is End.NEEDS_REVIEW and job.review is not None:
                self._held.labels(job.review.reason).inc()
                self._hidden.inc(_hidden_in(job.review.facts))
            if end is End.COMPLETED and job.review is None:
                self._hidden.inc(_hidden_in(job.facts))
        self._counted[told] = None
        self._counted.move_to_end(told)
        if len(self._counted) > self._remembered:
            self._counted.popitem(last=False)


def _hidden_in(facts: Facts) -> int:
    fact = facts.found.get(BLUR_FACES)
    return 0 if fact is None else len(hidden_in(fact))
