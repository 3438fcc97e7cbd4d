"""Uploads in parts, over HTTP."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import pytest
from structlog.testing import capture_logs

from processor.catalog import parts as multipart
from processor.jobs import JobStatus
from processor.ports.objects import MultipartUpload
from tests.integration.http.conftest import CDN, World

SIZES = {1: 4, 2: 4, 3: 2}
#: The checksum of what a completed job of this world was made from.
KNOWN = base64.b64encode(hashlib.sha256(b"source").digest()).decode()


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multipart, "part_size", lambda _: 4)


@pytest.fixture
async def begun(ask: Any) -> Any:
    status, _, body = await ask("POST", "/images/multipart", json={"filename": "a.png", "size": 10})
    assert status == 201
    return body


async def upload_of(world: World, begun: Any) -> MultipartUpload:
    terms = (await world.jobs.job_of_any_tenant(begun["processingId"])).terms
    assert terms is not None
    assert terms.multipart is not None
    return MultipartUpload(key=begun["key"], upload_id=terms.multipart)


async def send(world: World, begun: Any, *numbers: int) -> None:
    upload = await upload_of(world, begun)
    for number in numbers:
        await world.source.put_part(upload, number, b"x" * SIZES[number])


async def test_an_upload_in_parts_names_its_parts_and_where_the_variants_will_be(begun: Any, world: World) -> None:
    assert re.fullmatch(r"uploads/[0-9a-f-]{36}\.png", begun["key"])
    assert (begun["partSize"], begun["expiresIn"]) == (4, 3600)
    assert [(part["partNumber"], part["size"], part["headers"]) for part in begun["parts"]] == [
        (1, 4, {"Content-Length": "4"}),
        (2, 4, {"Content-Length": "4"}),
        (3, 2, {"Content-Length": "2"}),
    ]
    place = f"{CDN}/processed/{begun['uniqueId']}/{begun['processingId']}"
    assert begun["processedImageUrl"] == f"{place}/webp.webp" == begun["processedImageUrls"]["webp"]
    assert "uploadId" not in begun
    assert (await world.jobs.job_of_any_tenant(begun["processingId"])).status is JobStatus.PENDING


async def test_large_files_that_are_known_need_no_upload_when_the_client_asks(
    ask: Any, submit: Any, world: World
) -> None:
    known = await submit()
    await world.complete(known["processingId"])
    records = world.jobs.count
    asked = {"filename": "a.png", "size": 10, "dedupe": True, "checksumSha256": KNOWN}
    status, _, body = await ask("POST", "/images/multipart", json=asked)
    assert (status, body["duplicateOf"], body["parts"]) == (200, known["uniqueId"], [])
    assert body["processingId"] == known["processingId"]
    assert world.jobs.count == records
    for other in ({"dedupe": False}, {"checksumSha256": None}):
        status, _, body = await ask("POST", "/images/multipart", json=asked | other)
        assert (status, body["duplicateOf"], len(body["parts"])) == (201, None, 3)


async def test_an_upload_is_completed_once_all_parts_are_there_and_may_be_completed_again(
    ask: Any, begun: Any, world: World
) -> None:
    path = f"/images/multipart/{begun['uniqueId']}/complete"
    await send(world, begun, 1, 3)
    status, _, body = await ask("POST", path, json={})
    assert (status, body["code"]) == (409, "upload_incomplete")
    assert body["detail"] == "1 of 3 parts have not arrived: 2. Send them and complete again."
    assert body["missingParts"] == [2]
    await send(world, begun, 2)
    answers = [await ask("POST", path, json={}), await ask("POST", path)]
    expected = {name: begun[name] for name in ("uniqueId", "processingId", "key")}
    assert [(status, body) for status, _, body in answers] == [(200, {"message": "Upload completed", **expected})] * 2
    assert (await world.source.head(begun["key"])).size == 10


async def test_parts_are_signed_again_while_the_upload_is_pending(ask: Any, begun: Any, world: World) -> None:
    path = f"/images/multipart/{begun['uniqueId']}/parts"
    status, _, body = await ask("POST", path)
    assert (status, body) == (200, begun)
    status, _, body = await ask("POST", path, json={"partNumbers": [3, 2], "expiresIn": 60})
    assert (status, [part["partNumber"] for part in body["parts"]], body["expiresIn"]) == (200, [2, 3], 60)
    status, _, body = await ask("POST", path, json={"partNumbers": [4]})
    assert (status, body["code"]) == (400, "no_such_part")
    for wrong in ([], ["1"], [1.5], [1] * 101, 1):
        status, _, body = await ask("POST", path, json={"partNumbers": wrong})
        assert (status, body["code"]) == (400, "invalid_request"), wrong
    await send(world, begun, 1, 2, 3)
    await ask("POST", f"/images/multipart/{begun['uniqueId']}/complete")
    status, _, body = await ask("POST", path)
    assert (status, body["code"]) == (409, "already_uploaded")


async def test_an_aborted_upload_is_gone_with_its_parts(ask: Any, begun: Any, world: World) -> None:
    await send(world, begun, 1)
    path = f"/images/multipart/{begun['uniqueId']}"
    status, _, body = await ask("DELETE", path)
    assert (status, body["receipt"]["sources"], body["deletedProcessedImages"]) == (200, [], 0)
    assert world.source._unfinished == {}
    for method, where in (("DELETE", path), ("POST", f"{path}/parts"), ("POST", f"{path}/complete")):
        status, _, body = await ask(method, where)
        assert (status, body["code"]) == (404, "image_deleted")
    status, _, body = await ask("GET", f"/images/status/{begun['processingId']}")
    assert (status, body["code"]) == (404, "job_not_found")


async def test_deleting_the_image_aborts_its_upload(ask: Any, begun: Any, world: World) -> None:
    await send(world, begun, 1)
    status, _, _ = await ask("DELETE", f"/images/image/{begun['uniqueId']}")
    assert status == 200
    assert world.source._unfinished == {}


async def test_what_has_arrived_can_be_deleted_but_not_aborted(ask: Any, begun: Any, world: World) -> None:
    await send(world, begun, 1, 2, 3)
    await ask("POST", f"/images/multipart/{begun['uniqueId']}/complete")
    status, _, body = await ask("DELETE", f"/images/multipart/{begun['uniqueId']}")
    assert (status, body["code"]) == (409, "already_uploaded")
    assert (await ask("DELETE", f"/images/image/{begun['uniqueId']}"))[0] == 200


async def test_an_upload_in_one_piece_is_not_continued_in_parts_nor_the_other_way_round(
    ask: Any, submit: Any, begun: Any
) -> None:
    whole = (await submit())["uniqueId"]
    for method, path in (
        ("POST", f"/images/multipart/{whole}/parts"),
        ("POST", f"/images/multipart/{whole}/complete"),
        ("DELETE", f"/images/multipart/{whole}"),
        ("POST", f"/images/upload-url/{begun['uniqueId']}/refresh"),
    ):
        status, _, body = await ask(method, path)
        assert (status, body["code"]) == (409, "wrong_upload_method"), path


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({"filename": "a.png"}, "invalid_request"),
        ({"size": 10}, "invalid_request"),
        ({"filename": "a.png", "size": 0}, "invalid_request"),
        ({"filename": "a.png", "size": "10"}, "invalid_request"),
        ({"filename": "a.png", "size": 10, "expiresIn": 59}, "invalid_request"),
        ({"filename": "a.png", "size": 10, "checksumSha256": "x"}, "invalid_request"),
        ({"filename": "a.png", "size": 10, "contentType": "text/html"}, "unsupported_content_type"),
        ({"filename": "a.png", "size": 1001}, "file_too_large"),
    ],
)
async def test_an_upload_that_makes_no_sense_is_not_begun(ask: Any, world: World, asked: Any, code: str) -> None:
    status, _, body = await ask("POST", "/images/multipart", json=asked)
    assert (status, body["code"]) == (400, code)
    assert world.source._unfinished == {}
    assert world.jobs.count == 0


async def test_beginning_again_under_the_same_key_begins_nothing_new(ask: Any, world: World) -> None:
    asked = {"json": {"filename": "a.png", "size": 10}, "headers": {"Idempotency-Key": "one"}}
    first, again = await ask("POST", "/images/multipart", **asked), await ask("POST", "/images/multipart", **asked)
    assert (first[0], first[2]) == (again[0], again[2])
    assert again[1]["Idempotent-Replayed"] == "true"
    assert len(world.source._unfinished) == 1


async def test_the_id_of_s3_is_in_no_log_and_in_no_status(ask: Any, world: World) -> None:
    with capture_logs(processors=[]) as logs:
        _, _, begun = await ask("POST", "/images/multipart", json={"filename": "a.png", "size": 10})
        await ask("POST", f"/images/multipart/{begun['uniqueId']}/complete")
        _, _, job = await ask("GET", f"/images/status/{begun['processingId']}")
        _, _, page = await ask("GET", "/images/list")
    upload_id = (await upload_of(world, begun)).upload_id
    assert logs
    assert upload_id not in f"{logs} {job} {page}"


async def test_a_page_that_was_reloaded_learns_which_parts_are_there(ask: Any, begun: Any, world: World) -> None:
    path = f"/images/multipart/{begun['uniqueId']}"
    await send(world, begun, 1, 3)
    await world.source.put_part(await upload_of(world, begun), 2, b"too little"[:3])
    status, _, state = await ask("GET", path)
    assert (status, state["size"], state["partSize"], state["missingParts"]) == (200, 10, 4, [2])
    assert state["parts"] == [{"partNumber": 1, "size": 4}, {"partNumber": 3, "size": 2}]
    assert {name: state[name] for name in ("uniqueId", "processingId", "key")} == {
        name: begun[name] for name in ("uniqueId", "processingId", "key")
    }
    _, _, signed = await ask("POST", f"{path}/parts", json={"partNumbers": state["missingParts"]})
    assert [part["partNumber"] for part in signed["parts"]] == [2]
    await send(world, begun, 2)
    _, _, state = await ask("GET", path)
    assert (len(state["parts"]), state["missingParts"]) == (3, [])


async def test_a_page_that_comes_too_late_is_told_why(ask: Any, begun: Any, submit: Any, world: World) -> None:
    path = f"/images/multipart/{begun['uniqueId']}"
    await send(world, begun, 1, 2, 3)
    await ask("POST", f"{path}/complete")
    status, _, body = await ask("GET", path)
    assert (status, body["code"]) == (409, "already_uploaded")
    status, _, body = await ask("GET", f"/images/multipart/{(await submit())['uniqueId']}")
    assert (status, body["code"]) == (409, "wrong_upload_method")
    _, _, other = await ask("POST", "/images/multipart", json={"filename": "a.png", "size": 10})
    await world.source.abort_multipart(await upload_of(world, other))
    status, _, body = await ask("GET", f"/images/multipart/{other['uniqueId']}")
    assert (status, body["code"]) == (409, "upload_expired")
    status, _, body = await ask("GET", f"/images/multipart/{'0' * 8}-0000-4000-8000-{'0' * 12}")
    assert (status, body["code"]) == (404, "image_not_found")
