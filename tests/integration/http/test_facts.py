"""Who is shown what was found out about a picture, and where it was taken."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from processor.facts import Facts
from processor.manifest import document
from processor.notices import notices_of
from service.auth.principal import Scope
from service.calls.events import event_text
from tests.integration.http.conftest import CDN, Client, World
from tests.integration.http.test_access import key_of

POSITION = {"latitude": 48.858219, "longitude": -2.2945, "city": "Praha"}
FOUND = {
    "colour": "#123456",
    "metadata": {"caption": "Žofín", "privacy": {"found": ["position"], "removed": ["position"], "kept": []}},
    "position": POSITION,
}
SHOWN = {name: value for name, value in FOUND.items() if name != "position"}


@pytest.fixture
async def client(serve: Callable[..., Awaitable[Client]]) -> Client:
    return await serve(locked=True)


async def an_image(world: World) -> tuple[str, str]:
    """A completed image of a picture that says where it was taken."""
    job = await world.submit("acme")
    await world.complete(job.processing_id, facts=Facts.of(FOUND, FOUND))
    return job.unique_id, job.processing_id


async def get(client: Client, path: str, *scopes: Scope, world: World, tenant: str = "acme") -> tuple[int, Any]:
    async with client.get(path, headers=await key_of(world, *scopes, tenant=tenant)) as response:
        return response.status, await response.json()


async def test_the_position_is_shown_only_to_who_asks_for_it_and_may_have_it(client: Client, world: World) -> None:
    unique_id, processing_id = await an_image(world)
    for path in (f"/images/status/{processing_id}", f"/images/processed/{unique_id}", f"/images/status/{unique_id}"):
        status, body = await get(client, path, Scope.READ, world=world)
        assert (status, body["facts"]) == (200, SHOWN)
        status, body = await get(client, path, Scope.READ, Scope.POSITION, world=world)
        assert (status, body["facts"]) == (200, SHOWN), "nobody asked for it"
        asked = f"{path}?include=position"
        status, body = await get(client, asked, Scope.READ, world=world)
        assert (status, body["code"]) == (403, "forbidden")
        assert body["detail"] == "These credentials lack the scope images:position."
        for scopes in ((Scope.READ, Scope.POSITION), (Scope.ADMIN,)):
            status, body = await get(client, asked, *scopes, world=world)
            assert (status, body["facts"]) == (200, FOUND)
        status, _ = await get(client, asked, Scope.POSITION, world=world)
        assert status == 403
        status, body = await get(client, asked, Scope.READ, Scope.POSITION, world=world, tenant="other")
        assert status == 404
        status, body = await get(client, f"{path}?include=everything", Scope.READ, world=world)
        assert (status, body["code"]) == (400, "invalid_request")


async def test_no_list_manifest_or_event_says_where_a_picture_was_taken(client: Client, world: World) -> None:
    unique_id, processing_id = await an_image(world)
    job = await world.jobs.job_of_any_tenant(processing_id)
    scopes = (Scope.READ, Scope.POSITION)
    told = [json.dumps((await get(client, "/images/list?include=position", *scopes, world=world))[1])]
    async with client.post(
        "/images/batch/status", json={"processingIds": [processing_id]}, headers=await key_of(world, *scopes)
    ) as response:
        told.append(await response.text())
    in_public = [document(job).decode(), *(event_text(notice, public_url=CDN) for notice in notices_of(job))]
    for text in (*told, *in_public, repr(job), repr(job.facts)):
        assert "48.85" not in text
        assert "Praha" not in text
    for text in in_public:
        assert "ofín" not in text
        assert "privacy" not in text
    assert json.loads(document(job))["facts"] == {"colour": "#123456"}
    assert unique_id in told[0]


async def test_nothing_of_it_is_left_once_the_image_is_deleted(client: Client, world: World) -> None:
    unique_id, processing_id = await an_image(world)
    headers = await key_of(world, Scope.DELETE, Scope.READ, Scope.POSITION)
    async with client.delete(f"/images/image/{unique_id}", headers=headers) as response:
        assert response.status == 200
    for path in (f"/images/status/{processing_id}", f"/images/processed/{unique_id}"):
        async with client.get(f"{path}?include=position", headers=headers) as response:
            assert response.status == 404
    assert not any("48.85" in job.facts.to_text() for job in world.jobs._jobs.values())
