"""Many calls in one: each item fares as by itself, and no other fares worse for it."""

from __future__ import annotations

import asyncio
import base64
from collections import Counter
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from processor import clock
from processor.catalog.images import Catalog
from processor.errors import Unavailable
from processor.images import new_unique_id
from processor.jobs import Job
from service.auth.principal import Scope
from service.calls.batches import MAX_ITEMS
from service.limits import batches
from service.observe.metrics import METRICS
from tests.integration.http.conftest import Ask, Client, World
from tests.integration.http.test_access import key_of
from tests.waiting import eventually

Serve = Callable[..., Awaitable[Client]]
Submit = Callable[..., Awaitable[Any]]
UPLOADS = "/images/batch/upload-urls"
TELLING = {"X-Request-Id": "same"}


async def test_each_upload_is_answered_or_refused_as_by_itself(ask: Ask, world: World) -> None:
    asked: list[Any] = [
        {"filename": "a.jpg"},
        {"filename": "a.svg"},
        {"filename": "b.jpg", "size": 10_000},
        {"filename": "c.jpg", "filenam": "d.jpg"},
        {"filenam": "d.jpg"},
        {"contentType": "image/png"},
        [],
        {"filename": "e.jpg", "size": "1"},
        {"filename": "f.jpg", "album": "summer", "metadata": {"a": "b"}},
    ]
    status, _, body = await ask("POST", UPLOADS, json={"uploads": asked}, headers=TELLING)
    assert status == 200
    for index, (upload, result) in enumerate(zip(asked, body["results"], strict=True)):
        status, headers, alone = await ask("POST", "/images/upload-url", json=upload, headers=TELLING)
        assert (result["index"], result["status"]) == (index, status)
        if status == 200:
            assert result["problem"] is None
            assert set(result["answer"]) == set(alone)
            assert result["answer"].get("ignored") == alone.get("ignored")
        else:
            assert (result["answer"], result["problem"]) == (None, alone)
            assert result.get("retryAfter") is None
            assert "Retry-After" not in headers
    good = [result["answer"] for result in body["results"] if result["answer"]]
    assert (body["succeeded"], body["failed"]) == (len(good), len(asked) - len(good)) == (3, 6)
    assert len({each["uniqueId"] for each in good}) == 3
    assert (await world.jobs.job_of_any_tenant(good[2]["processingId"])).metadata == {"a": "b"}


async def test_a_duplicate_among_uploads_has_nothing_to_upload(ask: Ask, submit: Submit, world: World) -> None:
    done = await world.complete((await submit())["processingId"])
    assert done.manifest is not None
    digest = base64.b64encode(bytes.fromhex(done.manifest.sha256)).decode()
    asked = [{"filename": "a.jpg", "checksumSha256": digest, "dedupe": True}, {"filename": "a.jpg"}]
    body = (await ask("POST", UPLOADS, json={"uploads": asked}))[2]
    assert [result["answer"]["duplicateOf"] for result in body["results"]] == [done.unique_id, None]
    assert [result["answer"]["uploadUrl"] is None for result in body["results"]] == [True, False]


async def test_each_status_is_that_of_the_single_call(ask: Ask, submit: Submit, world: World) -> None:
    pending, done, failed, theirs = await submit(), await submit(), await submit(), await world.submit("other")
    await world.complete(done["processingId"])
    await world.fail(failed["processingId"])
    names = [pending["processingId"], done["uniqueId"].upper(), failed["processingId"], theirs.processing_id]
    names += ["img_1_a", new_unique_id(), "", "../../x", "ü", pending["processingId"]]
    _, _, body = await ask("POST", "/images/batch/status", json={"processingIds": names}, headers=TELLING)
    for name, result in zip(names, body["results"], strict=True):
        assert result["id"] == name
        if name in ("", "../../x"):
            assert result["problem"]["code"] == "job_not_found"
            continue
        status, _, alone = await ask("GET", f"/images/status/{name}", headers=TELLING)
        assert (result["status"], result["answer"] or result["problem"]) == (status, alone)
    assert Counter(result["status"] for result in body["results"]) == {200: 4, 404: 6}


async def test_each_image_is_converted_again_or_refused_as_by_the_single_call(
    ask: Ask, submit: Submit, world: World
) -> None:
    pending, done = await submit(), await submit()
    await world.complete(done["processingId"])
    names = [pending["uniqueId"], done["uniqueId"], new_unique_id()]
    _, _, body = await ask("POST", "/images/batch/process", json={"uniqueIds": names}, headers=TELLING)
    assert [result["status"] for result in body["results"]] == [409, 202, 404]
    new = body["results"][1]["answer"]["processingId"]
    assert new != done["processingId"]
    assert (await world.jobs.image_of_any_tenant(done["uniqueId"])).current_job == new
    for index in (0, 2):
        status, _, alone = await ask("POST", f"/images/process/{names[index]}", headers=TELLING)
        assert (body["results"][index]["status"], body["results"][index]["problem"]) == (status, alone)
    assert (await world.queue.depth()).waiting == 1


async def test_images_are_deleted_and_what_cannot_be_keeps_none_of_the_others(
    ask: Ask, submit: Submit, world: World
) -> None:
    done, gone, theirs = await submit(), await submit(), await world.submit("other")
    await world.complete(done["processingId"])
    await ask("DELETE", f"/images/image/{gone['uniqueId']}")
    names = [gone["uniqueId"], theirs.unique_id, done["uniqueId"], "nothing"]
    _, _, body = await ask("POST", "/images/batch/delete", json={"uniqueIds": names})
    codes = [result["problem"] and result["problem"]["code"] for result in body["results"]]
    assert codes == ["image_deleted", "image_not_found", None, "image_not_found"]
    assert body["results"][2]["answer"]["deletedProcessedImages"] == 4
    assert not await world.processed.list("")
    assert (await world.jobs.image_of_any_tenant(theirs.unique_id)).deleted_at is None


async def test_what_is_named_twice_is_done_and_counted_once_and_answered_at_each_place(
    serve: Serve, world: World
) -> None:
    client = await serve(locked=True, limit_requests_per_second=0.001, limit_request_burst=2)
    caller = await key_of(world, *Scope)
    done = await world.complete((await world.submit("acme")).processing_id)
    names = [done.unique_id, done.unique_id.upper(), done.unique_id]
    for path, answer in (("process", "processingId"), ("delete", "erasedAt")):
        async with client.post(f"/images/batch/{path}", json={"uniqueIds": names}, headers=caller) as response:
            results = (await response.json())["results"]
        assert len({result["answer"][answer] for result in results}) == 1, path
        assert [result["id"] for result in results] == names
    assert len(await world.queue.receive(10, wait_seconds=0, visibility_seconds=1)) == 1
    assert (await client.get("/images/list", headers=caller)).status == 429


async def test_each_item_counts_as_a_call_and_what_passes_the_limit_is_refused_by_itself(
    serve: Serve, world: World
) -> None:
    client = await serve(locked=True, limit_requests_per_second=0.1, limit_request_burst=5)
    caller = await key_of(world, *Scope)
    asked = {"uploads": [{"filename": "a.jpg"}] * 8}
    async with client.post(UPLOADS, json=asked, headers=caller) as response:
        assert response.status == 200
        assert "Retry-After" not in response.headers
        assert 'caller";r=0' in response.headers["RateLimit"]
        body = await response.json()
    assert [result["status"] for result in body["results"]] == [200] * 5 + [429] * 3
    async with client.post("/images/upload-url", json={"filename": "a.jpg"}, headers=caller) as response:
        alone = await response.json()
        refused = body["results"][-1]
        assert refused["retryAfter"] == int(response.headers["Retry-After"]) == 10
    assert {**refused["problem"], "requestId": ""} == {**alone, "requestId": ""}
    assert world.jobs.count == 5


async def test_a_batch_of_few_counts_no_more_than_its_calls_also_where_the_answer_is_long(
    serve: Serve, world: World
) -> None:
    client = await serve(locked=True, limit_requests_per_second=0.001, limit_request_burst=101)
    caller = await key_of(world, *Scope)
    async with client.post(UPLOADS, json={"uploads": [{"filename": "a.jpg"}] * 100}, headers=caller) as response:
        assert (await response.json())["succeeded"] == 100
        assert 'caller";r=1' in response.headers["RateLimit"]


async def test_limits_of_what_is_stored_hold_for_each_item(serve: Serve, world: World) -> None:
    client = await serve(locked=True, limit_images=3)
    async with client.post(
        UPLOADS, json={"uploads": [{"filename": "a.jpg"}] * 5}, headers=await key_of(world, Scope.WRITE)
    ) as response:
        body = await response.json()
    codes = Counter(result["problem"]["code"] for result in body["results"] if result["problem"])
    assert (body["succeeded"], codes) == (3, {"image_limit_reached": 2})

    client = await serve(locked=True, limit_bytes_per_day=100)
    async with client.post(
        UPLOADS, json={"uploads": [{"filename": "a.jpg", "size": 60}] * 2}, headers=await key_of(world, Scope.WRITE)
    ) as response:
        (refused,) = [result for result in (await response.json())["results"] if result["problem"]]
    assert refused["problem"]["code"] == "daily_limit_reached"
    assert 0 < refused["retryAfter"] <= 24 * 3600


# -- repetitions --------------------------------------------------------------------------------------------------


async def _twice(client: Client, path: str, asked: Any, key: str = "k") -> tuple[Any, Any]:
    answers, replayed = [], []
    for _ in range(2):
        async with client.post(path, json=asked, headers={"Idempotency-Key": key}) as response:
            assert response.status == 200
            answers.append(await response.json())
            replayed.append(response.headers.get("Idempotent-Replayed"))
    assert replayed[1] == "true"
    return answers[0], answers[1]


@pytest.mark.parametrize("items", [2, MAX_ITEMS])
async def test_a_repeated_batch_has_the_same_answer_and_does_nothing(client: Client, world: World, items: int) -> None:
    asked = {"uploads": [{"filename": "a.jpg", "metadata": {"a": "b" * 200}}, {"filename": "a.svg"}] * (items // 2)}
    first, again = await _twice(client, UPLOADS, asked)
    assert again == first
    assert world.jobs.count == first["succeeded"] == items // 2
    images = {"uniqueIds": [each["answer"]["uniqueId"] for each in first["results"] if each["answer"]]}
    first, again = await _twice(client, "/images/batch/delete", images, "d")
    assert again == first
    assert first["failed"] == 0


async def test_a_repeated_batch_tells_of_the_image_alone_that_was_deleted_since(client: Client, world: World) -> None:
    asked = {"uploads": [{"filename": "a.jpg"}, {"filename": "b.jpg"}, {"filename": "c.svg"}]}
    first, _ = await _twice(client, UPLOADS, asked)
    await client.delete(f"/images/image/{first['results'][0]['answer']['uniqueId']}")
    _, again = await _twice(client, UPLOADS, asked)
    gone, there, refused = again["results"]
    assert (gone["status"], gone["problem"]["code"]) == (404, "image_deleted")
    assert there["answer"]["uniqueId"] == first["results"][1]["answer"]["uniqueId"]
    assert refused == first["results"][2]
    assert (again["succeeded"], again["failed"]) == (1, 2)
    assert world.jobs.count == 1


async def test_urls_that_have_lost_their_time_are_signed_anew_under_the_same_ids(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"uploads": [{"filename": "a.jpg"}, {}, {"filename": "b.jpg", "expiresIn": 60}]}
    first, _ = await _twice(client, UPLOADS, asked)
    present, signed = clock.now(), len(world.source.presigned)
    monkeypatch.setattr(clock, "now", lambda: present + timedelta(hours=1))
    _, again = await _twice(client, UPLOADS, asked)
    assert len(world.source.presigned) == signed + 4
    assert world.jobs.count == 2
    for before, after in zip(first["results"], again["results"], strict=True):
        assert after["problem"] == before["problem"]
        if before["answer"]:
            assert after["answer"]["uniqueId"] == before["answer"]["uniqueId"]
            assert after["answer"]["processedImageUrls"] == before["answer"]["processedImageUrls"]


async def test_a_key_for_another_batch_is_refused(client: Client) -> None:
    await _twice(client, UPLOADS, {"uploads": [{"filename": "a.jpg"}]})
    async with client.post(
        UPLOADS, json={"uploads": [{"filename": "b.jpg"}]}, headers={"Idempotency-Key": "k"}
    ) as response:
        assert (response.status, (await response.json())["code"]) == (422, "idempotency_key_reused")


async def _ask(client: Client, *uploads: Any, **headers: str) -> list[Any]:
    async with client.post(UPLOADS, json={"uploads": uploads}, headers=headers) as response:
        assert response.status == 200
        return list((await response.json())["results"])


async def test_an_upload_with_a_key_of_its_own_is_one_image_whatever_is_beside_it(client: Client, world: World) -> None:
    first = await _ask(
        client, {"filename": "a.jpg", "idempotencyKey": "a"}, {"filename": "b.jpg", "idempotencyKey": "b"}
    )
    again = await _ask(
        client, {"filename": "c.jpg", "idempotencyKey": "c"}, {"idempotencyKey": "a", "filename": "a.jpg"}
    )
    assert world.jobs.count == 3
    assert again[1]["answer"]["uniqueId"] == first[0]["answer"]["uniqueId"]
    assert again[1]["answer"]["uploadUrl"] is not None
    assert [each.get("replayed") for each in (*first, *again)] == [None, None, None, True]


async def test_the_same_key_twice_in_one_batch_is_one_image(client: Client, world: World) -> None:
    found = await _ask(client, *[{"filename": "a.jpg", "idempotencyKey": "a"}] * 3)
    made = {each["answer"]["uniqueId"] for each in found if each["answer"]}
    refused = {(each["problem"]["code"], "retryAfter" in each) for each in found if each["problem"]}
    assert len(made) == world.jobs.count == 1
    assert refused <= {("request_in_progress", True)}


async def test_a_key_for_another_upload_is_refused_and_does_not_stop_the_others(client: Client, world: World) -> None:
    await _ask(client, {"filename": "a.jpg", "idempotencyKey": "a"})
    other, good = await _ask(client, {"filename": "b.jpg", "idempotencyKey": "a"}, {"filename": "b.jpg"})
    assert (other["status"], other["problem"]["code"]) == (422, "idempotency_key_reused")
    assert good["status"] == 200
    async with client.post(
        "/images/upload-url", json={"filename": "a.jpg"}, headers={"Idempotency-Key": "a"}
    ) as response:
        assert (response.status, (await response.json())["code"]) == (422, "idempotency_key_reused")


async def test_an_upload_that_was_refused_may_come_again_under_its_key(client: Client, world: World) -> None:
    refused = await _ask(client, {"filename": "a.svg", "idempotencyKey": "a"})
    assert refused[0]["problem"] is not None
    (made,) = await _ask(client, {"filename": "a.jpg", "idempotencyKey": "a"})
    assert made["status"] == 200


@pytest.mark.parametrize("key", ["with space", "ä", "x" * 256, 7])
async def test_an_items_key_is_visible_ascii(client: Client, world: World, key: object) -> None:
    (refused,) = await _ask(client, {"filename": "a.jpg", "idempotencyKey": key})
    assert (refused["status"], refused["problem"]["errors"][0]["field"]) == (400, "idempotencyKey")
    assert world.jobs.count == 0


async def test_an_image_that_was_deleted_since_is_told_under_its_items_key(client: Client) -> None:
    (made,) = await _ask(client, {"filename": "a.jpg", "idempotencyKey": "a"})
    await client.delete(f"/images/image/{made['answer']['uniqueId']}")
    (gone,) = await _ask(client, {"filename": "a.jpg", "idempotencyKey": "a"})
    assert (gone["status"], gone["problem"]["code"]) == (404, "image_deleted")


async def test_a_duplicate_stays_the_same_image_under_its_items_key(
    client: Client, submit: Submit, world: World
) -> None:
    done = await world.complete((await submit())["processingId"])
    assert done.manifest is not None
    digest = base64.b64encode(bytes.fromhex(done.manifest.sha256)).decode()
    asked = {"filename": "a.jpg", "checksumSha256": digest, "dedupe": True, "idempotencyKey": "a"}
    for replayed in (None, True):
        (found,) = await _ask(client, asked)
        assert (found["answer"]["duplicateOf"], found["answer"]["uploadUrl"]) == (done.unique_id, None)
        assert found.get("replayed") is replayed


async def test_a_batch_and_its_items_may_both_have_keys(client: Client, world: World) -> None:
    items = [{"filename": "a.jpg", "idempotencyKey": "a"}, {"filename": "b.jpg"}]
    first, again = await _twice(client, UPLOADS, {"uploads": items})
    assert again == first
    (found,) = await _ask(client, items[0])
    assert found["answer"]["uniqueId"] == first["results"][0]["answer"]["uniqueId"]
    assert world.jobs.count == 2


async def test_statuses_are_told_as_they_are_under_whatever_key(client: Client, world: World) -> None:
    job = await world.submit("default")
    asked, key = {"processingIds": [job.processing_id]}, {"Idempotency-Key": "k"}
    seen = []
    for _ in range(2):
        async with client.post("/images/batch/status", json=asked, headers=key) as response:
            seen.append((await response.json())["results"][0]["answer"]["status"])
        await world.complete(job.processing_id) if len(seen) == 1 else None
    assert seen == ["pending", "completed"]


# -- what goes wrong, and who waits -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "name", "item"),
    [
        ("upload-urls", "uploads", {"filename": "a.jpg"}),
        ("status", "processingIds", "img_1_a"),
        ("process", "uniqueIds", "a"),
        ("delete", "uniqueIds", "a"),
    ],
)
async def test_a_batch_has_1_to_100_items(ask: Ask, path: str, name: str, item: Any) -> None:
    asked: list[Any] = [{}, {name: None}, {name: item}, {name: []}, {name: [item] * (MAX_ITEMS + 1)}, {"items": []}]
    for body in asked:
        status, _, problem = await ask("POST", f"/images/batch/{path}", json=body)
        assert (status, problem["code"]) == (400, "invalid_request"), body
    status, _, answer = await ask("POST", f"/images/batch/{path}", json={name: [item] * MAX_ITEMS})
    assert (status, len(answer["results"])) == (200, MAX_ITEMS)


async def test_a_dependency_that_fails_for_one_item_fails_that_one(
    ask: Ask, submit: Submit, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [await submit() for _ in range(3)]
    delete = Catalog.delete

    async def failing(self: Catalog, tenant: str, unique_id: str, **how: Any) -> Any:
        if unique_id == images[0]["uniqueId"]:
            raise Unavailable("words of AWS")
        if unique_id == images[1]["uniqueId"]:
            raise RuntimeError("a defect")
        return await delete(self, tenant, unique_id, **how)

    monkeypatch.setattr(Catalog, "delete", failing)
    with capture_logs() as lines:
        _, _, body = await ask(
            "POST", "/images/batch/delete", json={"uniqueIds": [each["uniqueId"] for each in images]}
        )
    assert [result["status"] for result in body["results"]] == [503, 500, 200]
    assert [result.get("retryAfter") for result in body["results"]] == [5, None, None]
    assert "AWS" not in str(body)
    assert "a defect" not in str(body)
    assert [line["event"] for line in lines if line.get("exc_info")] == ["Item of a batch failed"]


async def test_a_batch_for_which_there_is_no_time_is_answered_with_what_is_done(
    ask: Ask, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await submit()
    monkeypatch.setattr(batches, "SECONDS", 0)
    _, _, body = await ask("POST", "/images/batch/status", json={"processingIds": [job["processingId"]]})
    assert (body["results"][0]["status"], body["results"][0]["retryAfter"]) == (503, 5)


async def test_a_batch_does_a_few_items_at_a_time_and_its_tenants_other_requests_come_between(
    serve: Serve, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, gate = await serve(locked=True), asyncio.Event()
    caller = await key_of(world, *Scope)
    begun: list[str] = []
    reprocess = Catalog.reprocess

    async def slowly(self: Catalog, tenant: str, unique_id: str, **how: Any) -> Job:
        begun.append(unique_id)
        await gate.wait()
        return await reprocess(self, tenant, unique_id, **how)

    monkeypatch.setattr(Catalog, "reprocess", slowly)
    names = [new_unique_id() for _ in range(20)]
    batch = asyncio.create_task(client.post("/images/batch/process", json={"uniqueIds": names}, headers=caller))

    async def enough_begun() -> bool:
        return len(begun) == batches.AT_ONCE

    await eventually(enough_begun)
    assert (await client.get("/images/list", headers=caller)).status == 200
    assert len(begun) == batches.AT_ONCE
    gate.set()
    assert (await (await batch).json())["failed"] == 20
    assert sorted(begun) == sorted(names)


async def test_items_are_counted_by_their_end(ask: Ask, client: Client, submit: Submit) -> None:
    job = await submit()
    await ask("POST", "/images/batch/status", json={"processingIds": [job["processingId"], "img_1_a"]})
    assert client.app is not None
    text = client.app[METRICS].exposition()[0].decode()
    assert 'truss_batch_items_total{call="status",code=""} 1.0' in text
    assert 'truss_batch_items_total{call="status",code="job_not_found"} 1.0' in text
