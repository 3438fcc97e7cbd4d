"""Clients that send nothing, or hardly anything, or what was meant for the log."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from tests.fleet import ServiceProcess, run_service, run_stage
from tests.waiting import PATIENCE_SECONDS

REQUEST = b"POST /images/upload-url HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 40\r\n"


async def ended(service: ServiceProcess, *pieces: bytes) -> bytes:
    """What the service said until it closed the connection, to a client that sends these and then nothing more."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
        return await asyncio.wait_for(reader.read(), PATIENCE_SECONDS)
    finally:
        writer.close()


@pytest.mark.slow
async def test_silence_is_ended_and_nobody_else_waits_for_it(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    async with run_stage(tmp_path / "aws") as stage:
        log_file = tmp_path / "service.log"
        async with run_service(stage, session, log_file, CLIENT_TIMEOUT_SECONDS="3", KEEPALIVE_SECONDS="4") as service:
            silent = asyncio.create_task(ended(service))
            in_headers = asyncio.create_task(ended(service, REQUEST[:30]))
            in_body = asyncio.create_task(ended(service, REQUEST + b"\r\n{"))
            between = asyncio.create_task(ended(service, b"GET /images/list HTTP/1.1\r\nHost: x\r\n\r\n"))
            await service.call("GET", "/images/list")
            assert await silent == await in_headers == b""
            head, _, body = (await in_body).partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 408 ")
            assert json.loads(body)["code"] == "request_timeout"
            assert (await between).startswith(b"HTTP/1.1 200 ")


@pytest.mark.slow
async def test_no_request_writes_a_line_of_its_own_into_the_log(tmp_path: Path, session: aiohttp.ClientSession) -> None:
    evil = '%0d%0a{"event":"forged"}%1b[31m%e2%80%a8x'
    log_file = tmp_path / "service.log"
    async with run_stage(tmp_path / "aws") as stage, run_service(stage, session, log_file) as service:
        requests: list[tuple[str, str, dict[str, Any]]] = [
            ("GET", f"/images/status/{evil}", {}),
            ("GET", f"/{evil}", {"params": {"x": "\r\nforged\x1b[31m"}}),
            ("GET", "/images/list", {"headers": {"X-Request-Id": "a\tb{}", "X-Api-Key": "\u2028forged"}}),
            ("POST", "/images/upload-url", {"json": {"filename": "a\r\nforged\x1b\u2028.jpg"}}),
        ]
        for method, path, options in requests:
            async with session.request(method, URL(service.url + path, encoded=True), **options) as answer:
                assert answer.status < 500
    text = log_file.read_text()
    assert not any(character in text for character in "\x1b\u2028\r")
    entries = [json.loads(line) for line in text.splitlines()]
    assert sum(entry["event"] == "Request answered" for entry in entries) == 4
    assert not any(entry["event"] == "forged" for entry in entries)
