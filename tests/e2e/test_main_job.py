"""The main job, end to end: a photo goes in, four variants come back."""

from __future__ import annotations

import base64
import hashlib
import io

import aiohttp
import pyvips

from tests import corpus
from tests.e2e.conftest import LocalService, MakeService
from tests.waiting import eventually

BOXES = {"thumbnail": (300, 300), "medium": (800, 600), "large": (1920, 1080), "webp": (3000, 2000)}


async def test_a_photo_becomes_four_variants_whose_urls_open(make_service: MakeService) -> None:
    service = await make_service(traced=True)
    photo = corpus.jpeg(corpus.large(2250, 1500))

    issued = await service.put(photo, contentType="image/jpeg")
    job = await service.settled(issued["processingId"])

    assert job["status"] == "completed"
    assert job["error"] is None
    assert list(job["processedImages"]) == ["thumbnail", "medium", "large", "webp"]
    for name, variant in job["processedImages"].items():
        image = pyvips.Image.new_from_buffer(await service.fetch(variant["url"]), "")
        assert image.get("vips-loader") == "webpload_buffer"
        assert (image.width, image.height) == (variant["width"], variant["height"])
        assert image.width <= BOXES[name][0]
        assert image.height <= BOXES[name][1]
        assert variant["url"] == issued["processedImageUrls"][name]


async def test_the_presigned_form_uploads_as_well_as_the_put_and_s3_refuses_what_was_not_agreed(
    service: LocalService,
) -> None:
    photo = corpus.jpeg(corpus.photo(640, 480))
    digest = base64.b64encode(hashlib.sha256(photo).digest()).decode()
    issued = await service.call(
        "POST",
        "/images/upload-url",
        json={"filename": "a.jpg", "contentType": "image/jpeg", "size": len(photo), "checksumSha256": digest},
    )

    def form(data: bytes) -> aiohttp.FormData:
        form = aiohttp.FormData()
        for name, value in issued["post"]["fields"].items():
            form.add_field(name, value)
        form.add_field("file", io.BytesIO(data), filename="a.jpg", content_type="image/jpeg")
        return form

    async with service.session.post(issued["post"]["url"], data=form(photo + b"more")) as refused:
        assert refused.status >= 400
    async with service.session.post(issued["post"]["url"], data=form(photo)) as accepted:
        assert accepted.status in (200, 201, 204), await accepted.text()

    assert (await service.settled(issued["processingId"]))["status"] == "completed"


async def test_the_whole_life_of_an_image_ends_without_a_trace(make_service: MakeService) -> None:
    service = await make_service(traced=True)
    issued = await service.put(corpus.jpeg(corpus.photo(800, 600)))
    unique_id = issued["uniqueId"]
    first = await service.settled(issued["processingId"])

    again = await service.call("POST", f"/images/process/{unique_id}", expect=202)
    second = await service.settled(again["processingId"])
    shown = await service.call("GET", f"/images/processed/{unique_id}")
    listed = await service.call("GET", "/images/list")
    deleted = await service.call("DELETE", f"/images/image/{unique_id}")

    assert second["status"] == "completed"
    assert {image["key"] for image in shown["processedImages"]} == {
        variant["key"] for variant in second["processedImages"].values()
    }
    assert [row["processingId"] for row in listed["images"]] == [again["processingId"]]
    assert deleted["deletedProcessedImages"] == 8
    for path in (f"/images/processed/{unique_id}", f"/images/status/{again['processingId']}"):
        await service.call("GET", path, expect=404)
    for variant in first["processedImages"].values():
        async with service.session.get(variant["url"]) as gone:
            assert gone.status == 404
    assert (await service.call("GET", "/images/list"))["count"] == 0


async def test_an_upload_after_the_delete_revives_nothing(service: LocalService) -> None:
    photo = corpus.jpeg(corpus.photo(320, 240))
    issued = await service.put(photo)
    await service.settled(issued["processingId"])
    await service.call("DELETE", f"/images/image/{issued['uniqueId']}")

    async with service.session.put(issued["uploadUrl"], data=photo, headers=issued["headers"]) as late:
        assert late.status == 200
    marker = await service.put(photo)  # one queue, so this one is done after the late one was seen
    await service.settled(marker["processingId"])

    await service.call("GET", f"/images/status/{issued['processingId']}", expect=404)
    listed = [row["uniqueId"] for row in (await service.call("GET", "/images/list"))["images"]]
    assert marker["uniqueId"] in listed
    assert issued["uniqueId"] not in listed


async def test_a_file_uploaded_again_to_the_same_url_becomes_a_job_of_its_own_over_the_newest_bytes(
    service: LocalService,
) -> None:
    issued = await service.put(corpus.jpeg(corpus.photo(640, 480)))
    await service.settled(issued["processingId"])
    newer = corpus.jpeg(corpus.photo(480, 640))
    async with service.session.put(issued["uploadUrl"], data=newer, headers=issued["headers"]) as answer:
        assert answer.status == 200

    async def shown() -> bool:
        images = (await service.call("GET", f"/images/processed/{issued['uniqueId']}"))["processedImages"]
        return any((image["width"], image["height"]) == (480, 640) for image in images)

    await eventually(shown, what="the newer picture")
    rows = (await service.call("GET", "/images/list"))["images"]
    (listed,) = [row for row in rows if row["uniqueId"] == issued["uniqueId"]]
    assert listed["processingId"] != issued["processingId"]


async def test_every_hostile_file_fails_with_its_code_and_the_service_goes_on(service: LocalService) -> None:
    expected = {name: sample.code for name, sample in corpus.SAMPLES.items() if sample.code is not None}
    issued = {name: await service.put(corpus.SAMPLES[name].make(), f"{name}.jpg") for name in expected}

    found = {}
    for name, answer in issued.items():
        job = await service.settled(answer["processingId"])
        found[name] = job["error"]["code"] if job["error"] else job["status"]

    assert found == expected
    fine = await service.put(corpus.jpeg(corpus.photo(100, 100)))
    assert (await service.settled(fine["processingId"]))["status"] == "completed"
