"""The API guide's commands and clients do what it says, against a running service."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests import corpus
from tests.e2e.conftest import LocalService, MakeService

GUIDE = (Path(__file__).parents[2] / "docs" / "api.md").read_text()


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


async def _run(*command: str, cwd: Path, environment: dict[str, str] | None = None) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, output.decode()
    return output.decode()


@pytest.fixture
async def service(make_service: MakeService, tmp_path: Path) -> LocalService:
    (tmp_path / "photo.jpg").write_bytes(corpus.jpeg(corpus.photo(640, 480)))
    return await make_service()


async def test_the_python_client_prints_every_variant(service: LocalService, tmp_path: Path) -> None:
    client, _ = _blocks("python")
    (tmp_path / "client.py").write_text(client.replace("http://127.0.0.1:8080", service.url))
    output = await _run(sys.executable, "client.py", "photo.jpg", cwd=tmp_path)
    assert [line.split()[0] for line in output.splitlines()] == ["thumbnail", "medium", "large", "webp"]
    assert "webp 640 480 http://127.0.0.1" in output


async def test_the_python_client_for_large_files_uploads_in_parts(service: LocalService, tmp_path: Path) -> None:
    _, client = _blocks("python")
    (tmp_path / "large.py").write_text(client.replace("http://127.0.0.1:8080", service.url))
    (tmp_path / "large.png").write_bytes(corpus.png(corpus.photo(2000, 1500), compression=0))
    processing_id = (await _run(sys.executable, "large.py", "large.png", cwd=tmp_path)).strip()
    job = await service.settled(processing_id)
    assert (job["status"], job["processedImages"]["webp"]["width"]) == ("completed", 2000)


@pytest.mark.skipif(shutil.which("node") is None, reason="Node is no requirement of this project")
async def test_the_javascript_client_returns_every_variant(service: LocalService, tmp_path: Path) -> None:
    (client,) = _blocks("javascript")
    run = """
import { readFileSync } from "node:fs";
const file = new File([readFileSync("photo.jpg")], "photo.jpg", { type: "image/jpeg" });
console.log(Object.keys(await convert(file)).join());
"""
    (tmp_path / "client.mjs").write_text(client.replace("http://127.0.0.1:8080", service.url) + run)
    assert await _run("node", "client.mjs", cwd=tmp_path) == "thumbnail,medium,large,webp\n"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is no requirement of this project")
async def test_the_curl_commands_are_answered_with_success(service: LocalService, tmp_path: Path) -> None:
    done = await service.put((tmp_path / "photo.jpg").read_bytes())
    await service.settled(done["processingId"])
    open_ = await service.call("POST", "/images/upload-url", json={"filename": "photo.jpg"})
    key = await service.call("POST", "/images/keys", json={"name": "n", "scopes": ["images:read"]}, expect=201)
    environment = {
        "KEY": key["key"],
        "KEY_ID": key["keyId"],
        "PENDING_ID": open_["uniqueId"],
        "UPLOAD_URL": open_["uploadUrl"],
        "PROCESSING_ID": done["processingId"],
        "UNIQUE_ID": done["uniqueId"],
    }
    script = "".join(_blocks("console")).replace("http://127.0.0.1:8080", service.url).replace("curl -", "curl -f -")
    assert script.count("curl") >= 8
    await _run("bash", "-euo", "pipefail", "-c", script, cwd=tmp_path, environment=environment)
    await service.settled(open_["processingId"])
    await service.call("GET", f"/images/processed/{done['uniqueId']}", expect=404)
