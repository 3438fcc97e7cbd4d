"""What a tenant has used and may use: counted once, whatever happens to an image."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from processor import clock
from processor.errors import CorruptImage, DailyLimitReached, ImageLimitReached, Unavailable
from processor.jobs import Job
from processor.usage import Overrides, Usage, today
from tests.unit.world import LIMITS, TENANT, World, events_of


@pytest.fixture
def world() -> World:
    return World()


async def used(world: World) -> Usage:
    return (await world.quota.store.get(TENANT)).usage


async def test_an_upload_counts_its_bytes_its_pixels_and_one_image(world: World) -> None:
    _, event = await world.uploaded(b"photo")
    await world.converter.convert(event)
    assert await used(world) == Usage(day=today(), bytes=5, pixels=12, images=1)


async def test_a_duplicate_counts_nothing(world: World) -> None:
    _, event = await world.uploaded(b"photo")
    for _ in range(3):
        await world.converter.convert(event)
    assert (await used(world)).images == 1
    assert (await used(world)).bytes == 5


async def test_the_same_image_uploaded_or_converted_again_is_one_image(world: World) -> None:
    submission, event = await world.uploaded(b"photo")
    await world.converter.convert(event)
    await world.catalog.reprocess(TENANT, submission.job.unique_id)
    await world.converter.convert(events_of(world.queue.bodies[-1])[0])
    await world.converter.convert(await world.source.put(submission.job.original_key, b"other"))
    assert await used(world) == Usage(day=today(), bytes=10, pixels=36, images=1)


async def test_an_image_that_was_overtaken_before_it_ended_is_one_image(world: World) -> None:
    submission, first = await world.uploaded(b"photo")
    second = await world.source.put(submission.job.original_key, b"other")
    world.renderer.during = lambda: _ignore(world.another_converter().convert(second))
    await world.converter.convert(first)
    world.renderer.during = None
    await world.converter.convert(second)
    assert (await used(world)).images == 1


async def _ignore(work) -> None:  # type: ignore[no-untyped-def]
    await work


async def test_a_deleted_image_does_not_count_any_more_and_what_never_came_never_did(world: World) -> None:
    submission, event = await world.uploaded()
    await world.converter.convert(event)
    waiting = await world.submitted()
    await world.catalog.delete(TENANT, waiting.job.unique_id)
    assert (await used(world)).images == 1
    await world.catalog.delete(TENANT, submission.job.unique_id)
    assert (await used(world)).images == 0


async def test_a_count_that_cannot_be_kept_changes_no_result(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    submission, event = await world.uploaded()

    async def full(*_: object) -> None:
        raise Unavailable

    monkeypatch.setattr(world.quota.store, "add", full)
    await world.converter.convert(event)
    assert (await world.catalog.status(TENANT, submission.job.processing_id)).status == "completed"
    await world.catalog.delete(TENANT, submission.job.unique_id)


@pytest.mark.parametrize(
    "used",
    [Usage(bytes=LIMITS.bytes_per_day), Usage(pixels=LIMITS.megapixels_per_day * 1_000_000)],
)
async def test_a_day_that_is_used_up_refuses_uploads_and_work_until_midnight(
    world: World, used: Usage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now", lambda: clock.from_iso("2026-05-04T22:00:00.000Z"))
    submission, _ = await world.uploaded()
    await world.quota.store.add(TENANT, replace(used, day=today()))
    for attempt in (world.submitted(), world.catalog.reprocess(TENANT, submission.job.unique_id)):
        with pytest.raises(DailyLimitReached) as refused:
            await attempt
        assert refused.value.retry_after == 2 * 3600
    await world.submitted("another")
    monkeypatch.setattr(clock, "now", lambda: clock.from_iso("2026-05-05T00:00:00.000Z"))
    await world.submitted()


async def test_a_file_larger_than_what_is_left_of_the_day_is_refused_before_it_is_uploaded(world: World) -> None:
    await world.quota.store.add(TENANT, Usage(day=today(), bytes=9_000))
    await world.quota.check_upload(TENANT, 1_000)
    with pytest.raises(DailyLimitReached) as refused:
        await world.quota.check_upload(TENANT, 1_001)
    assert (refused.value.limit, refused.value.actual) == (10_000, 10_001)
    assert "limit is 10,000 bytes, and this would make 10,001" in refused.value.message


async def test_as_many_images_as_may_be_stored_and_no_more(world: World) -> None:
    await world.quota.store.add(TENANT, Usage(day=today(), images=LIMITS.images))
    with pytest.raises(ImageLimitReached) as refused:
        await world.submitted()
    assert (refused.value.limit, refused.value.actual) == (LIMITS.images, LIMITS.images + 1)
    await world.quota.store.set_overrides(TENANT, Overrides(images=LIMITS.images + 1))
    await world.submitted()


async def test_a_tenants_record_is_read_once_in_a_while(world: World) -> None:
    now = [0.0]
    world.quota.monotonic = lambda: now[0]
    await world.quota.check_upload(TENANT, None)
    await world.quota.store.add(TENANT, Usage(day=today(), images=LIMITS.images))
    await world.quota.check_upload(TENANT, None)
    now[0] = 5.0
    with pytest.raises(ImageLimitReached):
        await world.quota.check_upload(TENANT, None)


async def test_who_takes_sees_what_others_took_a_moment_ago(world: World) -> None:
    """A record that is remembered says that there is room; the write says that there is none."""
    world.quota.monotonic = lambda: 0.0
    await world.quota.check_upload(TENANT, None)
    full = Usage(day=today(), images=LIMITS.images)
    await world.quota.store.add(TENANT, full)
    with pytest.raises(ImageLimitReached):
        await world.submitted()
    assert await used(world) == full


def test_yesterdays_use_is_not_todays() -> None:
    yesterday = (clock.now() - timedelta(days=1)).date().isoformat()
    assert Usage(day=yesterday, bytes=1, pixels=2, images=3).on(today()) == Usage(day=today(), images=3)


async def test_bytes_count_whoever_ends_the_job(world: World) -> None:
    """An upload whose job is overtaken by a request for another one is counted by that one."""
    submission, event = await world.uploaded(b"photo")

    async def ask_again() -> None:
        world.renderer.during = None
        await world.catalog.reprocess(TENANT, submission.job.unique_id)

    world.renderer.during = ask_again
    await world.converter.convert(event)
    await world.converter.convert(event)
    assert await used(world) == Usage(day=today(), bytes=5, pixels=12, images=1)


async def test_a_failed_conversion_counts_the_pixels_that_were_worked_on(world: World) -> None:
    _, event = await world.uploaded(b"photo")

    async def break_off() -> None:
        raise CorruptImage

    world.renderer.during = break_off
    assert (await world.converter.convert(event)).code == "corrupt_image"
    assert await used(world) == Usage(day=today(), bytes=5, pixels=12, images=1)


@pytest.mark.parametrize(
    ("reached", "code"),
    [
        (Usage(bytes=LIMITS.bytes_per_day), "daily_limit_reached"),
        (Usage(images=LIMITS.images), "image_limit_reached"),
    ],
)
async def test_an_upload_by_a_url_from_before_the_limit_was_reached_fails_and_says_why(
    world: World, reached: Usage, code: str
) -> None:
    submission, event = await world.uploaded(b"photo")
    await world.quota.store.add(TENANT, replace(reached, day=today()))
    assert (await world.converter.convert(event)).code == code
    assert world.renderer.rendered == []
    with pytest.raises((DailyLimitReached, ImageLimitReached)):
        await world.catalog.refresh(TENANT, submission.job.unique_id, 60)


async def test_an_image_that_is_counted_may_be_replaced_when_no_more_may_be_stored(world: World) -> None:
    submission, event = await world.uploaded(b"photo")
    await world.converter.convert(event)
    await world.quota.store.add(TENANT, Usage(day=today(), images=LIMITS.images))
    again = await world.converter.convert(await world.source.put(submission.job.original_key, b"other"))
    assert again.code is None


async def test_a_delete_that_meets_the_end_of_the_first_conversion_counts_right(world: World) -> None:
    submission, event = await world.uploaded()
    read = world.jobs.get_job

    async def read_and_be_overtaken(processing_id: str) -> Job:
        job = await read(processing_id)
        world.jobs.get_job = read  # type: ignore[method-assign]
        await world.converter.convert(event)
        return job

    world.jobs.get_job = read_and_be_overtaken  # type: ignore[method-assign]
    await world.catalog.delete(TENANT, submission.job.unique_id)
    assert (await used(world)).images == 0
