"""The call for images that look like another one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, Self

from aiohttp import web
from pydantic import Field

from processor.catalog.similar import BITS, By, Match, Search, similar_images
from processor.errors import ImageNotFound, NeedsReview, NoEmbedding, NoLikeness, ReviewRejected
from service.auth.middleware import tenant_of
from service.calls import groups, samples
from service.calls.facts import EXAMPLE
from service.calls.listing import CURSOR_WORDS
from service.calls.names import UNIQUE_ID, ProcessingId, UniqueId, unique_id_in
from service.calls.use_cases import CATALOG
from service.calls.variants import VariantAnswer
from service.http.call import call, reply
from service.http.cursor import CURSORS
from service.http.problems import InvalidCursor
from service.http.rendering import render
from service.http.wire import Answer, Question, Time, WholeNumber, is_none, read_query
from service.limits.long_pages import page_turn
from service.limits.middleware import count_work

#: Copies of a picture in other sizes, qualities and formats are nearer than this.
USUAL_DISTANCE = 10
#: Half of all bits: so far apart are two pictures that have nothing in common.
LARGEST_DISTANCE = BITS // 2
#: Nearly all pictures that have nothing in common are less alike: `docs/analysis.md`.
USUAL_SIMILARITY = 0.45


class SimilarQuery(Question):
    """How near images must be, and how many to find."""

    other_words: ClassVar[Mapping[str, str]] = CURSOR_WORDS | {"threshold": "distance", "maxDistance": "distance"}

    by: Literal["likeness", "content"] = Field(
        default="likeness",
        description="What is compared. `likeness`: the difference hash, which finds copies. `content`: the "
        "`embedding`, which finds parts of a picture and pictures of the same thing, too.",
    )
    distance: WholeNumber = Field(
        default=USUAL_DISTANCE,
        ge=0,
        le=LARGEST_DISTANCE,
        description=f"By likeness: the most bits, of {BITS}, that may differ. 0: only what looks the same.",
    )
    similarity: float = Field(
        default=USUAL_SIMILARITY,
        ge=0,
        le=1,
        description="By content: the least similarity. Copies have 0.6 to 1, parts of the same picture 0.45 to 0.9, "
        "pictures that have nothing in common 0 to 0.4.",
    )
    limit: WholeNumber = Field(default=20, ge=1, le=100, description="Most images in an answer.")
    last_key: str | None = Field(
        default=None, description="`lastEvaluatedKey` of the answer before; it holds for the same image and question."
    )


class SimilarImage(Answer):
    """An image that looks alike, as its current job."""

    unique_id: UniqueId
    processing_id: ProcessingId
    distance: int | None = Field(
        default=None,
        exclude_if=is_none,
        description="By likeness: in how many bits the two differ, exactly.",
        examples=[3],
    )
    similarity: float | None = Field(
        default=None, exclude_if=is_none, description="By content: 1 is the same.", examples=[0.71]
    )
    likeness: str | None = Field(
        default=None, exclude_if=is_none, description="If it has one.", examples=[EXAMPLE["likeness"]]
    )
    filename: str = Field(examples=["photo.jpg"])
    listed_at: Time
    image: VariantAnswer = Field(description="Its smallest variant.")

    @classmethod
    def of(cls, match: Match, by: By) -> Self:
        job, is_by_bits = match.job, by is By.LIKENESS
        return cls(
            unique_id=job.unique_id,
            processing_id=job.processing_id,
            distance=round(match.distance) if is_by_bits else None,
            similarity=None if is_by_bits else round(1 - match.distance, 3),
            likeness=job.facts.found.get("likeness"),
            filename=job.filename,
            listed_at=job.listed_at,
            image=VariantAnswer.with_formats(job.variants[0], job.further),
        )


class SimilarAnswer(Answer):
    """Images that look alike, the nearest first."""

    unique_id: UniqueId
    likeness: str | None = Field(
        default=None, exclude_if=is_none, description="That of the image itself.", examples=[EXAMPLE["likeness"]]
    )
    images: list[SimilarImage]
    count: int
    searched: int = Field(description="With how many images it was compared for this answer.", examples=[412])
    last_evaluated_key: str | None = Field(
        description="`lastKey` to compare it with the next ones; null if it was compared with all."
    )

    @classmethod
    def of(cls, unique_id: str, search: Search, last_key: str | None) -> Self:
        images = [SimilarImage.of(match, search.by) for match in search.matches]
        return cls(
            unique_id=unique_id,
            likeness=search.likeness,
            images=images,
            count=len(images),
            searched=search.searched,
            last_evaluated_key=last_key,
        )


SIMILAR = SimilarAnswer.of(
    samples.OTHER_IMAGE,
    Search(
        by=By.LIKENESS,
        likeness="252d6d8dddc4c4b2",
        matches=(Match(job=samples.COMPLETED, distance=1),),
        searched=412,
        next_after=None,
        read_bytes=0,
    ),
    None,
)


@call(
    "findSimilarImages",
    groups.IMAGES,
    reply("Images that look alike", SIMILAR),
    path=(UNIQUE_ID,),
    query=SimilarQuery,
    problems=(ImageNotFound, NoLikeness, NoEmbedding, NeedsReview, ReviewRejected, InvalidCursor),
)
async def similar(request: web.Request) -> web.Response:
    """Find images that look like this one.

    Compares its `likeness` or its `embedding` with that of the tenant's other completed images, the newest first: up to
    a thousand for one answer, and no more once `limit` are found. The next answer goes on from there. So whoever asks
    until `lastEvaluatedKey` is null has every image that is near enough; each answer has the nearest first. Pictures
    without any edges, such as plain areas, have a likeness of zeros in common.
    """
    tenant, unique_id = tenant_of(request), unique_id_in(request)
    query = read_query(SimilarQuery, request.query)
    by = By(query.by)
    distance = query.distance if by is By.LIKENESS else 1 - query.similarity
    near = str(query.distance) if by is By.LIKENESS else f"{by}:{query.similarity}"
    asked, cursors = (tenant, unique_id, near), request.app[CURSORS]
    after = None if query.last_key is None else await cursors.open(query.last_key, asked)
    async with page_turn(request):
        search = await similar_images(
            request.app[CATALOG], tenant, unique_id, by=by, distance=distance, limit=query.limit, after=after
        )
        count_work(request, read_bytes=search.read_bytes)
    last_key = None if search.next_after is None else await cursors.seal(asked, search.next_after)
    return render(request, SimilarAnswer.of(unique_id, search, last_key))
