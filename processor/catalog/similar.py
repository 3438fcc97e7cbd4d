"""Finds images of a tenant that look like another one, by the likeness among the facts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from processor.catalog.images import Catalog
from processor.errors import NoLikeness
from processor.jobs import Job, JobStatus
from processor.ports.jobs import JobQuery

#: The fact that is compared, and its bits.
FACT, BITS = "likeness", 64
#: The most images that one search looks at.
MOST_SEARCHED = 1000
#: Images that are read at once.
_PAGE = 100
_LIKENESS = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """An image that looks alike. `distance` is the number of bits in which the likenesses differ, exactly."""

    job: Job
    distance: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What was found, the nearest first, and how far the search came."""

    likeness: str
    matches: tuple[Match, ...]
    #: How many images were compared.
    searched: int
    #: The position of the last one, after which the search goes on; None: all were compared.
    next_after: str | None
    read_bytes: int


async def similar_images(
    catalog: Catalog, tenant: str, unique_id: str, *, distance: int, limit: int, after: str | None = None
) -> Search:
    """Compare an image with others of its tenant, the newest first, until `limit` are found or enough were looked at.

    Only completed images with a likeness are compared. Searches that each begin `after` the one before miss nothing
    that was there all the time. Raises `ImageNotFound`; `NoLikeness` if it has none to compare.
    """
    asked = _likeness_of((await catalog.processed_images(tenant, unique_id)).facts.found.get(FACT))
    if asked is None:
        raise NoLikeness
    matches: list[Match] = []
    searched = read_bytes = 0
    while searched < MOST_SEARCHED:
        query = JobQuery(tenant=tenant, limit=_PAGE, status=JobStatus.COMPLETED, after=after)
        page = await catalog.list(query)
        read_bytes += page.read_bytes
        for job, bits in _compared(page.jobs, asked):
            searched, after = searched + 1, job.position
            if bits is not None and bits <= distance and job.unique_id != unique_id:
                matches.append(Match(job=job, distance=bits))
            if len(matches) == limit or searched == MOST_SEARCHED:
                break
        else:
            after = page.next_after
        if after is None or len(matches) == limit:
            break
    nearest = tuple(sorted(matches, key=lambda match: (match.distance, match.job.position)))
    return Search(likeness=f"{asked:016x}", matches=nearest, searched=searched, next_after=after, read_bytes=read_bytes)


def _compared(jobs: tuple[Job, ...], asked: int) -> Iterator[tuple[Job, int | None]]:
    for job in jobs:
        likeness = _likeness_of(job.facts.found.get(FACT))
        yield job, None if likeness is None else (likeness ^ asked).bit_count()


def _likeness_of(fact: object) -> int | None:
    return int(fact, 16) if isinstance(fact, str) and _LIKENESS.fullmatch(fact) else None
