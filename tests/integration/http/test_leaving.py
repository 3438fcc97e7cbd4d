"""A tenant leaves, as docs/operations.md says: in that order every call is taken, and nothing of the tenant is left."""

from __future__ import annotations

from tests.integration.http.conftest import Ask, World
from tests.integration.http.test_assets import preset, stored
from tests.integration.http.test_presets import Submit


async def test_with_the_images_gone_presets_assets_and_limits_go_in_this_order_and_nothing_is_left(
    ask: Ask, submit: Submit, world: World
) -> None:
    digest = await stored(ask, {"text": "(c) Ada"})
    assert (await ask("PUT", "/images/presets/marked", json=preset(digest)))[0] == 201
    assert (await ask("PATCH", "/images/presets", json={"default": "marked", "private": False}))[0] == 200
    assert (await ask("PUT", "/images/limits", json={"images": 7}))[2]["images"]["limit"] == 7
    upload = await submit()
    await world.complete(upload["processingId"])

    async def refused(path: str) -> str:
        status, _, problem = await ask("DELETE", path)
        assert status == 409, problem
        return str(problem["code"])

    # In any other order they are refused.
    assert await refused(f"/images/assets/{digest}") == "asset_in_use"
    assert await refused("/images/presets/marked") == "preset_in_use"

    assert (await ask("DELETE", f"/images/image/{upload['uniqueId']}"))[0] == 200
    assert (await ask("PATCH", "/images/presets", json={"default": "standard"}))[0] == 200
    assert (await ask("DELETE", "/images/presets/marked"))[0] == 200
    assert (await ask("DELETE", f"/images/assets/{digest}"))[0] == 200
    assert (await ask("PUT", "/images/limits", json={}))[2]["images"]["limit"] != 7

    assert [*await world.source.list(""), *await world.processed.list("")] == []
    assert world.presets._presets == {}
    heads = await world.presets.heads("default")
    assert (heads.default, heads.private) == (None, False)
    assert (await ask("GET", "/images/assets"))[2]["assets"] == []
