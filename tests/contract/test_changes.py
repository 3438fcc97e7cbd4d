"""What has changed is found by when, and what it says now is read in one go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from processor import clock
from processor.jobs import Image, Job
from processor.moments import Kind
from processor.notices import notices_of
from processor.ports.changes import IMAGE_PREFIX, Change, ChangeStore, version_of
from processor.stores.changes import DynamoChanges
from processor.stores.memory import MemoryChanges, MemoryJobStore
from processor.stores.table import Table
from tests.contract.conftest import Records
from tests.contract.test_jobs import accept, claim, completed, create, successor

pytestmark = pytest.mark.asyncio(loop_scope="session")

LONG_AGO = timedelta(hours=1)


@dataclass
class Changes:
    """The store, and all of what it says has changed."""

    store: ChangeStore
    tenant: str

    async def since(self, moment: datetime | None = None, rows: int = 500) -> Sequence[Change]:
        pages = self.store.since(self.tenant, moment or clock.now() - LONG_AGO, rows=rows)
        return [change async for page in pages for change in page]


@pytest.fixture
def changes(records: Records) -> Changes:
    if isinstance(records.store, MemoryJobStore):
        return Changes(MemoryChanges(records.store), records.tenant)
    assert records.backend.service is not None
    assert records.backend.made is not None
    table = Table(records.backend.service, records.backend.made.names.table, now=records.clock)
    return Changes(DynamoChanges(table), records.tenant)


async def test_a_job_is_found_once_by_its_last_change_and_not_before_its_upload_has_come(
    records: Records, changes: Changes
) -> None:
    _, pending = await create(records)
    _, uploaded = await accept(records)
    _, working, held = await claim(records)
    await records.store.finish(completed(working), held)
    done = await records.store.get_job(records.tenant, working.processing_id)
    found = await changes.since()
    assert [(each.record, each.unique_id, each.at) for each in found] == [
        (job.processing_id, job.unique_id, job.updated_at) for job in (uploaded, done)
    ]
    assert pending.processing_id not in {each.record for each in found}


async def test_what_was_stored_so_far_is_a_change(records: Records, changes: Changes) -> None:
    _, working, held = await claim(records)
    await records.store.note(working.processing_id, held, completed(working).variants[:1])
    (found,) = await changes.since()
    (job,) = await changes.store.read(records.tenant, [found.record])
    assert found.at == job.updated_at >= working.updated_at
    assert [notice.kind for notice in notices_of(job)] == [Kind.UPLOADED, Kind.PROCESSING, Kind.VARIANT]


async def test_a_job_whose_place_another_took_is_found_beside_that(records: Records, changes: Changes) -> None:
    image, old, _ = await claim(records)
    new = successor(records, image)
    await records.store.replace(image, old, new)
    found = await changes.since()
    jobs = {job.processing_id: job for job in await changes.store.read(records.tenant, [each.record for each in found])}
    assert notices_of(jobs[old.processing_id])[-1].kind is Kind.SUPERSEDED
    assert [notice.kind for notice in notices_of(jobs[new.processing_id])] == [Kind.UPLOADED]


async def test_a_deleted_image_is_found_and_its_jobs_are_not(records: Records, changes: Changes) -> None:
    image, _ = await accept(records)
    dead = await records.store.tombstone(image, clock.now(), int(records.clock()) + 600)
    await records.store.forget_jobs(dead, clock.now())
    (found,) = await changes.since()
    assert (found.record, found.unique_id) == (IMAGE_PREFIX + image.unique_id, image.unique_id)
    (job,) = await changes.store.read(records.tenant, [found.record])
    assert [notice.kind for notice in notices_of(job)] == [Kind.DELETED]


async def test_pages_tell_what_changed_earlier_first_and_nothing_twice(records: Records, changes: Changes) -> None:
    jobs = [(await accept(records))[1] for _ in range(23)]
    whole, in_pages = await changes.since(), await changes.since(rows=4)
    assert in_pages == sorted(in_pages, key=lambda each: each.at)
    assert {each.record for each in in_pages} == {job.processing_id for job in jobs}
    assert len(in_pages) == len(whole) == len(jobs)
    later = await changes.since(whole[11].at)
    assert {each.record for each in later} == {each.record for each in whole if each.at >= whole[11].at}


async def test_another_tenants_records_are_as_good_as_none(records: Records, changes: Changes) -> None:
    image, job = await accept(records)
    stranger = Changes(changes.store, f"{records.tenant}-x")
    assert await stranger.since() == []
    asked = [job.processing_id, IMAGE_PREFIX + image.unique_id]
    assert await changes.store.read(stranger.tenant, asked) == []


async def test_hundreds_of_records_are_read_in_one_go_and_what_is_gone_is_left_out(
    records: Records, changes: Changes
) -> None:
    jobs: list[tuple[Image, Job]] = [await create(records) for _ in range(103)]
    names = [job.processing_id for _, job in jobs]
    found = await changes.store.read(records.tenant, [*names, "img_1_missing"])
    assert {job.processing_id for job in found} == set(names)
    assert set(await changes.store.versions([*names, "img_1_missing"])) == set(names)
    records.clock.passed = 365 * 24 * 3600
    assert await changes.store.read(records.tenant, names) == []
    assert await changes.store.versions(names) == {}


async def test_a_version_is_another_after_each_change(records: Records, changes: Changes) -> None:
    image, job, held = await claim(records)
    seen = [await changes.store.versions([job.processing_id])]
    await records.store.finish(replace(completed(job), updated_at=job.updated_at), held)
    seen.append(await changes.store.versions([job.processing_id]))
    done = await records.store.get_job(records.tenant, job.processing_id)
    await records.store.replace(image, done, successor(records, image))
    seen.append(await changes.store.versions([job.processing_id]))
    assert len({each[job.processing_id] for each in seen}) == len(seen)
    now = await records.store.get_job(records.tenant, job.processing_id)
    assert seen[-1] == {job.processing_id: version_of(now)}
