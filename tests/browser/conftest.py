"""Headless Chromium on pages of one origin, and services of another."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from playwright.async_api import Browser, Page, Request, async_playwright

from processor.stores.clients import open_clients
from processor.stores.provision import provision
from tests.fleet import ServiceProcess, Stage, run_service, run_stage
from tests.integration.auth.test_user_pool import claim, user_pool

HERE = Path(__file__).parent
GUIDE = (HERE.parents[1] / "docs" / "api.md").read_text()
#: What the guide takes for the service's address.
BASE = "http://127.0.0.1:8080"
#: Largest file of the services, in bytes: four of Uppy's parts.
MAX_BYTES = 20 * 2**20
NAMES = ("chromium", "chromium-browser", "google-chrome")
#: The second half keeps it from calling Google.
FLAGS = [
    *("--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
HTML = '<!doctype html><body><link rel="stylesheet" href="{0}.css"><script type="module" src="{0}.js"></script>'


class Parts:
    """The numbers of the parts that a page has sent to the end, in order."""

    def __init__(self, page: Page) -> None:
        self.sent: list[int] = []
        page.on("requestfinished", self._note)

    def _note(self, request: Request) -> None:
        number = parse_qs(urlsplit(request.url).query).get("partNumber")
        if request.method == "PUT" and number is not None:
            self.sent.append(int(number[0]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Pages of `origin`, and what they call: a service that asks for tokens, and one that asks nobody."""

    origin: str
    stage: Stage
    locked: ServiceProcess
    open: ServiceProcess
    #: Tokens of users of one tenant, by what they may do.
    tokens: dict[str, str]

    async def settled(self, processing_id: str, token: str | None = None) -> Any:
        """The job, once it has ended."""
        if token is None:
            return await self.open.settled(processing_id)
        headers = {"Authorization": f"Bearer {token}"}
        async with aiohttp.ClientSession(headers=headers) as session:
            return await ServiceProcess({}, session, self.locked.log_file, port=self.locked.port).settled(processing_id)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    pages = folder / "pages"
    pages.mkdir()
    async with _served(pages) as origin, run_stage(folder / "aws") as stage, aiohttp.ClientSession() as session:
        async with open_clients(stage.aws.config()) as administrator:
            await provision(administrator, stage.made.names, cors_origins=[origin])
        groups = ("tenant-acme", "images:read", "images:write")
        async with user_pool(stage.aws, *groups) as pool:
            names = {"writer": groups, "reader": groups[:2]}
            tokens = {name: (await pool.sign_in(name, *held))["AccessToken"] for name, held in names.items()}
            start = partial(run_service, stage, session, CORS_ORIGINS=origin, MAX_UPLOAD_BYTES=str(MAX_BYTES))
            async with (
                start(
                    folder / "locked.log",
                    AUTH_MODES="cognito",
                    COGNITO_ISSUER=claim(tokens["writer"], "iss"),
                    COGNITO_JWKS_URL=pool.jwks_url,
                    COGNITO_CLIENT_IDS=pool.client_id,
                ) as locked,
                start(folder / "open.log") as unlocked,
            ):
                await _bundle(pages, locked=locked.url, unlocked=unlocked.url)
                yield Site(origin=origin, stage=stage, locked=locked, open=unlocked, tokens=tokens)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    program = next((path for name in NAMES if (path := shutil.which(name))), None)
    if program is None:
        pytest.fail(f"Chromium is needed: none of {', '.join(NAMES)} is on the PATH")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser) -> AsyncIterator[Page]:
    """A tab of a fresh profile."""
    context = await browser.new_context()
    context.set_default_timeout(30_000)
    yield await context.new_page()
    await context.close()


@asynccontextmanager
async def _served(folder: Path) -> AsyncIterator[str]:
    """A web server for the files of a folder; its origin."""
    app = web.Application()
    app.router.add_static("/", folder)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def _bundle(pages: Path, *, locked: str, unlocked: str) -> None:
    """Make the pages of the scripts here and of the blocks of the guide, which are told where the services are."""
    defined = {"API": f"{unlocked}/images", "SERVICE": locked}
    sources = pages.with_name("sources")
    await asyncio.to_thread(shutil.copytree, HERE, sources, ignore=shutil.ignore_patterns("node_modules"))
    recipe = "".join(re.findall(r"```js\n(.*?)```", GUIDE, re.DOTALL))
    (whole,) = re.findall(r"```javascript\n(.*?)```", GUIDE, re.DOTALL)
    (sources / "guide.js").write_text(recipe.replace(BASE, locked))
    (sources / "guide-client.js").write_text(whole.replace(BASE, unlocked))
    scripts = [sources / f"{name}.js" for name in ("page", "plain", "client", "truss")]
    process = await asyncio.create_subprocess_exec(
        HERE / "node_modules" / ".bin" / "esbuild",
        *scripts,
        *("--bundle", "--format=esm", "--log-level=warning", f"--outdir={pages}"),
        f"--alias:truss-image-client={HERE.parents[1] / 'clients' / 'typescript' / 'src' / 'index.ts'}",
        *(f"--define:{name}={json.dumps(url)}" for name, url in defined.items()),
        env={**os.environ, "NODE_PATH": str(HERE / "node_modules")},
    )
    assert await asyncio.wait_for(process.wait(), 60) == 0
    for script in scripts:
        (pages / f"{script.stem}.html").write_text(HTML.format(script.stem))
