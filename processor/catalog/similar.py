"""Finds images of a tenant that look like another one, by a fingerprint among the facts."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from processor.catalog.images import Catalog
from processor.errors import Conflict, NoEmbedding, NoLikeness
from processor.facts import Facts
from processor.jobs import Job, JobStatus
from processor.ports.jobs import JobQuery

#: Bits of a likeness, and bytes of an embedding.
BITS, EMBEDDING_BYTES = 64, 160
#: The most images that one search looks at.
MOST_SEARCHED = 1000
#: Images that are read at once.
_PAGE = 100
_LIKENESS = re.compile(r"[0-9a-f]{16}")


class By(StrEnum):
    """What is compared."""

    LIKENESS = "likeness"
    CONTENT = "content"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Comparison:
    """How images are compared: by a number that a fact holds, and how far two of those are apart."""

    read: Callable[[Facts], int | None]
    apart: Callable[[int, int], float]
    #: Raised when the image itself has no such fact.
    missing: type[Conflict]

    def between(self, asked: int, facts: Facts) -> float | None:
        """How far the facts of another image are from what is asked; None: they have none to compare."""
        other = self.read(facts)
        return None if other is None else self.apart(asked, other)


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """An image that looks alike.

    `distance` is the number of bits in which the likenesses differ; or 1 less the cosine of the embeddings' angle.
    """

    job: Job
    distance: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What was found, the nearest first, and how far the search came."""

    by: By
    #: That of the image itself, if it has one.
    likeness: str | None
    matches: tuple[Match, ...]
    #: How many images were compared.
    searched: int
    #: The position of the last one, after which the search goes on; None: all were compared.
    next_after: str | None
    read_bytes: int


async def similar_images(
    catalog: Catalog,
    tenant: str,
    unique_id: str,
    *,
    distance: float,
    limit: int,
    by: By = By.LIKENESS,
    after: str | None = None,
) -> Search:
    """Compare an image with others of its tenant, the newest first, until `limit` are found or enough were looked at.

    Only completed images with what is compared are. Searches that each begin `after` the one before miss nothing that
    was there all the time. Raises `ImageNotFound`; `NoLikeness` or `NoEmbedding` if it has none to compare.
    """
    comparison, own = _COMPARISONS[by], (await catalog.processed_images(tenant, unique_id)).facts
    asked = comparison.read(own)
    if asked is None:
        raise comparison.missing
    matches: list[Match] = []
    searched = read_bytes = 0
    while searched < MOST_SEARCHED:
        query = JobQuery(tenant=tenant, limit=_PAGE, status=JobStatus.COMPLETED, after=after)
        page = await catalog.list(query)
        read_bytes += page.read_bytes
        for job in page.jobs:
            searched, after = searched + 1, job.position
            apart = comparison.between(asked, job.facts)
            if apart is not None and apart <= distance and job.unique_id != unique_id:
                matches.append(Match(job=job, distance=apart))
            if len(matches) == limit or searched == MOST_SEARCHED:
                break
        else:
            after = page.next_after
        if after is None or len(matches) == limit:
            break
    nearest = tuple(sorted(matches, key=lambda match: (match.distance, match.job.position)))
    return Search(
        by=by,
        likeness=own.found.get("likeness"),
        matches=nearest,
        searched=searched,
        next_after=after,
        read_bytes=read_bytes,
    )


def _likeness(facts: Facts) -> int | None:
    fact = facts.found.get("likeness")
    return int(fact, 16) if isinstance(fact, str) and _LIKENESS.fullmatch(fact) else None


def _embedding(facts: Facts) -> int | None:
    fact = facts.own.get("embedding")
    try:
        bits = base64.b64decode(fact, validate=True) if isinstance(fact, str) else b""
    except binascii.Error:
        return None
    return int.from_bytes(bits, "big") if len(bits) == EMBEDDING_BYTES else None


def _bits_apart(one: int, other: int) -> int:
    return (one ^ other).bit_count()


def _angle_apart(one: int, other: int) -> float:
    """Of two sets of features: how many they share, beside the geometric mean of how many each has."""
    both = one.bit_count() * other.bit_count()
    return 1 - (one & other).bit_count() / math.sqrt(both) if both else float(one != other)


_COMPARISONS: Mapping[By, _Comparison] = {
    By.LIKENESS: _Comparison(read=_likeness, apart=_bits_apart, missing=NoLikeness),
    By.CONTENT: _Comparison(read=_embedding, apart=_angle_apart, missing=NoEmbedding),
}
