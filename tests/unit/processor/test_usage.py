"""What a tenant has used and may use: counted once, whatever happens to an image."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from processor import clock
from processor.errors import CorruptImage, DailyLimitReached, ImageLimitReached, Throttled, Unavailable
from processor.events import JobRequested
from processor.images import unique_id_of
from processor.jobs import Image, Job
from processor.usage import Overrides, TenantRecord, Usage, today
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


@pytest.mark.parametrize("failed", [1, 2])
async def test_nothing_is_let_in_or_worked_on_before_it_can_be_counted(
    world: World, monkeypatch: pytest.MonkeyPatch, failed: int
) -> None:
    """Who asks so much of a counter that it refuses to count would else have no limit. First an upload is counted, then
    its pixels."""
    submission, event = await world.uploaded()
    calls: list[object] = []

    def full(write: Callable[..., Awaitable[TenantRecord]]) -> Callable[..., Awaitable[TenantRecord]]:
        async def once(*given: Any) -> TenantRecord:
            calls.append(given)
            if failed <= len(calls) < 2 * failed:  # a count that gives back as well is tried without that
                raise Throttled
            return await write(*given)

        return once

    for name in ("add", "trade"):
        monkeypatch.setattr(world.quota.store, name, full(getattr(world.quota.store, name)))
    with pytest.raises(Throttled):
        await world.converter.convert(event)
    assert world.renderer.rendered == []
    await world.converter.convert(event)
    assert (await world.catalog.status(TENANT, submission.job.processing_id)).status == "completed"
    assert await used(world) == Usage(day=today(), bytes=5, pixels=12, images=1)


async def test_what_cannot_be_given_back_stays_counted_and_changes_no_result(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    submission, event = await world.uploaded()

    async def away(*_: object) -> None:
        raise Unavailable

    for name in ("give_back", "trade"):
        monkeypatch.setattr(world.quota.store, name, away)
    await world.converter.convert(event)
    assert (await world.catalog.status(TENANT, submission.job.processing_id)).status == "completed"
    await world.catalog.delete(TENANT, submission.job.unique_id)
    assert await used(world) == Usage(day=today(), bytes=5, pixels=12, open=1, images=1)


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
    why = (await world.catalog.status(TENANT, submission.job.processing_id)).error
    assert why is not None
    assert why.limit is not None
    assert why.actual is not None
    assert why.actual > why.limit
    with pytest.raises((DailyLimitReached, ImageLimitReached)):
        await world.uploads.refresh(TENANT, submission.job.unique_id, 60)


async def test_an_image_that_is_counted_may_be_replaced_when_no_more_may_be_stored(world: World) -> None:
    submission, event = await world.uploaded(b"photo")
    await world.converter.convert(event)
    await world.quota.store.add(TENANT, Usage(day=today(), images=LIMITS.images))
    again = await world.converter.convert(await world.source.put(submission.job.original_key, b"other"))
    assert again.code is None


async def test_a_delete_that_meets_the_end_of_the_first_conversion_counts_right(world: World) -> None:
    submission, event = await world.uploaded()
    read = world.jobs.get_job

    async def read_and_be_overtaken(tenant: str, processing_id: str) -> Job:
        job = await read(tenant, processing_id)
        world.jobs.get_job = read  # type: ignore[method-assign]
        await world.converter.convert(event)
        return job

    world.jobs.get_job = read_and_be_overtaken  # type: ignore[method-assign]
    await world.catalog.delete(TENANT, submission.job.unique_id)
    assert (await used(world)).images == 0


async def test_an_upload_that_was_overwritten_before_anybody_looked_counts_once_in_any_order(world: World) -> None:
    for order in ((0, 1, 2), (2, 1, 0), (1, 1, 2, 0, 0)):
        submission = await world.submitted()
        before = (await used(world)).bytes
        key = submission.job.original_key
        events = [await world.source.put(key, body) for body in (b"photo", b"others", b"the last")]
        for number in order:
            await world.another_converter().convert(events[number])
        assert (await used(world)).bytes - before == 5 + 6 + 8


async def test_the_same_bytes_stored_again_count_again_and_their_message_twice_does_not(world: World) -> None:
    submission, event = await world.uploaded(b"photo")
    await world.converter.convert(event)
    again = await world.source.put(submission.job.original_key, b"photo")
    for _ in range(3):
        await world.converter.convert(again)
    assert await used(world) == Usage(day=today(), bytes=10, pixels=12, images=1)


async def test_a_forged_event_counts_nothing(world: World) -> None:
    _, event = await world.uploaded(b"photo")
    await world.converter.convert(event)
    for version in ("v99", "", "-"):
        await world.converter.convert(replace(event, etag="f" * 32, version=version))
        await world.converter.convert(replace(event, version=version))
    assert (await used(world)).bytes == 5


async def test_an_upload_to_a_deleted_image_counts_and_is_removed(world: World) -> None:
    submission = await world.submitted()
    await world.catalog.delete(TENANT, submission.job.unique_id)
    event = await world.source.put(submission.job.original_key, b"photo")
    await world.source.put(submission.job.original_key, b"others")
    for _ in range(2):
        await world.converter.convert(event)
    assert await used(world) == Usage(day=today(), bytes=11)
    assert await world.source.list("") == []


async def test_what_had_come_when_a_waiting_image_was_deleted_counts(world: World) -> None:
    _, event = await world.uploaded(b"photo")
    await world.catalog.delete(TENANT, unique_id_of(event.key) or "")
    await world.converter.convert(event)
    assert await used(world) == Usage(day=today(), bytes=5)


async def test_an_upload_that_is_processed_before_its_event_is_handled_counts_once(world: World) -> None:
    submission, event = await world.uploaded(b"photo")
    await world.converter.convert(event)
    other = await world.source.put(submission.job.original_key, b"others")
    await world.catalog.reprocess(TENANT, submission.job.unique_id)
    await world.converter.convert(other)
    assert (await used(world)).bytes == 5 + 6


async def test_a_refused_upload_is_neither_worked_on_nor_counted_when_its_message_comes_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever refused it died before it could be removed."""
    submission, event = await world.uploaded(b"photo")
    await world.quota.store.add(TENANT, Usage(day=today(), images=LIMITS.images))
    before = await used(world)

    async def die(*_: object, **__: object) -> tuple[str, ...]:
        raise ConnectionResetError

    with monkeypatch.context() as patch:
        patch.setattr(world.source, "purge", die)
        with pytest.raises(ConnectionResetError):
            await world.converter.convert(event)
    refused = await world.catalog.status(TENANT, submission.job.processing_id)
    assert (refused.status, refused.source) == ("failed", None)
    request = JobRequested(unique_id=submission.job.unique_id, processing_id=submission.job.processing_id)
    assert (await world.converter.convert(request)).kind == "duplicate"
    assert (await world.converter.convert(event)).code == "image_limit_reached"
    assert world.renderer.rendered == []
    assert await world.source.list("") == []
    assert await used(world) == replace(before, bytes=5, open=0)


async def test_a_delete_that_races_a_refusal_gives_a_reservation_back_once(world: World) -> None:
    """The delete reads the job while it is pending, and writes when the upload has been refused."""
    kept, (submission, event) = await world.submitted(), await world.uploaded(b"photo")
    await world.quota.store.add(TENANT, Usage(day=today(), images=LIMITS.images))
    read = world.jobs.get_job

    async def read_and_be_overtaken(tenant: str, processing_id: str) -> Job:
        job = await read(tenant, processing_id)
        world.jobs.get_job = read  # type: ignore[method-assign]
        await world.converter.convert(event)
        return job

    world.jobs.get_job = read_and_be_overtaken  # type: ignore[method-assign]
    await world.catalog.delete(TENANT, submission.job.unique_id)
    assert await used(world) == Usage(day=today(), bytes=5, open=1, images=LIMITS.images)
    assert (await world.catalog.status(TENANT, kept.job.processing_id)).status == "pending"


async def test_an_image_that_was_refused_goes_with_its_job(world: World) -> None:
    """Else a delete would later give back an image that never counted."""
    submission, event = await world.uploaded(b"photo")
    await world.quota.store.add(TENANT, Usage(day=today(), images=LIMITS.images))
    await world.converter.convert(event)
    image = await world.jobs.get_image(TENANT, submission.job.unique_id)
    assert image.expires_at == (await world.jobs.get_job(TENANT, image.current_job)).expires_at


async def test_a_reservation_whose_record_may_have_been_written_is_not_given_back(world: World) -> None:
    create = world.jobs.create

    async def lose_the_answer(image: Image, job: Job) -> None:
        await create(image, job)
        raise Unavailable

    world.jobs.create = lose_the_answer  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        await world.submitted()
    assert await used(world) == Usage(day=today(), open=1)


async def test_what_is_given_back_just_after_midnight_leaves_the_new_day_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "now", lambda: clock.from_iso("2026-05-04T23:59:59.000Z"))
    yesterday = Usage(day=today(), bytes=5, images=1)
    await world.quota.take(TENANT, yesterday)
    monkeypatch.setattr(clock, "now", lambda: clock.from_iso("2026-05-05T00:00:00.000Z"))
    await world.quota.take(TENANT, Usage(day=today(), bytes=7))
    await world.quota.give_back(TENANT, yesterday)
    assert await used(world) == Usage(day=today(), bytes=7)


OWED = Usage(day="2026-05-04", bytes=3, open=1)


@pytest.fixture
async def owing(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """On a day on which two uploads are open, one of which has just come."""
    monkeypatch.setattr(clock, "now", lambda: clock.from_iso("2026-05-04T12:00:00.000Z"))
    await world.quota.count(TENANT, OWED + OWED)
    world.quota.owe(TENANT, OWED)
    return world


async def test_what_is_owed_goes_with_the_next_count_in_one_write(
    owing: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    trades, trade = list[tuple[Any, ...]](), owing.quota.store.trade

    async def noted(*given: Any) -> TenantRecord | None:
        trades.append(given)
        return await trade(*given)

    monkeypatch.setattr(owing.quota.store, "trade", noted)
    work = Usage(day=today(), pixels=7)
    await owing.quota.take(TENANT, work)
    assert trades == [(TENANT, work, OWED)]
    assert await used(owing) == OWED + work


async def test_what_is_owed_is_given_back_once(owing: World) -> None:
    await owing.quota.take(TENANT, Usage(day=today(), pixels=7))
    await owing.quota.settle(TENANT)
    await owing.quota.take(TENANT, Usage(day=today(), pixels=7))
    assert await used(owing) == OWED + Usage(day=today(), pixels=14)


async def test_what_is_owed_is_given_back_at_the_end_where_nothing_was_counted(owing: World) -> None:
    await owing.quota.settle(TENANT)
    assert await used(owing) == OWED


async def test_debts_of_several_uploads_go_together(owing: World) -> None:
    owing.quota.owe(TENANT, OWED)
    await owing.quota.count(TENANT, Usage(day=today(), bytes=10))
    assert await used(owing) == Usage(day=today(), bytes=10)


async def test_what_is_owed_of_yesterday_leaves_today_alone(owing: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "now", lambda: clock.from_iso("2026-05-05T00:00:00.000Z"))
    await owing.quota.take(TENANT, Usage(day=today(), bytes=5, open=1))
    assert await used(owing) == Usage(day=today(), bytes=5, open=1)


async def test_more_is_owed_than_is_counted_and_the_count_is_made_all_the_same(owing: World) -> None:
    await owing.quota.give_back(TENANT, OWED + OWED)
    await owing.quota.take(TENANT, Usage(day=today(), pixels=7))
    assert await used(owing) == Usage(day=today(), pixels=7)


async def test_a_throttled_count_is_made_alone_and_the_debt_stays(
    owing: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(*_: object) -> None:
        raise Throttled

    with monkeypatch.context() as crowded:
        crowded.setattr(owing.quota.store, "trade", full)
        await owing.quota.take(TENANT, Usage(day=today(), pixels=7))
    assert await used(owing) == OWED + OWED + Usage(day=today(), pixels=7)
    await owing.quota.settle(TENANT)
    assert await used(owing) == OWED + Usage(day=today(), pixels=7)


async def test_a_count_whose_answer_is_lost_may_be_too_high_and_gives_back_once(
    owing: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    trade = owing.quota.store.trade

    async def lose_the_answer(*given: Any) -> None:
        await trade(*given)
        raise Unavailable

    monkeypatch.setattr(owing.quota.store, "trade", lose_the_answer)
    await owing.quota.take(TENANT, Usage(day=today(), pixels=7))
    await owing.quota.settle(TENANT)
    assert await used(owing) == OWED + Usage(day=today(), pixels=14)


async def test_what_a_refused_picture_had_reserved_is_given_back(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def corrupt(*_: object) -> None:
        raise CorruptImage

    _, event = await world.uploaded()
    monkeypatch.setattr(world.renderer, "render", corrupt)
    assert (await world.converter.convert(event)).code == "corrupt_image"
    assert (await used(world)).open == 0
