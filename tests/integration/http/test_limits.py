"""Limits over HTTP."""

from __future__ import annotations

import asyncio
import math
import re
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from processor.jobs import Image, Job, first_image, pending_job
from processor.ports.jobs import JobPage, JobQuery
from processor.recipes import STANDARD
from processor.usage import Usage, today
from service.auth.principal import Scope
from service.limits import lines, long_pages
from service.limits.middleware import ANSWER_BYTES, READ_BYTES
from service.routes import HEALTH_ROUTES, ROUTES
from service.settings.roles import Role
from tests.integration.http.conftest import Client, World
from tests.integration.http.test_access import key_of
from tests.waiting import eventually

Serve = Callable[..., Awaitable[Client]]


async def _json(client: Client, method: str, path: str, **options: Any) -> tuple[int, Any, Any]:
    async with client.request(method, path, **options) as response:
        return response.status, response.headers, await response.json(content_type=None)


async def test_a_caller_that_is_too_fast_is_told_to_wait_and_others_are_not(serve: Serve, world: World) -> None:
    client = await serve(locked=True, limit_requests_per_second=0.01, limit_request_burst=2)
    hasty, other = await key_of(world, Scope.READ), await key_of(world, Scope.READ)
    for left in (1, 0):
        status, headers, _ = await _json(client, "GET", "/images/list", headers=hasty)
        assert status == 200
        assert headers["RateLimit-Policy"] == '"caller";q=2;w=200, "tenant";q=2000;w=4'
        assert headers["RateLimit"].startswith(f'"caller";r={left};t=')
    status, headers, body = await _json(client, "GET", "/images/list", headers=hasty)
    assert (status, body["code"]) == (429, "too_many_requests")
    assert (body["limit"], body["actual"]) == (2, 3)
    assert int(headers["Retry-After"]) > 1
    assert headers["RateLimit"].startswith('"caller";r=0;')
    assert (await _json(client, "GET", "/images/list", headers=other))[0] == 200


async def test_who_converts_nothing_does_not_guess_what_a_conversion_may_take(serve: Serve) -> None:
    for told, settings in ((None, {}), (2**30 - 1000, {"memory_budget_bytes": 2**30})):
        client = await serve(roles=frozenset({Role.API}), **settings)
        _, _, body = await _json(client, "GET", "/images/limits")
        assert body["maxMemory"] == told


async def test_a_process_that_only_converts_answers_the_probes_and_nothing_else(serve: Serve) -> None:
    client = await serve(roles=frozenset({Role.WORKER}))
    for path in ("/images/health", "/images/live", "/images/ready"):
        assert (await _json(client, "GET", path))[0] == 200
        assert (await _json(client, "HEAD", path))[0] == 200
    for route in ROUTES:
        if route not in HEALTH_ROUTES:
            status, _, body = await _json(client, route.method, re.sub(r"{\w+}", "a", route.path))
            assert (status, body["code"]) == (404, "not_found"), route


async def test_a_tenants_callers_share_its_bucket(serve: Serve, world: World) -> None:
    client = await serve(locked=True, limit_tenant_requests_per_second=0.01, limit_tenant_request_burst=1)
    first, second = await key_of(world, Scope.READ), await key_of(world, Scope.READ)
    stranger = await key_of(world, Scope.READ, tenant="other")
    statuses = [(await _json(client, "GET", "/images/list", headers=key))[0] for key in (first, second, stranger)]
    assert statuses == [200, 429, 200]


async def test_strangers_use_up_nothing_and_the_public_is_not_counted(serve: Serve, world: World) -> None:
    client = await serve(locked=True, limit_tenant_request_burst=1, limit_request_burst=1)
    for _ in range(5):
        assert (await _json(client, "GET", "/images/list"))[0] == 401
        status, headers, _ = await _json(client, "GET", "/images/health")
        assert status == 200
        assert "RateLimit" not in headers
    assert (await _json(client, "GET", "/images/list", headers=await key_of(world, Scope.READ)))[0] == 200


async def test_limits_and_use_are_shown_and_overridden_by_administrators(serve: Serve, world: World) -> None:
    client = await serve(locked=True, limit_images=10, limit_bytes_per_day=100)
    admin, user = await key_of(world, Scope.ADMIN), await key_of(world, Scope.READ)
    await world.quota.store.add("acme", Usage(day=today(), bytes=30, pixels=2_000_000, images=4))
    _, _, shown = await _json(client, "GET", "/images/limits", headers=user)
    assert shown["bytesPerDay"] == {"limit": 100, "used": 30, "remaining": 70}
    assert shown["megapixelsPerDay"]["used"] == 2
    assert shown["images"] == {"limit": 10, "used": 4, "remaining": 6}

    assert (await _json(client, "PUT", "/images/limits", json={"images": 4}, headers=user))[0] == 403
    status, _, overridden = await _json(client, "PUT", "/images/limits", json={"images": 4}, headers=admin)
    assert (status, overridden["images"]["remaining"]) == (200, 0)
    assert overridden["bytesPerDay"]["limit"] == 100
    for senseless in ({"images": 0}, {"requestsPerSecond": 5e-324}, {"requestsPerSecond": 1e9}):
        refused = await _json(client, "PUT", "/images/limits", json=senseless, headers=admin)
        assert refused[2]["code"] == "invalid_request"


async def test_an_administrator_can_take_back_a_limit_that_shuts_it_out(serve: Serve, world: World) -> None:
    client = await serve(locked=True)
    admin = await key_of(world, Scope.ADMIN)
    lowest = {"requestsPerSecond": 0.001, "requestBurst": 1, "tenantRequestsPerSecond": 0.001, "tenantRequestBurst": 1}
    assert (await _json(client, "PUT", "/images/limits", json=lowest, headers=admin))[0] == 200
    world.quota._known.clear()
    assert [(await _json(client, "GET", "/images/list", headers=admin))[0] for _ in range(2)] == [200, 429]
    assert (await _json(client, "PUT", "/images/limits", json={}, headers=admin))[0] == 200


async def test_setting_limits_has_a_limit_of_its_own(serve: Serve, world: World) -> None:
    client = await serve(locked=True)
    user = await key_of(world, Scope.READ)
    asked = [(await _json(client, "PUT", "/images/limits", json={}, headers=user))[0] for _ in range(30)]
    assert set(asked) == {403, 429}


async def test_reached_limits_have_codes_of_their_own(serve: Serve, world: World) -> None:
    client = await serve(locked=True, limit_images=1, limit_bytes_per_day=100)
    user = await key_of(world, Scope.WRITE)
    ask = {"json": {"filename": "a.jpg", "size": 101}, "headers": user}
    status, headers, body = await _json(client, "POST", "/images/upload-url", **ask)
    assert (status, body["code"]) == (429, "daily_limit_reached")
    assert 1 <= int(headers["Retry-After"]) <= 86_400
    await world.quota.store.add("other", Usage(day=today(), images=1))
    full = {"json": {"filename": "a.jpg"}, "headers": await key_of(world, Scope.WRITE, tenant="other")}
    status, _, body = await _json(client, "POST", "/images/upload-url", **full)
    assert (status, body["code"]) == (409, "image_limit_reached")


async def test_a_hasty_caller_leaves_its_colleagues_their_share(serve: Serve, world: World) -> None:
    client = await serve(
        locked=True,
        limit_requests_per_second=0.01,
        limit_request_burst=1,
        limit_tenant_requests_per_second=0.01,
        limit_tenant_request_burst=2,
    )
    hasty, colleague = await key_of(world, Scope.READ), await key_of(world, Scope.READ)
    for _ in range(10):
        await _json(client, "GET", "/images/list", headers=hasty)
    assert (await _json(client, "GET", "/images/list", headers=colleague))[0] == 200


async def test_what_is_forbidden_counts_like_what_is_not(serve: Serve, world: World) -> None:
    client = await serve(locked=True, limit_requests_per_second=0.01, limit_request_burst=1)
    reader = await key_of(world, Scope.READ)
    statuses = [(await _json(client, "GET", "/images/keys", headers=reader))[0] for _ in range(2)]
    assert statuses == [403, 429]


async def test_a_long_answer_counts_for_several_requests_of_its_caller_and_tenant(serve: Serve, world: World) -> None:
    slow = {"limit_requests_per_second": 0.01, "limit_tenant_requests_per_second": 0.01}
    client = await serve(locked=True, limit_request_burst=20, limit_tenant_request_burst=2000, **slow)
    reader, colleague = await key_of(world, Scope.READ), await key_of(world, Scope.READ)
    metadata = {f"key-{number:02}": "x" * 198 for number in range(20)}
    for number in range(100):
        await world.jobs.create(*_image("acme", number, metadata))
    _, headers, body = await _json(client, "GET", "/images/list?limit=100", headers=reader)
    assert body["count"] == 100
    spent = math.ceil(int(headers["Content-Length"]) / ANSWER_BYTES)
    assert spent >= 4
    assert headers["RateLimit"].startswith(f'"caller";r={20 - spent};')
    assert f'"tenant";r={2000 - spent};' in headers["RateLimit"]
    _, headers, _ = await _json(client, "GET", "/images/list?limit=1", headers=colleague)
    assert f'"tenant";r={2000 - spent - 1};' in headers["RateLimit"]
    statuses = [(await _json(client, "GET", "/images/list?limit=100", headers=reader))[0] for _ in range(6)]
    assert statuses[-1] == 429
    assert statuses.count(200) == -(-20 // spent) - 1


def _image(tenant: str, number: int, metadata: dict[str, str]) -> tuple[Image, Job]:
    unique_id = str(uuid.UUID(int=number))
    job = pending_job(tenant, unique_id, f"uploads/{unique_id}.jpg", "a.jpg", metadata=metadata, recipe=STANDARD)
    return first_image(job), job


async def test_a_flood_of_long_pages_stands_in_its_own_line_and_keeps_nobody_waiting(
    serve: Serve, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await serve(locked=True)
    attacker, victim = await key_of(world, Scope.READ, tenant="attacker"), await key_of(world, Scope.READ)
    gate, asked = asyncio.Event(), list[str]()
    listed = world.jobs.list

    async def slow(query: JobQuery) -> JobPage:
        asked.append(query.tenant)
        if query.tenant == "attacker":
            await gate.wait()
        return await listed(query)

    monkeypatch.setattr(world.jobs, "list", slow)
    most = long_pages.AT_ONCE + long_pages.MAX_WAITING
    flood = [asyncio.create_task(_status(client, "/images/list?limit=100", attacker)) for _ in range(most)]

    assert client.app is not None
    pages = client.app[long_pages.LONG_PAGES]

    async def full() -> bool:
        return pages.waiting_of("attacker") == long_pages.MAX_WAITING

    await eventually(full)
    assert await _status(client, "/images/failed?limit=100", attacker) == 429
    assert await _status(client, "/images/list?limit=100", victim) == 200
    assert asked.count("attacker") == long_pages.AT_ONCE
    gate.set()
    assert set(await asyncio.gather(*flood)) == {200}
    assert pages == long_pages.page_lines()  # nothing is remembered


async def _status(client: Client, path: str, headers: dict[str, str]) -> int:
    return (await _json(client, "GET", path, headers=headers))[0]


async def test_what_is_read_counts_also_where_little_of_it_is_shown(
    serve: Serve, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = {"limit_requests_per_second": 0.01, "limit_tenant_requests_per_second": 0.01}
    client = await serve(locked=True, limit_request_burst=1000, limit_tenant_request_burst=2000, **slow)
    admin = await key_of(world, *Scope)
    for _ in range(3):
        await world.fail((await world.submit("acme")).processing_id)
    listed = world.jobs.list

    async def long(query: JobQuery) -> JobPage:
        return replace(await listed(query), read_bytes=4 * READ_BYTES)

    monkeypatch.setattr(world.jobs, "list", long)
    left = 1000
    for method, path, options, spent in (
        ("GET", "/images/failed?code=other", {}, 4),
        ("GET", "/images/list?limit=1", {}, 4),
        ("POST", "/images/failed/redrive", {"json": {}}, 4),
        ("POST", "/images/failed/redrive", {"json": {"dryRun": False}}, 4 + 3),  # each makes a job
    ):
        status, headers, _ = await _json(client, method, path, headers=admin, **options)
        left -= spent
        assert status == 200
        assert headers["RateLimit"].startswith(f'"caller";r={left};'), (path, headers["RateLimit"])


async def test_a_burst_of_one_tenant_is_worked_on_a_few_at_a_time_and_another_does_not_wait(
    serve: Serve, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "HOLD_SECONDS", 60)
    client = await serve(locked=True)
    attacker, victim = await key_of(world, Scope.READ, tenant="attacker"), await key_of(world, Scope.READ)
    gate, asked = asyncio.Event(), list[str]()
    listed = world.jobs.list

    async def slow(query: JobQuery) -> JobPage:
        asked.append(query.tenant)
        if query.tenant == "attacker":
            await gate.wait()
        return await listed(query)

    monkeypatch.setattr(world.jobs, "list", slow)
    burst = [asyncio.create_task(_status(client, "/images/list?limit=1", attacker)) for _ in range(50)]
    assert client.app is not None
    requests = client.app[lines.REQUESTS]

    async def all_wait() -> bool:
        return requests.waiting_of("attacker") == 50 - lines.AT_ONCE

    await eventually(all_wait)
    assert await _status(client, "/images/list?limit=1", victim) == 200
    assert asked.count("attacker") == lines.AT_ONCE
    gate.set()
    assert set(await asyncio.gather(*burst)) == {200}
    assert requests == lines.request_lines()


async def test_redrives_and_lists_of_keys_stand_in_the_line_of_long_pages(
    serve: Serve, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(long_pages, "AT_ONCE", 1)
    client = await serve(locked=True)
    admin = await key_of(world, *Scope)
    gate, begun = asyncio.Event(), list[str]()

    def slow(name: str, work: Any) -> Any:
        async def waiting(*args: Any, **how: Any) -> Any:
            begun.append(name)
            await gate.wait()
            return await work(*args, **how)

        return waiting

    monkeypatch.setattr(world.jobs, "list", slow("jobs", world.jobs.list))
    monkeypatch.setattr(world.keys, "list", slow("keys", world.keys.list))
    page = asyncio.create_task(_status(client, "/images/list?limit=100", admin))
    assert client.app is not None
    pages = client.app[long_pages.LONG_PAGES]

    async def waits(count: int) -> None:
        async def they_do() -> bool:
            return begun == ["jobs"] and pages.waiting_of("acme") == count

        await eventually(they_do)

    await waits(0)
    redrive = asyncio.create_task(_json(client, "POST", "/images/failed/redrive", json={"limit": 100}, headers=admin))
    await waits(1)
    keys = asyncio.create_task(_status(client, "/images/keys", admin))
    await waits(2)
    gate.set()
    assert (await page, (await redrive)[0], await keys) == (200, 200, 200)
    assert begun == ["jobs", "jobs", "keys"]
