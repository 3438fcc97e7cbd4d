"""The API guide is followed literally, in its order and in one shell, against a running service."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests import corpus
from tests.e2e.conftest import LocalService, MakeService
from tests.guide import blocks, save_programs, script

GUIDE = blocks("api.md")
OPERATIONS = [block for block in blocks("operations.md") if "$TRUSS/" in block.text]
VARIANTS = ["thumbnail", "medium", "large", "webp"]

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is no requirement of this project")
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="Node is no requirement of this project")


async def _run(*command: str, cwd: Path, service: LocalService, **environment: str) -> str:
    """What it prints. An answer that is an error ends it: the folder's `.curlrc` says so, and no page needs to."""
    (cwd / ".curlrc").write_text("fail-with-body\n")
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env={
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "CURL_HOME": str(cwd),
            "HOME": str(cwd),
            "TRUSS": service.url,
            **environment,
        },
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 180)
    assert process.returncode == 0, output.decode()
    return output.decode()


def _answers(output: str) -> list[Any]:
    """Every JSON object in it: curl ends no line after one."""
    decoder, found, position = json.JSONDecoder(), [], 0
    while (position := output.find('{"', position)) >= 0:
        answer, position = decoder.raw_decode(output, position)
        found.append(answer)
    return found


@pytest.fixture(autouse=True)
def written(tmp_path: Path) -> None:
    """The photo and the programs, where the guide has them."""
    (tmp_path / "photo.jpg").write_bytes(corpus.jpeg(corpus.photo(640, 480)))
    save_programs(GUIDE, tmp_path)


@pytest.mark.slow
@needs_curl
@needs_node
async def test_whoever_copies_every_block_into_one_shell_gets_to_the_end(
    make_service: MakeService, tmp_path: Path
) -> None:
    service = await make_service()
    output = await _run("bash", "-euo", "pipefail", "-c", script(GUIDE), cwd=tmp_path, service=service)
    lines = output.splitlines()
    answers = _answers(output)
    assert [line for line in lines if line in ("200", "204")] == ["200", "204"]  # S3's, to the PUT and to the form
    (job,) = [answer for answer in answers if "timings" in answer]
    assert (job["status"], list(job["processedImages"]), job["filename"]) == ("completed", VARIANTS, "photo.jpg")
    assert [line.split()[0] for line in lines if re.match(r"\w+ \d+ \d+ http", line)] == VARIANTS
    assert re.findall(r"^  (\w+): \{$", output, re.MULTILINE) == VARIANTS  # as Node prints an object
    receipts = [answer["uniqueId"] for answer in answers if "receipt" in answer]
    assert len(receipts) == 2
    assert receipts[-1] == job["uniqueId"]

    (large,) = re.findall(r"(?:^|\})(img_\w+)$", output, re.MULTILINE)  # all that the program prints
    await service.settled(large)
    listed = (await service.call("GET", "/images/list"))["images"]
    ended = [(await service.settled(image["processingId"]))["status"] for image in listed]
    assert ended == ["completed"] * 4  # the form, the two clients, the parts; what the first steps made is deleted


@pytest.mark.slow
@needs_curl
async def test_the_operators_calls_are_answered_with_success(make_service: MakeService, tmp_path: Path) -> None:
    service = await make_service()
    assert {block.section for block in OPERATIONS} == {"Keys", "Limits", "Redriving"}
    broken = await service.put(b"no picture")
    await service.settled(broken["processingId"])
    output = await _run(
        "bash", "-euo", "pipefail", "-c", script(OPERATIONS), cwd=tmp_path, service=service, KEY="truss_of_nobody"
    )
    assert "Counter({'unsupported_format': 1})" in output
    answers = _answers(output)
    assert [answer["dryRun"] for answer in answers if "dryRun" in answer] == [True, False, False]
    assert [key["name"] for answer in answers for key in answer.get("keys", [])] == ["importer"]


async def test_the_python_client_prints_every_variant(service: LocalService, tmp_path: Path) -> None:
    # -I: with nothing but Python itself, as on a fresh machine.
    output = await _run(sys.executable, "-IS", "truss_client.py", "photo.jpg", cwd=tmp_path, service=service)
    assert [line.split()[0] for line in output.splitlines()] == VARIANTS
    assert "webp 640 480 http://127.0.0.1" in output


async def test_the_python_client_for_large_files_uploads_in_parts(service: LocalService, tmp_path: Path) -> None:
    (tmp_path / "large.png").write_bytes(corpus.png(corpus.large(2000, 1500), compression=0))
    processing_id = (await _run(sys.executable, "large.py", "large.png", cwd=tmp_path, service=service)).strip()
    job = await service.settled(processing_id)
    assert (job["status"], job["processedImages"]["webp"]["width"]) == ("completed", 2000)


@needs_node
async def test_the_javascript_client_returns_every_variant(service: LocalService, tmp_path: Path) -> None:
    run = """
import { readFileSync } from "node:fs";
import { convert } from "./truss_client.mjs";
const file = new File([readFileSync("photo.jpg")], "photo.jpg", { type: "image/jpeg" });
console.log(Object.keys(await convert(file, { base: process.env.TRUSS })).join());
"""
    (tmp_path / "run.mjs").write_text(run)
    assert await _run("node", "run.mjs", cwd=tmp_path, service=service) == "thumbnail,medium,large,webp\n"


@pytest.mark.parametrize("upload", ["put", "form"])
async def test_what_the_reference_page_fills_in_takes_any_picture(service: LocalService, upload: str) -> None:
    """Its first example, with a file of another name, format and size."""
    described = await service.call("GET", "/images/openapi.json")
    example = described["components"]["schemas"]["UploadUrlRequest"]["examples"][0]
    issued = await service.call("POST", "/images/upload-url", json=example)
    picture = corpus.png(corpus.photo(123, 45))
    if upload == "put":
        async with service.session.put(issued["uploadUrl"], data=picture, headers=issued["headers"]) as answer:
            assert answer.status == 200, await answer.text()
    else:
        form = aiohttp.FormData(issued["post"]["fields"])
        form.add_field("file", picture, filename="x.png")
        async with service.session.post(issued["post"]["url"], data=form) as answer:
            assert answer.status in (200, 204), await answer.text()
    job = await service.settled(issued["processingId"])
    assert (job["status"], job["processedImages"]["webp"]["width"]) == ("completed", 123)
