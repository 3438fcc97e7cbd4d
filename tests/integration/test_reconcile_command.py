"""`truss-image reconcile` over the emulator, with the rights that the service has."""

from __future__ import annotations

import asyncio
from pathlib import Path

from click.testing import CliRunner, Result

from processor import clock
from processor.images import variant_key
from processor.jobs import new_processing_id
from processor.stores.clients import open_clients
from service.cli import main
from service.config import Settings
from service.lifespan import build_catalog
from service.local.emulator import REGION
from tests.local_aws import run_local_emulator


async def test_the_command_finds_mends_and_counts_and_then_finds_nothing(tmp_path: Path) -> None:
    async with run_local_emulator(tmp_path) as aws:
        made, credentials = await aws.provision("reconcile")
        environment = {
            "SOURCE_BUCKET": made.names.source_bucket,
            "PROCESSED_BUCKET": made.names.processed_bucket,
            "PROCESSING_TABLE": made.names.table,
            "QUEUE_URL": made.queue_url,
            "CLOUDFRONT_URL": "http://cdn.example",
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": aws.endpoint_url,
        }
        keys = {"AWS_ACCESS_KEY_ID": credentials.access_key_id, "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key}
        async with open_clients(aws.config(credentials)) as clients:
            catalog = build_catalog(Settings.from_env(environment), clients)
            unknown = "11111111-1111-4111-8111-111111111111"
            stray = variant_key(unknown, new_processing_id(clock.now()), "webp")
            for store, key in ((catalog.processed, stray), (catalog.source, f"uploads/{unknown}.jpg")):
                await store.store(key, b"x", content_type="image/webp", cache_control="", metadata={})

            async def run(*options: str) -> Result:
                arguments = ["reconcile", "--grace", "0", *options]
                return await asyncio.to_thread(CliRunner().invoke, main, arguments, env={**environment, **keys})

            dry, mended, after = await run("--dry-run"), await run(), await run()

    assert "orphan     removed" in dry.output
    assert "dry run: nothing was done" in dry.output
    assert "unrecorded reported uploads/" in mended.output
    assert mended.output.endswith("1 orphan, 1 unrecorded\n")
    assert after.output.endswith("1 unrecorded\n")
    assert [result.exit_code for result in (dry, mended, after)] == [0, 0, 0]


def test_dependencies_that_are_away_are_an_error_and_not_an_empty_report() -> None:
    environment = {
        "SOURCE_BUCKET": "source",
        "PROCESSED_BUCKET": "processed",
        "PROCESSING_TABLE": "table",
        "QUEUE_URL": "http://127.0.0.1:1/queue",
        "CLOUDFRONT_URL": "http://cdn.example",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
        "AWS_ACCESS_KEY_ID": "k",
        "AWS_SECRET_ACCESS_KEY": "s",
    }
    result = CliRunner().invoke(main, ["reconcile"], env=environment)
    assert result.exit_code == 1
    assert "temporarily unavailable" in result.output
