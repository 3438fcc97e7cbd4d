"""The synchronous client: every call of the API, and what takes several calls.

Generated from `_async` by `python -m clients.generate`: do not edit.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import partial
from time import monotonic
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import httpx

from truss_image_client._sync.calls import Calls
from truss_image_client._sync.events import EventStream
from truss_image_client._sync.together import aside, pause
from truss_image_client._sync.transport import Transport
from truss_image_client._sync.uploads import MULTIPART_BYTES, Uploads
from truss_image_client._sync.urls import UploadUrls
from truss_image_client.content import Content, Progress, Source, Upload, filename_of
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
from truss_image_client.wire import Answer, plain, quoted

#: Images in one call of a batch, at most.
BATCH = 100
#: How long the service is asked to wait for a change of a job, in seconds.
WAIT_SECONDS = 20
#: Shortest time from one look at a job to the next, in seconds.
LOOK_SECONDS = 0.2
#: Time between two looks at a bulk job, in seconds.
BULK_LOOK_SECONDS = 1.0

#: How often an image of a batch is tried if the service says when it may succeed.
ROUNDS = 5
#: Statuses that do not change any more, or not before somebody has looked at the image.
ENDS = frozenset({"completed", "failed", "needs_review", "rejected"})

_OPEN = frozenset({"queued", "running", "cancelling"})

T = TypeVar("T")


class Result(Protocol):
    """What became of one item of a batch."""

    @property
    def id(self) -> str:
        """As it was asked for."""

    @property
    def retry_after(self) -> int | None:
        """When it makes sense to ask again, in seconds."""


R = TypeVar("R", bound=Result)
R_co = TypeVar("R_co", bound=Result, covariant=True)


class Batch(Protocol[R_co]):
    """What became of all of them."""

    @property
    def results(self) -> Sequence[R_co]:
        """In the order of the items."""


class Client(Calls):
    """The image service at `base_url` (by default `TRUSS_IMAGE_URL`).

    `api_key` is by default `TRUSS_IMAGE_API_KEY`; `token` is a JWT, in place of a key. `tenant` is for administrators.
    One exchange may take `timeout` seconds. A call that was refused for a time, or got no answer, is repeated as the
    service says, until no call at all has got through for `patience` seconds; meanwhile other calls wait too. `http` is
    for proxies, certificates and tests; whoever gives it closes it. Use the client as a context manager, or close it
    with `close`.
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
        http: httpx.Client | None = None,
    ) -> None:
        url = base_url or os.environ.get("TRUSS_IMAGE_URL", "")
        if not url.startswith(("http://", "https://")):
            raise ValueError("give the base URL of the service, as base_url or in TRUSS_IMAGE_URL")
        key = os.environ.get("TRUSS_IMAGE_API_KEY") if api_key is None and token is None else api_key
        given = {"X-Api-Key": key, "Authorization": f"Bearer {token}" if token else None, "X-Tenant": tenant}
        credentials = {name: value for name, value in given.items() if value}
        self._owned = http is None
        self._http = http or httpx.Client(timeout=httpx.Timeout(timeout, connect=10.0, pool=None))
        self._transport = Transport(self._http, url, lambda: credentials, patience)
        self._urls = UploadUrls(self._transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        if self._owned:
            self._http.close()

    # -- one image ----------------------------------------------------------------------------------------------------

    def upload(
        self,
        source: Source,
        *,
        filename: str | None = None,
        content_type: str | None = None,
        preset: str | None = None,
        metadata: Mapping[str, str] | None = None,
        dedupe: bool = False,
        progress: Progress | None = None,
        begun: Callable[[Upload], object] | None = None,
        idempotency_key: str | None = None,
        multipart_bytes: int = MULTIPART_BYTES,
    ) -> Upload:
        """Send a file straight to the storage, bound to its size and checksum.

        `source` is a path, bytes, an open file, or a `Content`. `progress` hears how many bytes were sent, and of how
        many; `begun` hears the ids before the first is sent. A file of more than `multipart_bytes` goes up in parts.
        Uploads that begin at the same time get their URLs in one call.

        An upload that was broken off, even with its process, goes on if it is called again within a day with the same
        file and the same `idempotency_key`: parts that are there are not sent again, and nothing is stored twice. With
        `dedupe`, bytes of an image that is complete are not sent at all.
        """
        content = source if isinstance(source, Content) else aside(partial(Content, source))
        try:
            terms = {
                "filename": filename_of(filename) if filename else content.filename,
                "contentType": content_type or content.content_type,
                "size": content.size,
                "checksumSha256": aside(content.checksum),
                "preset": preset,
                "metadata": metadata,
                "dedupe": dedupe,
            }
            uploads = Uploads(self._transport, self, content, progress, begun)
            if content.size > multipart_bytes:
                return uploads.in_parts(terms, idempotency_key)
            return uploads.whole(self._urls, {**terms, "once": True}, idempotency_key)
        finally:
            if content is not source:
                content.close()

    def follow(self, processing_id: str, *, timeout: float = 300.0) -> Iterator[Job]:
        """The job now and at each change, until it has ended or needs a review; the one in its place, if it was
        superseded.

        The service answers as soon as there is a change, so this asks little. Raises `NotDone` after `timeout` seconds.
        """
        until = monotonic() + timeout
        etag = ""
        while True:
            began = monotonic()
            wait = max(1, int(min(WAIT_SECONDS, until - began)))
            path = f"/images/status/{quoted(processing_id)}"
            answer = self._transport.send("GET", path, query={"wait": wait}, etag=etag)
            if answer.document is not None:
                job, etag = answer.model(Job), answer.etag
                if job.superseded_by is not None:
                    processing_id, etag = job.superseded_by, ""
                else:
                    yield job
                    if job.status in ENDS:
                        return
            if monotonic() >= until:
                raise NotDone(f"{processing_id} has not ended after {timeout:.0f} s; it goes on in the service")
            pause(max(0.0, began + LOOK_SECONDS - monotonic()))

    def wait(self, processing_id: str, *, timeout: float = 300.0) -> Job:
        """The job once it has completed; the one in its place, if it was superseded.

        Raises `JobFailed`, also while it needs a review, and `NotDone` after `timeout` seconds.
        """
        for job in self.follow(processing_id, timeout=timeout):
            if job.status == "completed":
                return job
            if job.status in ENDS:
                raise JobFailed(job)
        raise AssertionError("what is followed has an end")

    def convert(self, source: Source, *, preset: str | None = None, timeout: float = 300.0) -> Job:
        """Upload a file, and wait until its variants are there."""
        uploaded = self.upload(source, preset=preset)
        return self.wait(uploaded.processing_id, timeout=timeout)

    # -- many images --------------------------------------------------------------------------------------------------

    def process_images(self, unique_ids: Sequence[str], *, preset: str | None = None) -> list[ProcessResult]:
        """Convert images again, a hundred in a call. Each has a result, also one that is refused.

        An image that the service can only convert later is tried again when it says so.
        """
        found: list[ProcessResult] = []
        for some in _hundreds(unique_ids):
            found += self._in_rounds("process", BatchProcess, some, {"preset": preset})
        return found

    def delete_images(self, unique_ids: Sequence[str]) -> list[DeleteResult]:
        """Delete images for ever, a hundred in a call. Each has a result, as in `process_images`."""
        found: list[DeleteResult] = []
        for some in _hundreds(unique_ids):
            found += self._in_rounds("delete", BatchDelete, some, {})
        return found

    def _in_rounds(
        self, operation: str, kind: type[Batch[R]], unique_ids: Sequence[str], more: Mapping[str, Any]
    ) -> list[R]:
        found: dict[str, R] = {}
        waiting = list(unique_ids)
        for left in reversed(range(ROUNDS)):
            body = plain({"uniqueIds": waiting, **more})
            batch = self._transport.call(kind, "POST", f"/images/batch/{operation}", body=body)
            found |= {result.id: result for result in batch.results}
            again = {
                each.id: each.retry_after
                for each in batch.results
                if each.retry_after is not None and each.retry_after <= self._transport.gate.patience
            }
            if not left or not again:
                break
            waiting = list(again)
            pause(max(again.values()))
        return [found[each] for each in unique_ids if each in found]

    def process_matching(
        self, matching: ImageFilter, *, preset: str | None = None, idempotency_key: str | None = None
    ) -> BulkJob:
        """Convert all images that match again, in the background: see `wait_for_batch`."""
        body = plain({"filter": matching, "preset": preset})
        return self._transport.call(
            BulkJob, "POST", "/images/batch/process", body=body, idempotency_key=idempotency_key
        )

    def delete_matching(self, matching: ImageFilter, *, idempotency_key: str | None = None) -> BulkJob:
        """Delete all images that match for ever, in the background: see `wait_for_batch`."""
        body = plain({"filter": matching})
        return self._transport.call(BulkJob, "POST", "/images/batch/delete", body=body, idempotency_key=idempotency_key)

    def wait_for_batch(
        self, batch_id: str, *, timeout: float = 3600.0, progress: Callable[[BulkJob], object] | None = None
    ) -> BulkJob:
        """The bulk job once it has ended; its `state` says how. `progress` hears how far it is, once a second.

        Raises `NotDone` after `timeout` seconds.
        """
        until = monotonic() + timeout
        while True:
            job = self.get_batch(batch_id)
            if job.state not in _OPEN:
                return job
            if progress is not None:
                progress(job)
            if monotonic() >= until:
                raise NotDone(f"{batch_id} has not ended after {timeout:.0f} s; it goes on in the service")
            pause(BULK_LOOK_SECONDS)

    # -- everything else ----------------------------------------------------------------------------------------------

    def events(
        self,
        *,
        types: Sequence[str] = (),
        unique_id: str | None = None,
        processing_id: str | None = None,
        last_event_id: str = "",
        missed: Callable[[datetime], object] | None = None,
    ) -> EventStream:
        """What happens to images, as it happens: of one image, of one job, or only events of these `types`.

        An iterator without an end. It begins behind the event `last_event_id` of the last hour; without that, now, or
        with the beginning of the job. When the
        connection breaks, it goes on where it was, and tells nothing twice. `missed` hears since when events are
        told again, where some were lost.
        """
        query = {"types": ",".join(sorted(types)) or None, "uniqueId": unique_id, "processingId": processing_id}
        begin = last_event_id or _beginning(processing_id or "")
        return EventStream(self._transport, plain(query), begin, missed)

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: object = None,
        idempotency_key: str | None = None,
    ) -> Answer:
        """Any call, and its answer as it came: for what this release has no method for."""
        return self._transport.send(method, path, query=query, body=body, idempotency_key=idempotency_key)


def _beginning(processing_id: str) -> str:
    """What the id of the first event of a job is behind: both begin with a time."""
    return "".join(f"{milliseconds}-0" for milliseconds in processing_id.split("_")[1:2])


def _hundreds(names: Sequence[T]) -> list[list[T]]:
    return [list(names[start : start + BATCH]) for start in range(0, len(names), BATCH)]
