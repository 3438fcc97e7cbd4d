"""Runs failed jobs again, and gives dead letters back to the queue, at a bounded pace."""

from __future__ import annotations

from dataclasses import dataclass, replace

from processor.catalog.images import Catalog
from processor.errors import Conflict, NotFound
from processor.jobs import Job, JobStatus
from processor.ports.jobs import JobPage, JobQuery, JobStore
from processor.ports.queue import MAX_DELAY_SECONDS, MessageQueue
from processor.ports.stores import Stores

#: Most messages that SQS hands out in one call (AWS, "Amazon SQS message quotas").
BATCH = 10
#: Most dead letters that one redrive looks at, those included that stay.
MAX_SEEN = 1000
#: Length of a poll of the dead-letter queue, in seconds. One that waits asks every server of SQS, so that no answer
#: means that nothing is left (AWS, "Amazon SQS short and long polling").
POLL_SECONDS = 1
#: How long a dead letter is hidden while it is moved. A move that is cut short leaves it where it was.
MOVE_SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class RedrivePlan:
    """What to redrive: at most `limit` failed jobs, those with `code` or all, and as many dead letters without it."""

    tenant: str
    limit: int
    #: How many jobs and messages become visible to the workers in a second.
    per_second: int
    code: str | None = None
    #: Report what would be done, and do nothing.
    dry_run: bool = True
    #: Position of the last failed job already seen.
    after: str | None = None

    @property
    def query(self) -> JobQuery:
        """The query for failed jobs. A job that fails again keeps its position behind the cursor, so paging ends."""
        return JobQuery(tenant=self.tenant, limit=self.limit, status=JobStatus.FAILED, after=self.after)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedrivenJob:
    """What became of one failed job: neither a new job nor a refusal in a dry run."""

    job: Job
    new_processing_id: str | None = None
    #: Code of the error that prevented a new job.
    refused: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Redrive:
    """What was done, or would be; `messages` counts the dead letters."""

    jobs: tuple[RedrivenJob, ...]
    messages: int
    next_after: str | None
    #: How much was read to find them.
    read_bytes: int = 0

    @property
    def redriven(self) -> int:
        """How many failed jobs have a new one."""
        return sum(each.new_processing_id is not None for each in self.jobs)


async def list_failed(jobs: JobStore, query: JobQuery, code: str | None) -> JobPage:
    """A page of failed current jobs, less those with another code than `code`. Raises `Unavailable`."""
    page = await jobs.list(replace(query, status=JobStatus.FAILED))
    return replace(page, jobs=tuple(job for job in page.jobs if code is None or _code(job) == code))


async def redrive(stores: Stores, catalog: Catalog, plan: RedrivePlan) -> Redrive:
    """Make a new job in place of each failed one, then move dead letters back to the queue.

    Safe to repeat and to run twice at once: a job is replaced on the condition that it is current and failed, and a
    message that is moved twice is a duplicate to the workers. Raises `Unavailable`; what was done until then stays.
    """
    page = await list_failed(stores.jobs, plan.query, plan.code)
    if plan.dry_run:
        waiting = await _waiting(stores.dead_letters, plan)
        found = tuple(RedrivenJob(job=job) for job in page.jobs)
        return Redrive(jobs=found, messages=waiting, next_after=page.next_after, read_bytes=page.read_bytes)
    done: list[RedrivenJob] = []
    queued = 0
    # Before the messages: those then find the new jobs, where they would have taken up the failed ones again.
    for job in page.jobs:
        done.append(await _again(catalog, job, _delay(queued, plan.per_second)))
        queued += done[-1].new_processing_id is not None
    moved = await _move(stores, plan, queued)
    return Redrive(jobs=tuple(done), messages=moved, next_after=page.next_after, read_bytes=page.read_bytes)


async def _again(catalog: Catalog, job: Job, delay_seconds: int) -> RedrivenJob:
    try:
        new = await catalog.reprocess(
            job.tenant, job.unique_id, delay_seconds=delay_seconds, instead_of=job.processing_id
        )
    except (NotFound, Conflict) as error:
        return RedrivenJob(job=job, refused=error.code)
    return RedrivenJob(job=job, new_processing_id=new.processing_id)


async def _waiting(dead_letters: MessageQueue | None, plan: RedrivePlan) -> int:
    if dead_letters is None or plan.code is not None:
        return 0
    return min(plan.limit, (await dead_letters.depth()).waiting)


async def _move(stores: Stores, plan: RedrivePlan, queued: int) -> int:
    """Move dead letters behind what is queued already. Returns how many were moved.

    A dead letter is settled after it was sent to the queue. If the process dies in between, it is in both. A letter
    with a reason cannot be read and would only come back, so it stays.
    """
    dead_letters, moved, seen = stores.dead_letters, 0, 0
    if dead_letters is None or plan.code is not None:
        return 0
    while moved < plan.limit and seen < MAX_SEEN:
        messages = await dead_letters.receive(
            min(BATCH, plan.limit - moved), wait_seconds=POLL_SECONDS, visibility_seconds=MOVE_SECONDS
        )
        if not messages:
            break
        seen += len(messages)
        returning = [message for message in messages if not message.reason]
        for message in returning:
            await stores.queue.send(message.body, delay_seconds=_delay(queued + moved, plan.per_second))
            moved += 1
        if returning:
            await dead_letters.settle([message.receipt for message in returning])
    return moved


def _delay(queued: int, per_second: int) -> int:
    """The delay in seconds of a message, after so many others."""
    return min(queued // per_second, MAX_DELAY_SECONDS)


def _code(job: Job) -> str | None:
    return None if job.error is None else job.error.code
