"""The service as it is deployed: real processes of `python -m service` over one emulator that outlives them."""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp

from processor.catalog.reconcile import Reconciler
from processor.catalog.verify import Verifier
from processor.ports.queue import MessageQueue
from processor.ports.stores import AllStores
from processor.stores.clients import open_clients
from processor.stores.config import AwsCredentials
from processor.stores.dynamodb import DynamoJobStore
from processor.stores.provision import Provisioned
from processor.stores.s3 import S3ObjectStore
from processor.stores.sqs import SqsMessageQueue
from processor.stores.table import Table
from service.local.emulator import REGION
from tests.local_aws import LocalAws, run_local_emulator
from tests.no_secrets import secret_in
from tests.ports import held_port
from tests.waiting import eventually


def untraced() -> dict[str, str]:
    """The variables of this process, but for those by which its children would be traced for the coverage.

    Under the tracer a service computes half as much again, and what most of them run is covered already.
    """
    return {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What a stack makes, and the rights of its service."""

    aws: LocalAws
    made: Provisioned
    credentials: AwsCredentials

    def environment(self, **more: str) -> dict[str, str]:
        """The variables of a service of this stage; `more` goes before."""
        return {
            "STAGE": "serve",
            "AUTH_MODES": "none",
            "SOURCE_BUCKET": self.made.names.source_bucket,
            "PROCESSED_BUCKET": self.made.names.processed_bucket,
            "PROCESSING_TABLE": self.made.names.table,
            "QUEUE_URL": self.made.queue_url,
            "DEAD_LETTER_QUEUE_URL": self.made.dead_letter_queue_url,
            "CLOUDFRONT_URL": "https://cdn.example",
            "QUEUE_WAIT_SECONDS": "1",
            "STOP_DELAY_SECONDS": "0",
            "AWS_REGION": REGION,
            "AWS_ENDPOINT_URL": self.aws.endpoint_url,
            "AWS_ACCESS_KEY_ID": self.credentials.access_key_id,
            "AWS_SECRET_ACCESS_KEY": self.credentials.secret_access_key,
        } | more

    @asynccontextmanager
    async def stores(self) -> AsyncIterator[AllStores]:
        """The stores of this stage, beside the service and past every fault that it suffers from."""
        async with open_clients(self.aws.config(self.credentials)) as clients:
            yield AllStores(
                jobs=DynamoJobStore(Table(clients, self.made.names.table)),
                source=S3ObjectStore(clients, self.made.names.source_bucket),
                processed=S3ObjectStore(clients, self.made.names.processed_bucket),
                queue=SqsMessageQueue(clients, self.made.queue_url),
                dead_letters=SqsMessageQueue(clients, self.made.dead_letter_queue_url),
            )


@asynccontextmanager
async def run_stage(data_dir: Path, name: str = "serve", **options: int) -> AsyncIterator[Stage]:
    """A stage of its own over an emulator of its own."""
    await asyncio.to_thread(data_dir.mkdir, exist_ok=True)
    async with run_local_emulator(data_dir) as aws:
        made, credentials = await aws.provision(name, **options)
        yield Stage(aws=aws, made=made, credentials=credentials)


@dataclass
class ServiceProcess:
    """One pod. `environment` is all that configures it; `command` runs it. `traced` counts it for the coverage."""

    environment: Mapping[str, str]
    session: aiohttp.ClientSession
    log_file: Path
    command: tuple[str, ...] = (sys.executable, "-m", "service")
    arguments: tuple[str, ...] = ()
    port: int = field(default_factory=held_port)
    traced: bool = False
    process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start, or start again; returns once it is healthy."""
        await self.launch()
        await eventually(self.healthy, what="a healthy service")

    async def launch(self) -> None:
        """Start without waiting for anything."""
        variables = dict(os.environ) if self.traced else untraced()
        with self.log_file.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.command,
                *self.arguments,
                env={**variables, "HOST": "127.0.0.1", "PORT": str(self.port), "LOG_FORMAT": "json"}
                | dict(self.environment),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.returncode is None

    async def healthy(self) -> Any:
        """What the health call says while it says `healthy`; fails the test when the process has ended."""
        assert self.alive, self.log_file.read_text()
        try:
            async with self.session.get(f"{self.url}/images/health") as answer:
                return await answer.json() if answer.status == 200 else None
        except (aiohttp.ClientError, TimeoutError):
            return None

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    async def ended(self, within: float = 180) -> int:
        """The exit code, once the process has ended."""
        assert self.process is not None
        return await asyncio.wait_for(self.process.wait(), within)

    async def stop(self) -> int:
        """End it as Kubernetes does; the exit code."""
        if self.process is None or self.process.returncode is not None:
            return 0
        self.signal(signal.SIGTERM)
        return await self.ended()

    async def kill(self) -> None:
        """End it as the kernel does."""
        if self.alive:
            self.signal(signal.SIGKILL)
            await self.ended()

    async def call(self, method: str, path: str, *, expect: int = 200, **options: Any) -> Any:
        """The body of an answer that must have the status `expect`."""
        async with self.session.request(method, self.url + path, **options) as answer:
            body = await answer.json(content_type=None)
            assert answer.status == expect, body
            return body

    async def put(self, data: bytes, filename: str = "photo.jpg", **asked: Any) -> Any:
        """Ask for a URL and upload through the presigned PUT; what the API answered."""
        issued = await self.call("POST", "/images/upload-url", json={"filename": filename, **asked})
        async with self.session.put(issued["uploadUrl"], data=io.BytesIO(data), headers=issued["headers"]) as answer:
            assert answer.status == 200, await answer.text()
        return issued

    async def settled(self, processing_id: str, within: float = 180) -> Any:
        """The job, once its work is over."""

        async def look() -> Any:
            job = await self.call("GET", f"/images/status/{processing_id}")
            return job if job["status"] not in ("pending", "uploaded", "processing") else None

        return await eventually(look, within=within, what=f"the end of {processing_id}")


@asynccontextmanager
async def run_service(
    stage: Stage,
    session: aiohttp.ClientSession,
    log_file: Path,
    *,
    command: tuple[str, ...] = (sys.executable, "-m", "service"),
    traced: bool = False,
    **environment: str,
) -> AsyncIterator[ServiceProcess]:
    """One running pod of a stage, stopped in order at the end, or killed when the block fails."""
    service = ServiceProcess(stage.environment(**environment), session, log_file, command, traced=traced)
    try:
        await service.start()
        yield service
        await service.stop()
    finally:
        await service.kill()
    assert secret_in(await asyncio.to_thread(log_file.read_text), stage.credentials.secret_access_key) is None


async def metrics_with(session: aiohttp.ClientSession, port: int, pattern: str, **headers: str) -> str:
    """The metrics of a process, once they match: an end is counted a moment after its record says so."""

    async def told() -> str:
        async with session.get(f"http://127.0.0.1:{port}/metrics", headers=headers) as answer:
            text = await answer.text()
        return text if re.search(pattern, text, re.MULTILINE) else ""

    return await eventually(told, what=pattern)


async def assert_nothing_is_amiss(stores: AllStores, source_bucket: str) -> None:
    """No job stuck, no orphan object, no byte other than the records say, no message left, none dead.

    Whoever was overtaken at a job may still be taking back what it has stored, so the findings get a moment to go.
    """
    await empty(stores.queue)
    reconciler = Reconciler(stores=stores, source_bucket=source_bucket, grace=timedelta(0), dry_run=True)
    findings: list[object] = []

    async def sound() -> bool:
        findings[:] = [finding async for finding in reconciler.findings()]
        return not findings

    with suppress(AssertionError):
        await eventually(sound, what="records and objects that agree")
    assert not findings, findings
    verifier = Verifier(stores=stores)
    async for unique_id in verifier.images():
        differences = [difference async for difference in verifier.verify(unique_id)]
        assert not differences, differences
    assert stores.dead_letters is not None
    dead = await stores.dead_letters.receive(10, wait_seconds=0, visibility_seconds=1)
    assert not dead, dead


async def empty(queue: MessageQueue, within: float = 180) -> None:
    """Wait until every message is settled."""

    async def drained() -> bool:
        depth = await queue.depth()
        return depth.waiting == depth.in_flight == 0

    await eventually(drained, within=within, what="an empty queue")
