"""Two stores, one table of transitions: the functions of the core, and the clauses that DynamoDB is sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor import clock
from processor.errors import Conflict, NotFound
from processor.images import source_key
from processor.jobs import (
    ACCEPT,
    AMEND,
    CHANGES,
    CLAIM,
    DECIDE,
    EXTEND,
    FAIL,
    FINISH,
    HOLD,
    NOT_THE_FILES_FAULT,
    PUBLISH,
    SUPERSEDE,
    TAKE_UP,
    TRANSITIONS,
    Decision,
    Failure,
    FormatSet,
    Image,
    Job,
    JobStatus,
    Lease,
    Source,
    Transition,
    decided,
    first_image,
    next_job,
    pending_job,
    published,
    withheld,
)
from processor.ports.jobs import AllJobs
from processor.recipes import STANDARD
from processor.stores.dynamodb import DynamoJobStore
from processor.stores.memory import MemoryJobStore
from processor.stores.records import from_wire
from processor.stores.schema import shard, status_key
from processor.stores.table import Table
from tests.searching import searching
from tests.unit.processor.stores.in_process import NAME, InProcessDynamo
from tests.unit.processor.stores.test_records import COMPLETED

TENANT = "acme"
DAY = 24 * 3600
RETENTION = timedelta(days=30)
MAKER = "libvips 8.18, 0.1.0"
#: Of a job that is over for good, and of one that may be taken up again.
CODES = ("corrupt_image", min(NOT_THE_FILES_FAULT))
IMAGES = [f"6f1f7a52-3a6e-4d0e-9a55-2f0c9b8c1d{number:02}" for number in range(2)]


@dataclass
class Time:
    """What time it is for everybody: a test alone lets it pass."""

    seconds: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def after(self, seconds: float) -> int:
        return int(self.seconds + seconds)


@contextmanager
def time_of_the_test() -> Iterator[Time]:
    with pytest.MonkeyPatch.context() as patch:
        time = Time()
        patch.setattr(clock, "now", time.now)
        yield time


def dynamo_store(time: Time, client: InProcessDynamo) -> DynamoJobStore:
    return DynamoJobStore(Table(SimpleNamespace(dynamodb=client, dynamodb_once=client), NAME, now=time))  # type: ignore[arg-type]


def pending(unique_id: str) -> Job:
    return pending_job(
        TENANT, unique_id, source_key(unique_id, "jpg"), "a.jpg", metadata={"album": "1"}, recipe=STANDARD
    )


def completed(job: Job) -> Job:
    return replace(
        job,
        status=JobStatus.COMPLETED,
        variants=COMPLETED.variants,
        manifest=COMPLETED.manifest,
        timings=COMPLETED.timings,
        updated_at=clock.now(),
    )


def needing_review(job: Job) -> Job:
    return withheld(owing(job), "preset", clock.now())


def approved(job: Job) -> Job:
    return decided(job, Decision.APPROVED, clock.now(), by="key:a")


def rejected(job: Job) -> Job:
    return decided(job, Decision.REJECTED, clock.now(), by="key:a", comment="No.")


def out_for_all(job: Job) -> Job:
    """An approved job with what it shows."""
    return published(job, COMPLETED.variants, clock.now(), job.expires_at)


def owing(job: Job) -> Job:
    return replace(completed(job), owed=("avif",))


def paid(job: Job) -> Job:
    """Nothing is owed any more."""
    made = FormatSet(format="avif", variants=COMPLETED.variants)
    return replace(job, owed=(), further=(made,), updated_at=clock.now())


def failed(job: Job, code: str) -> Job:
    why = Failure(code=code, message="No.")
    return replace(job, status=JobStatus.FAILED, error=why, updated_at=clock.now())


# -- each change out of each status ----------------------------------------------------------------------------------


@dataclass
class Subject:
    """One image in one store, its job brought into some status, and the lease that was last on it."""

    store: AllJobs
    time: Time
    image: Image
    job: Job
    lease: Lease

    @classmethod
    async def brought_into(cls, status: JobStatus, store: AllJobs, time: Time, *, owes: bool = False) -> Subject:
        """With `owes`, it has completed and was taken up for a further format."""
        job = pending(IMAGES[0])
        lease = Lease(token="t", owner="pod", expires_at=time.after(60))
        image = first_image(job)
        await store.create(image, job)
        if status is not JobStatus.PENDING:
            job = await store.accept(image, job, Source(etag="e", size=1), time.after(30 * DAY))
        if status not in (JobStatus.PENDING, JobStatus.UPLOADED):
            job = await store.claim(job.processing_id, lease, time.now(), MAKER)
        if status is JobStatus.COMPLETED:
            await store.finish(owing(job) if owes else completed(job), lease)
        if status in (JobStatus.NEEDS_REVIEW, JobStatus.REJECTED):
            await store.finish(needing_review(job), lease)
            job = await store.job_of_any_tenant(job.processing_id)
        if status is JobStatus.REJECTED:
            await store.decide(rejected(job))
        if owes:
            lease = replace(lease, token="v")
            job = await store.take_up(job.processing_id, lease, time.now())
        if status is JobStatus.FAILED:
            await store.finish(failed(job, min(NOT_THE_FILES_FAULT)), lease)
        stored = await store.job_of_any_tenant(job.processing_id)
        assert stored.status is status
        return cls(store, time, await store.image_of_any_tenant(image.unique_id), stored, lease)

    async def accept(self) -> object:
        job = replace(self.job, status=JobStatus.PENDING)  # as it was read, long ago
        return await self.store.accept(self.image, job, Source(etag="e", size=1), self.time.after(DAY))

    async def extend(self) -> object:
        return await self.store.extend(self.image, self.job, self.time.after(DAY))

    async def claim(self) -> object:
        self.time.seconds += 61
        return await self.store.claim(self.job.processing_id, replace(self.lease, token="u"), self.time.now(), MAKER)

    async def renew(self) -> None:
        await self.store.renew(self.job.processing_id, self.lease)

    async def finish(self) -> None:
        # Under a lease that has ended another run: the same outcome under the same is the same call again.
        lease = self.lease if self.job.lease else replace(self.lease, token="u")
        await self.store.finish(completed(self.job), lease)

    async def take_up(self) -> object:
        self.time.seconds += 61
        return await self.store.take_up(self.job.processing_id, replace(self.lease, token="w"), self.time.now())

    async def amend(self) -> None:
        lease = self.lease if self.job.lease else replace(self.lease, token="u")
        await self.store.amend(paid(replace(self.job, status=JobStatus.COMPLETED)), lease)

    async def fail(self) -> None:
        # For another reason: for the same at the same time, it is the same call again.
        await self.store.fail(replace(self.job, error=Failure(code="unavailable", message="Not queued.")))

    async def decide(self) -> None:
        self.time.seconds += 1
        # As it was when it waited; by another reviewer, for the same one would only repeat the call.
        waiting = replace(needing_review(self.job), moments=self.job.moments)
        await self.store.decide(decided(waiting, Decision.REJECTED, self.time.now(), by="key:b"))

    async def publish(self) -> None:
        job = self.job
        if job.status is JobStatus.NEEDS_REVIEW:
            await self.store.decide(approved(job))
        waiting = replace(needing_review(job), moments=job.moments)
        await self.store.publish(out_for_all(approved(waiting)))

    async def supersede(self) -> None:
        new = next_job(self.image, self.job, Source(etag="f", size=1), RETENTION, recipe=STANDARD)
        await self.store.replace(self.image, self.job, new)


#: How a store is asked for each change. What has ended may be superseded too, and stays what it is.
ASKED: list[tuple[Transition, Callable[[Subject], Awaitable[object]]]] = [
    (ACCEPT, Subject.accept),
    (EXTEND, Subject.extend),
    (CLAIM, Subject.claim),
    (HOLD, Subject.renew),
    (FINISH, Subject.finish),
    (FAIL, Subject.fail),
    (DECIDE, Subject.decide),
    (PUBLISH, Subject.publish),
    (TAKE_UP, Subject.take_up),
    (AMEND, Subject.amend),
]
#: Every status, and a completed job that is taken up for what it owes.
STATES = [*((status, False) for status in JobStatus), (JobStatus.COMPLETED, True)]
#: What is asked of a completed job that owes nothing, or on which there is no lease, is refused all the same.
IF_IT_OWES = (HOLD, TAKE_UP, AMEND)


def test_every_change_of_the_table_is_asked_for() -> None:
    assert {id(change) for change, _ in ASKED} | {id(SUPERSEDE)} == set(map(id, CHANGES))


def _store(kind: str, time: Time) -> AllJobs:
    return MemoryJobStore(now=time) if kind == "memory" else dynamo_store(time, InProcessDynamo())


@pytest.mark.parametrize(("status", "owes"), STATES)
@pytest.mark.parametrize(("change", "ask"), ASKED, ids=[ask.__name__ for _, ask in ASKED])
@pytest.mark.parametrize("kind", ["memory", "dynamodb"])
async def test_a_store_allows_what_the_table_allows_and_refuses_the_rest_in_its_words(
    kind: str, change: Transition, ask: Callable[[Subject], Awaitable[object]], status: JobStatus, owes: bool
) -> None:
    with time_of_the_test() as time:
        subject = await Subject.brought_into(status, _store(kind, time), time, owes=owes)
        nothing_owed = status is JobStatus.COMPLETED and not owes and change in IF_IT_OWES
        if status in change.sources and not nothing_owed:
            await ask(subject)
            found = (await subject.store.job_of_any_tenant(subject.job.processing_id)).status
            assert found in (change.targets or {status})
            return
        with pytest.raises(change.refusal) as refused:
            await ask(subject)
        assert type(refused.value) is change.refusal
        assert await subject.store.job_of_any_tenant(subject.job.processing_id) == subject.job


@pytest.mark.parametrize("status", JobStatus)
@pytest.mark.parametrize("kind", ["memory", "dynamodb"])
async def test_whoever_is_superseded_has_failed_unless_it_had_ended(kind: str, status: JobStatus) -> None:
    with time_of_the_test() as time:
        subject = await Subject.brought_into(status, _store(kind, time), time)
        await subject.supersede()
        found = (await subject.store.job_of_any_tenant(subject.job.processing_id)).status
        assert found in (SUPERSEDE.targets if status in SUPERSEDE.sources else {status})


@pytest.mark.parametrize("status", [JobStatus.PENDING, JobStatus.UPLOADED, JobStatus.PROCESSING])
@pytest.mark.parametrize("kind", ["memory", "dynamodb"])
async def test_no_run_ends_in_a_status_that_is_no_end(kind: str, status: JobStatus) -> None:
    with time_of_the_test() as time:
        subject = await Subject.brought_into(JobStatus.PROCESSING, _store(kind, time), time)
        with pytest.raises(ValueError, match=f"makes no job {status}"):
            await subject.store.finish(replace(subject.job, status=status), subject.lease)


# -- any sequence of changes -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Step:
    """One change that is asked for: of which image, over a record that was read so many changes ago."""

    name: str
    which: int = 0
    ago: int = 0
    number: int = 0


@dataclass
class Twins:
    """The same calls to both stores, with what anybody has read at any time: also what is not true any more."""

    time: Time
    client: InProcessDynamo = field(default_factory=InProcessDynamo)
    images: dict[str, list[Image]] = field(default_factory=dict)
    jobs: dict[str, list[Job]] = field(default_factory=dict)
    leases: list[Lease] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.memory = MemoryJobStore(now=self.time)
        self.dynamo = dynamo_store(self.time, self.client)

    async def both(self, call: Callable[[AllJobs], Awaitable[object]]) -> None:
        answers = [await _outcome(call(store)) for store in (self.memory, self.dynamo)]
        assert answers[0] == answers[1]
        await self.look()

    async def look(self) -> None:
        """What both show now is the same, and nobody has come there by another way than the table's."""
        for unique_id, seen in self.images.items():
            here, there = [await _outcome(store.image_of_any_tenant(unique_id)) for store in (self.memory, self.dynamo)]
            assert here == there
            if isinstance(here, Image) and here != seen[-1]:
                seen.append(here)
        for processing_id, known in self.jobs.items():
            found, twin = [
                await _outcome(store.job_of_any_tenant(processing_id)) for store in (self.memory, self.dynamo)
            ]
            assert found == twin
            if isinstance(found, Job) and found != known[-1]:
                before = known[-1].status
                assert found.status is before or found.status in TRANSITIONS[before]
                assert found.moments[: len(known[-1].moments)] == known[-1].moments
                known.append(found)
        self._compare_listings()

    def _compare_listings(self) -> None:
        """Both stores list the same current jobs, of those that live, under the same status."""
        listed = {
            item["processingId"]: item["statusKey"]
            for item in map(from_wire, self.client.items())
            if "claimKey" in item and item["ttl"] > self.time()
        }
        current = {
            job.processing_id: status_key(TENANT, shard(job.unique_id), job.status)
            for job in self.memory._jobs.values()
            if self.memory._is_current(job) and job.expires_at > self.time()
        }
        assert listed == current

    # -- what anybody may ask, of what he has read now or `ago`

    def image(self, step: Step) -> Image:
        views = list(self.images.values())[step.which % len(self.images)]
        return views[-1 - min(step.ago, len(views) - 1)]

    def job(self, step: Step) -> Job:
        """The image's current one, or any that was."""
        image = self.image(step)
        views = self.jobs[image.job_ids[step.number % len(image.job_ids)] if step.ago else image.current_job]
        return views[-1 - min(step.ago, len(views) - 1)]

    def lease(self, step: Step) -> Lease:
        """A new one; or that which was there last, as after an answer that was lost."""
        if step.ago and self.leases:
            return self.leases[-1]
        self.leases.append(Lease(token=f"t{len(self.leases)}", owner="pod", expires_at=self.time() + 60))
        return self.leases[-1]

    async def create(self, step: Step) -> None:
        unique_id = IMAGES[step.which % len(IMAGES)]
        job = pending(unique_id)
        if unique_id not in self.images:
            self.images[unique_id], self.jobs[job.processing_id] = [first_image(job)], [job]
        await self.both(lambda store: store.create(first_image(job), job))

    async def accept(self, step: Step) -> None:
        image, job, counted = self.image(step), self.job(step), step.number != 0
        source, expires_at = Source(etag=f"e{step.number}", size=step.number), self.time.after(30 * DAY)
        lease = self.lease(step) if step.number % 2 else None
        await self.both(
            lambda store: store.accept(image, job, source, expires_at, counted=counted, lease=lease, maker=MAKER)
        )

    async def replace(self, step: Step) -> None:
        image = self.image(step)
        views = self.jobs[image.current_job]
        gone = isinstance(await _outcome(self.memory.job_of_any_tenant(image.current_job)), str)
        old = None if gone else views[-1 - min(step.ago, len(views) - 1)]
        new = next_job(image, old, Source(etag=f"f{step.number}", size=step.number), RETENTION, recipe=STANDARD)
        self.jobs[new.processing_id] = [new]
        await self.both(lambda store: store.replace(image, old, new))

    async def extend(self, step: Step) -> None:
        image, job = self.image(step), self.job(step)
        await self.both(lambda store: store.extend(image, job, self.time.after(8 * DAY)))

    async def claim(self, step: Step) -> None:
        job, lease = self.job(step), self.lease(step)
        await self.both(lambda store: store.claim(job.processing_id, lease, self.time.now(), f"{MAKER}.{step.number}"))

    async def take_up(self, step: Step) -> None:
        job, lease = self.job(step), self.lease(step)
        await self.both(lambda store: store.take_up(job.processing_id, lease, self.time.now()))

    async def amend(self, step: Step) -> None:
        def outcome(job: Job) -> Job:
            job = replace(job, status=JobStatus.COMPLETED, updated_at=clock.now())
            return replace(paid(job), owed=("avif",)) if step.number == 3 else paid(job)

        await self.held(step, lambda store, job, lease: store.amend(outcome(job), lease))

    async def renew(self, step: Step) -> None:
        await self.held(step, lambda store, job, lease: store.renew(job.processing_id, lease))

    async def note(self, step: Step) -> None:
        variants = completed(self.job(step)).variants[: step.number % 2]
        await self.held(step, lambda store, job, lease: store.note(job.processing_id, lease, variants))

    async def release(self, step: Step) -> None:
        await self.held(step, lambda store, job, lease: store.release(job.processing_id, lease))

    async def finish(self, step: Step) -> None:
        def outcome(job: Job) -> Job:
            if step.number == 2:
                return replace(needing_review(job), updated_at=clock.now(), expires_at=self.time.after(30 * DAY))
            if step.number % 2:
                made = owing(job) if step.number == 3 else completed(job)
                return replace(made, expires_at=self.time.after(30 * DAY))
            return failed(job, CODES[job.attempts % 2])

        await self.held(step, lambda store, job, lease: store.finish(outcome(job), lease))

    async def decide(self, step: Step) -> None:
        job = self.job(step)
        if job.review is not None and job.review.decision is None:
            said = approved(job) if step.number % 2 else rejected(job)
            await self.both(lambda store: store.decide(said))

    async def publish(self, step: Step) -> None:
        job = self.job(step)
        if job.status is JobStatus.NEEDS_REVIEW and job.review is not None:
            out = out_for_all(job if job.is_decided else approved(job))
            await self.both(lambda store: store.publish(out))

    async def held(self, step: Step, change: Callable[[AllJobs, Job, Lease], Awaitable[object]]) -> None:
        """By its holder, or by whoever was the last to get a lease."""
        job = self.job(step)
        lease = job.lease or self.lease(step)
        await self.both(lambda store: change(store, job, replace(lease, expires_at=self.time() + 60)))

    async def fail(self, step: Step) -> None:
        lost = failed(self.job(step), CODES[step.number % 2])
        await self.both(lambda store: store.fail(lost))

    async def tombstone(self, step: Step) -> None:
        image, now, expires_at = self.image(step), self.time.now(), self.time.after(30 * DAY)
        await self.both(lambda store: store.tombstone(image, now, expires_at, uncounted=step.number % 2 == 0))

    async def forget(self, step: Step) -> None:
        image = self.image(step)
        if image.deleted_at:
            await self.both(lambda store: store.forget_jobs(image, self.time.now()))

    async def pass_time(self, step: Step) -> None:
        self.time.seconds += (60, 61, 8 * DAY, 31 * DAY)[step.number]
        await self.look()


async def _outcome(call: Awaitable[object]) -> object:
    """What a call returned, or the class of what it was refused with."""
    try:
        return await call
    except (Conflict, NotFound, ValueError) as refusal:
        return f"{type(refusal).__name__}"


#: How often each is asked for: the way to a job that has ended is long, and the way back from a delete there is none.
WEIGHTS = {
    "accept": 3,
    "claim": 4,
    "finish": 3,
    "replace": 2,
    "fail": 2,
    "decide": 2,
    "publish": 2,
    "take_up": 2,
    "amend": 2,
    "pass_time": 2,
    "create": 1,
    "extend": 1,
    "renew": 1,
    "note": 2,
    "release": 1,
    "tombstone": 1,
    "forget": 1,
}
STEP = st.builds(
    Step,
    name=st.sampled_from([name for name, weight in WEIGHTS.items() for _ in range(weight)]),
    which=st.sampled_from((0, 0, 0, 1)),
    ago=st.sampled_from((0, 0, 0, 1, 2)),
    number=st.integers(0, 3),
)
#: As far as most jobs come, or a part of it; then whatever may be.
WAY = st.integers(0, 3).flatmap(
    lambda far: st.tuples(
        *(st.builds(Step, st.just(name), number=st.integers(0, 3)) for name in ("accept", "claim", "finish")[:far])
    )
)
STEPS = st.tuples(WAY, st.lists(STEP, min_size=1, max_size=8)).map(lambda parts: [*parts[0], *parts[1]])


async def _tell(steps: list[Step]) -> None:
    with time_of_the_test() as time:
        twins = Twins(time)
        for step in (Step("create"), *steps):
            await getattr(twins, step.name)(step)


@given(STEPS)
@searching(250)
def test_both_stores_go_the_same_way_whatever_is_asked_in_whatever_order(steps: list[Step]) -> None:
    asyncio.run(_tell(steps))
