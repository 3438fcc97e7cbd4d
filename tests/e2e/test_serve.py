"""`python -m service` as in production: against AWS that is there already, configured by the environment alone."""

from __future__ import annotations

import re
from pathlib import Path

import aiohttp

from docs.generate import ROOT
from tests import corpus
from tests.fleet import assert_nothing_is_amiss, metrics_with, run_service, run_stage
from tests.ports import held_port


async def test_the_service_runs_on_its_environment_with_the_rights_of_its_role(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    log_file = tmp_path / "service.log"
    async with run_stage(tmp_path / "aws") as stage:
        metrics_port = held_port()
        async with run_service(stage, session, log_file, traced=True, METRICS_PORT=str(metrics_port)) as service:
            health = await service.healthy()
            issued = await service.put(corpus.png(corpus.photo(400, 300)), "a.png")
            job = await service.settled(issued["processingId"])
            async with session.get(f"{service.url}/processed/x/y/webp.webp") as viewer:
                assert viewer.status == 404  # CloudFront serves the variants, this process does not
            metrics = await metrics_with(
                session, metrics_port, r'^truss_events_total\{code="",outcome="completed"\} 1.0$'
            )
            async with session.get(f"{service.url}/metrics") as public:
                assert public.status == 404
            assert await service.stop() == 0
        async with stage.stores() as stores:
            await assert_nothing_is_amiss(stores, stage.made.names.source_bucket)

    assert health["stage"] == "serve"
    assert set(health["checks"].values()) == {"ok"}
    assert job["status"] == "completed", job
    assert job["processedImages"]["webp"]["url"].startswith("https://cdn.example/processed/")
    assert "truss_servable_seconds_count 1.0" in metrics
    assert 'truss_circuit_state{state="closed"} 1.0' in metrics
    assert re.search(r"^truss_event_loop_lag_seconds_count [1-9]", metrics, re.MULTILINE)
    assert re.search(r'truss_queue_messages\{state="visible"\} \d', metrics)
    assert "truss_dead_letter_messages 0.0" in metrics
    assert issued["uniqueId"] not in metrics
    families = re.findall(r"^# TYPE (truss_\w+) ", metrics, re.MULTILINE)
    exposed = {name for name in families if not name.endswith("_created")}  # when each counter began
    documented = set(re.findall(r"`(truss_\w+)`", (ROOT / "docs" / "metrics.md").read_text()))
    assert exposed == documented
    shown = log_file.read_text()
    assert "Authentication is off" in shown
    assert stage.credentials.secret_access_key not in shown
    assert "X-Amz-Signature" not in shown
