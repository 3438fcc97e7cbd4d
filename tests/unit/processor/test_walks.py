"""Whoever walks through a list, page by page, sees each image that was in it all the while, and none twice.

The real use cases run over the in-memory stores. The search decides what is asked, how long the pages are, and what
happens before the walk and between two pages.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from unittest import mock

from hypothesis import given
from hypothesis import strategies as st

from processor import clock
from processor.catalog.redrive import RedrivePlan, redrive
from processor.catalog.uploads import Submission
from processor.errors import Conflict, CorruptImage, JobNotFound, NotFound, Unavailable
from processor.events import Unreadable, parse
from processor.jobs import Image, JobStatus
from processor.ports.jobs import JobQuery
from tests.searching import searching
from tests.unit.world import TENANT, World

#: What happens to an image. What is put in front of the workers waits there, until they convert it, find it corrupt, or
#: give it up in an outage.
DEEDS = ("upload", "reprocess", "convert", "corrupt", "outage", "redrive", "delete")
#: What has happened to an image when the walk begins; the last of them did under a release that moved an image to the
#: time of each new job.
PASTS = (
    (),
    ("upload",),
    ("upload", "convert"),
    ("upload", "corrupt"),
    ("upload", "outage"),
    ("upload", "convert") * 2,
    (*("upload", "convert") * 2, "as of old"),
)
MILLISECOND = timedelta(milliseconds=1)


@dataclass
class Story:
    """Many images, whatever happens to them, and somebody who walks through them."""

    began: datetime = field(default_factory=clock.now)
    world: World = field(default_factory=World)
    submissions: list[Submission] = field(default_factory=list)
    #: When an image was listed, if that is not when it was made.
    moved: dict[str, datetime] = field(default_factory=dict)
    #: What nobody uploaded before.
    bodies: Iterator[int] = field(default_factory=lambda: itertools.count(1000))
    time: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.time = self.began

    async def begin(self, past: tuple[str, ...], pause: int) -> None:
        await self.act("submit", 0, pause)
        for deed in past:
            await self.act(deed, -1, pause)

    async def act(self, deed: str, number: int, pause: int) -> None:
        self.time += MILLISECOND * pause
        with mock.patch.object(clock, "now", return_value=self.time):
            if deed == "submit":
                self.submissions.append(await self.world.submitted())
            elif deed == "redrive":
                await redrive(
                    self.world.stores,
                    self.world.catalog,
                    RedrivePlan(tenant=TENANT, limit=3, per_second=9, dry_run=False),
                )
            elif self.submissions:
                await self._act(deed, number, self.submissions[number % len(self.submissions)])

    async def _act(self, deed: str, number: int, submission: Submission) -> None:
        job = submission.job
        try:
            if deed == "upload":
                body = b"%d" % (number if number >= 0 else next(self.bodies))
                event = await self.world.source.put(job.original_key, body)
                await self.world.queue.send(event.to_message())
            elif deed == "reprocess":
                await self.world.catalog.reprocess(TENANT, job.unique_id)
            elif deed == "delete":
                await self.world.catalog.delete(TENANT, job.unique_id)
            elif deed == "as of old":
                current = (await self.world.jobs.image_of_any_tenant(job.unique_id)).current_job
                as_written = replace(await self.world.jobs.job_of_any_tenant(current), place=None)
                self.world.jobs._jobs[current] = as_written
                self.moved[job.unique_id] = as_written.created_at
            else:
                await self._deliver(deed, number)
        except (NotFound, Conflict):
            pass  # it is deleted, or nothing is uploaded yet

    async def _deliver(self, deed: str, number: int) -> None:
        letters = list(self.world.queue._letters.values())
        if not letters:
            return
        letter = letters[number % len(letters)]

        async def fail() -> None:
            if deed == "corrupt":
                raise CorruptImage
            if deed == "outage":
                raise Unavailable

        self.world.renderer.during = self.world.suspects.during = fail
        for event in parse(letter.body):
            assert not isinstance(event, Unreadable)
            try:
                await self.world.converter.convert(event, last_try=True)
            except Unavailable:
                assert deed == "outage"
        self.world.queue._letters.pop(letter.message_id, None)

    async def matching(self, query: JobQuery) -> set[str]:
        """The images that the question means, from their own records."""
        images = [await self.world.jobs.image_of_any_tenant(each.job.unique_id) for each in self.submissions]
        return {image.unique_id for image in images if await self._matches(image, query)}

    async def _matches(self, image: Image, query: JobQuery) -> bool:
        made = self.began if query.created_from is None else query.created_from
        until = self.time if query.created_to is None else query.created_to
        try:
            job = await self.world.jobs.job_of_any_tenant(image.current_job)
        except JobNotFound:
            return False
        listed_at = self.moved.get(image.unique_id, image.created_at)
        return image.deleted_at is None and made <= listed_at <= until and query.status in (None, job.status)

    async def walk(self, query: JobQuery) -> AsyncIterator[list[str]]:
        while True:
            page = await self.world.catalog.list(query)
            assert len(page.jobs) <= query.limit
            yield [job.unique_id for job in page.jobs]
            if page.next_after is None:
                return
            query = replace(query, after=page.next_after)


#: Between two deeds, in milliseconds: much happens in one and the same.
PAUSES = st.sampled_from((0, 0, 1))
STEPS = st.lists(st.tuples(st.sampled_from(("submit", *DEEDS)), st.integers(0, 9), PAUSES), max_size=6)
MILLISECONDS = st.none() | st.integers(0, 12).map(lambda count: MILLISECOND * count)


@given(
    pasts=st.lists(st.tuples(st.sampled_from(PASTS), PAUSES), min_size=2, max_size=8),
    between=st.lists(STEPS, min_size=1, max_size=8),
    limit=st.integers(1, 4),
    status=st.none() | st.sampled_from(JobStatus),
    newest_first=st.booleans(),
    bounds=st.tuples(MILLISECONDS, MILLISECONDS),
)
@searching(400)
def test_a_walk_sees_once_whatever_was_in_the_list_all_the_while(
    pasts: list[tuple[tuple[str, ...], int]],
    between: list[list[tuple[str, int, int]]],
    bounds: tuple[Any, Any],
    **asked: Any,
) -> None:
    async def tell() -> None:
        story = Story()
        for past, pause in pasts:
            await story.begin(past, pause)
        made, until = (None if each is None else story.began + each for each in bounds)
        query = JobQuery(tenant=TENANT, created_from=made, created_to=until, **asked)
        throughout, seen = await story.matching(query), []
        happening = iter(between)
        async for page in story.walk(query):
            seen += page
            for step in next(happening, ()):
                await story.act(*step)
                throughout &= await story.matching(query)
        assert throughout <= set(seen)
        assert len(seen) == len(set(seen))

    asyncio.run(tell())
