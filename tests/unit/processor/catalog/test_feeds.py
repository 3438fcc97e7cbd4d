"""Listeners hear of what happens after they came, once and in order, and miss nothing when they come back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from processor import clock
from processor.catalog import feeds
from processor.catalog.feeds import HISTORY, LATE, Cursor, Feeds, Listener, Told, TooSlow, Wanted, cursor_at
from processor.errors import Unavailable
from processor.jobs import Job, Lease, Source
from processor.moments import Kind, Moment
from processor.ports.changes import Change
from processor.stores.memory import MemoryChanges
from tests.unit.world import TENANT, World
from tests.waiting import eventually

LONG = 600.0


class Changes(MemoryChanges):
    """Fails while it is told to; what is hidden is not in the index yet."""

    def __init__(self, world: World) -> None:
        super().__init__(world.jobs)
        self.broken = False
        self.hidden: set[str] = set()
        self.looked: list[datetime] = []
        self.read_records: list[str] = []

    async def since(self, tenant: str, moment: datetime, *, rows: int = 500) -> AsyncIterator[Sequence[Change]]:
        self.looked.append(moment)
        if self.broken:
            raise Unavailable
        async for page in super().since(tenant, moment, rows=rows):
            yield [change for change in page if change.record not in self.hidden]

    async def read(self, tenant: str, records: Sequence[str]) -> Sequence[Job]:
        self.read_records += records
        return await super().read(tenant, records)


class Scene:
    def __init__(self) -> None:
        self.world = World()
        self.changes = Changes(self.world)
        self.feeds = self.another_process()

    def another_process(self) -> Feeds:
        return Feeds(changes=self.changes, encode=lambda notice: notice.kind.encode())

    async def converted(self) -> Job:
        submission, event = await self.world.uploaded()
        await self.world.converter.convert(event)
        return await self.world.jobs.get_job(TENANT, submission.job.processing_id)

    async def looked(self, times: int = 2) -> None:
        before = len(self.changes.looked)

        async def enough() -> bool:
            return len(self.changes.looked) >= before + times

        await eventually(enough)


async def heard(listener: Listener, number: int) -> list[Told]:
    """So many events, or more that come with them."""
    found: list[Told] = []
    while len(found) < number:
        found += await asyncio.wait_for(listener.next(LONG), LONG)
    return found


def kinds(told: Sequence[Told]) -> list[str]:
    return [each.notice.kind.removeprefix("image.") for each in told]


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(feeds, "LOOK_SECONDS", 0.001)
    return Scene()


ALL = ["uploaded", "processing", *["variant"] * 4, "completed"]


async def test_a_listener_hears_what_happens_from_now_on_in_order_and_once(scene: Scene) -> None:
    await scene.converted()
    async with scene.feeds.listen(TENANT, Wanted()) as listener:
        job = await scene.converted()
        told = await heard(listener, len(ALL))
        await scene.looked(2 * feeds.LOOKS_A_SWEEP)
        assert await listener.next(0) == []
    assert kinds(told) == ALL
    assert {each.notice.processing_id for each in told} == {job.processing_id}
    assert [each.cursor for each in told] == sorted(each.notice.id for each in told)


async def test_all_of_a_tenant_share_its_looks_and_hear_nothing_of_others(scene: Scene) -> None:
    async with (
        scene.feeds.listen(TENANT, Wanted()) as one,
        scene.feeds.listen(TENANT, Wanted(kinds=frozenset({Kind.COMPLETED}))) as another,
        scene.feeds.listen("stranger", Wanted()) as stranger,
    ):
        await scene.converted()
        assert len(await heard(one, len(ALL))) == len(ALL)
        assert kinds(await heard(another, 1)) == ["completed"]
        assert len(scene.feeds._feeds) == 2
        await scene.looked(4)
        assert await stranger.next(0) == []
    assert scene.feeds._feeds == {}


async def test_who_wants_one_image_hears_of_that_and_no_other_record_is_read(scene: Scene) -> None:
    wanted, other = (await scene.world.uploaded()), (await scene.world.uploaded())
    job = wanted[0].job
    async with (
        scene.feeds.listen(TENANT, Wanted(unique_id=job.unique_id)) as of_image,
        scene.feeds.listen(TENANT, Wanted(processing_id=job.processing_id)) as of_job,
    ):
        for _, event in (other, wanted):
            await scene.world.converter.convert(event)
        for listener in (of_image, of_job):
            assert {each.notice.unique_id for each in await heard(listener, len(ALL))} == {job.unique_id}
        await scene.world.catalog.delete(TENANT, job.unique_id)
        for listener in (of_image, of_job):
            assert kinds(await heard(listener, 1)) == ["deleted"]
    assert other[0].job.processing_id not in scene.changes.read_records


async def test_what_the_index_has_late_and_from_a_clock_behind_is_told_all_the_same(scene: Scene) -> None:
    submission, event = await scene.world.uploaded()
    name = submission.job.processing_id
    async with scene.feeds.listen(TENANT, Wanted()) as listener:
        scene.changes.hidden.add(name)
        await scene.world.converter.convert(event)
        late = clock.now() - LATE + timedelta(seconds=20)
        scene.world.jobs._jobs[name] = replace(scene.world.jobs._jobs[name], updated_at=late)
        await scene.looked(3)
        assert await listener.next(0) == []
        scene.changes.hidden.clear()
        assert kinds(await heard(listener, len(ALL))) == ALL


async def test_a_look_that_failed_is_made_up_for_however_long_that_lasted(scene: Scene) -> None:
    async with scene.feeds.listen(TENANT, Wanted()) as listener:
        scene.changes.broken = True
        await scene.looked()
        await scene.converted()
        await scene.looked(2 * feeds.LOOKS_A_SWEEP)
        assert len(set(scene.changes.looked[-feeds.LOOKS_A_SWEEP :])) == 2  # where they begin does not move meanwhile
        scene.changes.broken = False
        assert kinds(await heard(listener, len(ALL))) == ALL


@pytest.mark.parametrize("after", range(len(ALL)))
async def test_who_comes_back_elsewhere_misses_nothing_wherever_it_was_cut_off(scene: Scene, after: int) -> None:
    async with scene.feeds.listen(TENANT, Wanted()) as listener:
        await scene.converted()
        before = (await heard(listener, len(ALL)))[: after + 1]
    await scene.converted()
    missed = Cursor.of(before[-1].cursor)
    async with scene.another_process().listen(TENANT, Wanted(), missed) as listener:
        told = await heard(listener, 1)
        assert await listener.next(0) == []
    ids = [each.notice.id for each in (*before, *told)]
    assert len(set(ids)) == 2 * len(ALL)
    assert [each.cursor for each in told] == [each.notice.id for each in told]


async def test_who_comes_back_before_anything_happened_misses_nothing_either(scene: Scene) -> None:
    async with scene.feeds.listen(TENANT, Wanted()) as listener:
        cursor = listener.cursor
    assert cursor is not None
    await scene.converted()
    async with scene.another_process().listen(TENANT, Wanted(), Cursor.of(cursor)) as listener:
        assert kinds(await heard(listener, len(ALL))) == ALL


async def test_what_is_missed_is_told_once_though_it_is_found_by_both_ways(scene: Scene) -> None:
    await scene.converted()
    cursor = Cursor.of(cursor_at(clock.now() - timedelta(seconds=1)))
    async with scene.feeds.listen(TENANT, Wanted(), cursor) as listener:
        newer = await scene.converted()
        told = await heard(listener, 2 * len(ALL))
        await scene.looked(2 * feeds.LOOKS_A_SWEEP)
        assert await listener.next(0) == []
    assert len({each.notice.id for each in told}) == len(told) == 2 * len(ALL)
    assert newer.processing_id in {each.notice.processing_id for each in told}


async def test_a_long_story_may_be_cut_off_anywhere_and_goes_on_from_there(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "ROWS", 2)
    monkeypatch.setattr(feeds, "LATE", timedelta(0))  # or all of it would be told anew each time
    began = clock.now()
    slow = await scene.world.uploaded()  # whose record changes last, long after its upload
    jobs = [await scene.converted() for _ in range(5)]
    await scene.world.converter.convert(slow[1])
    everything = {job.processing_id for job in jobs} | {slow[0].job.processing_id}
    ids: set[str] = set()
    cursor = cursor_at(began)
    for _ in range(40):
        async with scene.another_process().listen(TENANT, Wanted(), Cursor.of(cursor)) as listener:
            first = await heard(listener, 1)
            ids |= {each.notice.id for each in first}
            if cursor == first[-1].cursor:
                break
            cursor = first[-1].cursor
    assert {id_.split("-")[1] for id_ in ids} == everything
    assert len(ids) == 6 * len(ALL)


async def test_nothing_older_than_an_hour_is_told(scene: Scene) -> None:
    job = await scene.converted()
    long_ago = clock.now() - HISTORY - timedelta(minutes=5)
    moments = tuple(Moment(kind=each.kind, at=long_ago) for each in job.moments)
    variants = tuple(replace(each, stored_at=long_ago) for each in job.variants)
    scene.world.jobs._jobs[job.processing_id] = replace(
        job, created_at=long_ago, moments=moments, variants=variants, updated_at=long_ago
    )
    newer = await scene.converted()
    cursor = Cursor.of(cursor_at(long_ago - HISTORY))
    async with scene.feeds.listen(TENANT, Wanted(), cursor) as listener:
        told = await heard(listener, len(ALL))
    assert {each.notice.processing_id for each in told} == {newer.processing_id}


async def test_who_is_too_slow_is_let_go_and_comes_back(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "MOST_BEHIND", 10)
    async with scene.feeds.listen(TENANT, Wanted()) as listener, scene.feeds.listen(TENANT, Wanted()) as quick:
        cursor = listener.cursor
        for _ in range(3):
            await scene.converted()
            await heard(quick, len(ALL))
        with pytest.raises(TooSlow):
            await listener.next(0)
    assert cursor is not None
    async with scene.feeds.listen(TENANT, Wanted(), Cursor.of(cursor)) as listener:
        assert len(await heard(listener, 3 * len(ALL))) == 3 * len(ALL)


async def test_a_job_that_is_begun_anew_is_told_with_all_that_was_before(scene: Scene) -> None:
    submission, _ = await scene.world.uploaded()
    job = submission.job
    image = await scene.world.jobs.get_image(TENANT, job.unique_id)
    async with scene.feeds.listen(TENANT, Wanted()) as listener:
        await scene.world.jobs.accept(image, job, Source(etag="e", size=5), 2**40)
        for token in ("one", "another"):
            lease = Lease(token=token, owner="pod", expires_at=0)
            await scene.world.jobs.claim(job.processing_id, lease, clock.now(), "maker")
        assert kinds(await heard(listener, 3)) == ["uploaded", "processing", "processing"]


async def test_at_the_end_whoever_listens_is_woken(scene: Scene) -> None:
    async with scene.feeds.listen(TENANT, Wanted()) as listener:
        waits = asyncio.create_task(listener.next(LONG))
        await scene.looked()
        scene.feeds.end()
        assert await waits == []
    assert scene.feeds.ended


async def test_a_feed_that_cannot_begin_says_so_and_leaves_nothing(scene: Scene) -> None:
    scene.changes.broken = True
    with pytest.raises(Unavailable):
        async with scene.feeds.listen(TENANT, Wanted()):
            pass
    assert scene.feeds._feeds == {}


async def test_what_is_remembered_has_an_end(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "REMEMBERED", 2)
    for late in ("LATE", "USUALLY_LATE"):
        monkeypatch.setattr(feeds, late, timedelta(milliseconds=200))
    async with scene.feeds.listen(TENANT, Wanted()) as listener:
        for _ in range(4):
            await scene.converted()
            await heard(listener, len(ALL))

        async def forgotten() -> bool:
            return len(listener.feed._known) == 2

        await eventually(forgotten)


@pytest.mark.parametrize("text", ["", "x", "1767323045000", "1767323045000-a~x", "1767323045000-a~"[:-1] + "~1"])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no id"):
        Cursor.of(text)
