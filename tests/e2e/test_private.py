"""Private pictures, end to end: a signed URL shows them, and the key of the local mode is its owner's."""

from __future__ import annotations

import stat

import pytest

from service.http.links import Signer, read_key
from service.local.private_key import KEY_ID
from tests import corpus
from tests.e2e.conftest import LocalService


@pytest.mark.slow
async def test_a_private_picture_is_shown_by_a_signed_url_that_has_not_ended(service: LocalService) -> None:
    file = service.data_dir / "private-key.pem"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    content = {"variants": [{"name": "small", "width": 40}, {"name": "full"}], "private": True}
    await service.call("PUT", "/images/presets/private", json=content, expect=201)

    issued = await service.put(corpus.png(corpus.photo(80, 60)), preset="private")
    job = await service.settled(issued["processingId"])
    assert job["status"] == "completed", job["error"]
    shown = {name: variant["url"].partition("?")[0] for name, variant in job["processedImages"].items()}
    assert shown == {name: foretold.partition("?")[0] for name, foretold in issued["processedImageUrls"].items()}
    url = job["processedImages"]["full"]["url"]
    assert (await service.fetch(url))[8:12] == b"WEBP"
    bare = url.partition("?")[0]
    ended = Signer(KEY_ID, read_key(str(file)), 60).signed(bare, 1_700_000_000)
    for wrong in (bare, ended, url.replace("full.webp", "small.webp"), url.replace("Signature=", "Signature=A")):
        assert await _status(service, wrong) == 403
    for way in ("/processed/", "/processed/../private/", "/processed/%2e%2e/private/", "/held/"):
        assert await _status(service, bare.replace("/private/", way)) in (400, 403, 404)

    await service.call("DELETE", f"/images/image/{issued['uniqueId']}")
    assert await _status(service, url) == 404
    await service.call("DELETE", "/images/presets/private?force=true")


async def _status(service: LocalService, url: str) -> int:
    async with service.session.get(url) as answer:
        return answer.status
