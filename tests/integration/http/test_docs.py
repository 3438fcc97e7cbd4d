"""The OpenAPI document and the page that shows it."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urljoin

import pytest

from service.calls.docs import WAYS
from service.http.problems import known_problems
from service.openapi import document


async def test_the_document_is_served_and_revalidated(client: Any) -> None:
    async with client.get("/images/openapi.json") as response:
        assert (response.status, response.content_type) == (200, "application/json")
        assert await response.json() == document()
        etag = response.headers["ETag"]
    async with client.get("/images/openapi.json", headers={"If-None-Match": etag}) as response:
        assert response.status == 304
        assert response.headers["ETag"] == etag
        assert await response.read() == b""
    async with client.get("/images/openapi.json", headers={"If-None-Match": '"other"'}) as response:
        assert response.status == 200


async def test_the_page_loads_everything_from_this_process(client: Any) -> None:
    async with client.get("/images/docs") as response:
        assert (response.status, response.content_type) == (200, "text/html")
        page = await response.text()
    assets = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert len(assets) == 5
    for asset in assets:
        assert asset.startswith("docs/")
        async with client.get(f"/images/{asset}") as response:
            assert response.status == 200
            assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"
            assert response.content_length > 100


async def test_the_page_needs_no_inline_script(client: Any) -> None:
    async with client.get("/images/docs") as response:
        policy = response.headers["Content-Security-Policy"]
        page = await response.text()
    assert "script-src 'self';" in policy
    assert "default-src 'none'" in policy
    assert re.findall(r"<script(?![^>]*src=)", page) == []


async def test_the_type_of_every_problem_leads_to_an_explanation(client: Any) -> None:
    async with client.get("/images/docs") as response:
        page = await response.text()
    for problem in known_problems():
        assert f'id="{problem.type.rpartition("#")[2]}"' in page
    assert "`" not in page


async def test_an_asset_that_does_not_exist_is_not_found(client: Any) -> None:
    for name in ("swagger-editor.js", "..%2f..%2fapp.py", "x"):
        async with client.get(f"/images/docs/{name}") as response:
            assert response.status == 404


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", WAYS)
async def test_whoever_opens_the_bare_address_is_led_to_the_page(client: Any, method: str, path: str) -> None:
    async with client.request(method, path, allow_redirects=False) as response:
        assert response.status == 302
        assert await response.read() == b""
        location = response.headers["Location"]
    async with client.request(method, path) as response:
        assert (response.status, response.url.path) == (200, "/images/docs")
    for prefix in ("", "/pictures", "/a/b"):
        assert urljoin(f"https://example.com{prefix}{path}", location) == f"https://example.com{prefix}/images/docs"


async def test_what_stands_behind_the_bare_address_is_not_given_back(client: Any) -> None:
    async with client.get("/?next=https://elsewhere.example", allow_redirects=False) as response:
        assert response.headers["Location"] == "images/docs"


async def test_whoever_opens_the_root_of_the_local_mode_is_led_to_the_console(serve: Any) -> None:
    for console, path in (("on", "/images/console"), ("off", "/images/docs")):
        client = await serve(console=console, aws_endpoint_url="http://127.0.0.1:9999")
        async with client.get("/") as response:
            assert (response.status, response.url.path) == (200, path)
