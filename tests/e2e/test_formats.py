"""`OUTPUT_FORMATS=webp,avif`: the service as it is deployed, from the upload to a page that shows either format."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image

from processor.ports.stores import AllStores
from tests import corpus
from tests.fleet import ServiceProcess, assert_nothing_is_amiss, metrics_with, run_service, run_stage
from tests.ports import held_port
from tests.waiting import eventually

VARIANTS = ["thumbnail", "medium", "large", "webp"]


async def _with_all_formats(service: ServiceProcess, processing_id: str) -> Any:
    async def look() -> Any:
        job = await service.settled(processing_id)
        return job if job["otherFormats"]["avif"]["status"] != "pending" else None

    return await eventually(look, what="every format")


async def _assert_shown(stores: AllStores, variants: dict[str, Any]) -> None:
    for name, variant in variants.items():
        avif = variant["formats"]["avif"]
        assert avif["key"] == variant["key"].removesuffix(".webp") + ".avif"
        assert (avif["width"], avif["height"]) == (variant["width"], variant["height"]), name
        assert (variant["contentType"], avif["contentType"]) == ("image/webp", "image/avif")
        data = await stores.processed.fetch(avif["key"], max_bytes=avif["size"])
        assert (await stores.processed.head(avif["key"])).content_type == "image/avif"
        with Image.open(io.BytesIO(data)) as picture:
            assert (picture.format, picture.size) == ("AVIF", (avif["width"], avif["height"]))


@pytest.mark.slow
async def test_every_picture_is_there_in_both_formats_and_an_animation_says_why_not(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    async with run_stage(tmp_path / "aws") as stage, stage.stores() as stores:
        port = held_port()
        settings: dict[str, Any] = {"OUTPUT_FORMATS": "webp,avif", "METRICS_PORT": str(port)}
        async with run_service(stage, session, tmp_path / "service.log", **settings) as service:
            photo = await service.put(corpus.jpeg(corpus.photo(640, 480), orientation=6))
            moving = await service.put(corpus.animation(".gif"), "moving.gif")
            job = await _with_all_formats(service, photo["processingId"])
            animation = await service.settled(moving["processingId"])
            processed = await service.call("GET", f"/images/processed/{photo['uniqueId']}")
            metrics = await metrics_with(session, port, r'^truss_formats_total\{code="",format="avif"\} 1.0$')

            assert list(job["processedImages"]) == VARIANTS
            assert job["otherFormats"] == {"avif": {"status": "completed", "error": None}}
            assert all(url.endswith(".webp") for url in photo["processedImageUrls"].values())
            await _assert_shown(stores, job["processedImages"])
            shown = {each["sizeType"]: each["formats"]["avif"]["key"] for each in processed["processedImages"]}
            assert shown == {name: each["formats"]["avif"]["key"] for name, each in job["processedImages"].items()}
            assert processed["count"] == 4
            assert animation["status"] == "completed"
            assert animation["otherFormats"]["avif"]["status"] == "failed"
            assert animation["otherFormats"]["avif"]["error"]["code"] == "stills_only"
            assert "formats" not in animation["processedImages"]["webp"]
            assert 'truss_format_stored_seconds_count{format="avif"} 1.0' in metrics

            gone = await service.call("DELETE", f"/images/image/{photo['uniqueId']}")
            assert gone["deletedProcessedImages"] == 8
            assert await stores.processed.list(f"processed/{photo['uniqueId']}/") == []
            await service.call("DELETE", f"/images/image/{moving['uniqueId']}")
            await assert_nothing_is_amiss(stores, stage.made.names.source_bucket)


@pytest.mark.slow
async def test_what_is_at_the_other_format_ends_at_once_when_the_pod_is_told_to_and_another_pod_makes_it(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    quick: dict[str, Any] = {"OUTPUT_FORMATS": "webp,avif", "PROCESS_TIMEOUT_SECONDS": "600", "DRAIN_SECONDS": "700"}
    slow = {**quick, "AVIF_EFFORT": "6"}
    async with run_stage(tmp_path / "aws") as stage, stage.stores() as stores:
        async with run_service(stage, session, tmp_path / "first.log", **slow) as first:
            issued = await first.put(corpus.jpeg(corpus.large(2000, 1500)))
            job = await first.settled(issued["processingId"])
            assert job["otherFormats"]["avif"]["status"] == "pending"

            async def taken_up() -> bool:
                return (await stores.jobs.job_of_any_tenant(issued["processingId"])).lease is not None

            await eventually(taken_up, what="a worker at the other format")
            assert await asyncio.wait_for(first.stop(), 120) == 0  # far less than it takes
        assert (await stores.jobs.job_of_any_tenant(issued["processingId"])).lease is None
        async with run_service(stage, session, tmp_path / "second.log", **quick) as second:
            # What was asked for travels with the job, and takes long; another order is served meanwhile.
            other = await second.put(corpus.jpeg(corpus.photo(320, 240)))
            assert (await second.settled(other["processingId"]))["status"] == "completed"
            await second.call("DELETE", f"/images/image/{issued['uniqueId']}")
            await _with_all_formats(second, other["processingId"])
            await second.call("GET", f"/images/status/{issued['processingId']}", expect=404)
            assert await stores.processed.list(f"processed/{issued['uniqueId']}/") == []
