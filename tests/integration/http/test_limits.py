"""Limits over HTTP."""

from __future__ import annotations

import asyncio
import math
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from processor.jobs import Image, Job, first_image, pending_job
from processor.ports.jobs import JobPage, JobQuery
from processor.recipes import STANDARD
from processor.usage import Usage, today
from service.auth.principal import Scope
from service.limits import long_pages
from service.limits.middleware import ANSWER_BYTES
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
    lines = client.app[long_pages.LONG_PAGES]

    async def full() -> bool:
        return lines.waiting_of("attacker") == long_pages.MAX_WAITING

    await eventually(full)
    assert await _status(client, "/images/failed?limit=100", attacker) == 429
    assert await _status(client, "/images/list?limit=100", victim) == 200
    assert asked.count("attacker") == long_pages.AT_ONCE
    gate.set()
    assert set(await asyncio.gather(*flood)) == {200}
    assert lines == long_pages.LongPages()  # nothing is remembered


async def _status(client: Client, path: str, headers: dict[str, str]) -> int:
    return (await _json(client, "GET", path, headers=headers))[0]
