"""Works on bulk jobs: a few at once, at a limited rate, and not while uploads wait."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial

import structlog

from processor import clock
from processor.bulk import changes
from processor.bulk.changes import change
from processor.bulk.operations import Operation, matched_at, matches
from processor.errors import BulkNotFound, Busy, DailyLimitReached, LeaseLost, TrussError, Unavailable
from processor.jobs import Failure, Job, Lease
from processor.pauses import jittered, pause
from processor.ports.bulk import AllBulk, BulkItem, BulkJob, BulkResult, BulkState
from processor.ports.jobs import JobQuery, JobStore
from processor.ports.queue import MessageQueue
from processor.probe import NO_PROBES, Probes
from processor.races import races

#: Time between two looks for work, in seconds.
LOOK_SECONDS = 5.0
#: Bulk jobs at the same time in one process.
AT_ONCE = 2
#: After so many seconds, another bulk job has its turn.
SLICE_SECONDS = 30.0
#: Images that are planned and recorded together, and how many of them are in work at the same time.
PAGE, ITEMS_AT_ONCE = 25, 4
#: After so many pages without a match, the position is recorded.
EMPTY_PAGES = 20
#: Lists may lag by so many seconds.
LIST_LAG_SECONDS = 2.0
#: While more messages than this are visible, uploads wait. Then a page waits too, but at most so many seconds.
QUIET_MESSAGES, YIELD_SECONDS, YIELD_LOOK_SECONDS = 5, 30.0, 2.0
#: The pause of a bulk job after an outage or an unexpected error.
REST = timedelta(seconds=30)

log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class _Held:
    """A bulk job that this process has the lease of: its record after the last write."""

    job: BulkJob
    lease: Lease
    #: The reason for a pause: a dependency is away, or a limit is reached.
    trouble: TrussError | None = None


@dataclass(slots=True, kw_only=True)
class BulkRunner:
    """Runs until `drain`. If a process dies, another one continues its bulk jobs when their leases have expired."""

    store: AllBulk
    jobs: JobStore
    queue: MessageQueue
    operations: Mapping[str, Operation]
    #: Images of one bulk job in one second.
    per_second: int
    #: The length of a lease. It is three heartbeats long, so two may fail.
    lease_seconds: float
    probes: Probes = NO_PROBES
    owner: str = field(default_factory=lambda: f"{socket.gethostname()}/{os.getpid()}")
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._run(), name=f"bulk-{number}") for number in range(AT_ONCE)]

    async def drain(self, seconds: float) -> None:
        """Begin no further image, and wait at most `seconds` for those in work. Other processes do the rest."""
        self._stopping.set()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=seconds)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- which job

    async def _run(self) -> None:
        held: _Held | None = None
        while not self._stopping.is_set():
            held = await (self._look() if held else self._wait_for_one())
            if held is not None:
                await self._hold(held)

    async def _wait_for_one(self) -> _Held | None:
        """A bulk job to work on, or None when it is time to stop. Of the tasks that wait, one looks for all."""
        async with self._looking:
            while not self._stopping.is_set():
                if held := await self._look():
                    return held
                await pause(self._stopping, jittered(LOOK_SECONDS))
        return None

    async def _look(self) -> _Held | None:
        """A bulk job to work on, if there is one now."""
        try:
            return await self._take()
        except (Unavailable, Busy) as error:
            log.warning("Bulk jobs cannot be looked for", code=error.code)
        except Exception:
            log.exception("Looking for bulk jobs broke")
        return None

    async def work_once(self) -> bool:
        """Take a bulk job that nobody has the lease of, and work on it for a while. False if there is none.

        Raises `Busy`, `Unavailable`.
        """
        held = await self._take()
        if held is not None:
            await self._hold(held)
        return held is not None

    async def _hold(self, held: _Held) -> None:
        """Work on a bulk job for a while, and keep its lease."""
        work = asyncio.create_task(self._work(held))
        beat = asyncio.create_task(self._heartbeat(held, work))
        try:
            await asyncio.wait([work])
        finally:
            work.cancel()
            beat.cancel()
            await asyncio.gather(work, beat, return_exceptions=True)

    async def _take(self) -> _Held | None:
        now = clock.now()
        for found in await self.store.open_jobs():
            if not changes.may_be_taken(found, now):
                continue
            lease = Lease(token=secrets.token_hex(8), owner=self.owner, expires_at=time.time() + self.lease_seconds)
            with contextlib.suppress(LeaseLost, Busy, BulkNotFound):
                job = await change(self.store, found, partial(changes.taken, lease=lease))
                if job.open:
                    return _Held(job=job, lease=lease)
                _tell_end(job)
        return None

    # -- one job, for a while

    async def _work(self, held: _Held) -> None:
        until = time.monotonic() + SLICE_SECONDS
        rest: datetime | None = None
        try:
            while held.job.open and not held.job.rests and time.monotonic() < until and not self._stopping.is_set():
                await self._step(held)
                if held.trouble is not None:
                    rest = clock.now() + _how_long(held.trouble)
                    break
        except (Unavailable, Busy) as error:
            held.trouble, rest = error, clock.now() + REST
        except LeaseLost:
            return
        except Exception:
            log.exception("Bulk job broke", batchId=held.job.bulk_id)
            with contextlib.suppress(TrussError):
                await self._change(held, partial(changes.given_up, lease=held.lease, until=clock.now() + REST))
            return
        why = None if held.trouble is None else held.trouble.code
        with contextlib.suppress(TrussError):  # the lease expires by itself
            if held.job.open:
                await self._change(held, partial(changes.let_go, lease=held.lease, until=rest, why=why))
        if not held.job.open:
            _tell_end(held.job)

    async def _heartbeat(self, held: _Held, work: asyncio.Task[None]) -> None:
        """Renew the lease, and learn of a cancellation. Stop the work if the lease is lost."""
        while not work.done():
            await asyncio.sleep(self.lease_seconds / 3)
            lease = replace(held.lease, expires_at=time.time() + self.lease_seconds)
            try:
                await self._change(held, partial(changes.renewed, lease=lease))
            except (LeaseLost, BulkNotFound):
                work.cancel()
            except (Unavailable, Busy) as error:
                log.warning("Bulk job not renewed", code=error.code, batchId=held.job.bulk_id)

    async def _step(self, held: _Held) -> None:
        """Plan a page of images and do it, or end the job. Raises `LeaseLost`, `Busy`, `Unavailable`."""
        held.job = await self.store.get(held.job.tenant, held.job.bulk_id)  # a cancellation is written there
        if held.job.state is BulkState.CANCELLING:
            await self._change(held, lambda job: changes.ended(job, BulkState.CANCELLED))
            return
        if held.job.rests:
            return
        if not held.job.planned:
            await self._plan(held)
        if not held.job.planned:
            return
        await self._until_quiet(QUIET_MESSAGES)
        page, results = held.job.pages, await self._do(held)
        if results:
            to = partial(changes.come_further, lease=held.lease, page=page, results=results)
            await self._change(held, to, results)

    async def _plan(self, held: _Held) -> None:
        """Find the next images, and record them before the work. So a process that takes over knows them."""
        age = (clock.now() - held.job.created_at).total_seconds()
        if age < LIST_LAG_SECONDS:
            await pause(self._stopping, LIST_LAG_SECONDS - age)
        after = held.job.position
        items: list[BulkItem] = []
        for _ in range(EMPTY_PAGES):
            page = await self.jobs.list(_query(held.job, after))
            items = [_item(job) for job in page.jobs if _is_meant(held.job, job)]
            after = page.next_after
            if items or after is None or self._stopping.is_set():
                break
        await self._change(held, partial(changes.planned, lease=held.lease, items=items, to=after))

    async def _do(self, held: _Held) -> list[BulkResult]:
        """Do the planned images at the job's rate. Stop early at an outage, a limit, a cancellation or a shutdown."""
        results: list[BulkResult] = []
        places = asyncio.Semaphore(ITEMS_AT_ONCE)

        async def one(item: BulkItem) -> None:
            try:
                results.append(await self._result(held.job, item))
            except (Unavailable, DailyLimitReached) as error:
                held.trouble = error
            finally:
                places.release()

        async with asyncio.TaskGroup() as group:
            for item in held.job.planned:
                await places.acquire()
                if self.operations[held.job.operation].steps_back:
                    await self._until_quiet(0)
                if held.trouble or self._stopping.is_set() or held.job.state is BulkState.CANCELLING or held.job.rests:
                    places.release()
                    break
                group.create_task(one(item))
                await pause(self._stopping, 1 / self.per_second)
        return results

    async def _result(self, job: BulkJob, item: BulkItem) -> BulkResult:
        """The result for one image. Raises `Unavailable` and `DailyLimitReached`, which are not about the image."""
        with self.probes.span("item", call=f"bulk-{job.operation}", code="") as span:
            try:
                return await self._done(job, item)
            except (Unavailable, DailyLimitReached) as error:
                span.facts["code"] = error.code
                raise
            except TrussError as error:
                failure = Failure(code=error.code, message=error.message)
            except Exception:
                log.exception("Item of a bulk job failed", batchId=job.bulk_id, uniqueId=item.unique_id)
                failure = Failure(code=TrussError.code, message=TrussError().message)
            span.facts["code"] = failure.code
        return BulkResult(unique_id=item.unique_id, processing_id=item.processing_id, error=failure)

    async def _done(self, job: BulkJob, item: BulkItem) -> BulkResult:
        async for _ in races():
            with contextlib.suppress(Busy):
                return await self.operations[job.operation].do(job, item)
        raise Busy

    async def _until_quiet(self, most: int) -> None:
        """Wait until so few messages can be received, but not for ever."""
        until = time.monotonic() + YIELD_SECONDS
        while time.monotonic() < until and not self._stopping.is_set():
            if (await self.queue.depth()).visible <= most:
                return
            await pause(self._stopping, YIELD_LOOK_SECONDS)

    async def _change(self, held: _Held, to: changes.Change, results: Sequence[BulkResult] = ()) -> None:
        held.job = await change(self.store, held.job, to, results)


def _query(job: BulkJob, after: str | None) -> JobQuery:
    """Lists only images from before the bulk job, oldest first, so that no image is added behind the position."""
    ends = [moment for moment in (job.filter.created_to, job.created_at) if moment is not None]
    return JobQuery(
        tenant=job.tenant,
        limit=PAGE,
        status=job.filter.listed_status,
        newest_first=False,
        created_from=job.filter.created_from,
        created_to=min(ends),
        after=after,
    )


def _is_meant(job: BulkJob, found: Job) -> bool:
    return matches(job.filter, found) and (not job.filter.of_job or matched_at(job.created_at, found))


def _item(job: Job) -> BulkItem:
    return BulkItem(unique_id=job.unique_id, processing_id=job.processing_id)


def _how_long(trouble: TrussError) -> timedelta:
    return timedelta(seconds=trouble.retry_after) if isinstance(trouble, DailyLimitReached) else REST


def _tell_end(job: BulkJob) -> None:
    log.info(
        "Bulk job ended",
        batchId=job.bulk_id,
        tenant=job.tenant,
        operation=job.operation,
        state=job.state.value,
        found=job.found,
        done=job.done,
        failed=job.failed,
    )
