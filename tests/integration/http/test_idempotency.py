"""A POST that is repeated under the same Idempotency-Key is done once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from processor import clock
from processor.catalog.uploads import Uploads
from processor.errors import Unavailable
from processor.ports.objects import MultipartUpload
from service import idempotency
from service.auth.principal import Scope
from service.calls.use_cases import CATALOG
from service.idempotency import REPLAYS
from tests.integration.http.conftest import Client, World
from tests.integration.http.test_access import key_of
from tests.waiting import PATIENCE_SECONDS

Serve = Callable[..., Awaitable[Client]]
PATH = "/images/upload-url"
ASKED = {"filename": "a.jpg"}


async def post(client: Client, key: str, path: str = PATH, asked: Any = None, **headers: str) -> tuple[int, Any, Any]:
    headers = {"Idempotency-Key": key, **headers}
    async with client.post(path, json=asked or ASKED, headers=headers) as response:
        return response.status, response.headers, await response.json(content_type=None)


async def test_a_repetition_is_answered_the_same_and_makes_nothing(client: Client, world: World) -> None:
    first, again = await post(client, "k1"), await post(client, '"k1"')
    assert again[0] == first[0] == 200
    assert again[2] == first[2]
    assert "Idempotent-Replayed" not in first[1]
    assert again[1]["Idempotent-Replayed"] == "true"
    assert world.jobs.count == 1


LATER = {"expiresIn": 3600}


async def _an_hour_later(monkeypatch: pytest.MonkeyPatch) -> None:
    present = clock.now()
    monkeypatch.setattr(clock, "now", lambda: present + timedelta(hours=1))


@pytest.mark.parametrize("state", ["pending", "completed"])
async def test_a_repetition_whose_urls_have_ended_is_given_new_ones_under_the_same_ids(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    _, _, first = await post(client, "k1", asked={**ASKED, **LATER})
    if state == "completed":
        await world.complete(first["processingId"])
    signed = len(world.source.presigned)
    await _an_hour_later(monkeypatch)
    status, headers, again = await post(client, "k1", asked={**ASKED, **LATER})
    assert (status, headers["Idempotent-Replayed"]) == (200, "true")
    assert [again[name] for name in ("uniqueId", "processingId", "key", "expiresIn")] == [
        first[name] for name in ("uniqueId", "processingId", "key", "expiresIn")
    ]
    assert len(world.source.presigned) == signed + 1
    assert world.jobs.count == 1


async def test_a_repetition_while_most_of_the_time_is_left_is_answered_word_for_word(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, first = await post(client, "k1", asked={**ASKED, "expiresIn": 43_200})
    await _an_hour_later(monkeypatch)
    assert (await post(client, "k1", asked={**ASKED, "expiresIn": 43_200}))[2] == first
    assert len(world.source.presigned) == 1


@pytest.mark.parametrize("path", ["/images/upload-url", "/images/multipart"])
async def test_a_repetition_at_once_for_a_deleted_image_leads_to_no_upload(
    client: Client, world: World, path: str
) -> None:
    """Its URL would still be taken by S3, and what was uploaded be removed."""
    asked = {**ASKED, "size": 900} if path == "/images/multipart" else ASKED
    _, _, first = await post(client, "k1", path, asked=asked)
    assert (await post(client, "k1", path, asked=asked))[2] == first
    await client.delete(f"/images/image/{first['uniqueId']}")
    for _ in range(2):
        status, _, body = await post(client, "k1", path, asked=asked)
        assert (status, body["code"]) == (404, "image_deleted")
    assert world.jobs.count == 0


async def test_a_late_repetition_for_a_deleted_image_makes_no_new_one(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, first = await post(client, "k1", asked={**ASKED, **LATER})
    await client.delete(f"/images/image/{first['uniqueId']}")
    await _an_hour_later(monkeypatch)
    status, _, body = await post(client, "k1", asked={**ASKED, **LATER})
    assert (status, body["code"]) == (404, "image_deleted")
    assert world.jobs.count == 0


async def test_a_late_repetition_of_an_upload_in_parts_signs_its_parts_anew(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"filename": "a.png", "size": 900, **LATER}
    _, _, first = await post(client, "k1", "/images/multipart", asked)
    await _an_hour_later(monkeypatch)
    status, headers, again = await post(client, "k1", "/images/multipart", asked)
    assert (status, headers["Idempotent-Replayed"]) == (201, "true")
    assert again["uniqueId"] == first["uniqueId"]
    assert world.jobs.count == 1


async def test_without_a_key_or_with_another_one_every_request_counts(client: Client, world: World) -> None:
    await post(client, "k1")
    await post(client, "k2")
    await client.post(PATH, json=ASKED)
    await client.post(PATH, json=ASKED)
    assert world.jobs.count == 4


@pytest.mark.parametrize(("path", "asked"), [(PATH, {"filename": "b.jpg"}), (f"{PATH}?x=1", ASKED)])
async def test_a_key_that_is_used_for_something_else_is_refused(client: Client, path: str, asked: Any) -> None:
    await post(client, "k1")
    status, _, body = await post(client, "k1", path, asked)
    assert (status, body["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("key", ["", " ", "a b", "x" * 256, "ü"])
async def test_a_key_must_look_like_one(client: Client, key: str) -> None:
    status, _, body = await post(client, key)
    assert (status, body["code"]) == (400, "invalid_request")


async def test_what_failed_did_nothing_and_is_tried_again(client: Client, world: World) -> None:
    refused = await post(client, "k1", asked={"filename": "a.jpg", "size": 10_000})
    assert refused[2]["code"] == "file_too_large"
    assert (await post(client, "k1"))[0] == 200
    world.jobs.broken = None


async def test_two_at_once_are_done_once(client: Client, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    assert client.app is not None
    gate, begun, submit = asyncio.Event(), asyncio.Event(), Uploads.submit

    async def slowly(self: Uploads, *args: Any) -> Any:
        begun.set()
        await gate.wait()
        return await submit(self, *args)

    monkeypatch.setattr(Uploads, "submit", slowly)
    first = asyncio.create_task(post(client, "k1"))
    await asyncio.wait_for(begun.wait(), PATIENCE_SECONDS)
    status, headers, body = await post(client, "k1")
    assert (status, body["code"], headers["Retry-After"]) == (409, "request_in_progress", "1")
    gate.set()
    assert (await first)[0] == 200
    assert (await post(client, "k1"))[2] == (await first)[2]
    assert world.jobs.count == 1


async def test_callers_do_not_see_each_others_answers(serve: Serve, world: World) -> None:
    client = await serve(locked=True)
    mine = await post(client, "k1", **(await key_of(world, Scope.WRITE)))
    colleague = await post(client, "k1", **(await key_of(world, Scope.WRITE)))
    stranger = await post(client, "k1", **(await key_of(world, Scope.WRITE, tenant="other")))
    assert len({answer[2]["uniqueId"] for answer in (mine, colleague, stranger)}) == 3


async def test_an_answer_that_holds_a_secret_is_not_kept(serve: Serve, world: World) -> None:
    client = await serve(locked=True)
    admin = await key_of(world, Scope.ADMIN)
    asked = {"name": "n", "scopes": ["images:read"]}
    first = await post(client, "k1", "/images/keys", asked, **admin)
    again = await post(client, "k1", "/images/keys", asked, **admin)
    assert first[0] == 201
    assert (again[0], again[2]["code"]) == (409, "answer_not_kept")
    assert len(await world.keys.list("acme")) == 2
    assert first[2]["key"] not in repr(vars(client.app[REPLAYS]))


async def test_a_store_that_goes_away_afterwards_takes_no_answer_away(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.app is not None

    async def away(*_: Any) -> None:
        raise Unavailable

    for method in ("record", "abandon"):
        monkeypatch.setattr(type(client.app[REPLAYS]), method, away)
    assert (await post(client, "k1"))[0] == 200
    assert (await post(client, "k2", asked={"filename": ""}))[0] == 400
    assert client.app[CATALOG] is not None


async def test_a_body_that_may_be_left_out_counts_under_a_key_too(client: Client) -> None:
    image = (await post(client, "k1"))[2]["uniqueId"]
    refreshed = await post(client, "k2", f"{PATH}/{image}/refresh", {"expiresIn": 600})
    assert refreshed[2]["expiresIn"] == 600
    begun = (await post(client, "k3", "/images/multipart", {"filename": "a.png", "size": 10}))[2]
    path = f"/images/multipart/{begun['uniqueId']}/parts"
    assert (await post(client, "k4", path, {"expiresIn": 61}))[2]["expiresIn"] == 61


# -- what was signed runs out before the answer is forgotten ----------------------------------------------------------


@pytest.fixture
def worn(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was signed has lost too much of its time as soon as somebody asks again."""
    monkeypatch.setattr(idempotency, "WORN", 0.0)


@pytest.mark.usefixtures("worn")
async def test_a_repetition_promises_what_the_session_of_now_has_left(client: Client, world: World) -> None:
    first = await post(client, "k1", asked=ASKED | {"expiresIn": 60})
    world.source.session_seconds = 40
    again = await post(client, "k1", asked=ASKED | {"expiresIn": 60})
    assert again[2] == first[2] | {"expiresIn": 40}
    assert (len(world.source.presigned), world.jobs.count) == (2, 1)


async def test_a_session_that_ends_soon_makes_its_urls_old_soon(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.source.session_seconds = 300
    await post(client, "k1")
    present = clock.now()
    monkeypatch.setattr(clock, "now", lambda: present + timedelta(seconds=31))
    await post(client, "k1")
    assert len(world.source.presigned) == 2


@pytest.mark.usefixtures("worn")
@pytest.mark.parametrize("ending", ["completed", "expired"])
async def test_a_repetition_says_when_there_are_no_parts_to_send_any_more(
    client: Client, world: World, ending: str
) -> None:
    path, asked = "/images/multipart", {"filename": "a.png", "size": 10}
    first = (await post(client, "k1", path, asked))[2]
    terms = (await world.jobs.job_of_any_tenant(first["processingId"])).terms
    assert terms is not None
    upload = MultipartUpload(key=first["key"], upload_id=terms.multipart or "")
    if ending == "completed":
        await world.source.put_part(upload, 1, b"x" * 10)
        await client.post(f"{path}/{first['uniqueId']}/complete")
    else:
        await world.source.abort_multipart(upload)
    status, headers, again = await post(client, "k1", path, asked)
    assert (status, headers["Idempotent-Replayed"]) == (201, "true")
    assert again == first | {"parts": [], "expiresIn": 0}


@pytest.mark.usefixtures("worn")
async def test_what_signs_again_is_simply_asked_again(client: Client, world: World) -> None:
    image = (await post(client, "k1"))[2]["uniqueId"]
    path = f"{PATH}/{image}/refresh"
    first = await post(client, "k2", path, {"expiresIn": 600})
    world.source.session_seconds = 100
    again = await post(client, "k2", path, {"expiresIn": 600})
    assert (first[2]["expiresIn"], again[2]["expiresIn"], again[1]["Idempotent-Replayed"]) == (600, 100, "true")


@pytest.mark.usefixtures("worn")
async def test_an_answer_in_which_nothing_is_signed_stays_as_it_is(client: Client, world: World) -> None:
    job = (await post(client, "k1"))[2]
    await world.complete(job["processingId"])
    path = f"/images/process/{job['uniqueId']}"
    first, again = await post(client, "k2", path), await post(client, "k2", path)
    assert again[2] == first[2]
    assert world.jobs.count == 2
