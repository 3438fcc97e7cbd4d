"""The OpenAPI document and the page that shows it."""

from __future__ import annotations

import re
from typing import Any

from service.openapi import document
from service.problems import known_problems


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


async def test_an_asset_that_does_not_exist_is_not_found(client: Any) -> None:
    for name in ("swagger-editor.js", "..%2f..%2fapp.py", "x"):
        async with client.get(f"/images/docs/{name}") as response:
            assert response.status == 404
