"""What Uppy asks of its Companion, over HTTP."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import pytest

from processor.catalog import unsized
from processor.ports.objects import MultipartUpload
from tests.integration.http.conftest import CDN, World

#: What Uppy adds to every file by itself.
META = {"relativePath": None, "name": "a.png", "type": "image/png"}
KEY = re.compile(r"uploads/[0-9a-f-]{36}\.png")
PARTS = {1: b"0123", 2: b"45678", 3: b"9"}


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unsized, "S3_LEAST_PART_BYTES", 4)


@pytest.fixture
async def begun(ask: Any) -> Any:
    file = {"filename": "a.png", "type": "image/png", "metadata": META}
    status, _, body = await ask("POST", "/images/s3/multipart", json=file)
    assert status == 200
    return body


@pytest.fixture
def call(ask: Any, begun: Any) -> Any:
    """A call about the upload that has begun: status and body."""

    async def made(method: str, path: str = "", **options: Any) -> Any:
        where = f"/images/s3/multipart/{begun['uploadId']}{path}"
        status, _, body = await ask(method, where, params={"key": begun["key"]}, **options)
        return status, body

    return made


async def send(world: World, begun: Any, *numbers: int) -> None:
    terms = (await world.jobs.job_of_any_tenant(begun["processingId"])).terms
    assert terms is not None
    assert terms.multipart is not None
    for number in numbers:
        await world.source.put_part(MultipartUpload(key=begun["key"], upload_id=terms.multipart), number, PARTS[number])


def etag(number: int) -> str:
    return hashlib.md5(PARTS[number], usedforsecurity=False).hexdigest()


async def test_a_small_file_gets_a_form_and_a_record(ask: Any, world: World) -> None:
    query = {"filename": "a.png", "type": "image/png", "metadata[relativePath]": "null", "metadata[name]": "a.png"}
    query |= {"metadata[type]": "image/png", "metadata[album]": "summer"}
    status, _, body = await ask("GET", "/images/s3/params", params=query)
    assert (status, body["method"], body["expires"]) == (200, "POST", 3600)
    assert KEY.fullmatch(body["fields"]["key"])
    job = await world.jobs.job_of_any_tenant(body["processingId"])
    assert (job.unique_id, job.original_key) == (body["uniqueId"], body["fields"]["key"])
    assert (job.filename, job.metadata) == ("a.png", {"album": "summer"})


async def test_asking_for_the_head_of_it_makes_no_record(client: Any, world: World) -> None:
    async with client.head("/images/s3/params", params={"filename": "a.png"}) as response:
        assert (response.status, world.jobs.count) == (405, 0)


async def test_a_large_file_is_named_by_the_id_of_its_job_and_its_key(begun: Any, world: World) -> None:
    assert KEY.fullmatch(begun["key"])
    assert begun["uploadId"] == begun["processingId"]
    job = await world.jobs.job_of_any_tenant(begun["processingId"])
    assert job.terms is not None
    assert (job.unique_id, job.metadata, job.terms.size) == (begun["uniqueId"], {}, None)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"name": "renamed.png", "type": "image/png"}, {"name": "renamed.png"}),
        ({"width": 3, "ratio": 1.5, "public": True}, {"width": "3", "ratio": "1.5", "public": "true"}),
        ({"caption": "", "relativePath": "holiday/a.png"}, {"relativePath": "holiday/a.png"}),
        ({"a": None, "b": "null", "c": "undefined"}, {}),
    ],
)
async def test_metadata_is_what_says_something_of_its_own(ask: Any, world: World, given: Any, kept: Any) -> None:
    file = {"filename": "a.png", "type": "image/png", "metadata": given}
    _, _, body = await ask("POST", "/images/s3/multipart", json=file)
    assert (await world.jobs.job_of_any_tenant(body["processingId"])).metadata == kept


@pytest.mark.parametrize(
    ("file", "status", "code"),
    [
        ({}, 400, "invalid_request"),
        ({"filename": "a" * 256}, 400, "invalid_request"),
        ({"filename": "a\x00.png"}, 400, "invalid_request"),
        ({"filename": "a.png", "type": "video/mp4"}, 400, "unsupported_content_type"),
        ({"filename": "a.png", "metadata": {"a b": "c"}}, 400, "invalid_request"),
        ({"filename": "a.png", "metadata": {"a": {"b": "c"}}}, 400, "invalid_request"),
        ({"filename": "a.png", "metadata": {str(number): "x" for number in range(21)}}, 400, "invalid_request"),
    ],
)
async def test_a_file_that_may_not_come_is_refused_before_anything_is_begun(
    ask: Any, world: World, file: Any, status: int, code: str
) -> None:
    answered, _, body = await ask("POST", "/images/s3/multipart", json=file)
    assert (answered, body["code"]) == (status, code)
    assert (world.jobs.count, world.source._unfinished) == (0, {})


async def test_parts_are_signed_listed_and_made_one_file(call: Any, begun: Any, world: World) -> None:
    status, part = await call("GET", "/2")
    assert (status, part["expires"]) == (200, 3600)
    assert part["url"].endswith("partNumber=2")
    assert await call("GET") == (200, [])
    await send(world, begun, 1, 2, 3)
    _, listed = await call("GET")
    assert listed == [
        {"PartNumber": number, "Size": len(body), "ETag": f'"{etag(number)}"'} for number, body in PARTS.items()
    ]
    parts = [{"PartNumber": 1, "ETag": etag(1)}, *({k: v for k, v in p.items() if k != "Size"} for p in listed[1:])]
    answers = [await call("POST", "/complete", json={"parts": parts}) for _ in range(2)]
    ids = {name: begun[name] for name in ("uniqueId", "processingId", "key")}
    location = f"{CDN}/processed/{begun['uniqueId']}/{begun['processingId']}/webp.webp"
    assert answers == [(200, {"location": location, **ids})] * 2
    assert (await world.source.head(begun["key"])).size == 10


async def test_what_is_missing_is_said_and_may_still_be_sent(call: Any, begun: Any, world: World) -> None:
    await send(world, begun, 1)
    parts = {"parts": [{"PartNumber": number, "ETag": etag(number)} for number in (1, 2)]}
    status, body = await call("POST", "/complete", json=parts)
    assert (status, body["code"]) == (409, "upload_incomplete")
    assert body["detail"] == "1 of 2 parts have not arrived: 2. Send them and complete again."
    await send(world, begun, 2)
    assert (await call("POST", "/complete", json=parts))[0] == 200


@pytest.mark.parametrize("number", ["0", "-1", "x", "10001", "1" * 30, "٣"])
async def test_a_part_without_a_number_is_no_part(call: Any, number: str) -> None:
    status, body = await call("GET", f"/{number}")
    assert (status, body["code"]) == (400, "no_such_part")


@pytest.mark.parametrize(
    "parts",
    [
        None,
        [],
        [{"PartNumber": 0, "ETag": "e"}],
        [{"PartNumber": 10**9, "ETag": "e"}],
        [{"PartNumber": 1}],
        [{"PartNumber": "1", "ETag": "e"}],
    ],
)
async def test_a_list_of_parts_that_is_none_is_refused(call: Any, parts: Any) -> None:
    status, body = await call("POST", "/complete", json={"parts": parts})
    assert (status, body["code"]) == (400, "invalid_request")


async def test_an_upload_is_not_found_without_its_key(ask: Any, begun: Any) -> None:
    status, _, body = await ask("GET", f"/images/s3/multipart/{begun['uploadId']}")
    assert (status, body["code"], body["detail"]) == (400, "invalid_request", "key: is required")


async def test_what_is_given_up_is_gone(call: Any, begun: Any, world: World) -> None:
    await send(world, begun, 1)
    status, body = await call("DELETE")
    assert (status, body["uniqueId"]) == (200, begun["uniqueId"])
    for method, path in (("GET", ""), ("GET", "/1"), ("DELETE", "")):
        status, body = await call(method, path)
        assert (status, body["code"]) == (404, "image_deleted")
    assert world.source._unfinished == {}


async def test_the_status_is_found_by_the_id_in_the_key(ask: Any, begun: Any) -> None:
    unique_id = begun["key"][8:44]
    _, _, job = await ask("GET", f"/images/status/{unique_id}")
    assert (job["processingId"], job["uniqueId"]) == (begun["processingId"], unique_id)
    assert (await ask("GET", f"/images/status/{unique_id.upper()}"))[2] == job
    never = "6f1f7a52-3a6e-4d0e-9a55-2f0c9b8c1d7e"
    status, _, body = await ask("GET", f"/images/status/{never}")
    assert (status, body["code"]) == (404, "image_not_found")


async def test_a_page_may_ask_for_every_call(serve: Any) -> None:
    client = await serve(cors_origins=("https://app.example",))
    for method, path in (("POST", "multipart"), ("POST", "multipart/u/complete"), ("DELETE", "multipart/u")):
        asked = {"Origin": "https://app.example", "Access-Control-Request-Method": method}
        asked["Access-Control-Request-Headers"] = "authorization,content-type"
        async with client.options(f"/images/s3/{path}", headers=asked) as response:
            assert response.status == 200


async def test_the_reason_of_a_refusal_is_what_happened_unless_it_could_not_be_sent(client: Any) -> None:
    async with client.post("/images/s3/multipart", json={"filename": "a.mp4", "type": "video/mp4"}) as response:
        assert response.reason == (await response.json())["detail"]
    for name in ("ä", "a\r\nSet-Cookie: b"):
        file = {"filename": "a.png", "metadata": {name: []}}
        async with client.post("/images/s3/multipart", json=file) as response:
            assert (response.status, response.reason) == (400, "Invalid request")
            assert (await response.json())["detail"] == f"metadata.{name}: must be text, a number, true or false"
            assert "Set-Cookie" not in response.headers
