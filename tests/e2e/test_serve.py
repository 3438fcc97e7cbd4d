"""`python -m service` as in production: against AWS that is there already, configured by the environment alone."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp

from service.local.emulator import REGION, bindable
from tests import corpus
from tests.local_aws import run_local_emulator
from tests.waiting import eventually


async def _json(session: aiohttp.ClientSession, method: str, url: str, **options: Any) -> Any:
    async with session.request(method, url, **options) as answer:
        return await answer.json()


async def test_the_service_runs_on_its_environment_with_the_rights_of_its_role(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    port = bindable(0)
    url = f"http://127.0.0.1:{port}"
    async with run_local_emulator(tmp_path) as aws:
        made, credentials = await aws.provision("serve")
        environment = {
            "STAGE": "serve",
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "SOURCE_BUCKET": made.names.source_bucket,
            "PROCESSED_BUCKET": made.names.processed_bucket,
            "PROCESSING_TABLE": made.names.table,
            "QUEUE_URL": made.queue_url,
            "DEAD_LETTER_QUEUE_URL": made.dead_letter_queue_url,
            "CLOUDFRONT_URL": "https://cdn.example",
            "QUEUE_WAIT_SECONDS": "1",
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": aws.endpoint_url,
            "AWS_ACCESS_KEY_ID": credentials.access_key_id,
            "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
        }
        with (tmp_path / "service.log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "service"), env={**os.environ, **environment}, stdout=log, stderr=log
            )
        try:
            health = await eventually(lambda: _healthy(session, url), what="a healthy service")
            issued = await _json(session, "GET", f"{url}/images/upload-url", params={"filename": "a.png"})
            photo = corpus.png(corpus.photo(400, 300))
            async with session.put(issued["uploadUrl"], data=photo, headers=issued["headers"]) as uploaded:
                assert uploaded.status == 200
            job = await eventually(lambda: _ended(session, f"{url}/images/status/{issued['processingId']}"))
            async with session.get(f"{url}/processed/x/y/webp.webp") as viewer:
                assert viewer.status == 404  # CloudFront serves the variants, this process does not
            process.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(process.wait(), 30) == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    assert health["stage"] == "serve"
    assert set(health["checks"].values()) == {"ok"}
    assert job["status"] == "completed", job
    assert job["processedImages"]["webp"]["url"].startswith("https://cdn.example/processed/")
    shown = (tmp_path / "service.log").read_text()
    assert credentials.secret_access_key not in shown
    assert "X-Amz-Signature" not in shown


async def _healthy(session: aiohttp.ClientSession, url: str) -> Any:
    try:
        health = await _json(session, "GET", f"{url}/images/health")
    except aiohttp.ClientError:
        return None
    return health if health["status"] == "healthy" else None


async def _ended(session: aiohttp.ClientSession, url: str) -> Any:
    job = await _json(session, "GET", url)
    return job if job["status"] in ("completed", "failed") else None
