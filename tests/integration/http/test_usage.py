"""What a tenant used, as it is told by day and key."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from processor.costs import CALLER, Cost
from processor.usage import today
from service.auth.principal import Scope
from tests.integration.http.conftest import Ask, Client, World
from tests.integration.http.test_access import key_of

COST = Cost(cpu_ms=600, pixels=12_500_000, bytes_in=1000, bytes_out=400, bytes_saved=700)
TOLD = {"cpuMs": 600, "megapixels": 12.5, "bytesIn": 1000, "bytesOut": 400, "bytesSaved": 700}


async def test_use_is_told_by_day_and_key_with_its_total(ask: Ask, world: World) -> None:
    jobs = []
    for key_id in ("", "mfrggzdfmztwq2lk", "mfrggzdfmztwq2lk"):
        token = CALLER.set(key_id)
        jobs.append((await world.submit("default")).processing_id)
        CALLER.reset(token)
        await world.complete(jobs[-1], cost=COST)
    await world.complete((await world.submit("another")).processing_id, cost=COST)

    status, _, body = await ask("GET", f"/images/status/{jobs[-1]}")
    assert (status, body["cost"]) == (200, TOLD)
    status, _, body = await ask("GET", "/images/usage")
    assert status == 200
    (day,) = body["days"]
    assert (day["day"], day["completed"], day["failed"], day["cpuMs"]) == (today(), 3, 0, 1800)
    assert [(key["keyId"], key["completed"], key["megapixels"]) for key in day["keys"]] == [
        (None, 1, 12.5),
        ("mfrggzdfmztwq2lk", 2, 25.0),
    ]
    assert body["total"] == {
        "completed": 3,
        "failed": 0,
        **{name: 3 * value for name, value in TOLD.items()},
    }


async def test_a_failed_job_counts_as_failed_and_a_deleted_image_stays_counted(ask: Ask, world: World) -> None:
    failed, done = await world.submit("default"), await world.submit("default")
    await world.fail(failed.processing_id)
    await world.complete(done.processing_id, cost=COST)
    await ask("DELETE", f"/images/image/{done.unique_id}")
    _, _, body = await ask("GET", "/images/usage")
    assert (body["total"]["completed"], body["total"]["failed"]) == (1, 1)


async def test_days_are_chosen_and_bounded(ask: Ask, world: World) -> None:
    await world.complete((await world.submit("default")).processing_id, cost=COST)
    for query, count in ((f"from={today()}&to={today()}", 1), ("from=2020-01-01&to=2020-01-31", 0)):
        status, _, body = await ask("GET", f"/images/usage?{query}")
        assert (status, len(body["days"])) == (200, count)
        assert body["from"] == query[5:15]
    for query in (
        "from=2026-01-02&to=2026-01-01",
        "from=2020-01-01&to=2026-01-01",
        "from=yesterday",
        "since=2026-01-01",
    ):
        status, _, body = await ask("GET", f"/images/usage?{query}")
        assert (status, body["code"]) == (400, "invalid_request"), query


@pytest.mark.parametrize("scope", list(Scope))
async def test_another_tenants_use_is_not_told(
    serve: Callable[..., Awaitable[Client]], world: World, scope: Scope
) -> None:
    await world.complete((await world.submit("acme")).processing_id, cost=COST)
    client = await serve(locked=True)
    headers: Any = await key_of(world, scope, tenant="b")
    async with client.get("/images/usage", headers=headers) as response:
        body = await response.json()
        assert response.status == (200 if scope in (Scope.READ, Scope.ADMIN) else 403)
        assert body.get("days", []) == []


async def test_an_upload_url_remembers_the_key_that_asked_for_it(
    serve: Callable[..., Awaitable[Client]], world: World
) -> None:
    client = await serve(locked=True)
    headers = await key_of(world, Scope.WRITE)
    async with client.post("/images/upload-url", json={"filename": "a.jpg"}, headers=headers) as response:
        job = await world.jobs.job_of_any_tenant((await response.json())["processingId"])
    assert job.asked_by == headers["X-Api-Key"].split("_")[1]
