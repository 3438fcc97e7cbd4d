"""Who may do what: every route with every kind of caller, and tenants that cannot see each other."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest
from structlog.testing import capture_logs

from processor import clock
from processor.assets import asset_key
from processor.images import new_unique_id, source_key
from processor.jobs import new_processing_id
from service.auth.api_keys import create
from service.auth.principal import Scope
from service.calls import presets
from service.routes import ROUTES, Route
from tests.integration.http.conftest import Client, World, hold_against_document

Serve = Callable[..., Awaitable[Client]]
LOCKED = [route for route in ROUTES if route.scope is not None]
UNKNOWN_JOB = new_processing_id(clock.now())
UNKNOWN_IMAGE = new_unique_id()
UNKNOWN_KEY = "a" * 16
UNKNOWN_BATCH = "batch_1_a"
UNKNOWN_ASSET = "a" * 64
BODIES = {
    "/images/upload-url": {"filename": "a.jpg"},
    "/images/multipart": {"filename": "a.jpg", "size": 10},
    "/images/s3/multipart": {"filename": "a.jpg"},
    "/images/s3/multipart/{uploadId}/complete": {"parts": [{"PartNumber": 1, "ETag": "e"}]},
    "/images/multipart/{uniqueId}/parts": {"partNumbers": [1]},
    "/images/batch/upload-urls": {"uploads": [{"filename": "a.jpg"}]},
    "/images/batch/status": {"processingIds": [UNKNOWN_JOB]},
    "/images/batch/process": {"uniqueIds": [UNKNOWN_IMAGE]},
    "/images/batch/delete": {"uniqueIds": [UNKNOWN_IMAGE]},
    "/images/keys": {"name": "n", "scopes": ["images:read"]},
    "/images/webhooks": {"url": "https://hooks.example.com/"},
    "/images/webhooks/{webhookId}/replay": {"failed": True},
    "/images/batch/{batchId}": {"paused": True},
    "/images/assets": {"text": "a"},
    "/images/review/{uniqueId}": {"decision": "approve", "processingId": UNKNOWN_JOB},
    "/images/presets": {"default": "standard"},
    "/images/presets/preview": {"preset": "standard", "picture": "aaaa"},
    "/images/presets/{name}": {"variants": [{"name": "avatar", "width": 9, "height": 9}]},
}


async def key_of(world: World, *scopes: Scope, tenant: str = "acme", **given: Any) -> dict[str, str]:
    """The headers of a caller with a fresh key."""
    minted = await create(world.keys, tenant=tenant, name="test", scopes=scopes, **given)
    return {"X-Api-Key": minted.token}


@pytest.fixture
async def client(serve: Serve) -> Client:
    return await serve(locked=True)


async def call(
    client: Client,
    route: Route,
    *,
    image: str = UNKNOWN_IMAGE,
    job: str = UNKNOWN_JOB,
    mark: str = UNKNOWN_ASSET,
    **options: Any,
) -> tuple[int, Any]:
    """Make a call that is complete but for what its ids lead to."""
    ids = {
        "processingId": job,
        "uniqueId": image,
        "keyId": UNKNOWN_KEY,
        "webhookId": f"wh_{UNKNOWN_KEY}",
        "uploadId": job,
        "partNumber": 1,
        "batchId": UNKNOWN_BATCH,
        "name": "avatar",
        "assetId": mark,
    }
    path = route.path.format(**ids, asset="docs.css")
    body = BODIES.get(route.path, {}) if route.method in ("POST", "PUT", "PATCH") else None
    query = {"filename": "a.jpg"} if route.method == "GET" else {}
    query |= {"key": source_key(image, "jpg")} if "uploadId" in route.path else {}
    async with client.request(route.method, path, json=body, params=query, **options) as response:
        if response.content_type == "text/event-stream":
            return response.status, await response.text()
        answer = await response.json(content_type=None)
        hold_against_document(route.method, path, response.status, response.content_type, answer)
        return response.status, answer


def name(route: Route) -> str:
    return f"{route.method} {route.path}"


@pytest.mark.parametrize("route", LOCKED, ids=name)
async def test_without_credentials_or_with_wrong_ones_every_route_is_closed(
    client: Client, world: World, route: Route
) -> None:
    good = (await key_of(world, Scope.ADMIN))["X-Api-Key"]
    ended = await key_of(world, Scope.ADMIN, lifetime=timedelta(seconds=-1))
    for headers in (
        {},
        {"X-Api-Key": ""},
        {"X-Api-Key": "truss_x_y"},
        {"X-Api-Key": good[:-1] + ("A" if good[-1] != "A" else "B")},
        {"X-Api-Key": good.replace(good.split("_")[1], UNKNOWN_KEY)},
        {"X-Api-Key": "x" * 5000},
        {"Authorization": f"Bearer {good}"},
        ended,
    ):
        status, body = await call(client, route, headers=headers)
        assert (status, body["code"]) == (401, "unauthenticated"), headers
        assert body["detail"] == "The credentials are missing or not valid."


@pytest.mark.parametrize("route", LOCKED, ids=name)
async def test_every_route_opens_to_its_own_scope_and_to_administrators_alone(
    client: Client, world: World, route: Route
) -> None:
    for scope in Scope:
        status, body = await call(client, route, headers=await key_of(world, scope))
        if scope in (route.scope, Scope.ADMIN):
            assert status not in (401, 403), (scope, body)
        else:
            assert (status, body["code"]) == (403, "forbidden"), scope


@pytest.mark.parametrize("route", [route for route in ROUTES if route.scope is None], ids=name)
async def test_what_is_public_asks_nobody(serve: Serve, route: Route) -> None:
    client = await serve(locked=True, console="on")
    asset = "main.js" if "/console/" in route.path else "docs.css"
    async with client.get(route.path.format(asset=asset, release="any")) as response:
        assert response.status == 200


async def test_a_401_names_the_ways_in(client: Client) -> None:
    async with client.get("/images/list") as response:
        assert response.headers["WWW-Authenticate"] == "Bearer, ApiKey"


async def test_paths_that_do_not_exist_need_no_credentials_to_say_so(client: Client) -> None:
    assert (await client.get("/images/nothing")).status == 404
    assert (await client.put("/images/list")).status == 405


async def test_a_preflight_carries_no_credentials_and_is_answered(serve: Serve) -> None:
    client = await serve(locked=True, cors_origins=("https://app.example",))
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}
    asked["Access-Control-Request-Headers"] = "x-api-key"
    assert (await client.options("/images/list", headers=asked)).status == 200


async def test_two_credentials_at_once_are_refused(client: Client, world: World) -> None:
    first, second = await key_of(world, Scope.READ), await key_of(world, Scope.READ, tenant="other")
    twice = [("X-Api-Key", first["X-Api-Key"]), ("X-Api-Key", second["X-Api-Key"])]
    async with client.get("/images/list", headers=twice) as response:
        assert response.status == 401


#: Of every other id, the service is the author. A preset's name is its tenant's, so that nobody can name another's.
NAMED = [route for route in LOCKED if "{" in route.path and route.handler is not presets.put]


@pytest.mark.parametrize("route", NAMED, ids=name)
async def test_anothers_ids_answer_exactly_like_ids_that_never_were(client: Client, world: World, route: Route) -> None:
    done = await world.complete((await world.submit("other")).processing_id)
    theirs = await create(world.keys, tenant="other", name="n", scopes=[Scope.READ])
    headers = await key_of(world, *Scope) | {"X-Request-Id": "same"}
    unknown = await call(client, route, headers=headers)
    mark = "b" * 64
    await world.source.put(asset_key("other", mark), b"a logo")
    foreign = await call(client, route, image=done.unique_id, job=done.processing_id, mark=mark, headers=headers)
    assert foreign == unknown
    assert [each.size for each in await world.source.list(asset_key("other", mark))] == [6]
    if "keyId" in route.path:
        path = route.path.format(keyId=theirs.key.key_id)
        async with client.request(route.method, path, json={}, headers=headers) as response:
            assert (response.status, await response.json()) == unknown
    assert await world.jobs.job_of_any_tenant(done.processing_id) == done
    assert len(await world.processed.list("")) == 4


async def test_lists_and_their_cursors_stay_within_the_tenant(client: Client, world: World) -> None:
    for tenant in ("acme", "other"):
        for _ in range(2):
            await world.fail((await world.submit(tenant)).processing_id)
    mine, theirs = await key_of(world, Scope.READ), await key_of(world, Scope.READ, tenant="other")
    for path in ("/images/list", "/images/failed"):
        page = await (await client.get(path, params={"limit": 1}, headers=mine)).json()
        rest = await (await client.get(path, params={"lastKey": page["lastEvaluatedKey"]}, headers=mine)).json()
        seen = {row["uniqueId"] for row in page["images"] + rest["images"]}
        assert len(seen) == 2
        for unique_id in seen:
            assert (await world.jobs.image_of_any_tenant(unique_id)).tenant == "acme"
        stolen = await client.get(path, params={"lastKey": page["lastEvaluatedKey"]}, headers=theirs)
        assert (await stolen.json())["code"] == "invalid_cursor"


async def test_a_redrive_touches_no_other_tenant(client: Client, world: World) -> None:
    theirs = await world.fail((await world.submit("other")).processing_id, "unavailable")
    await world.fail((await world.submit("acme")).processing_id, "unavailable")
    answer = await client.post(
        "/images/failed/redrive", json={"dryRun": False}, headers=await key_of(world, Scope.ADMIN)
    )
    assert (await answer.json())["redriven"] == 1
    assert await world.jobs.job_of_any_tenant(theirs.processing_id) == theirs


async def test_an_administrator_acts_for_another_tenant_by_naming_it(client: Client, world: World) -> None:
    theirs = await world.submit("other")
    path = f"/images/status/{theirs.processing_id}"
    admin = await key_of(world, Scope.ADMIN)
    assert (await client.get(path, headers=admin)).status == 404
    assert (await client.get(path, headers=admin | {"X-Tenant": "other"})).status == 200


@pytest.mark.parametrize("named", ["other", "acme", "", "a#0", "A" * 64])
async def test_nobody_else_may_name_a_tenant_and_no_one_a_strange_one(client: Client, world: World, named: str) -> None:
    user = await key_of(world, Scope.READ, Scope.WRITE, Scope.DELETE)
    assert (await client.get("/images/list", headers=user | {"X-Tenant": named})).status == 403
    if named not in ("other", "acme"):
        admin = await key_of(world, Scope.ADMIN)
        assert (await client.get("/images/list", headers=admin | {"X-Tenant": named})).status == 403


# -- keys ---------------------------------------------------------------------------------------------------------


async def test_a_key_is_shown_once_opens_what_it_was_made_for_and_is_listed_without_its_text(
    client: Client, world: World
) -> None:
    admin = await key_of(world, Scope.ADMIN)
    asked = {"name": "importer", "scopes": ["images:read", "images:write"], "expiresIn": 3600}
    async with client.post("/images/keys", json=asked, headers=admin) as response:
        made = await response.json()
        assert response.status == 201
    assert re.fullmatch(r"truss_[a-z2-7]{16}_[A-Za-z0-9_-]{51}", made["key"])
    assert (made["tenant"], made["scopes"]) == ("acme", ["images:read", "images:write"])
    assert (await client.get("/images/list", headers={"X-Api-Key": made["key"]})).status == 200
    assert (await client.get("/images/keys", headers={"X-Api-Key": made["key"]})).status == 403

    listed = await (await client.get("/images/keys", headers=admin)).text()
    assert made["keyId"] in listed
    assert made["key"] not in listed
    assert made["key"].split("_", 2)[2] not in repr(await world.keys.get(made["keyId"]))


async def test_a_revoked_key_opens_nothing_once_the_cache_has_forgotten_it(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin, user = await key_of(world, Scope.ADMIN), await key_of(world, Scope.READ)
    key_id = user["X-Api-Key"].split("_")[1]
    answers = []
    for _ in range(2):
        async with client.delete(f"/images/keys/{key_id}", headers=admin) as response:
            assert response.status == 200
            answers.append(await response.json())
    assert answers[0] == answers[1]
    assert answers[0]["revokedAt"] is not None
    assert (await client.get("/images/list", headers=user)).status == 401


async def test_rotation_gives_a_new_key_and_ends_the_old_one_after_its_grace(client: Client, world: World) -> None:
    admin, user = await key_of(world, Scope.ADMIN), await key_of(world, Scope.READ)
    path = f"/images/keys/{user['X-Api-Key'].split('_')[1]}/rotate"
    async with client.post(path, json={"grace": 0}, headers=admin) as response:
        made = await response.json()
        assert response.status == 201
    assert made["scopes"] == ["images:read"]
    assert (await client.get("/images/list", headers={"X-Api-Key": made["key"]})).status == 200
    assert (await client.get("/images/list", headers=user)).status == 401
    async with client.post(path, headers=admin) as response:
        assert (response.status, (await response.json())["code"]) == (409, "key_ended")
    path = f"/images/keys/{made['keyId']}/rotate"
    async with client.post(path, headers=admin) as response:  # no body: a day of grace
        assert response.status == 201


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"name": "", "scopes": ["images:read"]},
        {"name": "n\n", "scopes": ["images:read"]},
        {"name": "n", "scopes": []},
        {"name": "n", "scopes": ["images:everything"]},
        {"name": "n", "scopes": ["images:read"], "expiresIn": 1},
    ],
)
async def test_a_key_that_makes_no_sense_is_not_made(client: Client, world: World, asked: dict[str, Any]) -> None:
    async with client.post("/images/keys", json=asked, headers=await key_of(world, Scope.ADMIN)) as response:
        assert (await response.json())["code"] == "invalid_request"
    assert len(await world.keys.list("acme")) == 1


async def test_the_log_says_who_called_and_why_not_but_never_with_what(client: Client, world: World) -> None:
    user = await key_of(world, Scope.READ)
    with capture_logs(processors=[]) as logs:
        await client.get("/images/list", headers=user)
        await client.delete(f"/images/image/{UNKNOWN_IMAGE}", headers=user)
        await client.get("/images/list", headers={"X-Api-Key": user["X-Api-Key"][:-2]})
    assert {"Caller not authorized", "Caller not authenticated"} <= {entry["event"] for entry in logs}
    assert user["X-Api-Key"][-20:-2] not in str(logs)
