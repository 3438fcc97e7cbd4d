"""The console, as people use it: in Chromium, on the real local mode."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
import pytest_asyncio
import pyvips
from aiohttp import web
from playwright.async_api import Browser, BrowserContext, Page, Response, Route, ViewportSize, expect

from tests import corpus
from tests.browser.scenes import photos
from tests.e2e.conftest import COMMAND, SHORT_POLLS, LocalService
from tests.fleet import run_stage
from tests.integration.auth.test_user_pool import claim, user_pool
from tests.models import MODELS, needs_models
from tests.waiting import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

HERE = Path(__file__).parent
AXE = (HERE / "node_modules" / "axe-core" / "axe.min.js").read_text()
#: `make browser` writes the pictures of the documents anew if this names their folder.
PICTURES = os.environ.get("CONSOLE_PICTURES")
WIDE = ViewportSize(width=1280, height=860)
#: Most bytes of the first view, uncompressed.
MOST_BYTES = 150_000
#: Most elements in the document, however many pictures there are.
MOST_ELEMENTS = 3_000
#: Adds up how far what is to be seen moves by itself (CLS, https://web.dev/articles/cls), and the most that it may.
SHIFTS = """
    window.shifted = 0;
    new PerformanceObserver(list => {
        for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifted += entry.value;
    }).observe({ type: "layout-shift", buffered: true });
"""
MOST_SHIFT = 0.02
PATIENCE = PATIENCE_SECONDS * 1000
expect.set_options(timeout=PATIENCE)
#: Addresses that files are sent to.
UPLOADS = re.compile(r"X-Amz-Signature=")
VIEWS = (
    *("images", "reviews", "presets", "presets/standard", "presets/new-one"),
    *("batches", "failures", "usage", "webhooks", "keys"),
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def local(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalService]:
    """The local mode, which asks nobody who they are."""
    async with aiohttp.ClientSession() as session:
        variables = SHORT_POLLS | ({"MODELS_DIR": str(MODELS)} if MODELS.is_dir() else {})
        service = LocalService(variables, session, tmp_path_factory.mktemp("open") / "data.log", (str(COMMAND),))
        await service.start()
        yield service
        assert await service.stop() == 0


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def locked(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalService]:
    """The local mode with keys, and with a user pool whose sign-in is a stand-in."""
    folder = tmp_path_factory.mktemp("locked")
    groups = ("tenant-acme", "images:read", "images:write")
    async with (
        run_stage(folder / "aws") as stage,
        user_pool(stage.aws, *groups) as pool,
        aiohttp.ClientSession() as session,
    ):
        token = (await pool.sign_in("ada", *groups))["AccessToken"]
        async with _sign_in(token, pool.client_id) as url:
            variables = {
                "AUTH_MODES": "api_key,cognito",
                "COGNITO_ISSUER": claim(token, "iss"),
                "COGNITO_JWKS_URL": pool.jwks_url,
                "COGNITO_CLIENT_IDS": pool.client_id,
                "CONSOLE_SIGN_IN_URL": url,
                "CONSOLE_CLIENT_ID": pool.client_id,
            }
            service = LocalService(SHORT_POLLS | variables, session, folder / "data.log", (str(COMMAND),))
            await service.start()
            yield service
            assert await service.stop() == 0


class _sign_in:  # noqa: N801 - used like a function
    """Cognito's sign-in: it sends whoever comes back with a code, and trades that for a token, once, with the proof."""

    def __init__(self, token: str, client_id: str) -> None:
        self.token, self.client_id, self.challenge = token, client_id, ""

    async def __aenter__(self) -> str:
        app = web.Application()
        app.router.add_get("/oauth2/authorize", self.authorize)
        app.router.add_route("*", "/oauth2/token", self.trade)
        self.runner = web.AppRunner(app)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self.runner.addresses[0][1]}"

    async def __aexit__(self, *_: object) -> None:
        await self.runner.cleanup()

    async def authorize(self, request: web.Request) -> web.Response:
        asked = request.query
        assert (asked["response_type"], asked["client_id"]) == ("code", self.client_id)
        assert asked["code_challenge_method"] == "S256"
        self.challenge = asked["code_challenge"]
        raise web.HTTPFound(f"{asked['redirect_uri']}?code=a-code&state={asked['state']}")

    async def trade(self, request: web.Request) -> web.Response:
        headers = {"Access-Control-Allow-Origin": "*"}
        form = await request.post()
        digest = hashlib.sha256(str(form["code_verifier"]).encode()).digest()
        assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == self.challenge
        assert form["code"] == "a-code"
        return web.json_response({"access_token": self.token, "expires_in": 3600}, headers=headers)


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(viewport=WIDE, locale="en-GB", timezone_id="Europe/Berlin")
    context.set_default_timeout(PATIENCE)
    yield context
    await context.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(context: BrowserContext) -> AsyncIterator[Page]:
    """A tab in which nothing goes wrong unseen: an error of a script, or something that the policy forbids."""
    page = await context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on(
        "console",
        lambda said: wrong.append(said.text) if said.type == "error" and "Failed to load" not in said.text else None,
    )
    yield page
    assert wrong == []


def url_of(service: LocalService, view: str = "") -> str:
    return f"{service.url}/images/console" + (f"#/{view}" if view else "")


def file(name: str, data: bytes) -> Any:
    return {"name": name, "mimeType": "image/jpeg", "buffer": data}


def photo(width: int = 640, height: int = 480, *, seed: int = 1) -> bytes:
    return corpus.jpeg(corpus.photo(width, height, seed=seed))


async def choose(page: Page, *files: Any) -> None:
    await page.set_input_files("input[accept='image/*']", list(files))


def row(page: Page, name: str) -> Any:
    return page.locator(".upload", has_text=name)


def tile(page: Page, name: str) -> Any:
    return page.locator(".tile", has_text=name)


async def key_with(service: LocalService, *scopes: str) -> str:
    administrator = {"X-Api-Key": (service.data_dir / "admin-key").read_text().strip()}
    made = await service.call(
        "POST", "/images/keys", json={"name": "somebody", "scopes": scopes}, headers=administrator, expect=201
    )
    return str(made["key"])


async def sign_in(page: Page, service: LocalService, key: str, view: str = "") -> None:
    await page.goto(url_of(service, view))
    await page.get_by_label("API key").fill(key)
    await page.get_by_role("button", name="Sign in", exact=True).click()


async def test_the_root_of_the_local_mode_leads_to_the_console(page: Page, local: LocalService) -> None:
    await page.goto(local.url)
    assert urlsplit(page.url).path == "/images/console"
    await expect(page.get_by_role("heading", name="Images")).to_be_visible()


async def test_a_photo_goes_up_and_its_variants_are_there(page: Page, local: LocalService) -> None:
    await page.goto(url_of(local))
    await choose(page, file("holiday.jpg", photo()))
    await expect(row(page, "holiday.jpg")).to_contain_text("Done")
    await expect(tile(page, "holiday.jpg").locator("img")).to_have_js_property("complete", value=True)
    await expect(page.get_by_role("button", name="Clear the list")).to_be_visible()

    await row(page, "holiday.jpg").get_by_role("link", name="Open").click()
    await expect(page.get_by_role("heading", name="holiday.jpg")).to_be_visible()
    for name in ("thumbnail", "medium", "large", "webp"):
        await expect(page.get_by_role("link", name=name, exact=True)).to_be_visible()
    shown = page.locator(".compare img")
    for each in (shown.first, shown.last):
        await expect(each).to_have_js_property("complete", value=True)
        assert await each.evaluate("image => image.naturalWidth") > 0
    await expect(page.get_by_label("Right")).to_contain_text("Original")
    await expect(page.get_by_label("picture", exact=True)).to_contain_text("<picture>")


async def test_a_slider_shows_more_of_one_picture_by_the_keyboard(page: Page, local: LocalService) -> None:
    await page.goto(url_of(local))
    await choose(page, file("slide.jpg", photo(seed=5)))
    await row(page, "slide.jpg").get_by_role("link", name="Open").click()
    slider = page.get_by_label("Move between the two pictures")
    await slider.focus()
    await slider.press("End")
    assert await page.locator(".compare").evaluate("frame => frame.style.getPropertyValue('--at')") == "100%"


#: A fact of two faces: lengths and places are fractions of the upright picture.
FACES = {
    "count": 2,
    "largest": [
        {"left": 0.5, "top": 0.25, "width": 0.2, "height": 0.4, "score": 0.93, "landmarks": []},
        {"left": 0.1, "top": 0.1, "width": 0.1, "height": 0.2, "score": 0.81, "landmarks": []},
    ],
}


async def test_faces_are_drawn_where_they_are_and_never_if_the_image_hides_them(
    page: Page, local: LocalService
) -> None:
    issued = await local.put(photo(seed=6), "people.jpg")
    await local.settled(issued["processingId"])
    facts: dict[str, Any] = {"faces": FACES}

    async def with_facts(route: Route) -> None:
        answer = await route.fetch()
        await route.fulfill(json=await answer.json() | {"facts": facts})

    await page.route(re.compile(r"/images/processed/[0-9a-f-]+$"), with_facts)
    await page.goto(url_of(local, f"image/{issued['uniqueId']}"))
    switch = page.get_by_label("Show 2 faces")
    boxes = page.locator(".face")
    await switch.wait_for()
    await expect(boxes.first).to_be_hidden()
    await switch.check()
    picture, box = [await each.bounding_box() for each in (page.locator(".compare"), boxes.first)]
    assert picture
    assert box
    assert (box["x"] - picture["x"]) / picture["width"] == pytest.approx(0.5, abs=0.01)
    assert (box["y"] - picture["y"]) / picture["height"] == pytest.approx(0.25, abs=0.01)
    assert box["width"] / picture["width"] == pytest.approx(0.2, abs=0.01)
    assert box["height"] / picture["height"] == pytest.approx(0.4, abs=0.01)
    assert await violations(page) == []
    await switch.uncheck()
    await expect(boxes.first).to_be_hidden()

    facts["blurFaces"] = {"decision": "blurred", "boxes": []}
    await page.reload()
    await expect(page.get_by_role("heading", name="Variants")).to_be_visible()
    await expect(switch).to_have_count(0)
    await expect(boxes).to_have_count(0)


async def test_a_refresh_in_mid_upload_goes_on_and_sends_only_what_is_missing(
    page: Page, context: BrowserContext, local: LocalService
) -> None:
    large = photo() + os.urandom(18 * 2**20)  # in parts; what follows the end of a JPEG is no part of it
    held: list[Route] = []
    sent: list[str] = []

    async def part(route: Route) -> None:
        number = parse_qs(urlsplit(route.request.url).query)["partNumber"][0]
        if number != "1" and not sent.count("refreshed"):
            held.append(route)  # never answered: the refresh cuts it
            return
        sent.append(number)
        await route.continue_()

    await context.route(re.compile(r"partNumber="), part)
    await page.goto(url_of(local))
    await choose(page, file("large.jpg", large))
    async with page.expect_response(lambda answer: "partNumber=1" in answer.url and answer.ok):
        pass
    await expect(row(page, "large.jpg")).to_contain_text("Uploading")
    sent.append("refreshed")
    await page.reload()
    await expect(row(page, "large.jpg")).to_contain_text("Done")
    before, after = sent[: sent.index("refreshed")], sent[sent.index("refreshed") + 1 :]
    assert before == ["1"]
    assert after
    assert "1" not in after


async def test_a_failure_says_in_plain_words_what_to_do(page: Page, local: LocalService) -> None:
    await page.goto(url_of(local))
    await choose(page, file("torn.jpg", photo()[:3000]))
    await expect(row(page, "torn.jpg")).to_contain_text("The file is damaged. Export the picture again")
    await page.goto(url_of(local, "failures"))
    await expect(page.get_by_role("row", name="torn.jpg")).to_contain_text("corrupt_image")


#: Hands a file over as a person's hand does: by a drop, or out of the clipboard.
HAND_OVER = """([kind, name, data]) => {
    const transfer = new DataTransfer();
    const bytes = Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
    transfer.items.add(new File([bytes], name, { type: "image/jpeg" }));
    const event = kind === "drop"
        ? new DragEvent("drop", { dataTransfer: transfer, bubbles: true })
        : new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true });
    document.body.dispatchEvent(event);
}"""


async def test_pictures_are_dropped_pasted_and_chosen_by_the_folder(
    page: Page, local: LocalService, tmp_path: Path
) -> None:
    await page.goto(url_of(local))
    await expect(page.get_by_role("heading", name="Images")).to_be_visible()
    for seed, kind in enumerate(("drop", "paste"), start=40):
        await page.evaluate(HAND_OVER, [kind, f"{kind}.jpg", base64.b64encode(photo(seed=seed)).decode()])
        await expect(row(page, f"{kind}.jpg")).to_contain_text("Done")

    album = tmp_path / "album"
    (album / "summer").mkdir(parents=True)
    (album / "beach.jpg").write_bytes(photo(seed=42))
    (album / "summer" / "lake.jpg").write_bytes(photo(seed=43))
    (album / "notes.txt").write_text("no picture")
    await page.set_input_files("input[webkitdirectory]", album)
    for name in ("beach.jpg", "lake.jpg"):
        await expect(row(page, name)).to_contain_text("Done")
    await expect(row(page, "notes.txt")).to_have_count(0)


async def test_failed_pictures_are_tried_again_after_a_question(page: Page, local: LocalService) -> None:
    issued = await local.put(photo(seed=44)[:2000], "again.jpg")
    await local.settled(issued["processingId"])
    await page.goto(url_of(local, "failures"))
    await page.get_by_role("button", name="Try all again").click()
    await page.get_by_role("dialog").get_by_role("button", name="Try all again").click()
    await expect(page.get_by_text(re.compile(r"\d+ pictures? (is|are) tried again"))).to_be_visible()

    async def again() -> bool:
        return len((await local.call("GET", f"/images/jobs/{issued['uniqueId']}"))["jobs"]) > 1

    await eventually(again, what="a second job")


async def test_a_webhook_tells_how_each_attempt_went(page: Page, local: LocalService) -> None:
    async def refuse(_: web.Request) -> web.Response:
        return web.Response(status=500)

    app = web.Application()
    app.router.add_post("/hook", refuse)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    address = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        made = await local.call("POST", "/images/webhooks", json={"url": address}, expect=201)
        await page.goto(url_of(local, "webhooks"))
        card = page.locator("article", has_text=address)
        await card.get_by_role("button", name="Send a test").click()

        async def tried() -> bool:
            found = await local.call("GET", f"/images/webhooks/{made['webhookId']}/attempts")
            return any(each["attempts"] for each in found["deliveries"])

        await eventually(tried, what="an attempt")
        await card.get_by_role("button", name="Show attempts").click()
        await expect(card.get_by_role("row", name="500")).to_contain_text("Under way")
        await expect(card.get_by_role("button", name="Send again")).to_be_visible()
        await local.call("DELETE", f"/images/webhooks/{made['webhookId']}")
    finally:
        await runner.cleanup()


#: Everything that moves by itself, or glides from one look to another.
MOVING = """() => [...document.querySelectorAll("*")].filter((each) => {
    const style = getComputedStyle(each);
    return style.animationName !== "none" || style.transitionDuration.split(", ").some((part) => part !== "0s");
}).length"""


async def test_nothing_moves_for_whoever_wants_no_motion(page: Page, local: LocalService) -> None:
    await page.goto(url_of(local))
    await expect(page.get_by_role("heading", name="Images")).to_be_visible()
    assert await page.evaluate(MOVING) > 0
    await page.emulate_media(reduced_motion="reduce")
    assert await page.evaluate(MOVING) == 0


async def test_a_broken_connection_can_be_tried_again(page: Page, local: LocalService) -> None:
    await page.goto(url_of(local))
    await page.route(re.compile(r"/images/upload-url$"), lambda route: route.abort())
    await choose(page, file("offline.jpg", photo(seed=9)))
    await expect(row(page, "offline.jpg").get_by_role("button", name="Try offline.jpg again")).to_be_visible()
    await page.unroute(re.compile(r"/images/upload-url$"))
    await row(page, "offline.jpg").get_by_role("button", name="Try offline.jpg again").click()
    await expect(row(page, "offline.jpg")).to_contain_text("Done")


async def test_what_somebody_else_uploads_and_deletes_appears_and_goes_by_itself(
    page: Page, local: LocalService
) -> None:
    await page.goto(url_of(local))
    await expect(page.get_by_role("heading", name="Images")).to_be_visible()
    issued = await local.put(photo(seed=11), "theirs.jpg")
    await expect(tile(page, "theirs.jpg").locator("img")).to_be_visible()
    await local.call("DELETE", f"/images/image/{issued['uniqueId']}")
    await expect(tile(page, "theirs.jpg")).to_have_count(0)


async def test_chosen_pictures_are_deleted_after_a_question(page: Page, local: LocalService) -> None:
    for number in range(3):
        await local.settled((await local.put(photo(seed=20 + number), f"old-{number}.jpg"))["processingId"])
    await page.goto(url_of(local))
    async with page.expect_response(lambda answer: "name=old-" in answer.url):
        await page.get_by_label("File name").fill("old-")
    await expect(page.locator(".tile")).to_have_count(3)
    await page.get_by_label("Select old-0.jpg").check()
    await page.get_by_label("Select old-1.jpg").check()
    await page.get_by_role("region", name="Selection").get_by_role("button", name="Delete").click()
    await expect(page.get_by_role("dialog")).to_contain_text("Delete 2 pictures?")
    await page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(tile(page, "old-")).to_have_count(1)
    assert [each["filename"] for each in (await local.call("GET", "/images/list"))["images"]].count("old-2.jpg") == 1


async def test_a_preset_is_tried_saved_and_used_for_older_pictures(page: Page, local: LocalService) -> None:
    await local.settled((await local.put(photo(seed=30), "model.jpg"))["processingId"])
    await page.goto(url_of(local, "presets"))
    await page.get_by_label("Name").fill("badge")
    await page.get_by_role("button", name="New preset").click()
    await expect(page.get_by_role("img", name="square")).to_be_visible()
    await page.get_by_label("Width").fill("120")
    await expect(page.locator("figcaption")).to_contain_text("120 \u00d7 300")
    await page.get_by_label("A text").fill("\u00a9 Ada")
    await page.get_by_role("button", name="Add", exact=True).click()
    await expect(page.locator(".marks img")).to_be_visible()
    await page.get_by_label("Watermark", exact=True).select_option(index=1)
    await page.get_by_label("Where", exact=True).select_option("Everywhere")
    await page.get_by_label("AVIF", exact=True).check()
    await page.get_by_label("Quality of WEBP").fill("70")
    await page.get_by_label("Private").select_option("Yes")
    await page.get_by_label("Copyright").check()
    await page.get_by_label("Review each picture").check()
    await page.get_by_role("button", name="Save").click()
    await expect(page.get_by_text("Version 1", exact=True)).to_be_visible()
    document = (await local.call("GET", "/images/presets/badge"))["document"]
    (variant,), (asset,) = document["variants"], (await local.call("GET", "/images/assets"))["assets"]
    assert (variant["name"], variant["width"], variant["fit"]) == ("square", 120, "cover")
    assert (variant["formats"], variant["quality"]["webp"]) == (["webp", "avif"], 70)
    (mark,) = variant["effects"]
    assert (mark["name"], mark["asset"], mark["position"]) == ("watermark", asset["assetId"], "tiled")
    assert (document["private"], document["keep"], document["review"]) == (True, ["copyright"], True)
    await page.get_by_role("button", name="See what a backfill costs").click()
    await page.get_by_role("button", name="Start the backfill").or_(page.get_by_text("0 pictures")).first.wait_for()


async def save_preset(service: LocalService, name: str, document: dict[str, Any]) -> None:
    """Save it, once there is a place for its test picture: a page that was left may still have previews under way."""

    async def saved() -> bool:
        async with service.session.put(f"{service.url}/images/presets/{name}", json=document) as answer:
            assert answer.status in (201, 429), await answer.text()
            return answer.status == 201

    await eventually(saved, what="a preset")


async def test_what_a_preset_holds_is_seen_by_its_reviewer_alone_and_blurred_at_first(
    page: Page, local: LocalService
) -> None:
    document = {"variants": [{"name": "small", "width": 400, "height": 400}], "review": True}
    await save_preset(local, "held", document)
    issued = await local.put(photo(seed=60), "held.jpg", preset="held")
    await page.goto(url_of(local, "reviews"))
    await expect(page.get_by_role("heading", name="Reviews")).to_be_visible()

    async def is_held() -> bool:
        job = await local.call("GET", f"/images/status/{issued['processingId']}")
        return bool(job["status"] == "needs_review")

    await eventually(is_held, what="the review")
    await page.reload()
    card = page.locator("li.card", has_text="held.jpg")
    picture = card.locator("img")
    await expect(picture).to_have_js_property("complete", value=True)
    assert await picture.evaluate("image => image.naturalWidth") == 400
    assert "blur" in await picture.evaluate("image => getComputedStyle(image).filter")
    await card.get_by_role("button", name="Show clearly").click()
    assert await picture.evaluate("image => getComputedStyle(image).filter") == "none"
    await card.get_by_role("button", name="Approve").click()
    await expect(card).to_have_count(0)
    assert (await local.settled(issued["processingId"]))["status"] == "completed"


@needs_models
async def test_a_moderated_picture_is_not_even_asked_for_before_a_reviewer_wants_to_see_it(
    page: Page, local: LocalService
) -> None:
    document = {"variants": [{"name": "small", "width": 400, "height": 400}], "moderation": {"nsfw": 0}}
    await save_preset(local, "moderated", document)
    issued = await local.put(photo(seed=61), "moderated.jpg", preset="moderated")

    async def is_held() -> bool:
        job = await local.call("GET", f"/images/status/{issued['processingId']}")
        return bool(job["status"] == "needs_review")

    await eventually(is_held, what="the review")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(url_of(local, "reviews"))
    card = page.locator("li.card", has_text="moderated.jpg")
    await expect(card).to_contain_text("The picture may be unsuitable")
    picture = card.locator("img")
    await expect(picture).to_have_js_property("complete", value=True)
    assert 0 < await picture.evaluate("image => image.naturalWidth") < 50
    assert not [url for url in asked if "/held/" in url]
    await card.get_by_role("button", name="Show clearly").click()
    await expect(picture).to_have_js_property("naturalWidth", value=400)
    assert await picture.evaluate("image => getComputedStyle(image).filter") == "none"
    await page.goto(url_of(local, "presets/moderated"))
    await expect(page.get_by_role("spinbutton", name="Not safe for work")).to_have_value("0")


async def test_a_webhook_and_a_key_are_made_and_their_secrets_shown_once(page: Page, local: LocalService) -> None:
    await page.goto(url_of(local, "webhooks"))
    await page.get_by_label("Address").fill("http://127.0.0.1:9/hook")
    await page.get_by_role("button", name="Add the webhook").click()
    await expect(page.get_by_role("dialog")).to_contain_text("whsec_")
    await page.get_by_role("dialog").get_by_role("button", name="Close").click()
    await page.get_by_role("button", name="Send a test").click()
    await expect(page.get_by_text("A test event is on its way")).to_be_visible()
    await page.goto(url_of(local, "keys"))
    await page.get_by_label("Name").fill("importer")
    await page.get_by_role("button", name="Make the key").click()
    await expect(page.get_by_role("dialog")).to_contain_text("truss_")
    await page.get_by_role("dialog").get_by_role("button", name="Close").click()
    await expect(page.get_by_role("row", name="importer")).to_contain_text("Valid")
    assert "truss_" not in await page.content()


async def test_a_key_signs_in_for_this_tab_alone(page: Page, context: BrowserContext, locked: LocalService) -> None:
    key = await key_with(locked, "images:read", "images:write", "images:delete")
    await sign_in(page, locked, "truss_wrong")
    await expect(page.get_by_label("API key")).to_be_visible()
    await sign_in(page, locked, key)
    await expect(page.get_by_role("heading", name="Images")).to_be_visible()
    kept = await page.evaluate("() => [JSON.stringify(localStorage), document.cookie]")
    assert key not in "".join(kept)
    other = await context.new_page()
    await other.goto(url_of(locked))
    await expect(other.get_by_label("API key")).to_be_visible()
    await page.get_by_role("button", name="Sign out").click()
    await expect(page.get_by_label("API key")).to_be_visible()
    assert await page.evaluate("() => sessionStorage.length") == 0


async def test_signing_out_forgets_what_was_not_sent(page: Page, locked: LocalService) -> None:
    key = await key_with(locked, "images:read", "images:write")
    await page.route(UPLOADS, never)
    await sign_in(page, locked, key)
    await choose(page, file("left.jpg", photo(seed=70)))
    await expect(row(page, "left.jpg")).to_contain_text("Uploading")
    await page.get_by_role("button", name="Sign out").click()
    await sign_in(page, locked, key)
    await expect(page.get_by_text("Choose pictures")).to_be_visible()
    await expect(page.locator(".upload")).to_have_count(0)
    assert await left_in_the_browser(page) == 0


async def test_a_second_tab_sends_nothing_again_but_takes_up_what_a_closed_one_left(
    page: Page, context: BrowserContext, local: LocalService
) -> None:
    await page.route(UPLOADS, never)
    await page.goto(url_of(local))
    await choose(page, file("tabs.jpg", photo(seed=71)))
    await expect(row(page, "tabs.jpg")).to_contain_text("Uploading")
    other = await context.new_page()
    await other.goto(url_of(local))
    await expect(other.get_by_text("Choose pictures")).to_be_visible()
    assert await left_in_the_browser(other) == 1
    await expect(other.locator(".upload")).to_have_count(0)
    await page.close()
    await expect(row(other, "tabs.jpg")).to_contain_text("Done")


async def left_in_the_browser(page: Page) -> int:
    return int(
        await page.evaluate(
            "() => new Promise(resolve => { const asked = indexedDB.open('truss-console');"
            " asked.onsuccess = () => { "
            "const count = asked.result.transaction('uploads').objectStore('uploads').count();"
            " count.onsuccess = () => { asked.result.close(); resolve(count.result) } } })"
        )
    )


async def never(_: Route) -> None:
    """The request hangs."""


async def test_who_may_only_look_is_shown_nothing_else(page: Page, locked: LocalService) -> None:
    await sign_in(page, locked, await key_with(locked, "images:read"))
    await expect(page.get_by_role("heading", name="Images")).to_be_visible()
    assert await page.get_by_role("navigation").get_by_role("link").all_inner_texts() == [
        *("Images", "Presets", "Jobs", "Failures", "Usage")
    ]
    await expect(page.get_by_role("button", name="Choose pictures")).to_have_count(0)
    await page.goto(url_of(locked, "keys"))
    await expect(page.get_by_text("do not include images:admin")).to_be_visible()
    await page.goto(url_of(locked, "presets"))
    await expect(page.get_by_role("button", name="New preset")).to_have_count(0)


async def test_who_may_only_review_sees_reviews(page: Page, locked: LocalService) -> None:
    await sign_in(page, locked, await key_with(locked, "images:review"))
    await expect(page.get_by_role("heading", name="Reviews")).to_be_visible()
    assert await page.get_by_role("navigation").get_by_role("link").all_inner_texts() == ["Reviews"]


async def test_a_person_signs_in_with_the_user_pool(page: Page, locked: LocalService) -> None:
    await page.goto(url_of(locked, "usage"))
    await page.get_by_role("button", name="Sign in with your account").click()
    await expect(page.get_by_role("heading", name="Usage")).to_be_visible()
    await expect(page.get_by_text("acme")).to_be_visible()
    assert "code=" not in page.url


async def test_a_code_that_nobody_asked_for_signs_nobody_in(page: Page, locked: LocalService) -> None:
    await page.goto(f"{locked.url}/images/console?code=stolen&state=guessed")
    await expect(page.get_by_label("API key")).to_be_visible()
    assert await page.evaluate("() => sessionStorage.length") == 0


async def test_a_file_name_is_shown_and_never_run(page: Page, local: LocalService) -> None:
    name = "<img src=x onerror=document.title='run'>.jpg"
    issued = await local.put(photo(seed=40), name)
    await local.settled(issued["processingId"])
    await page.goto(url_of(local))
    await expect(tile(page, name)).to_be_visible()
    await page.goto(url_of(local, f"image/{issued['uniqueId']}/{issued['processingId']}"))
    await expect(page.get_by_role("heading", name=name)).to_be_visible()
    assert await page.title() != "run"
    await local.call("DELETE", f"/images/image/{issued['uniqueId']}")


async def test_the_first_view_is_light(page: Page, local: LocalService) -> None:
    ours: list[Response] = []

    def note(answer: Response) -> None:
        if "/images/console" in answer.url or answer.url.endswith(("/limits", "/list")):
            ours.append(answer)

    page.on("response", note)
    await page.goto(url_of(local))
    await expect(page.get_by_role("heading", name="Images")).to_be_visible()
    await page.wait_for_load_state("load")
    # Bodies are read here: a listener that reads them may still be at it when the page closes.
    sizes = {answer.url: len(await answer.body()) for answer in ours}
    assert 10 < len(sizes) < 40
    assert sum(sizes.values()) < MOST_BYTES
    origins = {urlsplit(url).netloc for url in sizes}
    assert origins == {urlsplit(local.url).netloc}


async def test_ten_thousand_pictures_scroll(page: Page, local: LocalService) -> None:
    """Pages of a stand-in list: what is measured is how much of them the browser lays out."""
    (one, *_) = (await local.call("GET", "/images/list?status=completed"))["images"]

    async def some(route: Route) -> None:
        start = int(parse_qs(urlsplit(route.request.url).query).get("lastKey", ["0"])[0])
        images = [
            one | {"uniqueId": f"{start + n:08d}-0000-4000-8000-000000000000", "filename": f"{start + n}.jpg"}
            for n in range(60)
        ]
        after = str(start + 60) if start + 60 < 10_000 else None
        await route.fulfill(json={"images": images, "count": 60, "lastEvaluatedKey": after})

    await page.route(re.compile(r"/images/list\?"), some)
    await page.goto(url_of(local))
    tiles = page.locator(".tile")
    await expect(tiles.first).to_be_visible()
    most = last = 0
    for _ in range(400):
        most = max(most, await page.evaluate("() => document.querySelectorAll('*').length"))
        last = int(await tiles.last.get_attribute("aria-posinset") or 0)
        if last >= 10_000:
            break
        await page.evaluate("() => scrollTo(0, document.body.scrollHeight)")
        await page.wait_for_function(
            "last => Number([...document.querySelectorAll('.tile')].at(-1).getAttribute('aria-posinset')) > last",
            arg=last,
        )
    assert last >= 10_000
    await expect(tile(page, "9999.jpg")).to_be_visible()
    assert most < MOST_ELEMENTS
    height = await page.evaluate("() => document.body.scrollHeight")
    await page.evaluate("() => scrollTo(0, 0)")
    await expect(tiles.first).to_contain_text("0.jpg")
    await expect(tiles.first).to_be_in_viewport()
    assert await page.evaluate("() => document.body.scrollHeight") == pytest.approx(height, abs=20)


async def test_pictures_are_found_by_name_and_by_tag_by_the_service(page: Page, local: LocalService) -> None:
    await local.settled((await local.put(photo(seed=31), "Needle in hay.jpg"))["processingId"])
    asked: list[dict[str, list[str]]] = []
    page.on(
        "request",
        lambda request: asked.append(parse_qs(urlsplit(request.url).query)) if "/images/list?" in request.url else None,
    )
    await page.goto(url_of(local))
    await page.get_by_label("File name").fill("needle")
    await expect(page.locator(".tile")).to_have_count(1)
    await expect(tile(page, "Needle in hay.jpg")).to_be_visible()
    await page.get_by_label("Tag or keyword").fill("lakeside")
    await expect(page.get_by_text("Nothing matches.")).to_be_visible()
    assert (asked[-1]["name"], asked[-1]["tag"]) == (["needle"], ["lakeside"])
    await page.goto(url_of(local, "images/tag/boat%20house"))
    await expect(page.get_by_label("Tag or keyword")).to_have_value("boat house")
    await expect(page.get_by_text("Nothing matches.")).to_be_visible()
    assert asked[-1]["tag"] == ["boat house"]


async def test_an_images_earlier_jobs_are_told(page: Page, local: LocalService) -> None:
    issued = await local.put(photo(seed=32), "twice.jpg")
    await local.settled(issued["processingId"])
    again = await local.call("POST", f"/images/process/{issued['uniqueId']}", expect=202)
    await local.settled(again["processingId"])
    await page.goto(url_of(local, f"image/{issued['uniqueId']}"))
    rows = page.get_by_role("region", name="History").get_by_role("row")
    await expect(rows).to_have_count(3)
    await expect(rows.nth(1)).to_contain_text(again["processingId"])
    await expect(rows.nth(2)).to_contain_text(issued["processingId"])


@pytest.mark.parametrize("language", ["English", "Deutsch"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_view_is_for_everybody(page: Page, local: LocalService, scheme: Any, language: str) -> None:
    issued = await local.put(photo(seed=50), "access.jpg")
    await local.settled(issued["processingId"])
    await page.emulate_media(color_scheme=scheme)
    await page.add_init_script(SHIFTS)
    await page.goto(url_of(local))
    await page.locator("header select").select_option(label=language)
    for view in (*VIEWS, f"image/{issued['uniqueId']}/{issued['processingId']}"):
        await page.goto(url_of(local, view))
        await page.reload()
        await at_rest(page)
        assert await page.evaluate("() => shifted") < MOST_SHIFT, view
        assert await violations(page) == [], view


async def test_signing_in_is_for_everybody(page: Page, locked: LocalService) -> None:
    await page.goto(url_of(locked))
    await page.get_by_label("API key").wait_for()
    assert await violations(page) == []


async def at_rest(page: Page) -> None:
    """The view is there, and nothing in it is still to come. A stream of events keeps the network busy for ever."""
    await page.locator("main h1").wait_for()
    await page.wait_for_function("() => !document.querySelector('.loading, [aria-busy]')")
    await page.wait_for_function("() => [...document.images].every(each => each.loading === 'lazy' || each.complete)")


async def violations(page: Page) -> list[Any]:
    """What axe finds wrong, by its rules of WCAG 2.2 AA."""
    await page.evaluate(AXE)
    found = await page.evaluate("axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa', 'best-practice'] })")
    return [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found["violations"]]


@pytest.mark.parametrize("width", [320, 390, 640, 1280, 1920])
async def test_no_width_makes_the_page_scroll_sideways(page: Page, local: LocalService, width: int) -> None:
    """320 pixels are 1,280 at a zoom of 400 % (WCAG 1.4.10); 640 are those at 200 %."""
    await page.set_viewport_size({"width": width, "height": 700})
    for view in VIEWS:
        await page.goto(url_of(local, view))
        await at_rest(page)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth"), view


async def test_the_way_through_the_page_needs_no_mouse(page: Page, local: LocalService) -> None:
    await page.goto(url_of(local))
    await page.locator("h1").wait_for()
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    for _ in ("the brand", "Images", "Reviews", "Presets"):
        await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name="Presets")).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Presets")).to_be_visible()


async def test_times_are_those_of_the_viewer(page: Page, local: LocalService) -> None:
    """The viewer is in Berlin, two hours before UTC in July."""
    job = (await local.call("GET", "/images/list?status=completed"))["images"][0]
    said = {"jobs": [job | {"timestamp": "2026-07-01T22:30:00.000Z"}], "lastEvaluatedKey": None}
    await page.route(re.compile(rf"/images/jobs/{job['uniqueId']}"), lambda route: route.fulfill(json=said))
    await page.goto(url_of(local, f"image/{job['uniqueId']}"))
    await expect(page.get_by_role("region", name="History")).to_contain_text("2 Jul 2026, 00:30")


@pytest.mark.skipif(
    not PICTURES, reason="the pictures of the documents are made on request: CONSOLE_PICTURES=docs/console"
)
async def test_the_pictures_of_the_documents(page: Page, local: LocalService) -> None:
    folder = Path(PICTURES or "")
    for each in (await local.call("GET", "/images/list"))["images"]:
        await local.call("DELETE", f"/images/image/{each['uniqueId']}")
    files = [file(name, data) for name, data in photos().items()]
    await page.goto(url_of(local))
    await choose(page, *files)
    await expect(page.locator(".upload.completed")).to_have_count(len(files))
    await page.get_by_role("button", name="Clear the list").click()
    await expect(page.locator(".tile img")).to_have_count(len(files))
    await keep(page, folder / "gallery.webp")
    await page.locator(".tile > a", has_text="Moon over the ridge").click()
    await page.locator(".compare").wait_for()
    await keep(page, folder / "image.webp", height=1250)
    await page.emulate_media(color_scheme="dark")
    await page.goto(url_of(local, "presets/avatar"))
    await expect(page.locator("figure img")).to_be_visible()
    await keep(page, folder / "preset-dark.webp")
    await page.set_viewport_size({"width": 390, "height": 844})
    await page.goto(url_of(local))
    await page.locator("header select").select_option(label="Deutsch")
    await expect(page.locator(".tile img").first).to_be_visible()
    await keep(page, folder / "phone-dark.webp")


async def keep(page: Page, path: Path, height: int | None = None) -> None:
    """A picture of what is to be seen, once all its pictures are; or of so many pixels from the top of the page."""
    await at_rest(page)
    await page.wait_for_function(
        "() => [...document.querySelectorAll('img')].filter(each => each.getBoundingClientRect().top < innerHeight)"
        ".every(each => each.complete && each.naturalWidth)"
    )
    shot = pyvips.Image.new_from_buffer(await page.screenshot(full_page=height is not None), "")
    shot = shot.crop(0, 0, shot.width, height or shot.height)
    await asyncio.to_thread(shot[:3].webpsave, str(path), Q=82, effort=6)
