"""A status that is waited for: it comes at the next change, with an ETag, and keeps nobody else from being answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from processor.catalog import waiting
from service.auth.principal import Scope
from service.calls.use_cases import WAITING
from service.limits import open_calls
from service.limits.lines import AT_ONCE
from service.limits.open_calls import WAITS
from service.observe.health import DRAINING
from service.observe.metrics import METRICS
from tests.integration.http.conftest import Client, World
from tests.integration.http.test_access import key_of
from tests.waiting import eventually

Serve = Callable[..., Awaitable[Client]]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LOOK_SECONDS", 0.01)


def path(job: Any, seconds: int | None = 30) -> str:
    return f"/images/status/{job['processingId']}" + ("" if seconds is None else f"?wait={seconds}")


async def waiting_now(client: Client, number: int) -> None:
    async def there() -> bool:
        assert client.app is not None
        return client.app[WAITS].count() == number

    await eventually(there)


async def test_the_answer_comes_at_the_next_change(ask: Any, submit: Any, world: World, client: Client) -> None:
    job = await submit()
    asked = asyncio.create_task(ask("GET", path(job)))
    await waiting_now(client, 1)
    await world.upload(job["processingId"])
    status, _, body = await asked
    assert (status, body["status"]) == (200, "uploaded")


async def test_what_has_ended_is_answered_at_once(ask: Any, submit: Any, world: World) -> None:
    job = await submit()
    await world.complete(job["processingId"])
    _, headers, body = await ask("GET", path(job))
    assert body["status"] == "completed"
    assert headers["ETag"]


async def test_an_image_stands_for_its_current_job(ask: Any, submit: Any, world: World, client: Client) -> None:
    job = await submit()
    asked = asyncio.create_task(ask("GET", f"/images/status/{job['uniqueId']}?wait=30"))
    await waiting_now(client, 1)
    await world.complete(job["processingId"])
    _, _, body = await asked
    assert body["processingId"] == job["processingId"]


async def test_nothing_new_is_told_as_it_is_when_the_time_is_over(ask: Any, submit: Any) -> None:
    job = await submit()
    status, _, body = await ask("GET", path(job, 1))
    assert (status, body["status"]) == (200, "pending")


async def test_who_has_the_answer_gets_none_until_it_is_another(
    ask: Any, submit: Any, world: World, client: Client
) -> None:
    job = await submit()
    _, headers, _ = await ask("GET", path(job, None))
    known = {"If-None-Match": headers["ETag"]}
    for seconds in (None, 1):
        async with client.get(path(job, seconds), headers=known) as response:
            assert (response.status, await response.read(), response.headers["ETag"]) == (304, b"", headers["ETag"])
    asked = asyncio.create_task(ask("GET", path(job), headers=known))
    await waiting_now(client, 1)
    await world.upload(job["processingId"])
    status, newer, body = await asked
    assert (status, body["status"]) == (200, "uploaded")
    assert newer["ETag"] != headers["ETag"]
    status, _, body = await ask("GET", path(job), headers=known)  # what it has is old already
    assert (status, body["status"]) == (200, "uploaded")


async def test_of_a_job_that_has_ended_nothing_is_waited_for(client: Client, submit: Any, world: World) -> None:
    job = await submit()
    await world.complete(job["processingId"])
    async with client.get(path(job, None)) as first:
        known = {"If-None-Match": f"W/{first.headers['ETag']}"}
    async with client.get(path(job), headers=known) as response:
        assert response.status == 304


async def test_an_image_that_is_deleted_meanwhile_is_not_found(
    ask: Any, submit: Any, world: World, client: Client
) -> None:
    job = await submit()
    asked = asyncio.create_task(ask("GET", path(job)))
    await waiting_now(client, 1)
    async with client.delete(f"/images/image/{job['uniqueId']}") as response:
        assert response.status == 200
    status, _, body = await asked
    assert (status, body["code"]) == (404, "job_not_found")


@pytest.mark.parametrize("wait", ["0", "31", "-1", "1.5", "x"])
async def test_a_wait_has_one_to_thirty_seconds(ask: Any, submit: Any, wait: str) -> None:
    job = await submit()
    status, _, body = await ask("GET", f"/images/status/{job['processingId']}?wait={wait}")
    assert (status, body["code"], body["errors"][0]["field"]) == (400, "invalid_request", "wait")


async def test_many_wait_beside_each_other_and_keep_nobody_of_their_tenant_waiting(serve: Serve, world: World) -> None:
    client = await serve(locked=True)
    headers = await key_of(world, Scope.READ)
    job = await world.submit("acme")
    target = f"/images/status/{job.processing_id}"
    tasks = [asyncio.create_task(client.get(f"{target}?wait=30", headers=headers)) for _ in range(3 * AT_ONCE)]
    await waiting_now(client, 3 * AT_ONCE)
    async with client.get(target, headers=headers) as response:
        assert response.status == 200
    await world.complete(job.processing_id)
    for answer in await asyncio.gather(*tasks):
        assert (await answer.json())["status"] == "completed"


async def test_too_many_are_told_when_to_come_again_and_which_limit_it_was(
    serve: Serve, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await serve()
    assert client.app is not None
    monkeypatch.setattr(client.app[WAITS], "most_of_tenant", 1)
    job = await world.submit("default")
    target = f"/images/status/{job.processing_id}?wait=30"
    first = asyncio.create_task(client.get(target))
    await waiting_now(client, 1)
    async with client.get(target) as response:
        body = await response.json()
        assert (response.status, body["code"], body["limit"]) == (429, "too_many_waiting", 1)
        assert response.headers["Retry-After"] == "5"
    await world.upload(job.processing_id)
    assert (await first).status == 200
    await waiting_now(client, 0)
    assert open_calls.waits().most >= open_calls.waits().most_of_tenant


async def test_who_waits_is_answered_when_the_service_stops(ask: Any, submit: Any, client: Client) -> None:
    assert client.app is not None
    job = await submit()
    asked = asyncio.create_task(ask("GET", path(job)))
    await waiting_now(client, 1)
    client.app[DRAINING].set()
    client.app[WAITING].end()
    status, headers, body = await asked
    assert (status, headers["Connection"], body["status"]) == (200, "close", "pending")


async def test_a_call_that_waited_is_no_slow_one(ask: Any, submit: Any, client: Client) -> None:
    assert client.app is not None
    await ask("GET", path(await submit(), 1))
    text = client.app[METRICS].exposition()[0].decode()
    (slow,) = [
        line
        for line in text.splitlines()
        if line.startswith("truss_http_request_seconds_bucket")
        and "status/{processingId}" in line
        and 'le="1.0"' in line
    ]
    assert slow.endswith(" 1.0")
    assert 'truss_open_calls{kind="waiting"} 0.0' in text
