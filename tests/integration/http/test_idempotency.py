"""A POST that is repeated under the same Idempotency-Key is done once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from processor import clock
from processor.catalog import Catalog
from processor.errors import Unavailable
from service.auth.principal import Scope
from service.keys import CATALOG, REPLAYS
from tests.integration.http.conftest import Client, World
from tests.integration.http.test_access import key_of

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
    _, _, first = await post(client, "k1", asked={**ASKED, "expiresIn": 10_000})
    await _an_hour_later(monkeypatch)
    assert (await post(client, "k1", asked={**ASKED, "expiresIn": 10_000}))[2] == first
    assert len(world.source.presigned) == 1


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
    gate, begun, submit = asyncio.Event(), asyncio.Event(), Catalog.submit

    async def slowly(self: Catalog, *args: Any) -> Any:
        begun.set()
        await gate.wait()
        return await submit(self, *args)

    monkeypatch.setattr(Catalog, "submit", slowly)
    first = asyncio.create_task(post(client, "k1"))
    await asyncio.wait_for(begun.wait(), 10)
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
