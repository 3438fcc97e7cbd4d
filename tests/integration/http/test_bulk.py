"""Bulk jobs over HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from processor.bulk import runner
from processor.bulk.operations import operations
from processor.bulk.runner import BulkRunner
from service.auth.principal import Scope
from service.calls.use_cases import CATALOG
from tests.integration.http.conftest import Ask, Client, World
from tests.integration.http.test_access import key_of
from tests.waiting import next_millisecond

Serve = Callable[..., Awaitable[Client]]
Submit = Callable[..., Awaitable[Any]]
DELETE, PROCESS = "/images/batch/delete", "/images/batch/process"


@pytest.fixture
def work(world: World, client: Client, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Awaitable[None]]:
    """What a process does of bulk jobs until there is nothing left to do."""
    monkeypatch.setattr(runner, "LIST_LAG_SECONDS", 0)

    async def until_done() -> None:
        assert client.app is not None
        table = operations(client.app[CATALOG])
        process = BulkRunner(
            store=world.bulk,
            jobs=world.jobs,
            queue=world.queue,
            operations=table,
            per_second=1_000_000,
            lease_seconds=60,
        )
        while await process.work_once():
            pass

    return until_done


async def test_a_filter_starts_a_bulk_job_whose_progress_and_results_can_be_followed(
    ask: Ask, submit: Submit, world: World, work: Callable[[], Awaitable[None]]
) -> None:
    made = [await submit() for _ in range(30)]
    await world.complete(made[0]["processingId"])
    await next_millisecond()
    status, _, started = await ask("POST", PROCESS, json={"filter": {"all": True}})
    assert (status, started["state"], started["operation"], started["found"]) == (202, "queued", "process", 0)
    path = f"/images/batch/{started['batchId']}"
    assert (await ask("GET", path))[2] == started
    _, _, early = await ask("GET", f"{path}/results")
    assert (early["results"], early["lastEvaluatedKey"]) == ([], "0")

    await work()
    _, _, done = await ask("GET", path)
    assert (done["state"], done["found"], done["done"], done["failed"]) == ("completed", 30, 1, 29)
    assert done["endedAt"] >= done["createdAt"]
    found, query = [], ""
    while True:
        _, _, page = await ask("GET", f"{path}/results{query}")
        found += page["results"]
        if page["lastEvaluatedKey"] is None:
            break
        query = f"?lastKey={page['lastEvaluatedKey']}"
    assert sorted(row["uniqueId"] for row in found) == sorted(row["uniqueId"] for row in made)
    (converted,) = [row for row in found if row["error"] is None]
    assert converted["uniqueId"] == made[0]["uniqueId"]
    assert {row["error"]["code"] for row in found if row["error"]} == {"not_uploaded"}
    _, _, listed = await ask("GET", "/images/batch")
    assert listed == {"batches": [done], "count": 1}


async def test_a_repeated_start_starts_nothing_and_a_second_one_is_refused(ask: Ask, submit: Submit) -> None:
    key = {"Idempotency-Key": "k"}
    _, _, first = await ask("POST", DELETE, json={"filter": {"status": "failed"}}, headers=key)
    status, headers, again = await ask("POST", DELETE, json={"filter": {"status": "failed"}}, headers=key)
    assert (status, again, headers["Idempotent-Replayed"]) == (202, first, "true")
    status, _, problem = await ask("POST", DELETE, json={"filter": {"all": True}})
    assert (status, problem["code"]) == (409, "batch_in_progress")
    assert first["batchId"] in problem["detail"]


async def test_a_bulk_job_is_cancelled_and_says_by_whom(
    serve: Serve, world: World, ask: Ask, submit: Submit, work: Callable[[], Awaitable[None]]
) -> None:
    image = await submit()
    _, _, started = await ask("POST", DELETE, json={"filter": {"all": True}})
    path = f"/images/batch/{started['batchId']}"
    _, _, cancelled = await ask("DELETE", path)
    assert cancelled["state"] == "cancelled"
    await work()
    assert (await ask("DELETE", path))[2] == cancelled
    assert (await ask("GET", f"/images/status/{image['processingId']}"))[0] == 200

    locked, caller = await serve(locked=True), await key_of(world, *Scope)
    subject = f"key:{caller['X-Api-Key'].split('_')[1]}"
    async with locked.post(DELETE, json={"filter": {"all": True}}, headers=caller) as response:
        started = await response.json()
        assert started["startedBy"] == subject
    async with locked.delete(f"/images/batch/{started['batchId']}", headers=caller) as response:
        assert (await response.json())["cancelledBy"] == subject


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"filter": {}},
        {"filter": None},
        {"filter": []},
        {"filter": "all"},
        {"filter": {"all": False}},
        {"filter": {"all": True, "status": "failed"}},
        {"filter": {"statsu": "failed"}},
        {"filter": {"album": "summer"}},
        {"filter": {"status": "failed", "album": "summer"}},
        {"filter": {"status": "broken"}},
        {"filter": {"status": "completed", "code": "corrupt_image"}},
        {"filter": {"from": "2026-02-01", "to": "2026-01-01"}},
        {"filter": {"from": "yesterday"}},
        {"filter": {"since": "2026-01-01"}},
        {"filter": {"all": True}, "uniqueIds": ["a"]},
        {"uniqueIds": None},
        {"where": {"status": "failed"}},
    ],
)
async def test_what_is_not_quite_a_filter_means_nothing_rather_than_everything(
    ask: Ask, world: World, body: Any
) -> None:
    status, _, problem = await ask("POST", DELETE, json=body)
    assert (status, problem["code"]) == (400, "invalid_request")
    assert await world.bulk.open_jobs() == ()


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("name", ["batch_1_a", "img_1_a", "x" * 300, "batch_1_ü"])
async def test_a_bulk_job_that_is_not_there_or_another_tenants_is_not_found(
    serve: Serve, world: World, method: str, name: str
) -> None:
    client = await serve(locked=True)
    caller, other = await key_of(world, *Scope), await key_of(world, *Scope, tenant="other")
    async with client.post(DELETE, json={"filter": {"all": True}}, headers=other) as response:
        theirs = (await response.json())["batchId"]
    answers = []
    for each in (name, theirs):
        async with client.request(
            method, f"/images/batch/{each}", headers=caller | {"X-Request-Id": "same"}
        ) as response:
            answers.append((response.status, await response.json()))
    assert answers[0] == answers[1]
    assert (answers[0][0], answers[0][1]["code"]) == (404, "batch_not_found")
    async with client.get("/images/batch", headers=caller) as response:
        assert (await response.json())["count"] == 0
    assert len(await world.bulk.open_jobs()) == 1


@pytest.mark.parametrize("last_key", ["-1", "a", "1.5", "²", "9" * 20])
async def test_results_go_on_where_a_page_ended_and_nowhere_else(ask: Ask, last_key: str) -> None:
    _, _, started = await ask("POST", DELETE, json={"filter": {"all": True}})
    status, _, problem = await ask("GET", f"/images/batch/{started['batchId']}/results?lastKey={last_key}")
    assert (status, problem["code"]) == (400, "invalid_cursor")
    status, _, _ = await ask("GET", f"/images/batch/{started['batchId']}/results?lastKey=99")
    assert status == 200
