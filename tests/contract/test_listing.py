"""What a listing promises."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from processor import clock
from processor.jobs import Job, JobStatus, Lease, Source, first_image, new_processing_id, next_job, pending_job
from processor.ports.jobs import JobPage, JobQuery
from processor.recipes import STANDARD
from processor.stores.records import job_item, to_wire
from processor.stores.schema import shard
from tests.contract.conftest import Records

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


async def create(records: Records, created_at: datetime, tenant: str | None = None) -> Job:
    """A pending image, created then."""
    unique_id = str(uuid.uuid4())
    job = pending_job(tenant or records.tenant, unique_id, f"uploads/{unique_id}.jpg", "a.jpg", recipe=STANDARD)
    processing_id = new_processing_id(created_at)
    job = replace(job, created_at=created_at, updated_at=created_at, processing_id=processing_id)
    await records.store.create(first_image(job), job)
    return job


async def create_many(records: Records, count: int) -> list[Job]:
    """Oldest first; every third of them in the same millisecond as the one before."""
    jobs = [await create(records, NOON + SECOND * (number - (number % 3 == 2))) for number in range(count)]
    return sorted(jobs, key=lambda job: (job.created_at, job.processing_id))


def query(records: Records, limit: int = 100, **how: Any) -> JobQuery:
    return JobQuery(**{"tenant": records.tenant, "limit": limit, **how})


def ids(jobs: Iterable[Job]) -> list[str]:
    return [job.processing_id for job in jobs]


async def pages(records: Records, asked: JobQuery) -> list[JobPage]:
    found = [await records.store.list(asked)]
    while found[-1].next_after is not None:
        found.append(await records.store.list(replace(asked, after=found[-1].next_after)))
    return found


@pytest.mark.parametrize("newest_first", [True, False])
async def test_jobs_are_listed_in_the_order_of_their_creation(records: Records, newest_first: bool) -> None:
    jobs = await create_many(records, 9)
    page = await records.store.list(query(records, newest_first=newest_first))
    assert list(page.jobs) == (jobs[::-1] if newest_first else jobs)
    assert page.next_after is None


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("limit", [1, 4, 5])
async def test_the_pages_together_are_the_whole_list(records: Records, newest_first: bool, limit: int) -> None:
    jobs = await create_many(records, 10)
    found = await pages(records, query(records, limit, newest_first=newest_first))
    assert [len(page.jobs) for page in found[:-1]] == [limit] * (len(found) - 1)
    assert len(found) == -(-10 // limit)
    listed = ids(job for page in found for job in page.jobs)
    assert listed == ids(jobs[::-1] if newest_first else jobs)


async def test_what_comes_between_two_pages_moves_nothing(records: Records) -> None:
    jobs = await create_many(records, 6)
    first = await records.store.list(query(records, 3))
    newer = await create(records, NOON + SECOND * 60)
    second = await records.store.list(query(records, 3, after=first.next_after))
    assert ids(first.jobs) + ids(second.jobs) == ids(jobs[::-1])
    assert newer.processing_id not in ids(second.jobs)


async def test_a_page_goes_on_where_its_last_row_was_even_if_that_row_is_gone(records: Records) -> None:
    jobs = await create_many(records, 6)
    first = await records.store.list(query(records, 3))
    last = first.jobs[-1]
    await records.store.tombstone(first_image(last), clock.now(), int(time.time()) + 3600)
    second = await records.store.list(query(records, 3, after=first.next_after))
    assert ids(second.jobs) == ids(jobs[2::-1])


async def test_a_tenant_sees_nobody_elses_jobs(records: Records) -> None:
    mine = await create(records, NOON)
    for other in (f"{records.tenant}#0", f"{records.tenant}#0#pending", f"{records.tenant}x", "#", records.tenant[:-1]):
        theirs = await create(records, NOON + SECOND, tenant=other)
        page = await records.store.list(query(records, tenant=other))
        assert theirs.processing_id in ids(page.jobs)
        assert mine.processing_id not in ids(page.jobs)
    assert ids((await records.store.list(query(records))).jobs) == [mine.processing_id]
    by_status = await records.store.list(query(records, status=JobStatus.PENDING))
    assert ids(by_status.jobs) == [mine.processing_id]


async def test_another_tenants_position_opens_nothing(records: Records) -> None:
    await create_many(records, 3)
    theirs = await records.store.list(query(records, 1))
    page = await records.store.list(query(records, tenant=f"{records.tenant}-other", after=theirs.next_after))
    assert (page.jobs, page.next_after) == ((), None)


async def test_the_bounds_in_time_are_included(records: Records) -> None:
    jobs = [await create(records, NOON + SECOND * number) for number in range(5)]
    cases: list[tuple[dict[str, Any], list[Job]]] = [
        ({"created_from": NOON + SECOND}, jobs[1:]),
        ({"created_to": NOON + SECOND}, jobs[:2]),
        ({"created_from": NOON + SECOND, "created_to": NOON + SECOND * 3}, jobs[1:4]),
        ({"created_from": NOON + SECOND, "created_to": NOON + SECOND}, jobs[1:2]),
        ({"created_from": NOON + SECOND + timedelta(microseconds=1)}, jobs[2:]),
        ({"created_to": NOON + SECOND - timedelta(microseconds=1)}, jobs[:1]),
        ({"created_from": NOON + SECOND * 3, "created_to": NOON}, []),
        ({"created_from": datetime.max.replace(tzinfo=UTC)}, []),
        ({"created_to": datetime.min.replace(tzinfo=UTC)}, []),
        ({"created_from": datetime.min.replace(tzinfo=UTC), "created_to": datetime.max.replace(tzinfo=UTC)}, jobs),
    ]
    for bounds, expected in cases:
        page = await records.store.list(query(records, newest_first=False, **bounds))
        assert ids(page.jobs) == ids(expected), bounds


async def test_the_bounds_hold_on_every_page(records: Records) -> None:
    jobs = [await create(records, NOON + SECOND * number) for number in range(7)]
    for newest_first in (True, False):
        bounds: dict[str, Any] = {"created_from": NOON + SECOND, "created_to": NOON + SECOND * 5}
        found = await pages(records, query(records, 2, newest_first=newest_first, **bounds))
        expected = jobs[5:0:-1] if newest_first else jobs[1:6]
        assert ids(job for page in found for job in page.jobs) == ids(expected)


async def test_a_position_outside_of_the_bounds_is_the_end_or_the_start(records: Records) -> None:
    jobs = [await create(records, NOON + SECOND * number) for number in range(3)]
    first = await records.store.list(query(records, 1, newest_first=False))
    beyond = await records.store.list(query(records, after=first.next_after, created_from=NOON + SECOND))
    assert beyond.jobs == ()
    before = query(records, newest_first=False, after=first.next_after, created_from=NOON + SECOND)
    assert ids((await records.store.list(before)).jobs) == ids(jobs[1:])


async def test_a_job_is_listed_by_the_status_that_it_has(records: Records) -> None:
    job = await create(records, NOON)
    image = first_image(job)
    store = records.store
    lease = Lease(token="t", owner="pod", expires_at=time.time() + 60)

    async def by_status() -> dict[JobStatus, list[str]]:
        found = {status: ids((await store.list(query(records, status=status))).jobs) for status in JobStatus}
        return {status: listed for status, listed in found.items() if listed}

    assert await by_status() == {JobStatus.PENDING: [job.processing_id]}
    await store.accept(image, job, Source(etag="e", size=1), job.expires_at)
    assert await by_status() == {JobStatus.UPLOADED: [job.processing_id]}
    claimed = await store.claim(job.processing_id, lease, clock.now(), "tests")
    assert await by_status() == {JobStatus.PROCESSING: [job.processing_id]}
    await store.finish(replace(claimed, status=JobStatus.COMPLETED), lease)
    assert await by_status() == {JobStatus.COMPLETED: [job.processing_id]}


async def process_again(records: Records, job: Job, *, as_of_old: bool = False) -> Job:
    """The image's next job. An earlier release listed an image by the job that was made last."""
    image = await records.store.image_of_any_tenant(job.unique_id)
    old = await records.store.job_of_any_tenant(image.current_job)
    new = next_job(image, old, Source(etag="e", size=1), timedelta(days=30), recipe=STANDARD)
    new = replace(new, place=None) if as_of_old else new
    await records.store.replace(image, old, new)
    return new


@pytest.mark.parametrize("newest_first", [True, False])
@pytest.mark.parametrize("status", [None, JobStatus.UPLOADED])
async def test_whatever_happens_between_two_pages_a_walk_misses_nothing_that_stays(
    records: Records, status: JobStatus | None, newest_first: bool
) -> None:
    *staying, deleted = [await process_again(records, job) for job in await create_many(records, 9)]
    seen: list[str] = []
    asked = query(records, 2, status=status, newest_first=newest_first)
    while True:
        page = await records.store.list(asked)
        seen += [job.unique_id for job in page.jobs]
        if page.next_after is None:
            break
        if asked.after is None:
            image = await records.store.image_of_any_tenant(deleted.unique_id)
            await records.store.tombstone(image, clock.now(), int(time.time()) + 3600)
        for job in staying:
            await process_again(records, job)
        await create(records, NOON - SECOND)
        await create(records, clock.now())
        asked = replace(asked, after=page.next_after)
    assert {job.unique_id for job in staying} <= set(seen)
    assert len(seen) == len(set(seen))


async def test_an_image_keeps_its_place_and_the_time_that_it_was_made(records: Records) -> None:
    jobs = await create_many(records, 4)
    for _ in range(2):
        await process_again(records, jobs[1])
    rows = (await records.store.list(query(records, newest_first=False))).jobs
    assert [row.unique_id for row in rows] == [job.unique_id for job in jobs]
    assert [row.listed_at for row in rows] == [job.created_at for job in jobs]
    assert rows[1].created_at > rows[3].created_at
    during = query(records, created_from=jobs[1].created_at, created_to=jobs[1].created_at)
    assert rows[1] in (await records.store.list(during)).jobs


async def test_a_row_of_an_earlier_release_stays_where_that_put_it(records: Records) -> None:
    jobs = await create_many(records, 3)
    moved = await process_again(records, jobs[0], as_of_old=True)
    before = [jobs[1].unique_id, jobs[2].unique_id, moved.unique_id]
    first, second, third = (await records.store.list(query(records, newest_first=False))).jobs
    assert [first.unique_id, second.unique_id, third.unique_id] == before
    assert third.listed_at == moved.created_at
    for job in jobs:
        await process_again(records, job)
    rows = (await records.store.list(query(records, newest_first=False))).jobs
    assert [row.unique_id for row in rows] == before
    assert [row.listed_at for row in rows] == [first.listed_at, second.listed_at, third.listed_at]


async def test_rows_as_an_earlier_release_wrote_them_are_listed_among_new_ones(records: Records) -> None:
    if records.backend.service is None or records.backend.made is None:
        pytest.skip("nothing in memory is older than this process")
    unique_id, number = "6f1f7a52-3a6e-4d0e-9a55-2f0c9b8c1d7e", 2
    shared = {"uniqueId": unique_id, "tenant": records.tenant, "filename": "a.jpg", "metadata": {}}
    image = {
        "processingId": f"upload_{unique_id}",
        **shared,
        "key": f"uploads/{unique_id}.jpg",
        "currentJob": "img_1772366405000_b",
        "jobIds": ["img_1772366400000_a", "img_1772366405000_b"],
        "sequencer": "0056",
        "createdAt": "2026-03-01T12:00:00.000Z",
    }
    again = {
        "processingId": "img_1772366405000_b",
        **shared,
        "originalKey": f"uploads/{unique_id}.jpg",
        "listKey": f"{records.tenant}#{number}",
        "statusKey": f"{records.tenant}#{number}#uploaded",
        "claimKey": f"{records.tenant}#{number}#processing",
        "sortKey": "2026-03-01T12:00:05.000Z#img_1772366405000_b",
        "status": "uploaded",
        "timestamp": "2026-03-01T12:00:05.000Z",
        "updatedAt": "2026-03-01T12:00:05.000Z",
        "ttl": int(time.time()) + 24 * 3600,
        "attempts": 0,
        "source": {"etag": "e", "size": 1, "sequencer": "0056", "eventTime": ""},
    }
    assert shard(unique_id) == number
    for item in (image, again):
        await records.backend.service.dynamodb.put_item(TableName=records.backend.made.names.table, Item=to_wire(item))
    new = [await create(records, NOON + SECOND * seconds) for seconds in (0, 4, 6)]
    expected = [new[0].unique_id, new[1].unique_id, unique_id, new[2].unique_id]
    for _ in range(3):
        for newest_first in (True, False):
            found = await pages(records, query(records, 1, newest_first=newest_first))
            seen = [job.unique_id for page in found for job in page.jobs]
            assert seen == (expected[::-1] if newest_first else expected)
        (old,) = (await records.store.list(query(records, status=JobStatus.UPLOADED))).jobs
        assert old.listed_at == NOON + SECOND * 5
        await process_again(records, old)


async def test_an_image_whose_job_expired_comes_back_to_its_first_place(records: Records) -> None:
    jobs = await create_many(records, 3)
    image = first_image(jobs[0])
    await records.store.replace(
        image, None, next_job(image, None, Source(etag="e", size=1), timedelta(days=30), recipe=STANDARD)
    )
    rows = [row for row in (await records.store.list(query(records))).jobs if row.status is JobStatus.UPLOADED]
    assert [row.position for row in rows] == [jobs[0].position]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 100])
async def test_an_index_that_knows_two_jobs_of_an_image_for_a_moment_shows_the_newer(
    records: Records, limit: int
) -> None:
    if records.backend.service is None or records.backend.made is None:
        pytest.skip("the store in memory has no index that could lag")
    jobs = await create_many(records, 3)
    newer = [await process_again(records, job) for job in jobs]
    dynamodb, table = records.backend.service.dynamodb, records.backend.made.names.table
    for job in jobs:
        await dynamodb.put_item(TableName=table, Item=to_wire(job_item(job)))
    found = await pages(records, query(records, limit, newest_first=False))
    assert ids(job for page in found for job in page.jobs) == ids(newer)


async def test_expired_jobs_neither_show_nor_end_a_list_early(records: Records) -> None:
    jobs = await create_many(records, 8)
    for job in jobs[:4]:
        image = first_image(job)
        source = Source(etag="e", size=1)
        await records.store.accept(image, job, source, job.expires_at + 24 * 3600)
    records.clock.passed = jobs[-1].expires_at - time.time() + 60
    found = await pages(records, query(records, 3))
    assert [ids(page.jobs) for page in found] == [ids(jobs[3:0:-1]), ids(jobs[:1])]
