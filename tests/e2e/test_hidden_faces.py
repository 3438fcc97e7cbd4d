"""Faces that a preset hides, end to end with the real model: every way to the picture is tried, before and after."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import pyvips

from tests import corpus
from tests.corpus.faces import SKINS, with_faces
from tests.e2e.conftest import LocalService, MakeService
from tests.models import MODELS, needs_models
from tests.waiting import eventually

WIDTH, HEIGHT, HALF = 640, 480, 20
PLACES = ((200, 200), (420, 260))
VARIANTS = [{"name": "full", "formats": ["webp", "avif"]}, {"name": "large", "width": 600, "formats": ["webp", "avif"]}]
OPEN = {"variants": VARIANTS, "analyses": ["placeholder", "blurhash", "faces", "embedding", "likeness"]}
HIDDEN = {**OPEN, "blurFaces": "pixels"}
_INLINE = re.compile(r"data:image/webp;base64,([A-Za-z0-9+/=]+)")


def photo(skin: int = 2) -> bytes:
    """A JPEG with two faces."""
    return corpus.jpeg(with_faces(WIDTH, HEIGHT, PLACES, HALF, skin=SKINS[skin]), quality=90)


def shows_a_face(file: bytes) -> bool:
    """Whether the white of an eye is seen: nothing else there is as blue."""
    picture = pyvips.Image.new_from_buffer(file, "")
    scale = picture.width / WIDTH
    if scale < 0.5 or picture.bands < 3:
        return False
    return any(
        picture.crop(
            round((x - HALF * 0.5) * scale), round((y - HALF * 0.3) * scale), round(HALF * scale), round(8 * scale)
        )[2].max()
        > 150
        for x, y in PLACES
    )


def urls_in(told: Any) -> Iterator[str]:
    match told:
        case dict():
            for value in told.values():
                yield from urls_in(value)
        case list():
            for value in told:
                yield from urls_in(value)
        case str() if told.startswith("http"):
            yield told


async def status_of(service: LocalService, url: str) -> int:
    async with service.session.get(url) as answer:
        return answer.status


async def completed(service: LocalService, processing_id: str) -> Any:
    """The job with all its formats."""

    async def look() -> Any:
        job = await service.job(processing_id)
        formats = job.get("otherFormats", {}).values()
        return job if job["status"] == "completed" and all(each["status"] != "pending" for each in formats) else None

    return await eventually(look, within=180, what=f"all formats of {processing_id}")


async def check_no_face(service: LocalService, told: Any) -> int:
    """No picture that an answer has or names shows a face. How many were looked at."""
    text = json.dumps(told)
    assert '"landmarks": [[' not in text
    seen = 0
    for url in sorted(set(urls_in(told))):
        async with service.session.get(url) as answer:
            if answer.status != 200 or not answer.content_type.startswith("image/"):
                continue
            assert not shows_a_face(await answer.read()), url
            seen += 1
    for inline in _INLINE.findall(text):
        assert not shows_a_face(base64.b64decode(inline))
    return seen


@dataclass(frozen=True, kw_only=True)
class Exposed:
    """An image that showed faces and hides them by now, and where it showed them."""

    unique_id: str
    older: str
    newer: str
    key: str
    addresses: tuple[str, ...]


async def exposed(service: LocalService) -> Exposed:
    for name, content in (("open", OPEN), ("street", HIDDEN)):
        await service.call("PUT", f"/images/presets/{name}", json=content, expect=201)
    issued = await service.put(photo(), preset="open")
    unique_id, older = issued["uniqueId"], issued["processingId"]
    shown = await completed(service, older)
    addresses = sorted({*urls_in(shown["processedImages"]), *urls_in(issued["processedImageUrls"])})
    assert any([shows_a_face(await service.fetch(url)) for url in addresses])
    assert shown["facts"]["faces"]["count"] == len(PLACES)
    new = await service.call("POST", f"/images/process/{unique_id}", json={"preset": "street"}, expect=202)
    job = await completed(service, new["processingId"])
    assert job["facts"]["blurFaces"]["decision"] == "blurred"
    assert await check_no_face(service, job) == 2 * len(VARIANTS)
    return Exposed(
        unique_id=unique_id,
        older=older,
        newer=new["processingId"],
        key=job["originalKey"],
        addresses=tuple(addresses),
    )


@pytest.mark.slow
@needs_models
async def test_no_way_leads_to_a_face_that_is_hidden_by_now(make_service: MakeService) -> None:
    service = await make_service(MODELS_DIR=str(MODELS))
    image = await exposed(service)
    await _check_addresses(service, image)
    await _check_calls(service, image)
    await _check_previews(service, image)
    await _check_other_presets(service, image)


async def _check_addresses(service: LocalService, image: Exposed) -> None:
    """What was public is gone, and neither the source nor anything else can be reached from there."""
    for url in image.addresses:
        assert await status_of(service, url) in (403, 404), url
        for place in ("held", "uploads", "private", "processed/../uploads", "processed/%2e%2e/uploads"):
            assert await status_of(service, url.replace("/processed/", f"/{place}/")) in (400, 403, 404)
    served, _, _ = image.addresses[0].partition("/processed/")
    for key in (image.key, f"processed/{image.unique_id}/{image.older}/manifest.json"):
        for root in (service.url, served):
            assert await status_of(service, f"{root}/{key}") in (400, 401, 403, 404)


async def _check_calls(service: LocalService, image: Exposed) -> None:
    """Every call that tells of the image."""
    other = await service.put(photo(1), preset="street")
    await service.settled(other["processingId"])
    assert not list(urls_in((await service.job(image.older))["processedImages"]))
    for path in (
        f"/images/status/{image.older}",
        f"/images/jobs/{image.unique_id}",
        f"/images/processed/{image.unique_id}",
        f"/images/similar/{image.unique_id}?distance=16",
        f"/images/similar/{image.unique_id}?by=content&similarity=0.1",
        "/images/list",
        "/images/list?status=completed",
    ):
        await check_no_face(service, await service.call("GET", path))
    asked = {"processingIds": [image.older, image.newer]}
    await check_no_face(service, await service.call("POST", "/images/batch/status", json=asked))


async def _check_previews(service: LocalService, image: Exposed) -> None:
    for asked in ({"preset": "open"}, {"document": OPEN}, {"preset": "standard"}):
        made = await service.call("POST", "/images/presets/preview", json={**asked, "uniqueId": image.unique_id})
        files = [base64.b64decode(each["data"]) for each in made["variants"] if each["data"]]
        assert files
        assert not any(map(shows_a_face, files))


async def _check_other_presets(service: LocalService, image: Exposed) -> None:
    """Another preset, a newer version that hides nothing, its plan with samples, its backfill."""
    await service.call("PUT", "/images/presets/street", json=OPEN, expect=201)
    plan = await service.call("POST", "/images/presets/street/plan", json={})
    assert plan["images"]
    await check_no_face(service, plan)
    files = [base64.b64decode(text) for text in _texts(plan) if text.startswith(("UklGR", "AAAA"))]
    assert not any(map(shows_a_face, files))
    for preset in ("open", "standard"):
        path = f"/images/process/{image.unique_id}"
        again = await service.call("POST", path, json={"preset": preset}, expect=202)
        assert await check_no_face(service, await completed(service, again["processingId"]))
    started = await service.call("POST", "/images/presets/open/backfill", expect=202)

    async def done() -> bool:
        job = await service.call("GET", f"/images/batch/{started['batchId']}")
        return bool(job["state"] == "completed")

    await eventually(done, within=180, what="the backfill")
    shown = await service.call("GET", f"/images/processed/{image.unique_id}")
    assert await check_no_face(service, shown) >= len(VARIANTS)


def _texts(told: Any) -> Iterator[str]:
    match told:
        case dict():
            for value in told.values():
                yield from _texts(value)
        case list():
            for value in told:
                yield from _texts(value)
        case str():
            yield told
