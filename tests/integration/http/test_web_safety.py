"""Requests that two parsers could read differently, that are too large, or that name what cannot be."""

from __future__ import annotations

import asyncio
import re

import pytest

from tests.integration.http.conftest import Client
from tests.waiting import PATIENCE_SECONDS

#: What a smuggler hides behind a first request.
HIDDEN = b"GET /images/health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
POST = b"POST /images/upload-url HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
BODY = b'{"filename": "a.jpg"}'


async def answers(client: Client, text: bytes) -> list[bytes]:
    """The status of every answer to what is sent in one go, until the service closes the connection."""
    reader, writer = await asyncio.open_connection(client.server.host, client.server.port)
    try:
        writer.write(text)
        await writer.drain()
        received = await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)
    finally:
        writer.close()
    return re.findall(rb"HTTP/1\.\d (\d{3})", received)


#: Name -> headers and body; a strict proxy would refuse each, or see one request where another parser may see two.
SMUGGLED = {
    "length and chunks": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": b"Content-Length: 21\r\nContent-Length: 5\r\n\r\n" + BODY,
    "a list of lengths": b"Content-Length: 21, 5\r\n\r\n" + BODY,
    "a signed length": b"Content-Length: +21\r\n\r\n" + BODY,
    "a negative length": b"Content-Length: -1\r\n\r\n",
    "a length in hex": b"Content-Length: 0x15\r\n\r\n" + BODY,
    "an unknown coding": b"Transfer-Encoding: xchunked\r\n\r\n" + BODY,
    "a coding after chunked": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked twice": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "space before the colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded header": b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a header without a colon": b"Transfer-Encoding chunked\r\n\r\n",
    "a chunk size that is no number": b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    "a negative chunk": b"Transfer-Encoding: chunked\r\n\r\n-1\r\nx\r\n0\r\n\r\n",
    "a huge chunk": b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\nx\r\n",
}


@pytest.mark.parametrize("name", SMUGGLED)
async def test_nothing_is_smuggled_in_behind_an_ambiguous_request(client: Client, name: str) -> None:
    statuses = await answers(client, POST + SMUGGLED[name] + HIDDEN)
    assert len(statuses) == 1, statuses
    assert statuses[0].startswith(b"4")


async def test_requests_that_are_plain_are_answered_one_by_one(client: Client) -> None:
    plain = POST + b"Content-Length: 21\r\n\r\n" + BODY
    chunked = POST + b"Transfer-Encoding: chunked\r\n\r\n15\r\n" + BODY + b"\r\n0\r\n\r\n"
    assert await answers(client, plain + HIDDEN) == [b"200", b"200"]
    assert await answers(client, chunked + HIDDEN) == [b"200", b"200"]


@pytest.mark.parametrize(
    "text",
    [
        b"GET /" + b"a" * 10_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /images/list?x=" + b"a" * 10_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /images/list HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 10_000 + b"\r\n\r\n",
        b"GET /images/list HTTP/1.1\r\nHost: x\r\n" + b"X: a\r\n" * 1_000 + b"\r\n",
        POST + b"Connection: close\r\nContent-Length: 70000\r\n\r\n" + b" " * 70_000,
    ],
    ids=["path", "query", "header", "headers", "body"],
)
async def test_everything_has_a_bound(client: Client, text: bytes) -> None:
    (status,) = await answers(client, text)
    assert status in (b"400", b"413", b"414", b"431")


@pytest.mark.parametrize(
    "identifier",
    ["..%2f..%2fetc%2fpasswd", "%00", "img_1_%0a", "a" * 3000, "img_%d9%a1_a", "%ff%fe", "' OR 1=1 --", "{}", "*"],
)
async def test_what_cannot_be_an_id_is_not_found(client: Client, identifier: str) -> None:
    paths = [f"/images/status/{identifier}", f"/images/processed/{identifier}"]
    for path in paths:
        async with client.get(path) as response:
            assert response.status == 404
            assert (await response.json())["code"] in ("job_not_found", "image_not_found", "not_found")
    async with client.delete(f"/images/image/{identifier}") as response:
        assert response.status == 404
