"""Failed images and dead letters over HTTP, field by field."""

from __future__ import annotations

from typing import Any

import pytest

from processor.errors import Unavailable
from service.auth.principal import Scope
from tests.integration.http.conftest import World
from tests.integration.http.test_access import key_of


@pytest.fixture
def failed(submit: Any, world: Any) -> Any:
    async def failed(code: str = "unavailable") -> Any:
        submitted = await submit()
        await world.fail(submitted["processingId"], code)
        return submitted

    return failed


# -- failed


async def test_failed_images_are_listed_as_their_status_says_with_the_dead_letters(
    ask: Any, submit: Any, failed: Any, world: Any
) -> None:
    processing_id = (await failed())["processingId"]
    await world.complete((await submit())["processingId"])
    await submit()
    for body in ("one", "two", "three"):
        await world.dead_letters.send(body)
    await world.dead_letters.receive(1, wait_seconds=0, visibility_seconds=60)
    status, _, body = await ask("GET", "/images/failed")
    _, _, row = await ask("GET", f"/images/status/{processing_id}")
    assert (status, body) == (
        200,
        {
            "images": [row],
            "count": 1,
            "lastEvaluatedKey": None,
            "deadLetters": {"waiting": 2, "inFlight": 1},
        },
    )


@pytest.mark.parametrize("world", [World(dead_letters=None)], ids=["no dead-letter queue"])
async def test_without_a_dead_letter_queue_there_is_no_count(ask: Any, failed: Any, world: Any) -> None:
    await failed()
    _, _, body = await ask("GET", "/images/failed")
    assert (body["count"], body["deadLetters"]) == (1, None)
    for dry_run in (True, False):
        _, _, body = await ask("POST", "/images/failed/redrive", json={"dryRun": dry_run})
        assert (body["matched"], body["messages"]) == (1, 0)


async def test_a_page_by_code_may_be_short_though_the_list_goes_on(ask: Any, failed: Any) -> None:
    codes = {(await failed(code))["processingId"]: code for code in ("unavailable", "timed_out", "unavailable")}
    counts, seen = [], []
    parameters = {"code": "unavailable", "limit": "1"}
    while True:
        _, _, body = await ask("GET", "/images/failed", params=parameters)
        counts.append(body["count"])
        seen += [image["processingId"] for image in body["images"]]
        if body["lastEvaluatedKey"] is None:
            break
        parameters["lastKey"] = body["lastEvaluatedKey"]
    assert sorted(counts) == [0, 1, 1]
    assert sorted(seen) == sorted(key for key, code in codes.items() if code == "unavailable")


async def test_every_filter_reaches_the_store(ask: Any, world: Any) -> None:
    parameters = {"code": "timed_out", "limit": "7", "from": "2026-01-01", "to": "2026-02-01", "order": "asc"}
    assert (await ask("GET", "/images/failed", params=parameters))[0] == 200
    (query,) = world.jobs.queries
    assert (query.tenant, query.status, query.limit, query.newest_first) == ("default", "failed", 7, False)
    assert (query.created_from.month, query.created_to.month) == (1, 2)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "code=No", "code=a-b", f"code={'a' * 65}", "order=up", "from=2026-02&to=2026-01"]
)
async def test_a_bad_list_is_refused(ask: Any, query: str) -> None:
    status, _, body = await ask("GET", f"/images/failed?{query}")
    assert (status, body["code"]) == (400, "invalid_request")


async def test_a_dead_letter_queue_that_is_away_is_a_503(ask: Any, world: Any) -> None:
    world.dead_letters.broken = Unavailable("arn:aws:secret")
    status, headers, body = await ask("GET", "/images/failed")
    assert (status, body["code"]) == (503, "unavailable")
    assert int(headers["Retry-After"]) > 0


# -- redrive


async def test_nothing_happens_unless_it_is_asked_for(ask: Any, failed: Any, world: Any) -> None:
    submitted = await failed()
    await world.dead_letters.send("dead")
    status, _, body = await ask("POST", "/images/failed/redrive", json={})
    assert (status, body) == (
        200,
        {
            "dryRun": True,
            "matched": 1,
            "redriven": 0,
            "images": [
                {
                    "uniqueId": submitted["uniqueId"],
                    "processingId": submitted["processingId"],
                    "code": "unavailable",
                    "newProcessingId": None,
                    "refused": None,
                }
            ],
            "messages": 1,
            "lastEvaluatedKey": None,
        },
    )
    assert (world.queue.count, world.dead_letters.count) == (0, 1)
    _, _, job = await ask("GET", f"/images/status/{submitted['processingId']}")
    assert job["status"] == "failed"


async def test_failed_images_and_dead_letters_are_redriven_once(ask: Any, failed: Any, world: Any) -> None:
    submitted = await failed("timed_out")
    await world.dead_letters.send("dead")
    status, _, body = await ask("POST", "/images/failed/redrive", json={"dryRun": False})
    (image,) = body["images"]
    new = image.pop("newProcessingId")
    assert (status, image) == (
        200,
        {
            "uniqueId": submitted["uniqueId"],
            "processingId": submitted["processingId"],
            "code": "timed_out",
            "refused": None,
        },
    )
    assert {key: body[key] for key in ("dryRun", "matched", "redriven", "messages", "lastEvaluatedKey")} == {
        "dryRun": False,
        "matched": 1,
        "redriven": 1,
        "messages": 1,
        "lastEvaluatedKey": None,
    }
    assert (world.queue.count, world.dead_letters.count) == (2, 0)
    _, _, job = await ask("GET", f"/images/status/{new}")
    assert (job["status"], job["uniqueId"]) == ("uploaded", submitted["uniqueId"])
    _, _, again = await ask("POST", "/images/failed/redrive", json={"dryRun": False})
    assert (again["matched"], again["messages"]) == (0, 0)


async def test_a_redrive_by_code_goes_page_by_page_and_leaves_the_rest(ask: Any, failed: Any, world: Any) -> None:
    wanted = sorted([(await failed())["processingId"] for _ in range(3)])
    await failed("timed_out")
    await world.dead_letters.send("dead")
    order = {"code": "unavailable", "limit": 2, "perSecond": 1, "dryRun": False}
    redriven = []
    while True:
        _, _, body = await ask("POST", "/images/failed/redrive", json=order)
        redriven += [image["processingId"] for image in body["images"]]
        if body["lastEvaluatedKey"] is None:
            break
        order["lastKey"] = body["lastEvaluatedKey"]
    assert sorted(redriven) == wanted
    assert world.dead_letters.count == 1
    _, _, left = await ask("GET", "/images/failed")
    assert [image["error"]["code"] for image in left["images"]] == ["timed_out"]


async def test_an_image_whose_file_is_gone_is_refused_beside_the_others(ask: Any, failed: Any, world: Any) -> None:
    gone, good = await failed(), await failed()
    await world.source.purge(gone["key"])
    _, _, body = await ask("POST", "/images/failed/redrive", json={"dryRun": False})
    refused = {image["uniqueId"]: image["refused"] for image in body["images"]}
    assert refused == {gone["uniqueId"]: "not_uploaded", good["uniqueId"]: None}
    assert (body["matched"], body["redriven"]) == (2, 1)


async def test_another_tenants_failures_stay_out_of_it(ask: Any, world: Any) -> None:
    await world.fail((await world.submit("other")).processing_id)
    assert (await ask("GET", "/images/failed"))[2]["images"] == []
    assert (await ask("POST", "/images/failed/redrive", json={"dryRun": False}))[2]["matched"] == 0


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        ({"json": []}, (400, "invalid_request")),
        ({"json": {"limit": 0}}, (400, "invalid_request")),
        ({"json": {"limit": 101}}, (400, "invalid_request")),
        ({"json": {"perSecond": 0}}, (400, "invalid_request")),
        ({"json": {"perSecond": 101}}, (400, "invalid_request")),
        ({"json": {"dryRun": "false"}}, (400, "invalid_request")),
        ({"json": {"code": "Unavailable"}}, (400, "invalid_request")),
        ({"json": {"lastKey": "A"}}, (400, "invalid_cursor")),
        ({"json": {"lastKey": 7}}, (400, "invalid_request")),
        ({"data": b""}, (400, "invalid_json")),
        ({"data": b"<a/>", "headers": {"Content-Type": "application/xml"}}, (415, "unsupported_media_type")),
        ({"data": b"x" * 70_000, "headers": {"Content-Type": "application/json"}}, (413, "payload_too_large")),
    ],
)
async def test_a_bad_order_is_refused_and_does_nothing(
    ask: Any, failed: Any, world: Any, options: Any, refusal: tuple[int, str]
) -> None:
    await failed()
    if options.get("data") == b"":
        options = {**options, "headers": {"Content-Type": "application/json"}}
    status, _, body = await ask("POST", "/images/failed/redrive", **options)
    assert (status, body["code"]) == refusal
    assert world.queue.count == 0


async def test_after_a_503_the_same_order_does_the_rest(ask: Any, failed: Any, world: Any) -> None:
    for _ in range(2):
        await failed()
    world.queue.broken = Unavailable()
    status, headers, _ = await ask("POST", "/images/failed/redrive", json={"dryRun": False})
    assert (status, int(headers["Retry-After"]) > 0) == (503, True)
    world.queue.broken = None
    _, _, body = await ask("POST", "/images/failed/redrive", json={"dryRun": False})
    assert (body["matched"], body["redriven"]) == (2, 2)
    assert (await ask("GET", "/images/failed"))[2]["images"] == []


async def test_only_administrators_hear_of_the_dead_letters_of_all_tenants(serve: Any, world: Any) -> None:
    client = await serve(locked=True)
    await world.dead_letters.send("dead")
    for scope, told in ((Scope.READ, None), (Scope.ADMIN, {"waiting": 1, "inFlight": 0})):
        async with client.get("/images/failed", headers=await key_of(world, scope)) as response:
            assert (await response.json())["deadLetters"] == told
