"""One image, two roles: a process that answers the API, and one that converts."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests import corpus
from tests.e2e.rights import DEAD, EDGE, PROCESSED, QUEUE, ROOT, SOURCE, TABLE, recorded_in, used
from tests.fleet import ServiceProcess, Stage, assert_nothing_is_amiss, metrics_with, run_service, run_stage
from tests.ports import held_port
from tests.waiting import eventually


@asynccontextmanager
async def _pod(
    stage: Stage, session: aiohttp.ClientSession, folder: Path, role: str, **environment: str
) -> AsyncIterator[tuple[ServiceProcess, int]]:
    """A process with one role, and the port of its metrics. What it asks of AWS is written down in `folder / role`."""
    calls, port = folder / role, held_port()
    calls.mkdir(exist_ok=True)
    log_file = folder / f"{role}.log"
    settings: dict[str, Any] = {"ROLES": role, "METRICS_PORT": str(port), **recorded_in(calls), **environment}
    async with run_service(stage, session, log_file, **settings) as service:
        yield service, port


@pytest.mark.slow
async def test_what_comes_through_the_api_process_the_worker_process_converts(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    async with run_stage(tmp_path / "aws") as stage, stage.stores() as stores:
        async with _pod(stage, session, tmp_path, "api") as (api, api_metrics):
            issued = await api.put(corpus.jpeg(corpus.photo(400, 300)), "a.jpg")
            # One message, told by a process that takes none.
            told = await metrics_with(session, api_metrics, r'^truss_queue_messages\{state="visible"\} 1.0$')
            assert "truss_queue_oldest_message_age_seconds" in told
            assert "truss_worker" not in told
            assert "truss_engine" not in told
            assert (await api.call("GET", f"/images/status/{issued['processingId']}"))["status"] == "pending"
            assert (await stores.queue.depth()).in_flight == 0
            assert set((await api.call("GET", "/images/health"))["checks"]) == {
                *("sourceBucket", "processedBucket", "queue", "table"),
            }
            assert (await api.call("GET", "/images/ready"))["status"] == "healthy"
            assert (await api.call("GET", "/images/live"))["checks"] == {}
            assert (await api.call("GET", "/images/limits"))["maxMemory"] is None

            async with _pod(stage, session, tmp_path, "worker") as (worker, worker_metrics):
                assert (await api.settled(issued["processingId"]))["status"] == "completed"
                await metrics_with(session, worker_metrics, r'^truss_events_total\{code="",outcome="completed"\} 1.0$')
                for method, path in (("GET", "/images/list"), ("POST", "/images/upload-url"), ("GET", "/images/docs")):
                    assert (await worker.call(method, path, expect=404))["code"] == "not_found"
                assert set((await worker.call("GET", "/images/health"))["checks"]) >= {"worker", "table"}
                assert set((await worker.call("GET", "/images/ready"))["checks"]) == {"worker", "engine", "queue"}
                again = await api.call("POST", f"/images/process/{issued['uniqueId']}", expect=202)
                assert (await api.settled(again["processingId"]))["status"] == "completed"
                await api.call("DELETE", f"/images/image/{issued['uniqueId']}")
                assert await worker.stop() == 0
            assert (await api.call("GET", "/images/ready"))["status"] == "healthy"
            assert await api.stop() == 0
        await assert_nothing_is_amiss(stores, stage.made.names.source_bucket)

    for role in ("api", "worker"):
        rights = used(tmp_path / role)
        assert rights
        assert {(right, resource.partition("/index/")[0]) for right, resource in rights} <= _documented(role)
    assert "sqs:ReceiveMessage" not in {right for right, resource in used(tmp_path / "api") if resource == "queue"}


@pytest.mark.slow
async def test_an_api_process_that_may_not_reach_its_table_never_becomes_ready(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    async with run_stage(tmp_path / "aws") as stage:
        environment = stage.environment(ROLES="api", PROCESSING_TABLE="no-such-table")
        service = ServiceProcess(environment, session, tmp_path / "api.log")
        await service.launch()
        try:

            async def answers() -> bool:
                try:
                    async with session.get(f"{service.url}/images/live") as answer:
                        return answer.status == 200
                except aiohttp.ClientError:
                    assert service.alive, service.log_file.read_text()
                    return False

            await eventually(answers, what="a process that lives")

            async def looked() -> bool:
                checks = (await service.call("GET", "/images/ready", expect=503))["checks"]
                assert checks["table"] == "failing"
                return bool(checks["queue"] == "ok")

            await eventually(looked, what="an answer of the queue")
            await service.stop()
        finally:
            await service.kill()


def _documented(role: str) -> set[tuple[str, str]]:
    """The rights that docs/operations.md gives to a role, on resources by our names for them."""
    resources = {
        "source objects": [f"{SOURCE}/uploads/*", f"{SOURCE}/assets/*"],
        "variants": [f"{PROCESSED}/processed/*"],
        "both buckets": [SOURCE, PROCESSED],
        "queue": [QUEUE],
        "dead-letter queue": [DEAD],
        "table": [TABLE],
        "distribution": [EDGE],
    }
    rows = re.findall(
        r"^\| ([\w -]+) \| `(\w+):([\w, ]+)` \| (yes)? ?\| (yes)? ?\|$",
        (ROOT / "docs" / "operations.md").read_text(),
        re.MULTILINE,
    )
    return {
        (f"{service}:{action}", resource)
        for thing, service, actions, api, worker in rows
        if {"api": api, "worker": worker}[role]
        for action in actions.split(", ")
        for resource in resources[thing]
    }
