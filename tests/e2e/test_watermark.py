"""A mark, end to end: from an asset through a preset to the pixels that viewers get."""

from __future__ import annotations

import base64

import pytest
import pyvips

from tests import corpus
from tests.e2e.conftest import MakeService

RED, BLUE = (255, 0, 0), (0, 0, 255)


@pytest.mark.slow
async def test_a_preset_marks_what_viewers_get_and_the_asset_itself_is_not_shown(make_service: MakeService) -> None:
    service = await make_service()
    logo = base64.b64encode(corpus.png(corpus.flat(40, 40, RED))).decode()
    asset = await service.call("POST", "/images/assets", json={"picture": logo}, expect=201)
    mark = {"name": "watermark", "asset": asset["assetId"], "position": "northwest", "margin": 0, "opacity": 1}
    content = {"variants": [{"name": "shown", "effects": [mark]}, {"name": "small", "width": 100, "effects": [mark]}]}
    await service.call("PUT", "/images/presets/marked", json=content, expect=201)

    issued = await service.put(corpus.png(corpus.flat(400, 400, BLUE)), preset="marked")
    job = await service.settled(issued["processingId"])

    assert job["status"] == "completed", job["error"]
    seen = {}
    for name, variant in job["processedImages"].items():
        picture = pyvips.Image.new_from_buffer(await service.fetch(variant["url"]), "")
        red, _, blue = picture.getpoint(picture.width // 10, picture.height // 10)
        seen[name] = "red" if red > 200 and blue < 60 else "blue" if blue > 200 and red < 60 else (red, blue)
    assert seen == {"shown": "red", "small": "blue"}  # that one is too small for a mark

    url = job["processedImages"]["shown"]["url"]
    public = url[: url.index("processed/")]
    async with service.session.get(f"{public}assets/default/{asset['assetId']}") as hidden:
        assert hidden.status in (403, 404)
    await service.call("DELETE", f"/images/image/{issued['uniqueId']}")
    await service.call("DELETE", "/images/presets/marked")
    await service.call("DELETE", f"/images/assets/{asset['assetId']}")
    assert (await service.call("GET", "/images/assets"))["count"] == 0
