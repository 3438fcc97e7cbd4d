"""Where the keys of an issuer come from: one URL, asked with little patience and no trust."""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from processor.errors import Unavailable
from service.auth import jwks
from service.auth.jwks import MAX_BYTES, HttpKeySource
from service.lifespan import open_http

SET = b'{"keys": []}'


async def serve_set(_: web.Request) -> web.Response:
    return web.Response(body=SET, content_type="application/json")


async def redirect(_: web.Request) -> web.Response:
    raise web.HTTPFound("/jwks.json")


async def fail(_: web.Request) -> web.Response:
    return web.Response(status=500, body=SET)


async def flood(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    for _ in range(2 * MAX_BYTES // 65_536):
        await response.write(b" " * 65_536)
    return response


async def hang(_: web.Request) -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


HANDLERS = {"/jwks.json": serve_set, "/redirect": redirect, "/fail": fail, "/flood": flood, "/hang": hang}


@pytest.fixture
async def base_url(aiohttp_server: Any) -> str:
    app = web.Application()
    for path, handler in HANDLERS.items():
        app.router.add_get(path, handler)
    return str((await aiohttp_server(app)).make_url("")).rstrip("/")


async def test_the_document_is_taken_as_it_is(session: aiohttp.ClientSession, base_url: str) -> None:
    assert await HttpKeySource(session, f"{base_url}/jwks.json")() == SET


@pytest.mark.parametrize("path", ["/redirect", "/fail", "/flood", "/hang", "/nothing"])
async def test_anything_else_is_as_good_as_no_answer(
    session: aiohttp.ClientSession, base_url: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwks, "FETCH_SECONDS", 0.5)
    with pytest.raises(Unavailable):
        await HttpKeySource(session, base_url + path)()


async def test_an_issuer_that_is_not_there_is_unavailable(session: aiohttp.ClientSession) -> None:
    with pytest.raises(Unavailable):
        await HttpKeySource(session, "http://127.0.0.1:1/jwks.json")()


async def test_the_proxy_of_the_environment_is_used_unless_it_says_otherwise(
    aiohttp_server: Any, base_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    async def forward(request: web.Request) -> web.Response:
        asked.append(str(request.url))
        return web.Response(body=SET)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", forward)
    proxy = await aiohttp_server(app)
    monkeypatch.setenv("http_proxy", f"http://{proxy.host}:{proxy.port}")
    monkeypatch.setenv("no_proxy", "")
    async with open_http() as session:
        assert await HttpKeySource(session, "http://issuer.invalid/jwks.json")() == SET
        assert asked == ["http://issuer.invalid/jwks.json"]
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        await HttpKeySource(session, f"{base_url}/jwks.json")()
    assert len(asked) == 1
