"""`truss-image reconcile`, `verify` and `keys` over the emulator, with the rights that the service has."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from click.testing import CliRunner

from processor import clock
from processor.images import variant_key
from processor.jobs import new_processing_id
from service.cli import main
from tests import corpus
from tests.corpus import metadata
from tests.fleet import run_service, run_stage
from tests.waiting import eventually

pytestmark = pytest.mark.usefixtures("process_restored")

COMMAND = Path(sys.executable).with_name("truss-image")
#: A service whose AWS is away.
AWAY = {
    "SOURCE_BUCKET": "source",
    "PROCESSED_BUCKET": "processed",
    "PROCESSING_TABLE": "table",
    "QUEUE_URL": "http://127.0.0.1:1/queue",
    "CLOUDFRONT_URL": "http://cdn.example",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    "AWS_ACCESS_KEY_ID": "k",
    "AWS_SECRET_ACCESS_KEY": "s",
}
UNKNOWN = "11111111-1111-4111-8111-111111111111"


async def _run(environment: dict[str, str], *arguments: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        COMMAND,
        *arguments,
        env={**os.environ, "LOG_LEVEL": "error", **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 180)
    return process.returncode, output.decode()


async def _invoke(environment: dict[str, str], *arguments: str) -> tuple[int | None, str]:
    """The same within this process, for a command that others of its kind have run as a real process."""
    variables = {"LOG_LEVEL": "error", **environment}
    result = await asyncio.to_thread(partial(CliRunner().invoke, main, arguments, env=variables))
    return result.exit_code, result.output


@pytest.mark.slow
async def test_what_is_out_of_order_is_found_mended_and_counted_and_then_found_no_more(tmp_path: Path) -> None:
    async with run_stage(tmp_path) as stage:
        environment = stage.environment()
        async with stage.stores() as stores:
            stray = variant_key(UNKNOWN, new_processing_id(clock.now()), "webp")
            for store, key in ((stores.processed, stray), (stores.source, f"uploads/{UNKNOWN}.jpg")):
                await store.store(key, b"x", content_type="image/webp", cache_control="", metadata={})

        dry = await _run(environment, "reconcile", "--grace", "0", "--dry-run")
        mended = await _run(environment, "reconcile", "--grace", "0")
        after = await _invoke(environment, "reconcile", "--grace", "0")
        verified = await _run(environment, "verify")
        unknown = await _invoke(environment, "verify", UNKNOWN)

    assert dry[0] == mended[0] == after[0] == 0
    assert "orphan     removed  processed/" in dry[1]
    assert "dry run: nothing was done" in dry[1]
    assert "unrecorded reported uploads/" in mended[1]
    assert mended[1].endswith("1 orphan, 1 unrecorded\n")
    assert after[1].endswith("1 unrecorded\n")
    assert verified == (0, "0 images, 0 differences\n")
    assert unknown == (1, "Error: There is no image with this id.\n")


@pytest.mark.slow
async def test_uploads_of_an_earlier_service_are_adopted_by_a_tenant_and_converted(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    async with run_stage(tmp_path / "aws") as stage:
        async with stage.stores() as stores:
            picture = corpus.jpeg(corpus.photo(64, 48))
            await stores.source.store(
                f"uploads/{UNKNOWN}.jpg", picture, content_type="image/jpeg", cache_control="", metadata={}
            )
        adopted = await _run(stage.environment(), "reconcile", "--grace", "0", "--adopt-as", "acme")
        refused = await _invoke(stage.environment(), "reconcile", "--adopt-as", "Not a tenant")
        async with run_service(stage, session, tmp_path / "service.log", traced=True) as service:

            async def listed() -> Any:
                answer = await service.call("GET", "/images/list?status=completed", headers={"X-Tenant": "acme"})
                return answer["images"]

            (image,) = await eventually(listed, what="the adopted image")

    assert adopted == (0, f"unrecorded queued   uploads/{UNKNOWN}.jpg\n1 unrecorded\n")
    assert refused[0] == 2
    assert image["uniqueId"] == UNKNOWN


@pytest.mark.slow
async def test_dependencies_that_are_away_are_an_error_and_not_an_empty_report() -> None:
    for command in ("reconcile", "verify"):
        assert await _run(AWAY, command) == (
            1,
            "Error: The service is temporarily unavailable; try again.\n",
        )


@pytest.mark.slow
async def test_keys_are_made_listed_replaced_and_revoked_from_the_command_line_and_open_a_locked_service(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    async with run_stage(tmp_path / "aws") as stage:
        environment = stage.environment()
        code, output = await _run(environment, "keys", "create", "--name", "importer", "--scope", "images:read")
        assert code == 0
        key = output.splitlines()[0]
        key_id = key.split("_")[1]
        log_file = tmp_path / "service.log"
        async with run_service(stage, session, log_file, traced=True, AUTH_MODES="api_key") as service:
            await service.call("GET", "/images/list", headers={"X-Api-Key": key})
            await service.call("GET", "/images/list", expect=401)
            await service.call("DELETE", f"/images/image/{UNKNOWN}", headers={"X-Api-Key": key}, expect=403)
        listed = await _invoke(environment, "keys", "list")
        rotated = await _invoke(environment, "keys", "rotate", key_id, "--grace-seconds", "0")
        revoked = await _invoke(environment, "keys", "revoke", key_id)
        unknown = await _invoke(environment, "keys", "revoke", "a" * 16)
        refused = await _invoke(environment, "keys", "list", "--tenant", "a#0")

    assert listed == (0, f"{key_id}  good                          images:read  importer\n")
    assert rotated[1].startswith("truss_")
    assert revoked[1].startswith(f"{key_id}  revoked 20")
    assert unknown == (1, "Error: There is no key with this id.\n")
    assert refused[0] == 2
    assert key.split("_", 2)[2] not in log_file.read_text()


@pytest.mark.parametrize("variable", ["PORT", pytest.param("METRICS_PORT", marks=pytest.mark.slow)])
async def test_a_service_that_cannot_listen_says_in_one_sentence_which_variable_chooses_another(variable: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ports = {"HOST": "127.0.0.1", "PORT": "0", variable: str(port)}
        code, said = await _run({**AWAY, **ports, "LOG_LEVEL": "error"}, "serve")
    assert (code, said) == (
        1,
        f"Error: cannot listen on 127.0.0.1:{port} (address already in use): choose another with {variable}=.\n",
    )


@pytest.mark.slow
async def test_an_address_that_is_none_of_this_machine_is_named_by_its_variable() -> None:
    code, said = await _run({**AWAY, "HOST": "192.0.2.1", "PORT": "0", "LOG_LEVEL": "error"}, "serve")
    assert code == 1
    assert said.endswith("choose another with HOST=.\n")


@pytest.mark.slow
async def test_a_job_is_made_again_from_the_stage_and_from_a_bundle_and_a_difference_is_told(tmp_path: Path) -> None:
    async with run_stage(tmp_path) as stage, aiohttp.ClientSession() as session:
        async with run_service(stage, session, tmp_path / "log") as service:
            good = metadata.jpeg(
                corpus.jpeg(corpus.photo(400, 300)), xmp=metadata.xmp({"dc:description": "secret caption"})
            )
            issued = [await service.put(file) for file in (good, b"GIF89a")]
            good_id, bad_id = [(await service.settled(each["processingId"]))["processingId"] for each in issued]
        environment, bundle = stage.environment(), tmp_path / "report.zip"
        same = await _run(environment, "replay", good_id, "--export", str(bundle))
        failed = await _invoke(environment, "replay", bad_id)
        unknown = await _invoke(environment, "replay", new_processing_id(clock.now()))
    again = await _run({"PATH": os.environ["PATH"]}, "replay", str(bundle))
    kept = bundle.read_bytes()
    broken = tmp_path / "broken.zip"
    broken.write_bytes(kept[: len(kept) // 2])
    refused = await _invoke({}, "replay", str(broken))

    assert same[0] == 0, same[1]
    assert same[1].count("same  ") == 4
    assert "0 differences" in same[1]
    assert f"Written: {bundle}" in same[1]
    assert (failed[0], "same       it fails as" in failed[1]) == (0, True), failed[1]
    assert (unknown[0], refused[0]) == (1, 1)
    assert (again[0], again[1].count("same  ")) == (0, 4), again[1]
    assert b"secret caption" not in kept
