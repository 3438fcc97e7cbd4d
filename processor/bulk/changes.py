"""The changes of a bulk job's record. Each is a function from the present record to the next one."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from processor import clock
from processor.errors import Busy, LeaseLost, RecordChanged
from processor.jobs import Lease, epoch
from processor.ports.bulk import ASKED, KEPT, BulkFilter, BulkItem, BulkJob, BulkResult, BulkState, BulkStore
from processor.races import races

#: After so many tries without progress, the bulk job is the cause of the crashes.
MAX_ATTEMPTS = 20
#: Until when a bulk job rests that was told to.
NEVER = datetime(9999, 12, 31, tzinfo=UTC)

Change = Callable[[BulkJob], BulkJob]


async def change(store: BulkStore, job: BulkJob, to: Change, results: Sequence[BulkResult] = ()) -> BulkJob:
    """Apply a change. The result is the record after it. Raises what `to` raises, `Busy`, `Unavailable`."""
    async for _ in races():
        present = await store.get(job.tenant, job.bulk_id)
        changed = to(present)
        if changed == present:
            return present
        try:
            return await store.save(changed, results)
        except (RecordChanged, Busy):
            continue
    raise Busy


def new_job(tenant: str, operation: str, chosen: BulkFilter, started_by: str, preset: str | None = None) -> BulkJob:
    now = clock.now()
    return BulkJob(
        bulk_id=f"batch_{round(now.timestamp() * 1000)}_{secrets.token_hex(8)}",
        tenant=tenant,
        operation=operation,
        filter=chosen,
        preset=preset,
        started_by=started_by,
        created_at=now,
        updated_at=now,
    )


def may_be_taken(job: BulkJob, now: datetime) -> bool:
    """Whether nobody has the lease, and the job's pause is over."""
    free = job.lease is None or job.lease.expires_at < now.timestamp()
    due = job.paused_until is None or job.paused_until <= now or job.state is BulkState.CANCELLING
    return job.open and free and due


def taken(job: BulkJob, lease: Lease) -> BulkJob:
    """The job with a new lease. Raises `LeaseLost` if somebody else was faster."""
    now = clock.now()
    if not may_be_taken(job, now):
        raise LeaseLost
    if job.state is BulkState.CANCELLING:
        return ended(job, BulkState.CANCELLED)
    if job.attempts >= MAX_ATTEMPTS:
        return ended(job, BulkState.FAILED)
    return replace(
        job,
        state=BulkState.RUNNING,
        lease=lease,
        attempts=job.attempts + 1,
        paused_until=None,
        paused_for=None,
        updated_at=now,
    )


def renewed(job: BulkJob, lease: Lease) -> BulkJob:
    """Raises `LeaseLost`."""
    return replace(_held(job, lease), lease=lease)


def planned(job: BulkJob, lease: Lease, items: Sequence[BulkItem], to: str | None) -> BulkJob:
    """The job with its next images, and the position after them. Without images, it is at that position now.

    Raises `LeaseLost`.
    """
    job = replace(_held(job, lease), updated_at=clock.now())
    if items:
        return replace(job, planned=tuple(items), planned_to=to, found=job.found + len(items))
    return _gone_on(replace(job, planned_to=to))


def come_further(job: BulkJob, lease: Lease, page: int, results: Sequence[BulkResult]) -> BulkJob:
    """The job with the results of its page `page`. Raises `LeaseLost`."""
    job = _held(job, lease)
    if job.pages > page:  # the page was written, but the answer was lost
        return job
    left = _without(job.planned, {result.processing_id for result in results})
    job = replace(
        job,
        planned=left,
        pages=page + 1,
        done=job.done + sum(result.error is None for result in results),
        failed=job.failed + sum(result.error is not None for result in results),
        attempts=0,
        updated_at=clock.now(),
    )
    return job if left else _gone_on(job)


def told_to_rest(job: BulkJob) -> BulkJob:
    """A paused job. A job that has ended, or is being cancelled, is unchanged.

    The pause has no end that ever comes. So a process of an earlier release does not take the job either.
    """
    if not job.open or job.state is BulkState.CANCELLING:
        return job
    return replace(job, paused_until=NEVER, paused_for=ASKED, updated_at=clock.now())


def told_to_go_on(job: BulkJob) -> BulkJob:
    """A job that goes on. A job that was not paused by a client is unchanged."""
    return replace(job, paused_until=None, paused_for=None, updated_at=clock.now()) if job.rests else job


def let_go(job: BulkJob, lease: Lease, until: datetime | None = None, why: str | None = None) -> BulkJob:
    """The job without a lease, for any process, at once or after a pause. Raises `LeaseLost`."""
    job = _held(job, lease)
    if not job.open:
        return job
    if job.rests:
        until, why = job.paused_until, job.paused_for
    return replace(
        job,
        lease=None,
        attempts=max(0, job.attempts - 1),
        paused_until=until,
        paused_for=why,
        updated_at=clock.now(),
    )


def given_up(job: BulkJob, lease: Lease, until: datetime) -> BulkJob:
    """The job after an unexpected error. Raises `LeaseLost`."""
    job = _held(job, lease)
    return replace(job, lease=None, paused_until=job.paused_until if job.rests else until, updated_at=clock.now())


def cancelled(job: BulkJob, by: str) -> BulkJob:
    """The job, cancelled. It ends at once if nobody works on it. A job that has ended does not change."""
    if not job.open or job.state is BulkState.CANCELLING:
        return job
    job = replace(job, cancelled_by=by, updated_at=clock.now())
    held = job.lease is not None and job.lease.expires_at >= clock.now().timestamp()
    return replace(job, state=BulkState.CANCELLING) if held else ended(job, BulkState.CANCELLED)


def ended(job: BulkJob, state: BulkState) -> BulkJob:
    now = clock.now()
    return replace(
        job,
        state=state,
        lease=None,
        planned=(),
        paused_until=None,
        paused_for=None,
        updated_at=now,
        ended_at=now,
        expires_at=epoch(now + KEPT),
    )


def _held(job: BulkJob, lease: Lease) -> BulkJob:
    if job.lease is None or job.lease.token != lease.token:
        raise LeaseLost
    return job


def _gone_on(job: BulkJob) -> BulkJob:
    """The job without planned images: at its next position, or at its end."""
    if job.planned_to is None:
        return ended(job, BulkState.COMPLETED)
    return replace(job, position=job.planned_to, planned_to=None)


def _without(items: Sequence[BulkItem], done: Collection[str]) -> tuple[BulkItem, ...]:
    return tuple(item for item in items if item.processing_id not in done)
