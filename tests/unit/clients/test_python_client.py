"""The Python client asks again as the service says, does nothing twice, and says what is wrong."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import io
import json
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from service.openapi import document
from tests.waiting import eventually
from truss_image_client import (
    AsyncClient,
    BadRequest,
    Client,
    Event,
    JobFailed,
    NotAuthenticated,
    NotDone,
    NotFound,
    NotReached,
    NotThisService,
    TooManyRequests,
    Unavailable,
    UploadFailed,
    WebhookRefused,
    models,
    webhooks,
)
from truss_image_client import document as document_of
from truss_image_client.retrying import pause_after, retry_after

URL = "https://images.example.com"
KEY = "truss_k3v7q2mzt5x6wabn_EXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE-EXAM"
Answering = Callable[[httpx.Request], httpx.Response]


def problem(status: int, code: str, **more: Any) -> httpx.Response:
    headers = {name: value for name, value in more.items() if name == "Retry-After"}
    document = {
        "type": f"/images/docs#problem-{code}",
        "title": code,
        "status": status,
        "detail": f"{code}.",
        "code": code,
        "requestId": "0b6c7e5f",
        "error": f"{code}.",
        **{name: value for name, value in more.items() if name not in headers},
    }
    return httpx.Response(status, json=document, headers=headers)


def job(status: str, **more: Any) -> dict[str, Any]:
    """The example of the API document, with another end."""
    told = document()["paths"]["/images/status/{processingId}"]["get"]["responses"]["200"]["content"]
    shown = told["application/json"]["examples"]["completed"]["value"]
    return {**shown, "processingId": "img_1_a", "status": status, **more}


@dataclass
class Scripted:
    """Answers one after the other; the last goes on."""

    answers: list[httpx.Response | Exception | Answering]
    asked: list[httpx.Request] = field(default_factory=list)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer(request) if callable(answer) else answer


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the client would have waited. Time passes only while it waits."""
    seen: list[float] = []

    async def pause(seconds: float) -> None:
        seen.append(seconds)

    for module in ("transport", "uploads", "client", "gate", "events"):
        monkeypatch.setattr(f"truss_image_client._async.{module}.pause", pause)
    for module in ("transport", "client", "gate", "urls"):
        monkeypatch.setattr(f"truss_image_client._async.{module}.monotonic", lambda: sum(seen))
    return seen


def client(*answers: httpx.Response | Exception | Answering, **options: Any) -> tuple[AsyncClient, Scripted]:
    scripted = Scripted(list(answers))
    http = httpx.AsyncClient(transport=httpx.MockTransport(scripted))
    return AsyncClient(URL, api_key=KEY, http=http, **options), scripted


HEALTH: dict[str, Any] = {
    "status": "healthy",
    "service": "image-service",
    "stage": "test",
    "timestamp": "2026-01-02T03:04:05Z",
} | {"checks": {}}


# -- retries ----------------------------------------------------------------------------------------------------------


async def test_a_call_is_repeated_when_the_service_says(pauses: list[float]) -> None:
    asking, scripted = client(
        problem(429, "too_many_requests", **{"Retry-After": "7"}), httpx.Response(200, json=HEALTH)
    )
    assert (await asking.get_health()).status == "healthy"
    assert (pauses, len(scripted.asked)) == ([7.0], 2)


async def test_a_limit_of_the_day_is_not_waited_for(pauses: list[float]) -> None:
    asking, scripted = client(problem(429, "daily_limit_reached", **{"Retry-After": "40000"}))
    with pytest.raises(TooManyRequests) as refused:
        await asking.get_health()
    assert (refused.value.code, refused.value.retry_after) == ("daily_limit_reached", 40000.0)
    assert (pauses, len(scripted.asked)) == ([], 1)


async def test_a_broken_connection_is_tried_again_with_growing_pauses(pauses: list[float]) -> None:
    asking, _ = client(
        httpx.ConnectError("x"), httpx.ReadTimeout("x"), httpx.Response(502), httpx.Response(200, json=HEALTH)
    )
    assert (await asking.get_health()).status == "healthy"
    assert len(pauses) == 3
    assert all(0 < pause <= 10 for pause in pauses)


async def test_a_service_that_stays_away_is_given_up_after_the_callers_patience(pauses: list[float]) -> None:
    asking, _ = client(httpx.ConnectError("x"), patience=0.0)
    with pytest.raises(NotReached):
        await asking.get_health()
    assert pauses == []


async def test_every_try_of_a_post_has_the_same_key_and_every_post_another(pauses: list[float]) -> None:
    answers = (problem(409, "request_in_progress", **{"Retry-After": "1"}), httpx.ReadTimeout("x"))
    answer = {"message": "", "uniqueId": "u", "key": "k", "processingId": "p", "preset": "s", "presetVersion": None}
    asking, scripted = client(*answers, httpx.Response(202, json=answer))
    await asking.process_image("u")
    await asking.process_image("u")
    await asking.process_image("u", idempotency_key="mine")
    keys = [request.headers["Idempotency-Key"] for request in scripted.asked]
    assert keys[0] == keys[1] == keys[2] != keys[3]
    assert keys[4] == "mine"


@pytest.mark.parametrize(
    ("status", "error"), [(404, NotFound), (503, Unavailable), (429, TooManyRequests), (500, Unavailable)]
)
async def test_an_error_says_which_and_why(status: int, error: type[Exception], pauses: list[float]) -> None:
    asking, _ = client(problem(status, "some_code"), patience=0.0)
    with pytest.raises(error, match=r"some_code: some_code\. \(request 0b6c7e5f\)") as refused:
        await asking.get_status("img_1_a")
    assert KEY not in repr(refused.value)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>hello</html>"),
        httpx.Response(302, headers={"Location": "https://login.example.com"}),
        httpx.Response(404, text="nothing here"),
        httpx.Response(200, json={"hello": "world"}),
        httpx.Response(200, json=[]),
    ],
)
async def test_what_speaks_another_api_is_told_apart(answer: httpx.Response) -> None:
    asking, _ = client(answer)
    with pytest.raises(NotThisService):
        await asking.get_health()


@given(text=st.text())
def test_any_retry_after_is_seconds_or_nothing(text: str) -> None:
    found = retry_after({"retry-after": text})
    assert found is None or found >= 0


def test_a_date_is_compared_with_the_senders_clock() -> None:
    headers = {"retry-after": "Wed, 21 Oct 2015 07:28:30 GMT", "date": "Wed, 21 Oct 2015 07:28:00 GMT"}
    assert retry_after(headers) == 30.0


def test_what_is_wrong_for_good_is_not_repeated() -> None:
    assert pause_after(400, "invalid_request", {"retry-after": "1"}, 0) is None
    assert pause_after(409, "already_uploaded", {}, 0) is None


async def test_the_key_goes_to_the_service_and_not_to_the_storage(pauses: list[float], tmp_path: Path) -> None:
    asking, scripted = client(issued(), httpx.Response(200))
    await asking.upload(b"picture")
    ours, theirs = scripted.asked
    assert ours.headers["X-Api-Key"] == KEY
    assert (theirs.url.host, "X-Api-Key" in theirs.headers, "Authorization" in theirs.headers) == (
        "bucket.example",
        False,
        False,
    )
    assert KEY not in repr(vars(asking))


def test_a_url_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRUSS_IMAGE_URL", raising=False)
    with pytest.raises(ValueError, match="TRUSS_IMAGE_URL"):
        Client()


async def test_a_name_cannot_lead_to_another_call() -> None:
    asking, scripted = client(problem(404, "job_not_found"))
    for name in ("../keys", "a/b?c=d#e", ".."):
        with pytest.raises(NotFound):
            await asking.get_status(name)
    assert all(request.url.raw_path.startswith(b"/images/status/") for request in scripted.asked)
    assert [request.url.raw_path.count(b"/") for request in scripted.asked] == [3, 3, 3]


# -- uploads ----------------------------------------------------------------------------------------------------------


def refreshed(**more: Any) -> dict[str, Any]:
    return {
        "uploadUrl": "https://bucket.example/u?signed",
        "headers": {"Content-Type": "image/jpeg"},
        "post": None,
        "key": "uploads/u.jpg",
        "uniqueId": "u",
        "processingId": "img_1_a",
        "expiresIn": 3600,
        "processedImageUrl": "https://cdn/u",
        "processedImageUrls": {"webp": "https://cdn/u"},
        "preset": "standard",
        "presetVersion": 1,
        "duplicateOf": None,
        **more,
    }


def issued(*, replayed: bool | None = None, **more: Any) -> httpx.Response:
    result = {"index": 0, "status": 200, "answer": refreshed(**more), "problem": None, "replayed": replayed}
    return httpx.Response(200, json={"results": [result], "succeeded": 1, "failed": 0})


async def test_an_upload_is_bound_to_its_bytes_and_tells_its_progress(pauses: list[float], tmp_path: Path) -> None:
    path = tmp_path / "a photo.jpg"
    path.write_bytes(bytes(600_000))
    told: list[tuple[int, int]] = []
    asking, scripted = client(issued(), httpx.Response(200))
    done = await asking.upload(path, metadata={"album": "1"}, progress=lambda sent, size: told.append((sent, size)))
    (asked,) = json.loads(scripted.asked[0].content)["uploads"]
    assert asked.pop("idempotencyKey")
    checksum = base64.b64encode(hashlib.sha256(bytes(600_000)).digest()).decode()
    assert asked == {
        "filename": "a photo.jpg",
        "contentType": "image/jpeg",
        "size": 600_000,
        "checksumSha256": checksum,
        "metadata": {"album": "1"},
        "dedupe": False,
        "once": True,
    }
    assert scripted.asked[1].content == bytes(600_000)
    assert scripted.asked[1].headers["Content-Length"] == "600000"
    assert told == [(262_144, 600_000), (524_288, 600_000), (600_000, 600_000)]
    assert (done.processing_id, done.existing, done.urls["webp"]) == ("img_1_a", False, "https://cdn/u")


async def test_a_storage_that_is_busy_is_asked_again(pauses: list[float]) -> None:
    slow = httpx.Response(503, text="<Error><Code>SlowDown</Code></Error>")
    asking, scripted = client(issued(), httpx.WriteError("x"), slow, httpx.Response(200))
    await asking.upload(io.BytesIO(b"picture"))
    assert [request.content for request in scripted.asked[2:]] == [b"picture"] * 2
    assert len(pauses) == 2


async def test_an_earlier_try_that_arrived_is_enough(pauses: list[float]) -> None:
    asking, _ = client(issued(), httpx.ReadTimeout("x"), httpx.Response(412))
    assert not (await asking.upload(b"picture")).existing


async def test_a_url_that_has_run_out_is_replaced(pauses: list[float]) -> None:
    expired = httpx.Response(403, text="<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>")
    asking, scripted = client(
        issued(),
        expired,
        httpx.Response(200, json=refreshed(uploadUrl="https://bucket.example/new")),
        httpx.Response(200),
    )
    await asking.upload(b"picture")
    assert scripted.asked[2].url.path == "/images/upload-url/u/refresh"
    assert str(scripted.asked[3].url) == "https://bucket.example/new"


async def test_a_refused_upload_says_why_without_its_url(pauses: list[float]) -> None:
    asking, _ = client(issued(), httpx.Response(400, text="<Error><Code>EntityTooLarge</Code></Error>"))
    with pytest.raises(UploadFailed, match="EntityTooLarge") as refused:
        await asking.upload(b"picture")
    assert "signed" not in str(refused.value)


async def test_a_repeated_upload_that_arrived_sends_nothing(pauses: list[float]) -> None:
    asking, scripted = client(issued(replayed=True), httpx.Response(200, json=job("completed")))
    assert (await asking.upload(b"picture", idempotency_key="mine")).existing
    assert len(scripted.asked) == 2


async def test_known_bytes_are_not_sent(pauses: list[float]) -> None:
    asking, scripted = client(issued(uploadUrl=None, duplicateOf="u"))
    assert (await asking.upload(b"picture", dedupe=True)).existing
    assert len(scripted.asked) == 1


async def test_known_bytes_of_a_large_file_are_not_sent_either(pauses: list[float]) -> None:
    known = parts([])
    asking, scripted = client(httpx.Response(200, json={**known.json(), "duplicateOf": "u"}))
    assert (await asking.upload(b"0123456789", dedupe=True, multipart_bytes=5)).existing
    assert len(scripted.asked) == 1


def parts(numbers: Iterator[int] | range | list[int], **more: Any) -> httpx.Response:
    document = {
        "uniqueId": "u",
        "processingId": "img_1_a",
        "key": "uploads/u.jpg",
        "partSize": 4,
        "expiresIn": 3600,
        "processedImageUrl": "https://cdn/u",
        "processedImageUrls": {},
        "preset": "s",
        "presetVersion": 1,
        "parts": [
            {"partNumber": n, "size": 4 if n < 3 else 2, "url": f"https://bucket.example/{n}", "headers": {}}
            for n in numbers
        ],
    }
    return httpx.Response(201, json=document, headers=more)


COMPLETED = {"message": "", "uniqueId": "u", "processingId": "img_1_a", "key": "uploads/u.jpg"}


async def test_a_large_file_goes_up_in_parts_and_parts_that_are_missing_go_again(pauses: list[float]) -> None:
    stored: dict[str, bytes] = {}
    tries: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            stored[request.url.path] = request.content
            return httpx.Response(200)
        tries.append(request.url.path)
        if request.url.path.endswith("/complete"):
            incomplete = problem(409, "upload_incomplete", missingParts=[2])
            return incomplete if len(tries) == 2 else httpx.Response(200, json=COMPLETED)
        return parts([2]) if request.url.path.endswith("/parts") else parts(range(1, 4))

    told: list[int] = []
    asking, _ = client(answer)
    await asking.upload(b"0123456789", multipart_bytes=5, progress=lambda sent, _: told.append(sent))
    assert stored == {"/1": b"0123", "/2": b"4567", "/3": b"89"}
    assert told[-1] == 10
    assert tries[-2:] == ["/images/multipart/u/parts", "/images/multipart/u/complete"]


async def test_an_interrupted_large_upload_sends_only_what_is_missing(pauses: list[float]) -> None:
    stored: dict[str, bytes] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if request.method == "PUT":
            stored[path] = request.content
            return httpx.Response(200)
        if path == "/images/multipart":
            return parts(range(1, 4), **{"Idempotent-Replayed": "true"})
        if path.startswith("/images/status/"):
            return httpx.Response(200, json=job("pending"))
        if request.method == "GET":
            arrived = [{"partNumber": 1, "size": 4}, {"partNumber": 2, "size": 4}]
            return httpx.Response(
                200, json={**COMPLETED, "size": 10, "partSize": 4, "parts": arrived, "missingParts": [3]}
            )
        return httpx.Response(200, json=COMPLETED) if path.endswith("/complete") else parts([3])

    told: list[int] = []
    asking, _ = client(answer)
    await asking.upload(
        b"0123456789", multipart_bytes=5, idempotency_key="mine", progress=lambda sent, _: told.append(sent)
    )
    assert stored == {"/3": b"89"}
    assert told == [4, 8, 10]


async def test_a_part_that_fails_for_good_ends_the_upload(pauses: list[float]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(403, text="<Error/>") if request.method == "PUT" else parts(range(1, 4))

    asking, _ = client(answer)
    with pytest.raises(UploadFailed, match="HTTP 403"):
        await asking.upload(b"0123456789", multipart_bytes=5)


@pytest.mark.parametrize("source", [b"", io.BytesIO(b""), "no/such/file.jpg"])
async def test_what_is_no_file_with_something_in_it_is_refused_before_any_call(source: Any) -> None:
    asking, scripted = client(issued())
    with pytest.raises(UploadFailed):
        await asking.upload(source)
    assert scripted.asked == []


async def test_an_open_file_is_read_from_where_it_stands_and_stays_open(pauses: list[float]) -> None:
    file = io.BytesIO(b"header picture")
    file.seek(7)
    asking, scripted = client(issued(), httpx.Response(200))
    await asking.upload(file, filename="x\x00y.png")
    assert scripted.asked[1].content == b"picture"
    assert json.loads(scripted.asked[0].content)["uploads"][0]["filename"] == "x_y.png"
    assert not file.closed


def test_the_blocking_client_sends_parts_in_threads(pauses: list[float]) -> None:
    stored: dict[str, bytes] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            stored[request.url.path] = request.read()
            return httpx.Response(200)
        return httpx.Response(200, json=COMPLETED) if request.url.path.endswith("/complete") else parts(range(1, 4))

    with Client(URL, api_key=KEY, http=httpx.Client(transport=httpx.MockTransport(answer))) as asking:
        done = asking.upload(b"0123456789", multipart_bytes=5)
    assert (stored, done.unique_id) == ({"/1": b"0123", "/2": b"4567", "/3": b"89"}, "u")


def test_a_part_that_fails_ends_the_blocking_upload_too() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(403, text="<Error/>") if request.method == "PUT" else parts(range(1, 4))

    asking = Client(URL, http=httpx.Client(transport=httpx.MockTransport(answer)))
    with pytest.raises(UploadFailed, match="HTTP 403"):
        asking.upload(b"0123456789", multipart_bytes=5)


# -- waiting, lists ---------------------------------------------------------------------------------------------------


async def test_waiting_asks_for_the_next_change_and_follows_the_job_in_place(pauses: list[float]) -> None:
    asking, scripted = client(
        httpx.Response(200, json=job("processing"), headers={"ETag": '"1"'}),
        httpx.Response(304),
        httpx.Response(200, json=job("failed", supersededBy="img_2_b")),
        httpx.Response(200, json=job("completed", processingId="img_2_b")),
    )
    done = await asking.wait("img_1_a")
    assert done.processing_id == "img_2_b"
    assert [request.headers.get("If-None-Match") for request in scripted.asked] == [None, '"1"', '"1"', None]
    assert all(1 <= int(request.url.params["wait"]) <= 30 for request in scripted.asked)


async def test_a_job_that_fails_says_why(pauses: list[float]) -> None:
    error = {"code": "corrupt_image", "message": "It is damaged."}
    asking, _ = client(httpx.Response(200, json=job("failed", error=error)))
    with pytest.raises(JobFailed, match="corrupt_image: It is damaged") as failed:
        await asking.wait("img_1_a")
    assert failed.value.code == "corrupt_image"


@pytest.mark.parametrize("status", ["needs_review", "rejected"])
async def test_a_job_that_a_reviewer_decides_about_ends_the_waiting(pauses: list[float], status: str) -> None:
    asking, _ = client(httpx.Response(200, json=job(status)))
    with pytest.raises(JobFailed, match=status) as held:
        await asking.wait("img_1_a")
    assert held.value.code == status


async def test_waiting_has_an_end(pauses: list[float]) -> None:
    asking, _ = client(httpx.Response(200, json=job("processing")))
    with pytest.raises(NotDone):
        await asking.wait("img_1_a", timeout=0.0)


async def test_a_list_goes_on_from_page_to_page_as_far_as_it_is_read(pauses: list[float]) -> None:
    def page(last: str | None) -> httpx.Response:
        return httpx.Response(200, json={"images": [job("completed")] * 2, "count": 2, "lastEvaluatedKey": last})

    asking, scripted = client(page("a"), page("b"), page(None))
    rows = [row async for row in asking.list_images(status="completed", from_=datetime(2026, 1, 2, tzinfo=UTC))]
    assert len(rows) == 6
    assert [request.url.params.get("lastKey") for request in scripted.asked] == [None, "a", "b"]
    assert all(request.url.params["from"] == "2026-01-02T00:00:00Z" for request in scripted.asked)

    asking, scripted = client(page("a"))
    async for _ in asking.list_images():
        break
    assert len(scripted.asked) == 1


async def test_more_than_a_hundred_images_take_more_than_one_call(pauses: list[float]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        names = json.loads(request.content)["uniqueIds"]
        results = [
            {
                "index": index,
                "status": 404,
                "answer": None,
                "problem": problem(404, "image_not_found").json(),
                "id": name,
            }
            for index, name in enumerate(names)
        ]
        return httpx.Response(200, json={"results": results, "succeeded": 0, "failed": len(names)})

    asking, scripted = client(answer)
    found = await asking.delete_images([str(number) for number in range(250)])
    assert [result.id for result in found] == [str(number) for number in range(250)]
    assert found[0].problem is not None
    assert found[0].problem.code == "image_not_found"
    assert len(scripted.asked) == 3


async def test_a_preset_is_written_from_models(pauses: list[float]) -> None:
    asking, scripted = client(problem(403, "forbidden"))
    with pytest.raises(Exception, match="forbidden"):
        await asking.put_preset("avatar", variants=[models.VariantRequest(name="small", width=64, height=64)])
    assert json.loads(scripted.asked[0].content) == {"variants": [{"name": "small", "width": 64, "height": 64}]}


# -- many uploads at once ---------------------------------------------------------------------------------------------


def issued_each(request: httpx.Request) -> httpx.Response:
    """Each upload becomes the image that its name says."""
    uploads = json.loads(request.content)["uploads"]
    results = [
        {"index": index, "status": 200, "problem": None, "answer": refreshed(uniqueId=each["filename"])}
        for index, each in enumerate(uploads)
    ]
    return httpx.Response(200, json={"results": results, "succeeded": len(uploads), "failed": 0})


async def test_uploads_that_begin_while_a_call_is_under_way_go_together_with_the_next() -> None:
    keys: list[list[str]] = []

    async def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            return httpx.Response(200)
        assert "Idempotency-Key" not in request.headers  # each has its own
        keys.append([each["idempotencyKey"] for each in json.loads(request.content)["uploads"]])
        if len(keys) == 1:
            await eventually(all_wait, what="the other uploads wait for their URLs")
        return issued_each(request)

    asking = AsyncClient(URL, http=httpx.AsyncClient(transport=httpx.MockTransport(answer)))

    async def all_wait() -> bool:
        return len(asking._urls._waiting) == 250

    done = await asyncio.gather(*(asking.upload(b"x", filename=f"{number}") for number in range(250)))
    assert [each.unique_id for each in done] == [str(number) for number in range(250)]
    assert sorted(map(len, keys)) == [1, 49, 100, 100]
    assert len({key for each in keys for key in each}) == 250


async def test_an_upload_among_others_is_refused_alone_and_waits_as_it_is_told(pauses: list[float]) -> None:
    problems = [problem(429, "too_many_requests").json(), None, problem(400, "file_too_large").json()]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            return httpx.Response(200)
        told = problems.pop(0)
        result = {"index": 0, "status": 200, "problem": told, "answer": None if told else refreshed(), "retryAfter": 7}
        return httpx.Response(200, json={"results": [result], "succeeded": 0, "failed": 1})

    asking, scripted = client(answer)
    assert (await asking.upload(b"picture")).sent == 7
    assert pauses == [7.0]
    keys = [json.loads(request.content)["uploads"][0]["idempotencyKey"] for request in scripted.asked[:2]]
    assert keys[0] == keys[1]
    with pytest.raises(BadRequest, match="file_too_large"):
        await asking.upload(b"picture")


async def test_a_busy_service_is_not_asked_for_a_url_for_ever(pauses: list[float]) -> None:
    told = {"index": 0, "status": 503, "problem": problem(503, "unavailable").json(), "answer": None, "retryAfter": 9}
    asking, _ = client(httpx.Response(200, json={"results": [told], "succeeded": 0, "failed": 1}))
    with pytest.raises(Unavailable):
        await asking.upload(b"picture")
    assert sum(pauses) < 60 + 2 * 9


@pytest.mark.parametrize("results", [None, [], ["x"], [{}], [{"problem": None, "answer": {}}], [{"problem": {}}]])
async def test_an_answer_that_tells_of_no_upload_is_none_of_this_api(pauses: list[float], results: object) -> None:
    asking, _ = client(httpx.Response(200, json={"results": results}))
    with pytest.raises(NotThisService):
        await asking.upload(b"picture")


def test_threads_get_their_urls_together_too() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200) if request.method == "PUT" else issued_each(request)

    with Client(URL, http=httpx.Client(transport=httpx.MockTransport(answer))) as asking, ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda number: asking.upload(b"x", filename=f"{number}"), range(40)))
    assert [each.unique_id for each in done] == [str(number) for number in range(40)]


async def test_whoever_wants_to_know_hears_the_ids_before_the_bytes_are_sent(pauses: list[float]) -> None:
    begun: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "PUT":
            assert begun == ["u"]
            return httpx.Response(200)
        return issued()

    asking, _ = client(answer)
    await asking.upload(b"picture", begun=lambda upload: begun.append(upload.unique_id))
    assert begun == ["u"]


# -- calls as they are, and what they answer --------------------------------------------------------------------------


async def test_any_call_can_be_made_and_an_answer_keeps_what_this_release_does_not_know(pauses: list[float]) -> None:
    asking, scripted = client(httpx.Response(200, json={**HEALTH, "mood": "sunny"}))
    answer = await asking.request("GET", "/images/health", query={"deep": True})
    assert (answer.document["mood"], str(scripted.asked[0].url)) == ("sunny", f"{URL}/images/health?deep=true")
    health = await asking.get_health()
    assert document_of(health)["mood"] == "sunny"
    assert "mood" not in repr(health)
    by_hand = models.VariantRequest(name="small", width=64)
    assert document_of(by_hand) == {"name": "small", "width": 64}


async def test_an_answer_without_an_end_is_not_read_to_its_end(pauses: list[float]) -> None:
    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(2**20)

    asking, _ = client(lambda _: httpx.Response(200, content=endless()))
    with pytest.raises(NotThisService):
        await asking.get_health()


async def test_a_certificate_that_is_not_trusted_is_not_tried_again(pauses: list[float]) -> None:
    error = httpx.ConnectError("x")
    error.__cause__ = ssl.SSLCertVerificationError(1, "self-signed")
    asking, scripted = client(error)
    with pytest.raises(NotReached):
        await asking.get_health()
    assert (pauses, len(scripted.asked)) == ([], 1)


async def test_a_gateway_that_answers_for_the_service_is_told_by_its_status(pauses: list[float]) -> None:
    asking, scripted = client(httpx.Response(502, text="<h1>Bad gateway</h1>"))
    with pytest.raises(NotReached, match="HTTP 502") as away:
        await asking.get_health()
    assert away.value.status == 502
    assert len(scripted.asked) > 1


async def test_images_that_must_wait_are_tried_again_and_each_has_its_last_result(pauses: list[float]) -> None:
    told = problem(429, "too_many_requests").json()

    def answer(request: httpx.Request) -> httpx.Response:
        names = json.loads(request.content)["uniqueIds"]
        waits = len(names) == 3
        results = [
            {"index": index, "status": 429 if waits else 200, "id": name, "problem": told if waits else None}
            | ({"answer": None, "retryAfter": 3} if waits and name != "a" else {"answer": None})
            for index, name in enumerate(names)
        ]
        return httpx.Response(200, json={"results": results, "succeeded": 0, "failed": 0})

    asking, scripted = client(answer)
    found = await asking.delete_images(["a", "b", "c"])
    assert [(each.id, each.status) for each in found] == [("a", 429), ("b", 200), ("c", 200)]
    assert (pauses, len(scripted.asked)) == ([3], 2)


# -- events -----------------------------------------------------------------------------------------------------------


def told(number: int, kind: str = "image.uploaded") -> str:
    event = {
        "id": f"{number}-0",
        "type": kind,
        "time": "2026-01-02T03:04:05.678Z",
        "subject": "u",
        "data": {"n": number},
    }
    return f"id: {number}-0\r\nevent: {kind}\r\ndata: {json.dumps(event)}\r\n\r\n"


def stream(text: str) -> httpx.Response:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(text), 7):
            yield text[start : start + 7].encode()
        raise httpx.ReadError("cut")

    return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, content=pieces())


async def test_events_go_on_where_the_connection_broke_and_none_is_told_twice(pauses: list[float]) -> None:
    gap = 'event: gap\ndata: {"since": "2026-01-02T03:00:00.000Z"}\n\n'
    closed = 'event: closed\ndata: {"reason": "time"}\n\n'
    asking, scripted = client(
        stream(told(1) + told(2) + "id: 9-0\nevent: image.failed\ndata: {"),
        problem(429, "too_many_streams", **{"Retry-After": "1"}),
        stream(told(2) + ": keep-alive\nid: 5-0\n\n" + closed),
        stream(gap + told(1) + told(7, "image.later")),
    )
    missed: list[datetime] = []
    found: list[Event] = []
    async with asking.events(types=["image.b", "image.a"], unique_id="u", missed=missed.append) as events:
        async for event in events:
            found.append(event)
            if event.type == "image.later":
                break
    assert [(event.id, event.data["n"]) for event in found] == [("1-0", 1), ("2-0", 2), ("7-0", 7)]
    assert [request.headers.get("Last-Event-ID") for request in scripted.asked] == [None, "2-0", "2-0", "5-0"]
    assert dict(scripted.asked[0].url.params) == {"types": "image.a,image.b", "uniqueId": "u"}
    assert missed == [datetime(2026, 1, 2, 3, tzinfo=UTC)]
    assert events.last_event_id == "7-0"
    assert found[0].document["subject"] == "u"


async def test_a_stream_that_may_not_begin_says_why(pauses: list[float]) -> None:
    asking, _ = client(problem(401, "unauthenticated"))
    with pytest.raises(NotAuthenticated):
        async for _ in asking.events():
            pass
    asking, _ = client(httpx.Response(200, text="<html>"))
    with pytest.raises(NotThisService):
        async for _ in asking.events():
            pass


def test_the_blocking_client_tells_events_as_well() -> None:
    text = told(1) + told(2)
    answers = httpx.Response(200, headers={"Content-Type": "text/event-stream"}, text=text)
    asking = Client(URL, http=httpx.Client(transport=httpx.MockTransport(lambda _: answers)))
    with asking.events(last_event_id="0-0") as events:
        assert [event.id for event in islice(events, 2)] == ["1-0", "2-0"]


# -- webhooks ---------------------------------------------------------------------------------------------------------

SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef0123456789abcdef").decode()
NOW = 1_767_323_045
EVENT = {
    "specversion": "1.0",
    "id": "1767323045678-0",
    "type": "image.completed",
    "subject": "u",
    "time": "2026-01-02T03:04:05.678Z",
    "data": {"uniqueId": "u"},
}
BODY = json.dumps(EVENT).encode()


def signed(body: bytes = BODY, secret: str = SECRET, at: int = NOW) -> dict[str, str]:
    moment = datetime.fromtimestamp(at, tz=UTC)
    signature = Webhook(secret).sign("msg_1", moment, body.decode())
    return {"Webhook-Id": "msg_1", "webhook-timestamp": str(at), "webhook-signature": signature}


def test_a_genuine_delivery_is_an_event() -> None:
    event = webhooks.verify(BODY, signed(), SECRET, now=NOW)
    assert (event.id, event.type, event.data["uniqueId"]) == ("1767323045678-0", "image.completed", "u")
    assert event.time == datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)


def test_while_a_secret_is_replaced_either_signs() -> None:
    other = "whsec_" + base64.b64encode(b"another secret of the webhook...").decode()
    both = signed() | {"webhook-signature": f"v1a,xxxx v1,!!! {signed(secret=other)['webhook-signature']}"}
    assert webhooks.verify(BODY, both, [SECRET, other], now=NOW).type == "image.completed"


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-timestamp": str(NOW - 301)},
        {"webhook-timestamp": str(NOW + 301)},
        {"webhook-timestamp": "nan"},
        {"webhook-timestamp": "²"},
        {"webhook-signature": ""},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1,AAAA"},
        {"webhook-signature": hmac.new(b"", BODY, "sha256").hexdigest()},
        {"Webhook-Id": "msg_2"},
        {"Webhook-Id": ""},
    ],
)
def test_what_is_not_genuine_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(WebhookRefused):
        webhooks.verify(BODY, signed() | change, SECRET, now=NOW)


def test_old_deliveries_are_refused_though_they_are_signed() -> None:
    with pytest.raises(WebhookRefused):
        webhooks.verify(BODY, signed(at=NOW - 301), SECRET, now=NOW)
    assert webhooks.verify(BODY, signed(at=NOW - 299), SECRET, now=NOW).type == "image.completed"


@given(body=st.binary(max_size=50))
def test_no_other_body_passes(body: bytes) -> None:
    with pytest.raises(WebhookRefused):
        webhooks.verify(body, signed(), SECRET, now=NOW)


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_???"])
def test_an_empty_secret_is_no_secret(secret: str) -> None:
    with pytest.raises(ValueError, match="secret"):
        webhooks.verify(BODY, signed(), secret, now=NOW)
