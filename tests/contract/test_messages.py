"""Whatever a message holds, the worker brings it to its end over every store, and true uploads beside it are done."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from processor.catalog.uploads import UploadRequest, Uploads
from processor.erasure import Eraser
from processor.jobs import JobStatus, Terms
from processor.ports.jobs import AllJobs
from processor.ports.objects import ObjectStore
from processor.ports.stores import AllStores
from processor.probe import Probes
from processor.stores.memory import MemoryQueue
from processor.work.circuit import CircuitState
from processor.work.conversion import Converter
from processor.work.worker import Worker, WorkerConfig
from tests.contract.conftest import Backend, Records
from tests.searching import searching
from tests.unit.world import MAKER, Noted, ScriptedRenderer

pytestmark = pytest.mark.asyncio(loop_scope="session")

#: What stands in the place of anything, the limits of DynamoDB and S3 among it.
ODD: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(
        [-1, 5 * 2**40, 10**38, 10**400, -(10**130), 1e308, float("inf"), float("nan"), "F" * 64, "F" * 32, ""]
    ),
    st.sampled_from(["é" * 1500, "x" * 230_000, "\ud800", "\x00", "9999-12-31T23:59:59.999Z", "%ff", "%00", "+"]),
)
NESTED: st.SearchStrategy[Any] = st.sampled_from([{}, [], [{}], {"Message": "{}"}])
NAMES = st.sampled_from(["ObjectCreated:Put", "s3:ObjectCreated:Copy", "ObjectRemoved:Delete", "ObjectCreated:", "x"])


#: Stand for the keys of an image that nothing was uploaded for, and of one that was; and for the bucket.
PENDING, UPLOADED, BUCKET = "<pending>", "<uploaded>", "<bucket>"


@st.composite
def records_like_those_of_s3(draw: st.DrawFn) -> Any:
    """About one of the two images, in which anything may be something else."""
    thing = {
        "key": draw(st.sampled_from([PENDING, UPLOADED]) | ODD),
        **{name: draw(ODD | NESTED) for name in ("size", "eTag", "sequencer", "versionId")},
    }
    s3 = {"bucket": {"name": draw(st.just(BUCKET) | ODD)}, "object": draw(st.just(thing) | ODD | NESTED)}
    name = draw(st.just("ObjectCreated:Put") | NAMES | ODD)
    return {"eventName": name, "eventTime": draw(ODD), "s3": draw(st.just(s3) | ODD | NESTED)}


ANYTHING = st.lists(records_like_those_of_s3() | ODD | NESTED, max_size=4)
#: Largest body of the test's messages, in bytes: SQS takes no more.
MAX_BYTES = 250_000


def _wrapped(records: Sequence[Any], shape: str) -> str:
    body = json.dumps({"Records": records})
    if shape == "sns":
        return json.dumps({"Type": "Notification", "Message": body})
    if shape == "lambda":
        return json.dumps({"Records": [{"Sns": {"Message": body}}]})
    return body


class Desk:
    """One service's worth over the stores of a backend, with queues of its own."""

    def __init__(self, jobs: AllJobs, source: ObjectStore, processed: ObjectStore, bucket: str) -> None:
        self.queue, self.dead_letters = MemoryQueue(), MemoryQueue()
        stores = AllStores(jobs=jobs, source=source, processed=processed, queue=self.queue)
        self.uploads = Uploads(stores=stores, max_bytes=1000)
        converter = Converter(
            jobs=jobs,
            source=source,
            processed=processed,
            renderer=ScriptedRenderer(),
            suspect_renderer=ScriptedRenderer(),
            eraser=Eraser(stores=stores),
            source_bucket=bucket,
            max_bytes=1000,
            retention=timedelta(days=30),
            lease_seconds=60,
            maker=MAKER,
        )
        self.noted = Noted()
        self.worker = Worker(
            self.queue,
            converter,
            WorkerConfig(slots=1),
            dead_letters=self.dead_letters,
            probes=Probes((self.noted,)),
        )

    async def handle(self, body: str) -> None:
        await self.queue.send(body)
        for message in await self.queue.receive(10, wait_seconds=0, visibility_seconds=60):
            await self.worker._handle(message)


@pytest.mark.hypothesis
@pytest.mark.parametrize("shape", ["bare", "sns", "lambda"])
async def test_no_message_is_a_defect_of_ours_or_an_outage_and_true_uploads_beside_it_are_done(
    backend: Backend, records: Records, source: ObjectStore, objects: ObjectStore, shape: str
) -> None:
    bucket = backend.made.names.source_bucket if backend.made else "source"
    desk = Desk(records.store, source, objects, bucket)
    terms = Terms(content_type="image/jpeg")

    async def tell(message: str) -> None:
        request = UploadRequest(filename="a.jpg", extension="jpg", terms=terms, expires_in_seconds=60)
        pending = (await desk.uploads.submit(records.tenant, request)).job
        uploaded = (await desk.uploads.submit(records.tenant, request)).job
        await source.store(uploaded.original_key, b"photo", content_type="image/jpeg", cache_control="", metadata={})
        keys = {PENDING: pending.original_key, UPLOADED: uploaded.original_key, BUCKET: bucket}
        for placeholder, value in keys.items():
            message = message.replace(placeholder, value)
        with capture_logs() as logs:
            await desk.handle(message)
        assert [line for line in logs if line["log_level"] in ("error", "critical")] == []
        assert set(desk.noted.messages) == {"settled"}
        assert desk.worker.circuit.state is CircuitState.CLOSED
        assert (await records.store.job_of_any_tenant(uploaded.processing_id)).status is JobStatus.COMPLETED
        assert (await records.store.job_of_any_tenant(pending.processing_id)).status is JobStatus.PENDING

    loop = asyncio.get_running_loop()
    thing = {"key": UPLOADED, "size": 5, "eTag": "e", "sequencer": "0055"}
    true = {"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": BUCKET}, "object": thing}}

    @given(ANYTHING, ANYTHING)
    @searching(40, suppress=tuple(HealthCheck))
    def search(before: list[Any], after: list[Any]) -> None:
        message = _wrapped([*before, true, *after], shape)
        assume(len(message) < MAX_BYTES)
        asyncio.run_coroutine_threadsafe(tell(message), loop).result()

    await asyncio.to_thread(search)


@pytest.mark.parametrize("processing_id", ["", "img_", "upload_x", "img_1 OR", "\ud800", "img_" + "9" * 3000, "ü"])
async def test_a_request_for_a_job_that_never_was_is_settled(
    backend: Backend, records: Records, source: ObjectStore, objects: ObjectStore, processing_id: str
) -> None:
    desk = Desk(records.store, source, objects, backend.made.names.source_bucket if backend.made else "source")
    body = json.dumps({"jobRequested": {"uniqueId": processing_id, "processingId": processing_id}})
    with capture_logs() as logs:
        await desk.handle(body)
    assert [line for line in logs if line["log_level"] == "error"] == []
    assert desk.noted.messages == {"settled": 1}
