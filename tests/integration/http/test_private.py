"""Private pictures by the API: their URLs are signed and end, and no event has one."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from yarl import URL

from processor import clock
from processor.images import PRIVATE_PREFIX, VARIANT_PREFIX
from processor.jobs import Job
from processor.notices import notices_of
from processor.recipes import STANDARD
from service.calls.events import event_text
from service.http.rendering import LINKS
from tests.integration.http.conftest import CDN, Ask, Client, World, hold_against_document
from tests.private_key import KEY_ID, written

Serve = Callable[..., Awaitable[Client]]
PRESETS = "/images/presets"
CONTENT = {"variants": [{"name": name, "width": 9} for name in ("thumbnail", "medium", "large")] + [{"name": "webp"}]}


@pytest.fixture
async def client(serve: Serve, tmp_path: Path) -> Client:
    return await serve(local_viewer=True, private_key_id=KEY_ID, private_key_file=str(written(tmp_path)))


@pytest.fixture
async def issued(ask: Ask) -> Any:
    """An upload with a private preset."""
    assert (await ask("PUT", f"{PRESETS}/own", json={**CONTENT, "private": True}))[0] == 201
    return (await ask("POST", "/images/upload-url", json={"filename": "a.jpg", "preset": "own"}))[2]


async def completed(world: World, issued: Any) -> Job:
    job = await world.complete(issued["processingId"])
    variants = []
    for variant in job.variants:
        key = variant.key.replace(VARIANT_PREFIX, PRIVATE_PREFIX, 1)
        await world.processed.put(key, b"webp", content_type="image/webp")
        await world.processed.purge(variant.key)
        variants.append(replace(variant, key=key))
    world.jobs._jobs[job.processing_id] = replace(job, variants=tuple(variants))
    return world.jobs._jobs[job.processing_id]


def urls_in(value: Any) -> list[str]:
    """Every URL of a variant, wherever it is."""
    if isinstance(value, dict):
        return [url for each in value.values() for url in urls_in(each)]
    if isinstance(value, list):
        return [url for each in value for url in urls_in(each)]
    text = str(value).replace("&amp;", "&")
    return [part.strip('"<>') for part in text.replace('"', " ").split() if part.startswith(f"{CDN}/")]


async def test_every_url_of_a_private_picture_is_signed_wherever_it_is_and_says_when_it_ends(
    ask: Ask, world: World, issued: Any
) -> None:
    job = await completed(world, issued)
    answers = [
        issued,
        (await ask("GET", f"/images/status/{job.processing_id}"))[2],
        (await ask("GET", "/images/list"))[2],
        (await ask("GET", f"/images/processed/{job.unique_id}"))[2],
        (await ask("POST", "/images/batch/status", json={"processingIds": [job.processing_id]}))[2],
    ]
    for answer in answers:
        found = urls_in(answer)
        assert len(found) >= 4
        for url in found:
            assert url.startswith(f"{CDN}/{PRIVATE_PREFIX}{job.unique_id}/")
            query = dict(parse_qsl(urlsplit(url).query))
            assert query.keys() == {"Expires", "Signature", "Key-Pair-Id"}
            ends = clock.to_iso(datetime.fromtimestamp(int(query["Expires"]), UTC))
            assert f'"{ends}"' in json.dumps(answer)
    assert issued["urlsExpireAt"]


async def test_the_local_viewer_serves_a_private_picture_for_its_url_alone(
    ask: Ask, client: Client, world: World, issued: Any
) -> None:
    job = await completed(world, issued)
    _, _, shown = await ask("GET", f"/images/status/{job.processing_id}")
    path = shown["processedImages"]["webp"]["url"].removeprefix(CDN)
    good = await client.get(path)
    assert (good.status, await good.read()) == (200, b"webp")
    assert good.headers["Cache-Control"].startswith("private")
    bare, query = path.split("?")
    other = shown["processedImages"]["medium"]["url"].removeprefix(CDN).split("?")[0]
    missing = bare.replace("webp.webp", "none.webp")
    for wrong in (
        *(bare, f"{bare}?", f"{bare}?{query.replace('Expires=1', 'Expires=2')}", f"{other}?{query}"),
        *(f"{path}&Expires=99999999999", f"{missing}?{query}", missing, bare.replace("/private/", "/private//")),
    ):
        assert (await client.get(wrong)).status == 403, wrong
    for way in ("/processed/../private/", "/processed/%2e%2e/private/", "/processed//private/", "/held/"):
        asked = URL(bare.replace("/private/", way), encoded=True)
        assert (await client.get(asked)).status in (400, 403, 404), way
    assert (await client.get(bare.replace("/private/", "/processed/"))).status == 404


async def test_no_event_has_a_url_of_a_private_picture(world: World, issued: Any) -> None:
    job = await completed(world, issued)
    told = [json.loads(event_text(notice, public_url=CDN)) for notice in notices_of(job)]
    variants = [each["data"]["variant"] for each in told if "variant" in each["data"]]
    assert len(variants) == 4
    assert urls_in(told) == []
    assert all("url" not in variant and variant["key"].startswith(PRIVATE_PREFIX) for variant in variants)


async def test_a_tenant_is_private_unless_a_preset_says_otherwise(ask: Ask, world: World) -> None:
    assert (await ask("PATCH", PRESETS, json={"private": True}))[2] == {"default": "standard", "private": True}
    assert (await ask("GET", PRESETS))[2]["private"] is True
    await ask("PUT", f"{PRESETS}/open", json={**CONTENT, "private": False})
    await ask("PUT", f"{PRESETS}/whatever", json=CONTENT)
    places = {}
    for preset in ("standard", "open", "whatever"):
        _, _, made = await ask("POST", "/images/upload-url", json={"filename": "a.jpg", "preset": preset})
        places[preset] = urlsplit(made["processedImageUrl"]).path.split("/")[1]
        recipe = (await world.jobs.job_of_any_tenant(made["processingId"])).recipe
        assert recipe is not None
        assert recipe.private is (preset != "open")
    assert places == {"standard": "private", "open": "processed", "whatever": "private"}
    _, _, made = await ask("POST", "/images/upload-url", json={"filename": "a.jpg"})
    assert urlsplit(made["processedImageUrl"]).path.startswith("/private/")
    assert (await ask("PATCH", PRESETS, json={"private": False}))[2]["private"] is False
    status, _, problem = await ask("PATCH", PRESETS, json={})
    assert (status, problem["code"]) == (400, "invalid_request")


async def test_without_a_key_nothing_becomes_private(serve: Serve) -> None:
    client = await serve()
    for method, path, content in (
        ("PUT", f"{PRESETS}/own", {**CONTENT, "private": True}),
        ("PATCH", PRESETS, {"private": True}),
    ):
        answer = await client.request(method, path, json=content)
        problem = await answer.json()
        hold_against_document(method, path, answer.status, answer.content_type, problem)
        assert (answer.status, problem["code"]) == (400, "private_not_installed")
    assert client.app is not None
    assert client.app[LINKS].signer is None


async def test_public_pictures_stay_as_they_were(ask: Ask, world: World) -> None:
    _, _, made = await ask("POST", "/images/upload-url", json={"filename": "a.jpg"})
    assert "urlsExpireAt" not in made
    await world.complete(made["processingId"])
    _, _, shown = await ask("GET", f"/images/status/{made['processingId']}")
    assert {name: variant["url"] for name, variant in shown["processedImages"].items()} == made["processedImageUrls"]
    assert "expiresAt" not in json.dumps(shown)
    recipe = (await world.jobs.job_of_any_tenant(made["processingId"])).recipe
    assert recipe is not None
    assert recipe.reference == STANDARD.reference
