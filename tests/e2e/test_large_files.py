"""A large file, end to end: it goes up in parts, and four variants come back; or it is given up, and nothing stays."""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import urlsplit

import pytest
import pyvips

from processor.stores.clients import open_clients
from processor.stores.config import AwsConfig
from service.local.emulator import REGION
from tests import corpus
from tests.e2e.conftest import LocalService, MakeService
from tests.local_aws import ADMINISTRATOR

SIDE = 2450


@pytest.fixture(scope="module")
def photo() -> bytes:
    """A little more than two parts."""
    data = corpus.png(corpus.large(SIDE, SIDE), compression=0)
    assert 17 * 2**20 < len(data) < 18 * 2**20
    return data


async def begin(service: LocalService, photo: bytes) -> Any:
    asked = {"filename": "poster.png", "size": len(photo)}
    return await service.call("POST", "/images/multipart", json=asked, expect=201)


async def send(service: LocalService, begun: Any, photo: bytes, number: int) -> int:
    part = begun["parts"][number - 1]
    start = (number - 1) * begun["partSize"]
    body = io.BytesIO(photo[start : start + part["size"]])
    async with service.session.put(part["url"], data=body, headers=part["headers"]) as answer:
        return answer.status


async def what_lies_there(begun: Any) -> tuple[list[str], list[str]]:
    """The keys of objects and of unfinished uploads in the source bucket."""
    place = urlsplit(begun["parts"][0]["url"])
    endpoint, bucket = f"{place.scheme}://{place.netloc}", place.path.split("/")[1]
    async with open_clients(AwsConfig(region=REGION, endpoint_url=endpoint, credentials=ADMINISTRATOR)) as clients:
        objects = await clients.s3.list_object_versions(Bucket=bucket)
        uploads = await clients.s3.list_multipart_uploads(Bucket=bucket)
    return [each["Key"] for each in objects.get("Versions", ())], [each["Key"] for each in uploads.get("Uploads", ())]


@pytest.mark.slow
async def test_a_file_in_parts_is_completed_when_all_are_there_and_becomes_four_variants(
    make_service: MakeService, photo: bytes
) -> None:
    service = await make_service(traced=True)
    begun = await begin(service, photo)
    complete = f"/images/multipart/{begun['uniqueId']}/complete"
    assert [part["partNumber"] for part in begun["parts"]] == [1, 2, 3]
    assert [await send(service, begun, photo, number) for number in (3, 1)] == [200, 200]
    refused = await service.call("POST", complete, expect=409)
    assert (refused["code"], refused["detail"][:37]) == ("upload_incomplete", "1 of 3 parts have not arrived: 2. Sen")
    assert await what_lies_there(begun) == ([], [begun["key"]])

    again = await service.call("POST", f"/images/multipart/{begun['uniqueId']}/parts", json={"partNumbers": [2]})
    assert await send(service, {**begun, "parts": again["parts"] * 2}, photo, 2) == 200
    assert await service.call("POST", complete) == await service.call("POST", complete)
    job = await service.settled(begun["processingId"])

    assert (job["status"], job["error"]) == ("completed", None)
    for name, variant in job["processedImages"].items():
        image = pyvips.Image.new_from_buffer(await service.fetch(variant["url"]), "")
        assert (image.width, image.height) == (variant["width"], variant["height"])
        assert variant["url"] == begun["processedImageUrls"][name]
    assert job["processedImages"]["webp"]["width"] == SIDE
    assert await what_lies_there(begun) == ([begun["key"]], [])
    assert (await service.call("POST", complete))["processingId"] == begun["processingId"]


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/images/multipart/{}", "/images/image/{}"])
async def test_a_file_that_is_given_up_leaves_nothing(make_service: MakeService, photo: bytes, path: str) -> None:
    service = await make_service()
    begun = await begin(service, photo)
    assert await send(service, begun, photo, 1) == 200
    assert await what_lies_there(begun) == ([], [begun["key"]])

    await service.call("DELETE", path.format(begun["uniqueId"]))

    assert await what_lies_there(begun) == ([], [])
    assert await send(service, begun, photo, 2) == 404
    gone = await service.call("POST", f"/images/multipart/{begun['uniqueId']}/complete", expect=404)
    assert gone["code"] == "image_deleted"
    assert (await service.call("GET", "/images/list"))["images"] == []
    assert await what_lies_there(begun) == ([], [])
