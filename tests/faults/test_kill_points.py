"""The process is killed right before or right after any step of its work: the next one brings everything to its end."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from processor.catalog.reconcile import FindingKind, Reconciler
from processor.moments import Kind
from processor.notices import notices_of
from tests import corpus
from tests.faults.conftest import VISIBILITY_SECONDS, new_stage, side_by_side
from tests.fleet import ServiceProcess, Stage, assert_nothing_is_amiss, empty, run_service
from tests.local_aws import LocalAws
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

GOOD = corpus.jpeg(corpus.photo(160, 120))
HOSTILE = corpus.damage.cut(GOOD, 0.9)
VARIANTS = ["thumbnail", "medium", "large", "webp"]
#: Services at once: they wait more than they compute.
CONCURRENCY = 6

#: In order; right after one step is right before the next. Four variants are stored together, and then the manifest.
CONVERSION = {
    "two steps": ("render:1:after", "finish:1:after"),
    "the other steps": (
        *("receive:1:after", "accept:1:before", "accept:1:after", "fetch:1:after", "store:2:after"),
        *("store:1:after", "store:4:after", "store:5:after", "settle:1:after"),
    ),
}
#: Of a job that owes AVIF, from the end of the one format to the end of the other: four more variants, and a manifest.
FURTHER = {
    "steps of its own": ("take-up:1:after", "render-spare:1:after", "store:6:after", "amend:1:before", "amend:1:after"),
    "steps that every job has": (
        *("finish:1:before", "finish:1:after", "store:9:after", "store:10:after", "settle:1:after"),
    ),
}
#: From the end of a job until a webhook has taken it.
TELLING = {
    "the first half": ("add-delivery:1:after", "send:1:after", "post:1:after"),
    "the second half": ("add-delivery:1:before", "send:1:before", "post:1:before", "update-delivery:1:after"),
}
#: From the beginning of a job until a webhook has taken all that happened to it: two events come together, then the
#: variants, each with a note before it, then the end.
AS_IT_HAPPENS = {
    "the first half": (
        *("note:1:after", "send:2:before", "finish:1:before"),
        *("accept:1:after", "add-delivery:1:before", "add-delivery:1:after", "add-delivery:2:after", "send:1:after"),
    ),
    "the second half": (
        *("send:2:after", "note:1:before", "add-delivery:3:before", "add-delivery:3:after", "send:3:before"),
        *("send:3:after", "post:1:before", "post:1:after", "post:2:after", "update-delivery:1:after"),
        *("finish:1:after", "add-delivery:7:after", "send:7:after"),
    ),
}
#: What a repeated DELETE answers, by where the first was cut short.
DELETION = {
    "tombstone:1:after": 200,
    "purge:1:after": 200,
    "purge:2:after": 200,
    "purge:3:after": 200,
    "delete-jobs:1:after": 200,
    "forget:1:after": 404,
}


#: Of an approval, and who brings it to its end: the same call again, or the queue after a while. By then the conversion
#: has stored four variants, held, and emptied one place; the manifest is the fifth that is stored.
APPROVAL = {
    "asked again": ("decide:1:after", "send:1:before", "copy:2:after", "publish:1:after"),
    "nobody asks": (
        "send:1:after",
        "copy:1:before",
        "copy:4:after",
        "store:5:after",
        "publish:1:after",
        "purge:2:before",
    ),
}


@dataclass(frozen=True, slots=True)
class Scene:
    """One stage, and the services that live and die on it."""

    stage: Stage
    session: aiohttp.ClientSession
    log_file: Path
    settings: dict[str, str] = field(default_factory=dict)

    @asynccontextmanager
    async def mortal(self, point: str) -> AsyncIterator[ServiceProcess]:
        """A service that has died at `point` when the block is over."""
        service = ServiceProcess(
            self.stage.environment(VISIBILITY_SECONDS=str(VISIBILITY_SECONDS), DIE_AT=point, **self.settings),
            self.session,
            self.log_file,
            command=(sys.executable, "-m", "tests.faults.dying_service"),
        )
        try:
            await service.start()
            yield service
            assert await service.ended() == -signal.SIGKILL
        finally:
            await service.kill()

    @asynccontextmanager
    async def ordinary(self) -> AsyncIterator[ServiceProcess]:
        """A service that lives."""
        settings: dict[str, Any] = {"VISIBILITY_SECONDS": str(VISIBILITY_SECONDS), **self.settings}
        async with run_service(self.stage, self.session, self.log_file, **settings) as service:
            yield service

    async def assert_nothing_is_amiss(self) -> None:
        async with self.stage.stores() as stores:
            await assert_nothing_is_amiss(stores, self.stage.made.names.source_bucket)


Play = Callable[[Scene, str], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Theatre:
    """Plays the same with every kill point, several at once, each on a stage of its own."""

    aws: LocalAws
    session: aiohttp.ClientSession
    folder: Path
    room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(CONCURRENCY))

    async def play(self, points: Iterable[str], play: Play, **settings: str) -> None:
        """Raises what `side_by_side` does."""
        logs = {point: self.folder / f"{point}.log" for point in points}
        await side_by_side({point: self._one(point, log, play, settings) for point, log in logs.items()}, logs)

    async def _one(self, point: str, log_file: Path, play: Play, settings: dict[str, str]) -> None:
        async with self.room:
            stage = await new_stage(self.aws)
            async with stage.stores() as stores:  # S3 begins with a test message, which would be the first step
                first = await stores.queue.receive(10, wait_seconds=1, visibility_seconds=60)
                await stores.queue.settle([message.receipt for message in first])
            await play(Scene(stage, self.session, log_file, settings), point)


@pytest.fixture
def theatre(emulator: LocalAws, session: aiohttp.ClientSession, tmp_path: Path) -> Theatre:
    return Theatre(emulator, session, tmp_path)


@pytest.mark.parametrize("steps", ["two steps", pytest.param("the other steps", marks=pytest.mark.slow)])
async def test_a_kill_at_any_step_of_a_conversion_leaves_a_job_that_the_next_service_completes(
    theatre: Theatre, steps: str
) -> None:
    async def play(scene: Scene, point: str) -> None:
        async with scene.mortal(point) as mortal:
            job = (await mortal.put(GOOD))["processingId"]
        async with scene.ordinary() as service:
            found = await service.settled(job)
            assert found["status"] == "completed", found
            assert list(found["processedImages"]) == VARIANTS
            await scene.assert_nothing_is_amiss()

    await theatre.play(CONVERSION[steps], play)


@pytest.mark.slow
@pytest.mark.parametrize("steps", FURTHER)
async def test_a_kill_between_two_formats_costs_neither_of_them(theatre: Theatre, steps: str) -> None:
    async def play(scene: Scene, point: str) -> None:
        async with scene.mortal(point) as mortal:
            job = (await mortal.put(GOOD))["processingId"]
        async with scene.ordinary() as service:

            async def both() -> Any:
                found = await service.settled(job)
                return found if found["otherFormats"]["avif"]["status"] != "pending" else None

            found = await eventually(both, what="both formats")
            assert (found["status"], found["otherFormats"]) == (
                "completed",
                {"avif": {"status": "completed", "error": None}},
            )
            assert list(found["processedImages"]) == VARIANTS
            assert [list(each["formats"]) for each in found["processedImages"].values()] == [["avif"]] * 4
            await scene.assert_nothing_is_amiss()

    await theatre.play(FURTHER[steps], play, OUTPUT_FORMATS="webp,avif")


@pytest.mark.slow
@pytest.mark.parametrize("steps", ["the first half", "the second half"])
async def test_a_kill_at_any_step_of_telling_leaves_an_end_that_a_webhook_is_told(theatre: Theatre, steps: str) -> None:
    async def play(scene: Scene, point: str) -> None:
        async with receiver() as (url, came):
            async with scene.mortal(point) as mortal:
                await mortal.call("POST", "/images/webhooks", json={"url": url}, expect=201)
                job = (await mortal.put(GOOD))["processingId"]
            async with scene.ordinary() as service:
                assert (await service.settled(job))["status"] == "completed"

                async def told() -> bool:
                    return bool(came)

                await eventually(told, what="the webhook's event")
                assert {(event["type"], event["data"]["processingId"]) for event in came} == {("image.completed", job)}
                assert len({event["id"] for event in came}) == 1
                await scene.assert_nothing_is_amiss()

    await theatre.play(TELLING[steps], play)


@pytest.mark.slow
@pytest.mark.parametrize("steps", AS_IT_HAPPENS)
async def test_a_kill_at_any_step_of_telling_as_it_happens_leaves_nothing_untold(theatre: Theatre, steps: str) -> None:
    async def play(scene: Scene, point: str) -> None:
        async with receiver() as (url, came):
            async with scene.mortal(point) as mortal:
                wanted = {"url": url, "events": [kind.value for kind in Kind]}
                await mortal.call("POST", "/images/webhooks", json=wanted, expect=201)
                job = (await mortal.put(GOOD))["processingId"]
            async with scene.ordinary() as service:
                assert (await service.settled(job))["status"] == "completed"
                async with scene.stage.stores() as stores:
                    happened = {each.id for each in notices_of(await stores.jobs.job_of_any_tenant(job))}
                assert len(happened) >= 7

                async def told() -> bool:
                    return happened <= {event["id"] for event in came}

                await eventually(told, what="all that happened")
                await scene.assert_nothing_is_amiss()

    await theatre.play(AS_IT_HAPPENS[steps], play, NOTED_FIRST="yes")


@asynccontextmanager
async def receiver() -> AsyncIterator[tuple[str, list[Any]]]:
    """Its URL, and the events that came."""
    came: list[Any] = []

    async def take(request: web.Request) -> web.Response:
        came.append(await request.json())
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/", take)
    async with TestServer(app) as server:
        yield str(server.make_url("/")), came


@pytest.mark.slow
async def test_a_kill_at_the_end_of_a_refusal_leaves_its_code(theatre: Theatre) -> None:
    async def play(scene: Scene, point: str) -> None:
        async with scene.mortal(point) as mortal:
            job = (await mortal.put(HOSTILE))["processingId"]
        async with scene.ordinary() as service:
            assert (await service.settled(job))["error"]["code"] == "corrupt_image"
            await scene.assert_nothing_is_amiss()

    await theatre.play(("finish:1:before", "finish:1:after"), play)


@pytest.mark.slow
async def test_a_kill_while_a_newer_upload_takes_over_leaves_one_result_of_the_newest_bytes(theatre: Theatre) -> None:
    async def play(scene: Scene, point: str) -> None:
        async with scene.mortal(point) as mortal:
            issued = await mortal.put(GOOD)
            await mortal.settled(issued["processingId"])
            newer = corpus.jpeg(corpus.photo(120, 160))
            async with scene.session.put(issued["uploadUrl"], data=newer, headers=issued["headers"]) as answer:
                assert answer.status == 200
        async with scene.ordinary() as service:
            async with scene.stage.stores() as stores:

                async def newest() -> str:
                    image = await stores.jobs.image_of_any_tenant(issued["uniqueId"])
                    return image.current_job if image.current_job != issued["processingId"] else ""

                found = await service.settled(await eventually(newest, what="a newer job"))
            assert found["status"] == "completed"
            assert found["processedImages"]["webp"]["height"] == 160
            assert (await service.call("GET", "/images/list"))["count"] == 1
            await scene.assert_nothing_is_amiss()

    await theatre.play(("replace:1:before", "replace:1:after", "claim:1:after", "store:7:after"), play)


@pytest.mark.slow
async def test_a_kill_of_the_second_try_too_is_mended_by_the_third(theatre: Theatre) -> None:
    async def play(scene: Scene, point: str) -> None:
        async with scene.mortal("render:1:before") as first:
            job = (await first.put(GOOD))["processingId"]
        async with scene.mortal(point):
            pass
        async with scene.ordinary() as service:
            found = await service.settled(job)
            assert found["status"] == "completed", found
            await scene.assert_nothing_is_amiss()

    await theatre.play(("render-suspect:1:before", "render-suspect:1:after", "store:2:after"), play)


@pytest.mark.slow
async def test_a_delete_that_was_cut_short_anywhere_is_finished_by_the_next(theatre: Theatre) -> None:
    async def play(scene: Scene, point: str) -> None:
        async with scene.mortal(point) as mortal:
            issued = await mortal.put(GOOD)
            await mortal.settled(issued["processingId"])
            async with scene.stage.stores() as stores:
                await empty(stores.queue)  # or the event would come back, and finish the delete before its repetition
            with pytest.raises(aiohttp.ClientError):
                await mortal.call("DELETE", f"/images/image/{issued['uniqueId']}")
        async with scene.ordinary() as service:
            await service.call("DELETE", f"/images/image/{issued['uniqueId']}", expect=DELETION[point])
            await service.call("GET", f"/images/status/{issued['processingId']}", expect=404)
            await service.call("DELETE", f"/images/image/{issued['uniqueId']}", expect=404)
            assert (await service.call("GET", "/images/list"))["count"] == 0
            async with scene.stage.stores() as stores:
                assert [*await stores.source.list(""), *await stores.processed.list("")] == []
            await scene.assert_nothing_is_amiss()

    await theatre.play(tuple(DELETION), play)


@pytest.mark.slow
@pytest.mark.parametrize("rescue", APPROVAL)
async def test_an_approval_that_was_cut_short_anywhere_comes_to_its_end(theatre: Theatre, rescue: str) -> None:
    async def play(scene: Scene, point: str) -> None:
        async with scene.mortal(point) as mortal:
            held = {"variants": [{"name": name, "width": 9 + len(name)} for name in VARIANTS], "review": True}
            await mortal.call("PUT", "/images/presets/held", json=held, expect=201)
            issued = await mortal.put(GOOD, preset="held")
            assert (await mortal.settled(issued["processingId"]))["status"] == "needs_review"
            path, decision = f"/images/review/{issued['uniqueId']}", {"decision": "approve"}
            decision["processingId"] = issued["processingId"]
            with pytest.raises(aiohttp.ClientError):
                await mortal.call("POST", path, json=decision)
        async with scene.ordinary() as service:
            if rescue == "asked again":
                assert (await service.call("POST", path, json=decision))["status"] == "completed"

            async def out() -> Any:
                found = await service.settled(issued["processingId"])
                return found if found["status"] != "needs_review" else None

            found = await eventually(out, what="the end of the approval")
            assert sorted(found["processedImages"]) == sorted(VARIANTS)
            async with scene.stage.stores() as stores:
                await empty(stores.queue)
                assert await stores.processed.list("held/") == []
            await scene.assert_nothing_is_amiss()

    await theatre.play(APPROVAL[rescue], play)


@pytest.mark.slow
async def test_a_kill_while_an_upload_is_issued_leaves_nothing_in_the_way(theatre: Theatre) -> None:
    async def play(scene: Scene, point: str) -> None:
        async with scene.mortal(point) as mortal:
            with pytest.raises(aiohttp.ClientError):
                await mortal.call("POST", "/images/upload-url", json={"filename": "photo.jpg"})
        async with scene.ordinary() as service:
            job = (await service.put(GOOD))["processingId"]
            assert (await service.settled(job))["status"] == "completed"
            await scene.assert_nothing_is_amiss()

    await theatre.play(("create:1:after",), play)


@pytest.mark.slow
async def test_a_kill_while_an_image_is_processed_again_leaves_what_asking_again_or_reconciling_completes(
    theatre: Theatre,
) -> None:
    async def play(scene: Scene, point: str) -> None:
        async with scene.mortal(point) as mortal:
            issued = await mortal.put(GOOD)
            await mortal.settled(issued["processingId"])
            with pytest.raises(aiohttp.ClientError):
                await mortal.call("POST", f"/images/process/{issued['uniqueId']}")
        async with scene.ordinary() as service, scene.stage.stores() as stores:
            if point == "send:1:before":
                reconciler = Reconciler(
                    stores=stores, source_bucket=scene.stage.made.names.source_bucket, grace=timedelta(0)
                )
                assert [each.kind async for each in reconciler.findings()] == [FindingKind.UNCLAIMED]
            current = (await stores.jobs.image_of_any_tenant(issued["uniqueId"])).current_job
            assert (await service.settled(current))["status"] == "completed"
            again = await service.call("POST", f"/images/process/{issued['uniqueId']}", expect=202)
            assert (await service.settled(again["processingId"]))["status"] == "completed"
            await scene.assert_nothing_is_amiss()

    await theatre.play(("replace:1:before", "send:1:before", "send:1:after"), play)
