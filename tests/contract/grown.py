"""A program that takes a job and its variants through a store, with a field of each that this release does not have.

`test_fields.py` runs it over a copy of the core in which one line adds the field to the class. It prints what became of
the field: in the record while the job is at work, in the record of the ended job, in the manifest, out of a child.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from processor import clock
from processor.images import StoredVariant, Variant, new_unique_id, source_key
from processor.jobs import Job, JobStatus, Lease, Manifest, Source, first_image, pending_job
from processor.manifest import document, variants_in
from processor.ports.jobs import AllJobs
from processor.recipes import STANDARD
from processor.sandbox.answers import pack, unpack
from processor.sandbox.messages import Packet
from processor.stores.clients import open_clients
from processor.stores.config import AwsConfig, AwsCredentials
from processor.stores.dynamodb import DynamoJobStore
from processor.stores.memory import MemoryJobStore
from processor.stores.table import Table

#: The field and what is in it.
ADDED, TOLD = "added", "told"
_WITH_IT: dict[str, Any] = {ADDED: TOLD}
SPEC = STANDARD.specs[0]


@asynccontextmanager
async def opened(place: dict[str, Any]) -> AsyncIterator[AllJobs]:
    """The store there; in memory, if it is nowhere."""
    if not place:
        yield MemoryJobStore()
        return
    credentials = AwsCredentials(access_key_id=place["key"], secret_access_key=place["secret"])
    config = AwsConfig(region=place["region"], endpoint_url=place["endpoint"], credentials=credentials)
    async with open_clients(config) as clients:
        yield DynamoJobStore(Table(clients, place["table"]))


def stored() -> StoredVariant:
    return StoredVariant(
        name=SPEC.name,
        key="k",
        width=4,
        height=3,
        size=5,
        content_type=SPEC.content_type,
        quality=SPEC.quality,
        sha256="0" * 64,
        stored_at=clock.now(),
        **_WITH_IT,
    )


def made() -> Manifest:
    known = {"format": "jpeg", "width": 4, "height": 3, "frames": 1, "encoder": "e", "effort": 2, "service": "s"}
    return Manifest(etag="e", sha256="1" * 64, size=9, **known)  # type: ignore[arg-type]


async def taken_through(store: AllJobs) -> tuple[Job, Job]:
    """The job at work, and ended, as the store has it."""
    unique_id = new_unique_id()
    job = pending_job("acme", unique_id, source_key(unique_id, "jpg"), "a.jpg", recipe=STANDARD)
    job = replace(job, **_WITH_IT)
    image = first_image(job)
    await store.create(image, job)
    expiry = int(time.time()) + 1000
    await store.accept(image, job, Source(etag="e", size=9), expiry)
    lease = Lease(token="t", owner="o", expires_at=time.time() + 60)
    claimed = await store.claim(job.processing_id, lease, clock.now(), "tests")
    await store.note(job.processing_id, lease, [stored()])
    working = await store.get_job("acme", job.processing_id)
    completed = replace(claimed, status=JobStatus.COMPLETED, variants=(stored(),), manifest=made(), expires_at=expiry)
    await store.finish(completed, lease)
    return working, await store.get_job("acme", job.processing_id)


async def main(place: dict[str, Any]) -> None:
    async with opened(place) as store:
        working, ended = await taken_through(store)
    (named,) = variants_in(document(ended), clock.now())
    encoded = Variant(spec=SPEC, data=b"RIFF\4\0\0\0WEBP", width=4, height=3, **_WITH_IT)
    header, parts = pack(encoded, ())
    unpacked = unpack(Packet(header=json.loads(json.dumps(header)), body=b"".join(parts)), SPEC, ())
    found = {
        "job at work": working,
        "job": ended,
        "variant at work": working.variants[0],
        "variant": ended.variants[0],
        "variant in the manifest": named,
        "variant out of a child": unpacked,
    }
    sys.stdout.write(json.dumps({where: getattr(value, ADDED) for where, value in found.items()}))


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1])))
