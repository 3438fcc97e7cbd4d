"""What bulk jobs expect of their records."""

from __future__ import annotations

import asyncio
import time
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio

from processor.bulk.changes import cancelled, new_job
from processor.errors import BulkNotFound, RecordChanged
from processor.jobs import Failure, JobStatus, Lease
from processor.ports.bulk import AllBulk, BulkFilter, BulkItem, BulkJob, BulkResult, BulkState
from processor.stores.bulk import DynamoBulkStore
from processor.stores.memory import MemoryBulkStore
from processor.stores.table import Table
from tests.contract.conftest import Backend, Clock

pytestmark = pytest.mark.asyncio(loop_scope="session")

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
CHOSEN = BulkFilter(status=JobStatus.FAILED, code="unavailable", created_from=MOMENT, created_to=MOMENT)


@pytest_asyncio.fixture(loop_scope="session")
async def store(backend: Backend) -> AllBulk:
    if not (backend.service and backend.made):
        return MemoryBulkStore()
    return DynamoBulkStore(Table(backend.service, backend.made.names.table))


@pytest.fixture
def tenant() -> str:
    return f"tenant-{uuid.uuid4().hex[:8]}"


def fresh(tenant: str, operation: str = "delete") -> BulkJob:
    return new_job(tenant, operation, CHOSEN, "key:a")


async def test_a_record_keeps_everything_and_forgets_what_it_has_no_more(store: AllBulk, tenant: str) -> None:
    job = fresh(tenant)
    await store.create(job)
    assert await store.get(tenant, job.bulk_id) == job
    full = replace(
        job,
        cancelled_by="key:b",
        state=BulkState.RUNNING,
        found=3,
        done=1,
        failed=1,
        pages=1,
        position="2026-01-02T03:04:05.678Z#img_1_a",
        planned=(BulkItem(unique_id="u", processing_id="img_1_a"),),
        planned_to="2026-01-02T03:04:05.678Z#img_1_b",
        paused_until=MOMENT,
        paused_for="unavailable",
        lease=Lease(token="t", owner="o", expires_at=1_700_000_000.125),
        attempts=2,
    )
    written = await store.save(full)
    assert written == replace(full, version=1)
    assert await store.get(tenant, job.bulk_id) == written
    emptied = await store.save(replace(job, version=1))
    assert emptied == replace(job, version=2)
    assert await store.get(tenant, job.bulk_id) == emptied


async def test_another_tenants_is_as_good_as_none(store: AllBulk, tenant: str) -> None:
    job = fresh(tenant)
    await store.create(job)
    for who, bulk_id in (("other", job.bulk_id), (tenant, "batch_1_a"), (tenant, "img_1_a"), (tenant, "")):
        with pytest.raises(BulkNotFound):
            await store.get(who, bulk_id)
    assert await store.list("other-" + tenant) == ()


async def test_a_tenant_has_one_open_one_of_each_operation(store: AllBulk, tenant: str) -> None:
    first = fresh(tenant)
    await store.create(first)
    with pytest.raises(RecordChanged):
        await store.create(fresh(tenant))
    await store.create(fresh(tenant, "process"))
    await store.create(fresh(f"{tenant}-2"))
    assert await store.open_of(tenant, "delete") == first.bulk_id
    ended = await store.save(cancelled(first, "key:b"))
    assert ended.state is BulkState.CANCELLED
    assert await store.open_of(tenant, "delete") is None
    await store.create(fresh(tenant))


async def test_of_many_starts_at_once_one_succeeds(backend: Backend, store: AllBulk, tenant: str) -> None:
    backend.skip_on("moto", because="it checks a condition and writes in two steps, between which others get in")
    starts = await asyncio.gather(*(store.create(fresh(tenant)) for _ in range(5)), return_exceptions=True)
    assert starts.count(None) == 1


async def test_whoever_was_overtaken_changes_nothing(store: AllBulk, tenant: str) -> None:
    job = fresh(tenant)
    await store.create(job)
    await store.save(replace(job, found=1))
    result = BulkResult(unique_id="u", processing_id="img_1_a")
    for late in (replace(job, found=9), replace(cancelled(job, "key:b"), found=9)):
        with pytest.raises(RecordChanged):
            await store.save(replace(late, pages=1), [result])
    present = await store.get(tenant, job.bulk_id)
    assert (present.found, present.version) == (1, 1)
    assert await store.results(present, 0) == ()
    assert await store.open_of(tenant, "delete") == job.bulk_id


async def test_results_come_page_by_page_with_the_record_that_counts_them(store: AllBulk, tenant: str) -> None:
    job = fresh(tenant)
    await store.create(job)
    pages = [
        [BulkResult(unique_id="u", processing_id="img_1_a", new_processing_id="img_2_a")],
        [
            BulkResult(unique_id=f"u{number}", processing_id="img_1_a", error=Failure(code="busy", message="Busy."))
            for number in range(25)
        ],
    ]
    for number, page in enumerate(pages):
        job = await store.save(replace(job, pages=number + 1), page)
    for number, page in enumerate(pages):
        assert await store.results(job, number) == tuple(page)
    assert await store.results(job, 2) == ()


async def test_a_tenants_are_listed_newest_first_and_open_ones_are_found_by_whoever_works(
    store: AllBulk, tenant: str
) -> None:
    first = replace(fresh(tenant), created_at=MOMENT, updated_at=MOMENT + timedelta(seconds=5))
    await store.create(first)
    second = replace(fresh(tenant, "process"), created_at=MOMENT + timedelta(seconds=1), updated_at=MOMENT)
    await store.create(second)
    assert await store.list(tenant) == (second, first)
    mine = [job for job in await store.open_jobs() if job.tenant == tenant]
    assert mine == [second, first]
    ended = await store.save(cancelled(second, "key:b"))
    assert [job for job in await store.open_jobs() if job.tenant == tenant] == [first]
    assert await store.list(tenant) == (ended, first)


async def test_what_has_ended_is_gone_after_a_week(backend: Backend, tenant: str) -> None:
    backend.skip_on("memory", because="its records outlive their time")
    assert backend.service is not None
    assert backend.made is not None
    later = Clock()
    store = DynamoBulkStore(Table(backend.service, backend.made.names.table, now=later))
    job = fresh(tenant)
    await store.create(job)
    job = await store.save(replace(job, pages=1), [BulkResult(unique_id="u", processing_id="img_1_a")])
    job = await store.save(cancelled(job, "key:b"))
    assert job.expires_at is not None
    assert abs(job.expires_at - time.time() - 7 * 24 * 3600) < 60
    later.passed = 7 * 24 * 3600 + 60
    with pytest.raises(BulkNotFound):
        await store.get(tenant, job.bulk_id)
    assert await store.list(tenant) == ()
    assert await store.results(job, 0) == ()
