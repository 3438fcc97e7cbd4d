"""The Python client asks again as the service says, does nothing twice, and says what is wrong."""

from __future__ import annotations

import base64
import hashlib
import hmac
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from service.openapi import document
from truss_image_client import (
    AsyncClient,
    Client,
    JobFailed,
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
