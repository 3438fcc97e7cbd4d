"""Events come twenty times, in any order, to several services, some of whose clocks are wrong: one result each."""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from pathlib import Path

import aiohttp
import pytest

from processor import clock
from processor.catalog.reconcile import Reconciler
from processor.catalog.uploads import UploadRequest, Uploads
from processor.catalog.verify import Verifier
from processor.events import SourceArrived, parse
from processor.jobs import Terms
from processor.ports.stores import AllStores
from tests import corpus
from tests.faults.conftest import VISIBILITY_SECONDS, new_stage
from tests.fleet import ServiceProcess, Stage, assert_nothing_is_amiss, run_service
from tests.local_aws import LocalAws
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

GOOD = corpus.jpeg(corpus.large(600, 450))
NEWER = corpus.jpeg(corpus.large(450, 600))
HOSTILE = corpus.damage.cut(GOOD, 0.9)
SKEWED = (sys.executable, "-m", "tests.faults.skewed_service")
#: What is uploaded to each of six URLs, one after the other.
UPLOADS: tuple[tuple[bytes, ...], ...] = ((GOOD,), (HOSTILE,), (GOOD,), (GOOD, NEWER), (HOSTILE, GOOD), (GOOD, HOSTILE))
#: The last one counts.
RIGHT_ENDS = ["completed", "corrupt_image", "completed", "completed", "completed", "corrupt_image"]


async def _upload(stores: AllStores, session: aiohttp.ClientSession) -> list[str]:
    """Upload everything before any service runs; the images' ids."""
    unique_ids = []
    for pictures in UPLOADS:
        terms = Terms(content_type="image/jpeg")
        request = UploadRequest(filename="photo.jpg", extension="jpg", terms=terms, expires_in_seconds=3600)
        submission = await Uploads(stores=stores, max_bytes=2**20).submit("default", request)
        for picture in pictures:
            signed = submission.upload
            async with session.put(signed.url, data=picture, headers=dict(signed.headers)) as answer:
                assert answer.status == 200, await answer.text()
        unique_ids.append(submission.job.unique_id)
    return unique_ids


async def _events(stores: AllStores) -> list[str]:
    """The event of every upload, taken out of the queue."""
    count = sum(len(pictures) for pictures in UPLOADS)
    bodies: list[str] = []

    async def collected() -> bool:
        messages = await stores.queue.receive(10, wait_seconds=1, visibility_seconds=60)
        bodies.extend(each.body for each in messages if any(isinstance(e, SourceArrived) for e in parse(each.body)))
        await stores.queue.settle([each.receipt for each in messages])
        return len(bodies) == count

    await eventually(collected, what="every event")
    return bodies


async def _send(stores: AllStores, events: Sequence[str], times: int) -> None:
    """Put so many copies of every event into the queue, shuffled."""
    copies = [*events] * times
    random.Random(20_260_101).shuffle(copies)
    for body in copies:
        await stores.queue.send(body)


async def _ends(stores: AllStores, unique_ids: Sequence[str]) -> list[str]:
    """What became of the current job of every image; empty while one of them has not ended."""
    images = [await stores.jobs.image_of_any_tenant(each) for each in unique_ids]
    jobs = [await stores.jobs.job_of_any_tenant(image.current_job) for image in images]
    if not all(job.ended for job in jobs):
        return []
    return [job.error.code if job.error else job.status.value for job in jobs]


async def _assert_the_newest_bytes_won(stores: AllStores, unique_ids: Sequence[str]) -> None:
    newest = await stores.jobs.job_of_any_tenant((await stores.jobs.image_of_any_tenant(unique_ids[3])).current_job)
    assert {variant.name: variant.height for variant in newest.variants}["webp"] == 600


def _outcomes(*log_files: Path) -> Counter[tuple[str, str]]:
    """How often each job ended how, in all services together."""
    lines = [json.loads(line) for file in log_files for line in file.read_text().splitlines() if line.startswith("{")]
    handled = [line for line in lines if line["event"] == "Event handled"]
    return Counter((line.get("processingId", ""), line["outcome"]) for line in handled)


async def _drained(stores: AllStores) -> bool:
    depth = await stores.queue.depth()
    return depth.waiting == depth.in_flight == 0


@pytest.mark.slow
async def test_twenty_copies_of_every_event_in_any_order_make_one_result_each(
    emulator: LocalAws, session: aiohttp.ClientSession, tmp_path: Path
) -> None:
    stage = await new_stage(emulator)
    logs = [tmp_path / "one.log", tmp_path / "other.log"]
    async with stage.stores() as stores:
        unique_ids = await _upload(stores, session)
        await _send(stores, await _events(stores), 20)
        async with AsyncExitStack() as stack:
            for log_file in logs:
                await stack.enter_async_context(
                    run_service(stage, session, log_file, VISIBILITY_SECONDS=str(VISIBILITY_SECONDS))
                )
            await eventually(lambda: _drained(stores), what="an empty queue")
            assert await _ends(stores, unique_ids) == RIGHT_ENDS
            await _assert_the_newest_bytes_won(stores, unique_ids)
            await assert_nothing_is_amiss(stores, stage.made.names.source_bucket)
    results = {each: count for each, count in _outcomes(*logs).items() if each[1] in ("completed", "failed")}
    assert set(results.values()) == {1}
    assert sum(results.values()) >= len(UPLOADS)


@pytest.mark.slow
@pytest.mark.parametrize(
    "skew",
    [pytest.param(600, id="ten minutes fast"), pytest.param(-600, id="ten minutes slow")],
)
async def test_a_service_with_a_wrong_clock_beside_one_with_a_right_clock_makes_one_result_each(
    emulator: LocalAws, session: aiohttp.ClientSession, tmp_path: Path, skew: int
) -> None:
    stage = await new_stage(emulator)
    visibility = str(VISIBILITY_SECONDS)
    async with stage.stores() as stores:
        unique_ids = await _upload(stores, session)
        events = await _events(stores)
        wrong = run_service(
            *(stage, session, tmp_path / "wrong.log"),
            command=SKEWED,
            VISIBILITY_SECONDS=visibility,
            CLOCK_SKEW_SECONDS=str(skew),
        )
        right = run_service(stage, session, tmp_path / "right.log", VISIBILITY_SECONDS=visibility)
        async with wrong as one, right as other:
            for service, wrong_by in ((one, skew), (other, 0)):
                assert round(await _fresh_upload(service), -2) == wrong_by
            await _send(stores, events, 6)
            await eventually(lambda: _all_right(stores, unique_ids), what="the right end of every upload")
        await _assert_the_newest_bytes_won(stores, unique_ids)
        await _assert_nothing_is_amiss_but_hidden_duplicates(stores, stage)
    assert _outcomes(tmp_path / "wrong.log")
    assert _outcomes(tmp_path / "right.log")


async def _all_right(stores: AllStores, unique_ids: Sequence[str]) -> bool:
    return (await stores.queue.depth()).waiting == 0 and await _ends(stores, unique_ids) == RIGHT_ENDS


async def _assert_nothing_is_amiss_but_hidden_duplicates(stores: AllStores, stage: Stage) -> None:
    """A duplicate that meets a lease of another clock is hidden for as long as the clocks differ; none is dead."""
    bucket = stage.made.names.source_bucket
    reconciler = Reconciler(stores=stores, source_bucket=bucket, grace=timedelta(0), dry_run=True)
    assert [finding async for finding in reconciler.findings()] == []
    verifier = Verifier(stores=stores)
    differences = [each async for image in verifier.images() async for each in verifier.verify(image)]
    assert differences == []
    assert stores.dead_letters is not None
    assert (await stores.dead_letters.depth()).waiting == 0


async def _fresh_upload(service: ServiceProcess) -> float:
    """Upload through a URL that the service signed by its own clock; by how many seconds that clock is wrong."""
    issued = await service.put(GOOD)
    job = await service.settled(issued["processingId"])
    assert job["status"] == "completed"
    return (clock.from_iso(job["timestamp"]) - clock.now()).total_seconds()
