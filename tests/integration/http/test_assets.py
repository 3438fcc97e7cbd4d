"""Assets by the API: a picture or a text is stored for the tenant alone, and presets lay it over pictures."""

from __future__ import annotations

import base64
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import pyvips

from processor.assets import LONGEST_SIDE
from processor.catalog import assets as catalog_assets
from service.auth.principal import Scope
from tests import corpus
from tests.integration.http.conftest import Ask, Client, World
from tests.integration.http.test_access import key_of

PATH = "/images/assets"
RED = (255, 0, 0)

Serve = Callable[..., Awaitable[Client]]


def posted(data: bytes) -> dict[str, Any]:
    return {"picture": base64.b64encode(data).decode()}


def opened(data: str) -> pyvips.Image:
    return pyvips.Image.new_from_buffer(base64.b64decode(data), "").copy_memory()


async def stored(ask: Ask, body: dict[str, Any]) -> str:
    status, _, asset = await ask("POST", PATH, json=body)
    assert status in (200, 201), asset
    return str(asset["assetId"])


def preset(digest: str, **parameters: Any) -> dict[str, Any]:
    mark = {"name": "watermark", "asset": digest, "opacity": 1, **parameters}
    return {"variants": [{"name": "shown", "effects": [mark]}]}


async def test_a_picture_is_stored_shown_listed_and_deleted(ask: Ask) -> None:
    status, _, asset = await ask("POST", PATH, json=posted(corpus.png(corpus.flat(60, 40, RED))))
    assert status == 201
    digest = asset["assetId"]

    status, _, shown = await ask("GET", f"{PATH}/{digest}")
    assert (status, shown["assetId"], shown["contentType"]) == (200, digest, "image/webp")
    assert (opened(shown["data"]).width, opened(shown["data"]).height) == (60, 40)
    _, _, listed = await ask("GET", PATH)
    assert [each["assetId"] for each in listed["assets"]] == [digest]
    assert listed["limit"] == catalog_assets.MAX_ASSETS

    assert (await ask("DELETE", f"{PATH}/{digest}"))[0] == 200
    for method in ("GET", "DELETE"):
        status, _, problem = await ask(method, f"{PATH}/{digest}")
        assert (status, problem["code"]) == (404, "asset_not_found")


async def test_the_same_again_is_the_same_asset(ask: Ask) -> None:
    for body in (posted(corpus.png(corpus.flat(60, 40, RED))), {"text": "© Ada"}):
        first = await ask("POST", PATH, json=body)
        again = await ask("POST", PATH, json=body)
        assert (first[0], again[0]) == (201, 200)
        assert first[2]["assetId"] == again[2]["assetId"]


async def test_text_is_a_picture_with_alpha(ask: Ask) -> None:
    digest = await stored(ask, {"text": "שלום & <Ada>\n2026", "colour": "#ff0000"})

    _, _, shown = await ask("GET", f"{PATH}/{digest}")

    picture = opened(shown["data"])
    assert picture.hasalpha()
    assert picture[0].max() == 255
    assert picture[3].min() == 0


async def test_a_large_picture_is_shrunk_and_nothing_of_its_metadata_stays(ask: Ask) -> None:
    digest = await stored(ask, posted(corpus.jpeg(corpus.photo(2 * LONGEST_SIDE, 200), orientation=6)))

    _, _, shown = await ask("GET", f"{PATH}/{digest}")

    picture = opened(shown["data"])
    assert picture.width == LONGEST_SIDE
    assert not picture.get_typeof("exif-data")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({}, 400, "invalid_request"),
        ({"text": "a", "picture": "aaaa"}, 400, "invalid_request"),
        ({"picture": "aaaa", "colour": "#ffffff"}, 400, "invalid_request"),
        ({"picture": "no base64"}, 400, "invalid_request"),
        ({"text": ""}, 400, "invalid_request"),
        ({"text": "漢"}, 400, "invalid_request"),
        ({"text": "a\u202eb"}, 400, "invalid_request"),
        ({"text": "a", "colour": "white"}, 400, "invalid_request"),
        ({"text": "a", "font": "Comic"}, 400, "invalid_request"),
        (posted(b"no picture"), 400, "picture_refused"),
        (posted(corpus.jpeg()[:200]), 400, "picture_refused"),
    ],
    ids=str,
)
async def test_what_is_no_asset_is_refused_with_a_reason(ask: Ask, body: Any, status: int, code: str) -> None:
    told, _, problem = await ask("POST", PATH, json=body)

    assert (told, problem["code"]) == (status, code)
    assert (await ask("GET", PATH))[2]["count"] == 0


async def test_a_tenant_has_a_bounded_number(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog_assets, "MAX_ASSETS", 2)
    for text in ("a", "b"):
        await stored(ask, {"text": text})

    status, _, problem = await ask("POST", PATH, json={"text": "c"})

    assert (status, problem["code"], problem["limit"]) == (409, "too_many_assets", 2)
    assert (await ask("POST", PATH, json={"text": "a"}))[0] == 200


async def test_a_preset_lays_an_asset_over_pictures_and_keeps_it_from_being_deleted(ask: Ask) -> None:
    digest = await stored(ask, posted(corpus.png(corpus.flat(60, 40, RED))))
    status, _, written = await ask("PUT", "/images/presets/marked", json=preset(digest))
    assert status == 201, written
    assert written["document"]["variants"][0]["effects"] == [{"name": "watermark", "asset": digest, "opacity": 1}]

    body = {"preset": "marked", **posted(corpus.png(corpus.flat(400, 400, (0, 0, 255))))}
    status, _, preview = await ask("POST", "/images/presets/preview", json=body)
    assert status == 200
    red, _, blue = opened(preview["variants"][0]["data"]).getpoint(360, 370)
    assert red > 200
    assert blue < 60

    status, _, problem = await ask("DELETE", f"{PATH}/{digest}")
    assert (status, problem["code"]) == (409, "asset_in_use")
    await ask("PUT", "/images/presets/marked", json={"variants": [{"name": "shown"}]})
    assert (await ask("DELETE", f"{PATH}/{digest}"))[0] == 409  # an older version has it
    await ask("DELETE", "/images/presets/marked")
    assert (await ask("DELETE", f"{PATH}/{digest}"))[0] == 200


async def test_a_preset_with_an_asset_that_is_not_there_is_refused(ask: Ask) -> None:
    digest = "0" * 64
    status, _, problem = await ask("PUT", "/images/presets/marked", json=preset(digest))
    assert (status, problem["code"]) == (400, "unknown_asset")

    body = {"document": preset(digest), **posted(corpus.png())}
    status, _, problem = await ask("POST", "/images/presets/preview", json=body)
    assert (status, problem["code"]) == (400, "unknown_asset")


@pytest.mark.parametrize(
    ("parameters", "why"), [({"asset": "x"}, "digest"), ({"position": "above"}, "position"), ({"scale": 2}, "scale")]
)
async def test_a_mark_with_a_wrong_parameter_is_refused_by_name(ask: Ask, parameters: Any, why: str) -> None:
    status, _, problem = await ask("PUT", "/images/presets/marked", json=preset("0" * 64, **parameters))

    assert (status, problem["code"]) == (400, "invalid_request")
    assert why in str(problem["errors"])


async def test_assets_are_the_tenants_alone_and_those_who_may_not_store_them_may_see_them(
    serve: Serve, world: World
) -> None:
    client = await serve(locked=True)
    admin, other = await key_of(world, Scope.ADMIN), await key_of(world, Scope.ADMIN, tenant="other")
    user = await key_of(world, Scope.READ, Scope.WRITE)
    async with client.post(PATH, json={"text": "mine"}, headers=user) as answer:
        assert answer.status == 403
    async with client.post(PATH, json={"text": "mine"}, headers=admin) as answer:
        digest = (await answer.json())["assetId"]
    async with client.get(f"{PATH}/{digest}", headers=user) as answer:
        assert answer.status == 200

    for method in ("GET", "DELETE"):
        async with client.request(method, f"{PATH}/{digest}", headers=other) as answer:
            assert answer.status == 404
    async with client.get(PATH, headers=other) as answer:
        assert (await answer.json())["count"] == 0
    async with client.put("/images/presets/marked", json=preset(digest), headers=other) as answer:
        assert (await answer.json())["code"] == "unknown_asset"
