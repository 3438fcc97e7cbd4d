"""Uppy on a page of another origin, as the guide sets it up."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from processor.stores.clients import open_clients
from tests import corpus
from tests.browser.conftest import MAX_BYTES, Parts, Site
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

PART = 5 * 2**20
REFUSED = (
    "The contentType must be an image type or application/octet-stream, without spaces and parameters; "
    "JPEG, PNG, WebP, GIF, AVIF, HEIC and TIFF are converted."
)


@pytest.fixture(scope="session")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of one part."""
    return _file(tmp_path_factory, "photo.jpg", corpus.jpeg(corpus.photo(640, 480)))


@pytest.fixture(scope="session")
def poster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of two parts, small enough for Golden Retriever to keep."""
    data = corpus.png(corpus.large(1750, 1700), compression=0)
    assert PART < len(data) < 10 * 2**20
    return _file(tmp_path_factory, "poster.png", data)


@pytest.fixture(scope="session")
def banner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of four parts, too large for Golden Retriever to keep."""
    data = corpus.png(corpus.large(2450, 2450), compression=0)
    assert 3 * PART < len(data) < 4 * PART
    return _file(tmp_path_factory, "banner.png", data)


def _file(factory: pytest.TempPathFactory, name: str, data: bytes) -> Path:
    path = factory.mktemp("files") / name
    path.write_bytes(data)
    return path


async def visit(page: Page, site: Site, user: str = "writer") -> None:
    await page.add_init_script(f"window.accessToken = () => {json.dumps(site.tokens[user])}")
    await page.goto(f"{site.origin}/page.html")
    await page.wait_for_function("window.uppy")


async def pick(page: Page, file: Path) -> None:
    await page.locator("input[type=file]").first.set_input_files(file)
    await page.wait_for_function("uppy.getFiles().length === 1 && !uppy.getFiles()[0].isGhost")


async def start(page: Page) -> None:
    await page.locator(".uppy-StatusBar-actionBtn--upload").click()


async def ids(page: Page) -> Any:
    """What the guide's handler notes in the file's metadata once the upload is complete."""
    await page.wait_for_function("uppy.getFiles()[0]?.meta.processingId || errors.length")
    assert await page.evaluate("errors") == []
    return await page.evaluate("uppy.getFiles()[0].meta")


async def assert_converted(page: Page, site: Site, file: Path) -> None:
    found = await ids(page)
    job = await site.settled(found["processingId"], site.tokens["writer"])
    assert (job["status"], job["uniqueId"], job["filename"]) == ("completed", found["uniqueId"], file.name)
    assert job["metadata"] == {}
    async with open_clients(site.stage.aws.config()) as clients:
        bucket = site.stage.made.names.source_bucket
        stored = await clients.s3.get_object(Bucket=bucket, Key=job["originalKey"])
        assert await stored["Body"].read() == await asyncio.to_thread(file.read_bytes)


async def pause_after_a_part(page: Page, parts: Parts) -> None:
    await page.evaluate("window.pauseAfterPart = true")
    await start(page)
    await page.wait_for_function("uppy.getFiles()[0].isPaused")
    await page.evaluate("window.pauseAfterPart = false")
    assert parts.sent == [1]


NOTED = """() => new Promise((resolve) => {
    const opened = indexedDB.open("uppy-blobs");
    opened.onsuccess = () => {
        const all = opened.result.transaction("metadata").objectStore("metadata").getAll();
        all.onsuccess = () => resolve(JSON.stringify(all.result));
    };
})"""


async def reload_once_noted(page: Page) -> None:
    """Golden Retriever notes every half a second what there is."""

    async def noted() -> bool:
        return "s3Multipart" in await page.evaluate(NOTED)

    await eventually(noted, what="a note of the upload")
    await page.reload()
    await page.wait_for_function("window.uppy?.getFiles().length === 1")


async def test_a_small_file_is_converted_and_the_page_knows_its_ids(page: Page, site: Site, photo: Path) -> None:
    parts = Parts(page)
    await visit(page, site)
    await pick(page, photo)
    await start(page)
    await assert_converted(page, site, photo)
    assert parts.sent == []
    await expect(page.get_by_text("Complete", exact=True)).to_be_visible()


async def test_a_large_file_goes_in_parts(page: Page, site: Site, banner: Path) -> None:
    parts = Parts(page)
    await visit(page, site)
    await pick(page, banner)
    await start(page)
    await assert_converted(page, site, banner)
    assert parts.sent == [1, 2, 3, 4]


async def test_after_a_pause_what_has_arrived_is_not_sent_again(page: Page, site: Site, banner: Path) -> None:
    parts = Parts(page)
    await visit(page, site)
    await pick(page, banner)
    await pause_after_a_part(page, parts)
    await page.get_by_title("Resume", exact=True).first.click()
    await assert_converted(page, site, banner)
    assert parts.sent == [1, 2, 3, 4]


async def test_after_a_reload_the_upload_goes_on(page: Page, site: Site, poster: Path) -> None:
    parts = Parts(page)
    await visit(page, site)
    await pick(page, poster)
    await pause_after_a_part(page, parts)
    await reload_once_noted(page)
    await start(page)
    await assert_converted(page, site, poster)
    assert parts.sent == [1, 2]


async def test_after_a_reload_a_file_that_was_not_kept_goes_on_once_it_is_picked_again(
    page: Page, site: Site, banner: Path
) -> None:
    parts = Parts(page)
    await visit(page, site)
    await pick(page, banner)
    await pause_after_a_part(page, parts)
    await reload_once_noted(page)
    assert await page.evaluate("uppy.getFiles()[0].isGhost")
    await page.get_by_role("button", name="Re-select").click()
    await pick(page, banner)
    await start(page)
    await assert_converted(page, site, banner)
    assert parts.sent == [1, 2, 3, 4]


async def test_an_upload_that_is_cancelled_leaves_nothing(page: Page, site: Site, banner: Path) -> None:
    await visit(page, site)
    await pick(page, banner)
    await pause_after_a_part(page, Parts(page))
    key = await page.evaluate("uppy.getFiles()[0].s3Multipart.key")
    async with page.expect_response(lambda answer: answer.request.method == "DELETE") as deleted:
        await page.get_by_title("Cancel", exact=True).first.click()
    assert (await deleted.value).status == 200
    async with open_clients(site.stage.aws.config()) as clients:
        uploads = await clients.s3.list_multipart_uploads(Bucket=site.stage.made.names.source_bucket)
    assert key not in [each["Key"] for each in uploads.get("Uploads", ())]


async def test_a_refused_file_shows_our_words(page: Page, site: Site, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a picture")
    await visit(page, site)
    await pick(page, tmp_path / "notes.txt")
    await start(page)
    await page.wait_for_function("errors.length")
    assert await page.evaluate("errors") == [REFUSED]
    await expect(page.get_by_role("listitem").get_by_role("button", name=REFUSED)).to_be_visible()


async def test_a_file_that_is_too_large_is_refused_before_all_of_it_is_sent(
    page: Page, site: Site, tmp_path: Path
) -> None:
    (tmp_path / "huge.png").write_bytes(bytes(MAX_BYTES + 2 * PART))
    parts = Parts(page)
    await visit(page, site)
    await pick(page, tmp_path / "huge.png")
    await start(page)
    await page.wait_for_function("errors.length")
    (error,) = await page.evaluate("errors")
    assert re.fullmatch(
        f"With this part the file has at least [0-9,]+ bytes; the service accepts {MAX_BYTES:,}.", error
    )
    assert parts.sent == [1, 2, 3, 4]


async def test_a_user_who_may_only_read_uploads_nothing(page: Page, site: Site, photo: Path, poster: Path) -> None:
    await visit(page, site, "reader")
    for file in (photo, poster):
        await pick(page, file)
        await start(page)
        await page.wait_for_function("errors.length")
        assert await page.evaluate("errors.splice(0)") == ["These credentials do not allow this."]
        await page.evaluate("uppy.clear()")


async def test_where_nobody_is_asked_the_endpoint_is_all_that_uppy_needs(page: Page, site: Site, photo: Path) -> None:
    await page.goto(f"{site.origin}/plain.html")
    add = "(text) => uppy.addFile({ name: 'a.jpg', type: 'image/jpeg', data: new Blob([new Uint8Array(text)]) })"
    await page.evaluate(add, list(await asyncio.to_thread(photo.read_bytes)))
    result = await page.evaluate("uppy.upload().then(({ successful }) => successful[0].response.body)")
    job = await site.open.call("GET", f"/images/status/{result['key'][8:44]}")
    assert (await site.settled(job["processingId"]))["status"] == "completed"


async def test_even_then_a_refusal_shows_our_words(page: Page, site: Site) -> None:
    await page.goto(f"{site.origin}/plain.html")
    await page.evaluate("uppy.addFile({ name: 'a.txt', type: 'text/plain', data: new Blob(['a']) })")
    await page.evaluate("uppy.upload()")
    (error,) = await page.evaluate("errors")
    assert error.endswith(REFUSED)


async def test_the_client_of_the_guide_returns_every_variant_to_a_page(page: Page, site: Site, photo: Path) -> None:
    await page.goto(f"{site.origin}/client.html")
    await page.locator("input").set_input_files(photo)
    variants = await page.evaluate("convertPicked()")
    assert list(variants) == ["thumbnail", "medium", "large", "webp"]
