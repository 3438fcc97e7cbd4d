"""The asynchronous client: every call of the API, and what takes several calls."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

import httpx

from truss_image_client._async.calls import AsyncCalls
from truss_image_client._async.together import aside, pause
from truss_image_client._async.transport import AsyncTransport
from truss_image_client._async.uploads import MULTIPART_BYTES, AsyncUploads, Progress, Upload
from truss_image_client.content import Content, Source
from truss_image_client.errors import JobFailed, NotDone
from truss_image_client.models import (
    BatchDelete,
    BatchProcess,
    BulkJob,
    DeleteResult,
    ImageFilter,
    Job,
    ProcessResult,
)
from truss_image_client.wire import plain, quoted, read

#: Images in one call of a batch, at most.
BATCH = 100
#: How long the service is asked to wait for a change of a job, in seconds.
WAIT_SECONDS = 20
#: Shortest time from one look at a job to the next, in seconds.
LOOK_SECONDS = 0.2
#: Time between two looks at a bulk job, in seconds.
BULK_LOOK_SECONDS = 1.0

_OPEN = frozenset({"queued", "running", "cancelling"})

T = TypeVar("T")


class AsyncClient(AsyncCalls):
    """The image service at `base_url` (by default `TRUSS_IMAGE_URL`).

    `api_key` is by default `TRUSS_IMAGE_API_KEY`; `token` is a JWT, in place of a key. `tenant` is for administrators.
    One exchange may take `timeout` seconds. A call that was refused for a time, or got no answer, is repeated as the
    service says, for `patience` seconds in all. `http` is for proxies, certificates and tests; whoever gives it closes
    it. Use the client as a context manager, or close it with `aclose`.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        token: str | None = None,
        tenant: str | None = None,
        timeout: float = 60.0,
        patience: float = 60.0,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        url = base_url or os.environ.get("TRUSS_IMAGE_URL", "")
        if not url.startswith(("http://", "https://")):
            raise ValueError("give the base URL of the service, as base_url or in TRUSS_IMAGE_URL")
        key = api_key or (None if token else os.environ.get("TRUSS_IMAGE_API_KEY"))
        given = {"X-Api-Key": key, "Authorization": f"Bearer {token}" if token else None, "X-Tenant": tenant}
        credentials = {name: value for name, value in given.items() if value}
        self._owned = http is None
        self._http = http or httpx.AsyncClient(timeout=httpx.Timeout(timeout, connect=10.0, pool=None))
        self._transport = AsyncTransport(self._http, url, lambda: credentials, patience)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        if self._owned:
            await self._http.aclose()

    # -- one image ----------------------------------------------------------------------------------------------------

    async def upload(
        self,
        source: Source,
        *,
        filename: str | None = None,
        content_type: str | None = None,
        preset: str | None = None,
        metadata: Mapping[str, str] | None = None,
        dedupe: bool = False,
        progress: Progress | None = None,
        idempotency_key: str | None = None,
        multipart_bytes: int = MULTIPART_BYTES,
    ) -> Upload:
        """Send a file straight to the storage, bound to its size and checksum.

        `source` is a path, bytes, or an open file. `progress` hears how many bytes were sent, and of how many. A file
        of more than `multipart_bytes` goes up in parts.

        An upload that was broken off, even with its process, goes on if it is called again within a day with the same
        file and the same `idempotency_key`: parts that are there are not sent again, and nothing is stored twice. With
        `dedupe`, bytes of an image that is complete are not sent at all.
        """
        content = await aside(partial(Content, source, filename))
        try:
            terms = {
                "filename": content.filename,
                "contentType": content_type or content.content_type,
                "size": content.size,
                "checksumSha256": await aside(content.checksum),
                "preset": preset,
                "metadata": metadata,
                "dedupe": dedupe,
            }
            uploads = AsyncUploads(self._transport, self, content, progress)
            if content.size > multipart_bytes:
                return await uploads.in_parts(terms, idempotency_key)
            return await uploads.whole({**terms, "once": True}, idempotency_key)
        finally:
            content.close()

    async def wait(self, processing_id: str, *, timeout: float = 300.0) -> Job:
        """The job once it has completed; the one in its place, if it was superseded.

        The service answers as soon as there is a change, so this asks little. Raises `JobFailed`, also while it needs
        a review, and `NotDone` after `timeout` seconds.
        """
        until = time.monotonic() + timeout
        etag = ""
        while True:
            began = time.monotonic()
            wait = max(1, min(WAIT_SECONDS, int(until - began)))
            path = f"/images/status/{quoted(processing_id)}"
            answer = await self._transport.send("GET", path, query={"wait": wait}, etag=etag)
            if answer.document is not None:
                job, etag = read(Job, answer.document), answer.etag
                if job.superseded_by is not None:
                    processing_id, etag = job.superseded_by, ""
                elif job.status == "completed":
                    return job
                elif job.status in {"failed", "needs_review", "rejected"}:
                    raise JobFailed(job)
            if time.monotonic() >= until:
                raise NotDone(f"{processing_id} has not ended after {timeout:.0f} s; it goes on in the service")
            await pause(max(0.0, began + LOOK_SECONDS - time.monotonic()))

    async def convert(self, source: Source, *, preset: str | None = None, timeout: float = 300.0) -> Job:
        """Upload a file, and wait until its variants are there."""
        uploaded = await self.upload(source, preset=preset)
        return await self.wait(uploaded.processing_id, timeout=timeout)

    # -- many images --------------------------------------------------------------------------------------------------

    async def process_images(self, unique_ids: Sequence[str], *, preset: str | None = None) -> list[ProcessResult]:
        """Convert images again, a hundred in a call. Each has a result, also one that is refused."""
        found: list[ProcessResult] = []
        for some in _hundreds(unique_ids):
            body = plain({"uniqueIds": some, "preset": preset})
            batch = await self._transport.call(BatchProcess, "POST", "/images/batch/process", body=body)
            found += batch.results
        return found

    async def delete_images(self, unique_ids: Sequence[str]) -> list[DeleteResult]:
        """Delete images for ever, a hundred in a call. Each has a result."""
        found: list[DeleteResult] = []
        for some in _hundreds(unique_ids):
            batch = await self._transport.call(BatchDelete, "POST", "/images/batch/delete", body={"uniqueIds": some})
            found += batch.results
        return found

    async def process_matching(
        self, matching: ImageFilter, *, preset: str | None = None, idempotency_key: str | None = None
    ) -> BulkJob:
        """Convert all images that match again, in the background: see `wait_for_batch`."""
        body = plain({"filter": matching, "preset": preset})
        return await self._transport.call(
            BulkJob, "POST", "/images/batch/process", body=body, idempotency_key=idempotency_key
        )

    async def delete_matching(self, matching: ImageFilter, *, idempotency_key: str | None = None) -> BulkJob:
        """Delete all images that match for ever, in the background: see `wait_for_batch`."""
        body = plain({"filter": matching})
        return await self._transport.call(
            BulkJob, "POST", "/images/batch/delete", body=body, idempotency_key=idempotency_key
        )

    async def wait_for_batch(self, batch_id: str, *, timeout: float = 3600.0) -> BulkJob:
        """The bulk job once it has ended; its `state` says how. Raises `NotDone` after `timeout` seconds."""
        until = time.monotonic() + timeout
        while True:
            job = await self.get_batch(batch_id)
            if job.state not in _OPEN:
                return job
            if time.monotonic() >= until:
                raise NotDone(f"{batch_id} has not ended after {timeout:.0f} s; it goes on in the service")
            await pause(BULK_LOOK_SECONDS)


def _hundreds(names: Sequence[T]) -> list[list[T]]:
    return [list(names[start : start + BATCH]) for start in range(0, len(names), BATCH)]
