"""The files of the console, and what the page may do in a browser."""

from __future__ import annotations

import json
import re
from html import unescape
from typing import Any

import pytest

from service.config import SETTINGS


@pytest.fixture
async def client(serve: Any) -> Any:
    """A service that has the console; by default it has none."""
    return await serve(console="on")


async def _page(client: Any) -> tuple[str, dict[str, str]]:
    async with client.get("/images/console") as response:
        assert (response.status, response.content_type) == (200, "text/html")
        return await response.text(), dict(response.headers)


def _policy(headers: dict[str, str]) -> dict[str, list[str]]:
    parts = (part.split() for part in headers["Content-Security-Policy"].split(";"))
    return {name: values for name, *values in parts}


async def test_every_file_comes_from_this_process_and_may_be_kept_for_a_year(client: Any) -> None:
    page, headers = await _page(client)
    assert headers["Cache-Control"] == "no-cache"
    files = re.findall(r'(?:src|href)="(console/[^"]*)"', page)
    assert len(files) > 10
    for name in files:
        async with client.get(f"/images/{name}") as response:
            assert response.status == 200
            assert response.headers["Cache-Control"] == "public, max-age=31536000, immutable"


async def test_the_page_asks_at_once_for_what_its_first_view_needs_and_for_no_other(client: Any) -> None:
    page, _ = await _page(client)
    loaded = set(re.findall(r'modulepreload" href="console/\w+/(\w+\.js)"', page))
    assert {"api.js", "gallery.js", "longlist.js", "texts.js"} <= loaded
    assert not loaded & {"main.js", "image.js", "presets.js", "webhooks.js"}


async def test_a_page_that_has_not_changed_is_not_sent_again(client: Any) -> None:
    async with client.get("/images/console") as response:
        headers = response.headers
    async with client.get("/images/console", headers={"If-None-Match": headers["ETag"]}) as response:
        assert response.status == 304
        assert await response.read() == b""
        assert response.headers["Content-Security-Policy"] == headers["Content-Security-Policy"]


async def test_a_file_of_another_release_is_given_but_not_kept(client: Any) -> None:
    async with client.get("/images/console/0123456789abcdef/main.js") as response:
        assert response.status == 200
        assert response.headers["Cache-Control"] == "no-cache"


@pytest.mark.parametrize("name", ["none.js", "..%2fapp.py", "console.css.map"])
async def test_nothing_else_is_served(client: Any, name: str) -> None:
    async with client.get(f"/images/console/x/{name}") as response:
        assert response.status == 404


async def test_scripts_and_styles_are_files_of_the_service_alone(client: Any) -> None:
    page, headers = await _page(client)
    policy = _policy(headers)
    assert policy["default-src"] == ["'none'"]
    assert policy["script-src"] == policy["style-src"] == ["'self'"]
    assert policy["require-trusted-types-for"] == ["'script'"]
    assert policy["frame-ancestors"] == policy["form-action"] == policy["base-uri"] == ["'none'"]
    assert re.findall(r"<script(?![^>]*src=)|<style|\son\w+=|style=", page) == []
    assert headers["Referrer-Policy"] == "no-referrer"


async def test_the_page_may_upload_to_the_source_bucket_and_show_variants_and_nothing_more(client: Any) -> None:
    settings = client.app[SETTINGS]
    policy = _policy((await _page(client))[1])
    bucket, region = settings.source_bucket, settings.aws_region
    hosts = [f"https://{bucket}.s3.{region}.amazonaws.com", f"https://{bucket}.s3.amazonaws.com"]
    endpoint = settings.s3_public_endpoint_url or settings.aws_endpoint_url
    assert policy["connect-src"] == ["'self'", *([endpoint] if endpoint else hosts)]
    assert {"'self'", "data:", "blob:", settings.cloudfront_url} <= {*policy["img-src"]}
    assert not {"*", "https:", "http:"} & {*policy["img-src"], *policy["connect-src"]}


async def test_the_page_is_told_no_secret(client: Any) -> None:
    page, _ = await _page(client)
    (config,) = re.findall(r'data-config="([^"]*)"', page)
    told = json.loads(unescape(config))
    assert told.keys() == {"stage", "open", "keys", "signIn", "maxBytes"}


async def test_it_is_off_until_somebody_switches_it_on(serve: Any) -> None:
    client = await serve()
    for path in ("/images/console", "/images/console/x/main.js"):
        async with client.get(path) as response:
            assert response.status == 404


async def test_with_a_user_pool_the_page_may_fetch_tokens_from_its_sign_in(serve: Any) -> None:
    client = await serve(
        console="on",
        auth_modes="cognito",
        cognito_issuer="https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_a",
        cognito_client_ids="web",
        console_sign_in_url="https://people.auth.eu-west-1.amazoncognito.com",
        console_client_id="web",
    )
    page, headers = await _page(client)
    assert _policy(headers)["connect-src"][-1] == "https://people.auth.eu-west-1.amazoncognito.com"
    (config,) = re.findall(r'data-config="([^"]*)"', page)
    assert json.loads(unescape(config))["signIn"] == {
        "url": "https://people.auth.eu-west-1.amazoncognito.com",
        "clientId": "web",
    }


async def test_callers_are_told_who_they_are(client: Any) -> None:
    async with client.get("/images/limits") as response:
        told = await response.json()
    assert told["tenant"] == "default"
    assert {"images:read", "images:write", "images:admin"} <= {*told["scopes"]}
