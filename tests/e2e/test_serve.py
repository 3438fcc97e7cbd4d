"""`python -m service` as in production: against AWS that is there already, configured by the environment alone."""

from __future__ import annotations

from pathlib import Path

import aiohttp

from tests import corpus
from tests.fleet import assert_nothing_is_amiss, run_service, run_stage


async def test_the_service_runs_on_its_environment_with_the_rights_of_its_role(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    log_file = tmp_path / "service.log"
    async with run_stage(tmp_path / "aws") as stage:
        async with run_service(stage, session, log_file) as service:
            health = await service.healthy()
            issued = await service.put(corpus.png(corpus.photo(400, 300)), "a.png")
            job = await service.settled(issued["processingId"])
            async with session.get(f"{service.url}/processed/x/y/webp.webp") as viewer:
                assert viewer.status == 404  # CloudFront serves the variants, this process does not
            assert await service.stop() == 0
        async with stage.catalog() as catalog:
            await assert_nothing_is_amiss(catalog, stage.made.names.source_bucket)

    assert health["stage"] == "serve"
    assert set(health["checks"].values()) == {"ok"}
    assert job["status"] == "completed", job
    assert job["processedImages"]["webp"]["url"].startswith("https://cdn.example/processed/")
    shown = log_file.read_text()
    assert stage.credentials.secret_access_key not in shown
    assert "X-Amz-Signature" not in shown
