"""Every port over memory, moto and the local emulator; what one of them is known not to do is skipped by name."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

import pytest
import pytest_asyncio

from processor.ports.jobs import AllJobs
from processor.ports.objects import ObjectStore
from processor.ports.queue import MessageQueue
from processor.stores.clients import AwsClients, open_clients
from processor.stores.dynamodb import DynamoJobStore
from processor.stores.memory import MemoryJobStore, MemoryObjectStore, MemoryQueue
from processor.stores.provision import Provisioned
from processor.stores.s3 import S3ObjectStore
from processor.stores.schema import table_definition
from processor.stores.sqs import SqsMessageQueue
from processor.stores.table import Table
from tests.local_aws import LocalAws, fresh_stage, run_local_emulator, run_moto


@dataclass(frozen=True, kw_only=True)
class Backend:
    """One of the three, with a stage of its own; `administrator` may make more queues there."""

    kind: str
    aws: LocalAws | None = None
    service: AwsClients | None = None
    administrator: AwsClients | None = None
    made: Provisioned | None = None

    def skip_on(self, *kinds: str, because: str) -> None:
        if self.kind in kinds:
            pytest.skip(f"{self.kind}: {because}")


#: moto is the second opinion of every promise, and the slowest of the three.
BACKENDS = ("memory", pytest.param("moto", marks=pytest.mark.slow), "emulator")


@pytest_asyncio.fixture(scope="session", loop_scope="session", params=BACKENDS)
async def backend(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Backend]:
    if request.param == "memory":
        yield Backend(kind="memory")
        return
    folder = tmp_path_factory.mktemp(request.param)
    running = run_moto(folder / "moto.log") if request.param == "moto" else run_local_emulator(folder)
    async with running as aws, fresh_stage(aws) as (service, made), open_clients(aws.config()) as administrator:
        yield Backend(kind=aws.kind, aws=aws, service=service, administrator=administrator, made=made)


@dataclass
class Clock:
    """The time by which records expire; a test may let some pass."""

    passed: float = 0.0

    def __call__(self) -> float:
        return time.time() + self.passed


@dataclass(kw_only=True)
class Records:
    """The store, its clock, and a tenant that no other test uses."""

    store: AllJobs
    clock: Clock
    backend: Backend
    tenant: str = field(default_factory=lambda: f"tenant-{uuid.uuid4().hex[:8]}")


async def _empty_table(administrator: AwsClients, name: str) -> None:
    await administrator.dynamodb.delete_table(TableName=name)
    await administrator.dynamodb.create_table(**table_definition(name))


@pytest_asyncio.fixture(loop_scope="session")
async def records(backend: Backend) -> Records:
    # moto copies the whole table for every part of a transaction: what earlier tests left would cost minutes.
    if backend.kind == "moto" and backend.administrator and backend.made:
        await _empty_table(backend.administrator, backend.made.names.table)
    clock = Clock()
    store: AllJobs = MemoryJobStore(now=clock)
    if backend.service and backend.made:
        store = DynamoJobStore(Table(backend.service, backend.made.names.table, now=clock))
    return Records(store=store, clock=clock, backend=backend)


@pytest.fixture
def objects(backend: Backend) -> ObjectStore:
    """The processed bucket, of which nobody is told."""
    if backend.service and backend.made:
        return S3ObjectStore(backend.service, backend.made.names.processed_bucket)
    return MemoryObjectStore()


@pytest.fixture
def source(backend: Backend) -> ObjectStore:
    """The source bucket, where uploads go."""
    if backend.service and backend.made:
        return S3ObjectStore(backend.service, backend.made.names.source_bucket)
    return MemoryObjectStore("source", queue=MemoryQueue())


@dataclass(kw_only=True)
class QueueUnderTest:
    """An empty queue, and how many messages were moved out of it."""

    queue: MessageQueue
    dead_letters: Callable[[], Awaitable[int]]


MakeQueue = Callable[..., Awaitable[QueueUnderTest]]


@pytest.fixture
def make_queue(backend: Backend) -> MakeQueue:
    async def make(max_receive_count: int | None = None) -> QueueUnderTest:
        if backend.administrator is None:
            queue = MemoryQueue(max_receive_count=max_receive_count)
            return QueueUnderTest(queue=queue, dead_letters=lambda: _length(queue))
        return await _aws_queue(backend.administrator, max_receive_count)

    return make


async def _aws_queue(clients: AwsClients, max_receive_count: int | None) -> QueueUnderTest:
    name = f"q-{uuid.uuid4().hex[:8]}"
    dead = (await clients.sqs.create_queue(QueueName=f"{name}-dlq"))["QueueUrl"]
    attributes = {}
    if max_receive_count is not None:
        found = await clients.sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])
        redrive = {"deadLetterTargetArn": found["Attributes"]["QueueArn"], "maxReceiveCount": max_receive_count}
        attributes = {"RedrivePolicy": json.dumps(redrive)}
    url = (await clients.sqs.create_queue(QueueName=name, Attributes=attributes))["QueueUrl"]  # type: ignore[arg-type]

    async def dead_letters() -> int:
        found = await clients.sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["ApproximateNumberOfMessages"])
        return int(found["Attributes"]["ApproximateNumberOfMessages"])

    return QueueUnderTest(queue=SqsMessageQueue(clients, url), dead_letters=dead_letters)


async def _length(queue: MemoryQueue) -> int:
    return len(queue.dead_letters)


@pytest_asyncio.fixture(loop_scope="session")
async def queue(make_queue: MakeQueue) -> MessageQueue:
    return (await make_queue()).queue
