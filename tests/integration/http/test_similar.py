"""Images that look alike: within the tenant, with exact distances, and in bounded steps that miss nothing."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from processor.catalog import similar
from processor.facts import Facts
from processor.images import new_unique_id
from service.auth.principal import Scope
from tests.integration.http.conftest import Ask, Client, World
from tests.integration.http.test_access import key_of

HASH = 0x252D6D8DDDC4C4B0


def likeness(bits: int) -> Facts:
    """A likeness that differs from `HASH` in so many bits."""
    return Facts({"likeness": f"{HASH ^ ((1 << bits) - 1):016x}"})


async def image(world: World, bits: int | None, tenant: str = "default") -> str:
    job = await world.submit(tenant)
    await world.complete(job.processing_id, facts=Facts() if bits is None else likeness(bits))
    return job.unique_id


async def test_what_looks_alike_is_found_nearest_first_with_its_exact_distance(ask: Ask, world: World) -> None:
    near = {bits: await image(world, bits) for bits in (11, 3, 10, 0, 64)}
    await image(world, None)
    asked = await image(world, 0)
    await image(world, 0, tenant="somebody")
    waiting = await world.submit("default")

    status, _, body = await ask("GET", f"/images/similar/{asked}")
    assert status == 200
    assert [(each["uniqueId"], each["distance"]) for each in body["images"]] == [
        (near[0], 0),
        (near[3], 3),
        (near[10], 10),
    ]
    assert (body["count"], body["searched"], body["lastEvaluatedKey"]) == (3, 7, None)
    assert body["likeness"] == f"{HASH:016x}"
    assert body["images"][0]["image"]["url"].endswith("thumbnail.webp")
    assert waiting.unique_id not in str(body)

    for distance, count in ((0, 1), (2, 1), (3, 2), (11, 4), (32, 4)):
        _, _, body = await ask("GET", f"/images/similar/{asked}?distance={distance}")
        assert body["count"] == count, distance


async def test_a_search_in_small_steps_finds_what_one_search_finds(
    ask: Ask, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = await image(world, 0)
    alike = {await image(world, bits % 14) for bits in range(23)}
    expected = (await ask("GET", f"/images/similar/{asked}?limit=100"))[2]
    monkeypatch.setattr(similar, "_PAGE", 3)
    monkeypatch.setattr(similar, "MOST_SEARCHED", 5)
    for limit in (1, 2, 100):
        found: list[str] = []
        searched = 0
        key: str | None = ""
        for _ in range(60):
            _, _, body = await ask(
                "GET", f"/images/similar/{asked}?limit={limit}&lastKey={key}".removesuffix("&lastKey=")
            )
            assert body["count"] <= limit
            assert body["searched"] <= 5
            found += [each["uniqueId"] for each in body["images"]]
            searched += body["searched"]
            key = body["lastEvaluatedKey"]
            if key is None:
                break
        assert key is None
        assert sorted(found) == sorted(each["uniqueId"] for each in expected["images"])
        assert set(found) <= alike
        assert searched == 24


async def test_a_cursor_holds_for_its_image_and_distance_alone(
    ask: Ask, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, other = await image(world, 0), await image(world, 1)
    monkeypatch.setattr(similar, "MOST_SEARCHED", 1)
    key = (await ask("GET", f"/images/similar/{asked}"))[2]["lastEvaluatedKey"]
    for path in (f"{other}?lastKey={key}", f"{asked}?distance=11&lastKey={key}", f"{asked}?lastKey=x{key}"):
        status, _, body = await ask("GET", f"/images/similar/{path}")
        assert (status, body["code"]) == (400, "invalid_cursor")
    status, _, body = await ask("GET", f"/images/list?lastKey={key}")
    assert (status, body["code"]) == (400, "invalid_cursor")


async def test_an_image_without_a_likeness_has_nothing_to_compare(ask: Ask, world: World, submit: Any) -> None:
    for unique_id in (await image(world, None), (await submit())["uniqueId"]):
        status, _, body = await ask("GET", f"/images/similar/{unique_id}")
        assert (status, body["code"]) == (409, "no_likeness")
    status, _, body = await ask("GET", f"/images/similar/{new_unique_id()}")
    assert (status, body["code"]) == (404, "image_not_found")


@pytest.mark.parametrize("query", ["distance=33", "distance=-1", "limit=0", "limit=101", "threshold=3", "cursor=x"])
async def test_what_is_out_of_bounds_or_misspelt_is_refused(ask: Ask, world: World, query: str) -> None:
    status, _, body = await ask("GET", f"/images/similar/{await image(world, 0)}?{query}")
    assert (status, body["code"]) == (400, "invalid_request")


async def test_what_is_deleted_or_of_another_tenant_is_not_found(
    serve: Callable[..., Awaitable[Client]], world: World
) -> None:
    client = await serve(locked=True)
    asked, gone = await image(world, 0, "acme"), await image(world, 1, "acme")
    headers = await key_of(world, Scope.READ, Scope.DELETE)
    async with client.get(f"/images/similar/{asked}", headers=headers) as response:
        assert [each["uniqueId"] for each in (await response.json())["images"]] == [gone]
    async with client.delete(f"/images/image/{gone}", headers=headers) as response:
        assert response.status == 200
    async with client.get(f"/images/similar/{asked}", headers=headers) as response:
        assert (await response.json())["images"] == []
    async with client.get(f"/images/similar/{asked}", headers=await key_of(world, Scope.READ, tenant="b")) as response:
        assert (response.status, (await response.json())["code"]) == (404, "image_not_found")


def embedding(first: int, last: int) -> Facts:
    """An embedding with the features from the first to the last, and no likeness."""
    bits = (1 << last) - (1 << first)
    return Facts(own={"embedding": base64.b64encode(bits.to_bytes(similar.EMBEDDING_BYTES, "big")).decode()})


async def test_what_has_like_content_is_found_by_how_much_it_shares(ask: Ask, world: World) -> None:
    async def shown(facts: Facts, tenant: str = "default") -> str:
        job = await world.submit(tenant)
        await world.complete(job.processing_id, facts=facts)
        return job.unique_id

    near = {share: await shown(embedding(100 - share, 200 - share)) for share in (50, 0, 44, 90)}
    await shown(likeness(0))
    await shown(Facts(own={"embedding": "no base64"}))
    await shown(embedding(0, 100), tenant="somebody")
    asked = await shown(embedding(100, 200))

    status, _, body = await ask("GET", f"/images/similar/{asked}?by=content")
    assert status == 200
    assert [(each["uniqueId"], each["similarity"]) for each in body["images"]] == [
        (near[0], 1.0),
        (near[44], 0.56),
        (near[50], 0.5),
    ]
    assert "distance" not in body["images"][0]
    assert "likeness" not in body
    assert body["searched"] == 7
    for similarity, count in ((0, 4), (0.1, 4), (0.11, 3), (0.57, 1), (1, 1)):
        _, _, body = await ask("GET", f"/images/similar/{asked}?by=content&similarity={similarity}")
        assert body["count"] == count, similarity


async def test_an_image_without_an_embedding_has_no_content_to_compare(ask: Ask, world: World) -> None:
    status, _, body = await ask("GET", f"/images/similar/{await image(world, 0)}?by=content")
    assert (status, body["code"]) == (409, "no_embedding")


@pytest.mark.parametrize("query", ["by=colour", "by=content&similarity=1.1", "by=content&similarity=x"])
async def test_no_other_comparison_is_known(ask: Ask, world: World, query: str) -> None:
    status, _, body = await ask("GET", f"/images/similar/{await image(world, 0)}?{query}")
    assert (status, body["code"]) == (400, "invalid_request")


async def test_a_cursor_of_one_comparison_is_none_of_another(
    ask: Ask, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = await image(world, 0)
    await image(world, 1)
    monkeypatch.setattr(similar, "MOST_SEARCHED", 1)
    key = (await ask("GET", f"/images/similar/{asked}"))[2]["lastEvaluatedKey"]
    status, _, body = await ask("GET", f"/images/similar/{asked}?by=content&lastKey={key}")
    assert (status, body["code"]) == (400, "invalid_cursor")
