"""The client for TypeScript on a page of another origin, with the token of its user."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from playwright.async_api import Page

from tests import corpus
from tests.browser.conftest import MAX_BYTES, Parts, Site
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest.fixture(scope="session")
def poster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of several parts."""
    data = corpus.png(corpus.large(2500, 2500), compression=0)
    assert 2 * 8 * 2**20 < len(data) < MAX_BYTES
    path = tmp_path_factory.mktemp("posters") / "poster.png"
    path.write_bytes(data)
    return path


async def visit(page: Page, site: Site, file: Path, user: str = "writer") -> None:
    await page.add_init_script(f"window.accessToken = () => {json.dumps(site.tokens[user])}")
    await page.goto(f"{site.origin}/truss.html")
    await page.wait_for_function("() => window.upload !== undefined")
    await page.locator("input").set_input_files(file)


async def hold_back(page: Page, *, bytes_a_second: int) -> None:
    """Send no faster than that; -1: as fast as it goes."""
    network = await page.context.new_cdp_session(page)
    throughput = {"downloadThroughput": -1, "uploadThroughput": bytes_a_second}
    await network.send("Network.emulateNetworkConditions", {"offline": False, "latency": 0, **throughput})


async def test_an_upload_goes_on_after_a_reload_and_no_part_is_sent_twice(page: Page, site: Site, poster: Path) -> None:
    parts = Parts(page)
    await visit(page, site, poster)
    await hold_back(page, bytes_a_second=2 * 2**20)
    await page.evaluate("void upload().catch((error) => (window.failed = String(error)))")

    async def one_is_there() -> bool:
        assert await page.evaluate("window.failed ?? null") is None
        return bool(parts.sent)

    await eventually(one_is_there, what="the smallest part in the bucket, and the others on their way")
    await page.reload()
    assert len(parts.sent) < 3
    await hold_back(page, bytes_a_second=-1)
    await visit(page, site, poster)
    uploaded = await page.evaluate("upload()")
    told = await page.evaluate("told")
    assert sorted(parts.sent) == [1, 2, 3]
    assert told == sorted(told)
    assert told[-1] == len(await asyncio.to_thread(poster.read_bytes))
    job = await page.evaluate("(id) => images.wait(id)", uploaded["processingId"])
    assert (job["status"], job["filename"]) == ("completed", "poster.png")
    again = await page.evaluate("upload()")
    assert (again["existing"], again["uniqueId"]) == (True, uploaded["uniqueId"])
    assert sorted(parts.sent) == [1, 2, 3]


FOLLOWED = """async () => {
    const events = images.events({ types: ["image.completed"] })[Symbol.asyncIterator]();
    const next = events.next();
    const job = await images.convert(document.querySelector("input").files[0]);
    for (let event = await next; ; event = await events.next()) {
        if (event.value.data.processingId === job.processingId) return { told: event.value.type, job };
    }
}"""

LISTED = """async () => {
    const names = [];
    for await (const image of images.listImages({ limit: 1 })) names.push(image.uniqueId);
    return names;
}"""


async def test_a_page_is_told_what_happens_and_lists_its_images(page: Page, site: Site, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(corpus.jpeg(corpus.photo(320, 241)))
    await visit(page, site, photo)
    found = await page.evaluate(FOLLOWED)
    assert found["told"] == "image.completed"
    assert found["job"]["processedImages"]["thumbnail"]["width"] == 300
    assert found["job"]["uniqueId"] in await page.evaluate(LISTED)


async def test_a_user_who_may_not_upload_is_told_so(page: Page, site: Site, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(corpus.jpeg(corpus.photo(64, 48)))
    await visit(page, site, photo, user="reader")
    told = await page.evaluate("upload().catch((error) => [error.name, error.code, error.status])")
    assert told == ["NotAllowed", "forbidden", 403]
