"""A review, end to end: only the reviewer's command shows a held picture, and viewers see it once it is approved."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import pyvips

from tests import corpus
from tests.e2e.conftest import COMMAND, LocalService
from tests.fleet import untraced

RED = (255, 0, 0)


async def review(service: LocalService, *arguments: str) -> list[Any]:
    """The rows of `truss-image review`."""
    process = await asyncio.create_subprocess_exec(
        *(str(COMMAND), "review", *arguments, "--json", "--url", service.url),
        env=untraced(),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    stdout, stderr = await asyncio.wait_for(process.communicate(), 180)
    assert process.returncode == 0, stderr.decode()
    return [json.loads(line) for line in stdout.decode().splitlines()]


@pytest.mark.slow
async def test_a_held_picture_is_seen_by_its_reviewer_alone_until_it_is_approved(service: LocalService) -> None:
    content = {"variants": [{"name": "small", "width": 40}, {"name": "full"}], "review": True}
    await service.call("PUT", "/images/presets/reviewed", json=content, expect=201)
    issued = [await service.put(corpus.png(corpus.flat(80 + each, 60, RED)), preset="reviewed") for each in range(2)]
    for each in issued:
        assert (await service.settled(each["processingId"]))["status"] == "needs_review"
        for url in each["processedImageUrls"].values():
            assert await _status(service, url) == 404
            for way in ("/held/", "/processed/../held/", "/processed/%2e%2e/held/", "/processed//held/"):
                assert await _status(service, url.replace("/processed/", way)) in (400, 404)

    first, second = ((each["uniqueId"], each["processingId"]) for each in issued)
    listed = {(row["uniqueId"], row["processingId"]) for row in await review(service, "list")}
    assert {first, second} <= listed
    (shown,) = await review(service, "show", first[0])
    picture = pyvips.Image.new_from_buffer(await service.fetch(shown["variants"][0]["url"]), "")
    red, green, blue = picture.getpoint(5, 5)
    assert red > 200
    assert max(green, blue) < 60
    assert await _status(service, shown["variants"][0]["url"].partition("?")[0]) == 403  # the bucket itself is private

    assert [row["status"] for row in await review(service, "approve", *first)] == ["completed"]
    assert [row["status"] for row in await review(service, "reject", *second, "--comment", "No.")] == ["rejected"]
    for url in issued[0]["processedImageUrls"].values():
        assert (await service.fetch(url))[8:12] == b"WEBP"
    for url in issued[1]["processedImageUrls"].values():
        assert await _status(service, url) == 404
    assert await _status(service, shown["variants"][0]["url"]) in (403, 404)  # what was held has moved
    for unique_id, _ in (first, second):
        await service.call("DELETE", f"/images/image/{unique_id}")
    await service.call("DELETE", "/images/presets/reviewed?force=true")


async def _status(service: LocalService, url: str) -> int:
    async with service.session.get(url) as answer:
        return answer.status
