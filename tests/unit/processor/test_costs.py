"""What images cost is counted once, whatever is repeated, and by the day and the key that asked."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from processor import clock
from processor.costs import CALLER, Cost, DayOfUse, added_up
from processor.events import JobRequested
from processor.usage import today
from processor.work.outcomes import OutcomeKind
from tests.unit.world import World

numbers = st.integers(0, 2**40)
costs = st.builds(Cost, cpu_ms=numbers, pixels=numbers, bytes_in=numbers, bytes_out=numbers, bytes_saved=numbers)
uses = st.builds(
    DayOfUse,
    day=st.sampled_from(["2026-01-01", "2026-01-02"]),
    key_id=st.sampled_from(["", "a", "b"]),
    completed=numbers,
    failed=numbers,
    cost=costs,
)


@given(st.lists(uses, max_size=8), st.randoms())
def test_what_is_added_up_is_the_same_in_any_order_and_steps(used: list[DayOfUse], chance: object) -> None:
    shuffled = sorted(used, key=lambda _: chance.random())  # type: ignore[attr-defined]
    whole = added_up(used)
    assert added_up(shuffled) == whole
    assert added_up([*added_up(used[:3]), *used[3:]]) == whole
    assert len({(each.day, each.key_id) for each in whole}) == len(whole)
    assert all(DayOfUse.of_counts(each.day, each.key_id, each.counts) == each for each in whole)


async def test_a_job_tells_what_it_took_and_its_day_counts_it() -> None:
    world = World()
    submission, event = await world.uploaded(b"photo")
    assert (await world.converter.convert(event)).kind is OutcomeKind.COMPLETED
    job = await world.jobs.job_of_any_tenant(submission.job.processing_id)
    assert job.cost is not None
    assert (job.cost.bytes_in, job.cost.pixels) == (5, 12)
    assert job.cost.bytes_out == sum(variant.size for variant in job.variants)
    assert job.cost.bytes_saved == max(0, 5 - job.variants[-1].size)
    (day,) = world.jobs.used(job.tenant)
    assert day == DayOfUse(day=today(), completed=1, cost=job.cost)


async def test_a_message_that_comes_twice_and_a_job_that_fails_count_once() -> None:
    world = World()
    submission, event = await world.uploaded(b"photo")
    again = JobRequested(unique_id=submission.job.unique_id, processing_id=submission.job.processing_id)
    for each in (event, event, again):
        await world.converter.convert(each)
    (day,) = world.jobs.used(submission.job.tenant)
    assert (day.completed, day.failed) == (1, 0)


async def test_a_job_counts_for_the_key_that_asked_and_an_upload_again_for_that_of_the_image() -> None:
    world = World()
    token = CALLER.set("mfrggzdfmztwq2lk")
    try:
        submission, event = await world.uploaded(b"photo")
    finally:
        CALLER.reset(token)
    await world.converter.convert(event)
    job = await world.jobs.job_of_any_tenant(submission.job.processing_id)
    assert job.asked_by == "mfrggzdfmztwq2lk"
    assert [each.key_id for each in world.jobs.used(job.tenant)] == ["mfrggzdfmztwq2lk"]


def test_the_day_of_a_job_is_that_of_its_end_in_utc() -> None:
    late = clock.from_iso("2026-01-02T23:59:59.999Z")
    assert DayOfUse(day=late.date().isoformat()).day == "2026-01-02"
    assert replace(DayOfUse(day="x"), completed=2).counts["completed"] == 2
