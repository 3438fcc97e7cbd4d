"""What a client does with photos: asks for a URL, uploads, follows the job; and goes on where an earlier run stopped.

A request that makes something is named after its content (`Idempotency-Key`), so that whoever repeats it gets the same
image and the same job; a URL is good for one object; bytes that are completed already are not sent.
"""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Protocol
from urllib.parse import quote

import aiohttp

from service.client.api import Answer, Api
from service.client.errors import Refused, SubmitError, Unusable, UrlExpired
from service.client.photo import Content, Photo, read_content
from service.client.result import COMPLETED, ENDS, FAILED, INTERRUPTED, Result
from service.client.storage import Piece, Storage
from service.client.urls import PATH, UploadUrls

#: How long the service is asked to wait for a job to change, in seconds.
WAIT_SECONDS = 10
#: First and longest time from one look at the status to the next, in seconds: a service of before does not wait.
POLL_SECONDS = (0.15, 2.0)
#: Files of more bytes go up in parts, so many of them at once.
MULTIPART_BYTES = 64 * 1024 * 1024
PARTS_AT_ONCE = 4
#: Jobs that are looked up in one call, at most.
BATCH = 100
#: How often a URL that has run out is replaced for one upload.
REFRESHES = 3

#: What an image that is not there any more, or can never be finished, is answered with.
_GONE = frozenset({"job_not_found", "image_not_found", "image_deleted", "not_uploaded", "upload_expired"})
#: Stands for an image that is gone, in the name of the request for the one in its place; and how often in a row.
_NAMELESS = "+"
MAX_GONE = 5


@dataclass(slots=True, kw_only=True)
class Work:
    """One photo under way."""

    photo: Photo
    state: str = "reading"
    size: int = 0
    sent: int = 0
    uploaded: bool = False
    existing: bool = False
    processing_id: str = ""
    unique_id: str = ""
    started: float = field(default_factory=time.monotonic)

    def names(self, document: Mapping[str, Any]) -> None:
        """The ids of what is under way."""
        self.processing_id, self.unique_id = document["processingId"], document["uniqueId"]

    def result(self, status: str, error: str = "") -> Result:
        return Result(
            photo=self.photo.shown,
            status=status,
            seconds=time.monotonic() - self.started,
            sent=self.size if self.uploaded else 0,
            existing=self.existing and status == COMPLETED,
            processing_id=self.processing_id,
            unique_id=self.unique_id,
            error=error,
            ended=not self.processing_id,
        )


class Observer(Protocol):
    """Hears how photos fare."""

    def changed(self, work: Work) -> None:
        """A photo under way has another state, or more of it is sent."""

    def done(self, work: Work, result: Result) -> None:
        """A photo has come to its end."""

    def not_begun(self, photo: str, status: str, error: str) -> None:
        """No call was made for a photo."""


@dataclass(slots=True, kw_only=True)
class Submitter:
    """Submits photos, at most `concurrency` at once."""

    api: Api
    storage: Storage
    concurrency: int
    timeout_seconds: float
    observer: Observer
    #: Name of the preset; None: the tenant's default.
    preset: str | None = None
    #: Which job has the bytes with this checksum, of those that this run completed.
    _completed: dict[str, tuple[str, str]] = field(default_factory=dict)
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict)
    _urls: UploadUrls = field(init=False)

    def __post_init__(self) -> None:
        self._urls = UploadUrls(api=self.api)

    async def submit(self, photos: Sequence[Photo]) -> None:
        """Tell the observer of every photo, of each as it ends; one that fails does not keep the others from theirs.

        When the service is of no use, `api.unusable` says why, and photos that were not begun fail for that reason.
        """
        waiting = iter(photos)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self.concurrency, len(photos))):
                    group.create_task(self._work_off(waiting))
        except asyncio.CancelledError:
            self._give_up(waiting, INTERRUPTED, "not begun")
            raise
        self._give_up(waiting, FAILED, str(self.api.unusable))

    def _give_up(self, waiting: Iterator[Photo], status: str, error: str) -> None:
        for photo in waiting:
            self.observer.not_begun(photo.shown, status, error)

    async def _work_off(self, waiting: Iterator[Photo]) -> None:
        for photo in waiting:
            work = Work(photo=photo)
            self.observer.changed(work)
            try:
                result = await self._result(work)
            except asyncio.CancelledError:
                self.observer.done(work, work.result(INTERRUPTED, f"while {work.state}"))
                raise
            if self.api.unusable is not None and not work.processing_id:
                self.observer.not_begun(photo.shown, FAILED, str(self.api.unusable))
            else:
                self.observer.done(work, result)
            if self.api.unusable is not None:
                return

    async def _result(self, work: Work) -> Result:
        try:
            async with asyncio.timeout(self.timeout_seconds):
                job = await self._submit(work)
        except TimeoutError:
            return work.result(FAILED, f"not done after {self.timeout_seconds:.0f} s")
        except SubmitError as error:
            return work.result(FAILED, str(error))
        except OSError as error:
            return work.result(FAILED, f"it cannot be read: {error.strerror or error}")
        return replace(work.result(job["status"]), **_fields(job))

    async def _submit(self, work: Work) -> Mapping[str, Any]:
        content = await read_content(work.photo)
        work.size = content.size
        # The same bytes under two names are one image; the second waits for the first.
        async with self._locks.setdefault(content.checksum, asyncio.Lock()):
            job = await self._known(work, content) or await self._begin(work, content)
            if job["status"] == COMPLETED:
                self._completed[content.checksum] = job["processingId"], job["uniqueId"]
            return job

    async def _known(self, work: Work, content: Content) -> Mapping[str, Any] | None:
        if content.checksum not in self._completed:
            return None
        work.processing_id, work.unique_id = self._completed[content.checksum]
        work.existing = True
        return await self._status(work)

    async def _begin(self, work: Work, content: Content) -> Mapping[str, Any]:
        """Begin an upload. An image that was deleted since an earlier run is replaced by a new one, whose request is
        named after it."""
        in_place_of = ""
        while True:
            issued = await self._issue_at_last(work, content, in_place_of)
            try:
                if issued.document.get("duplicateOf"):
                    work.existing = True
                    return await self._status(work)
                if issued.replayed:
                    return await self._go_on(work, content, issued.document)
            except Refused as refused:
                if not issued.replayed or refused.code not in _GONE:
                    raise
                in_place_of = work.unique_id
                work.existing = False
            else:
                await self._upload(work, content, issued.document)
                return await self._follow(work)

    async def _issue_at_last(self, work: Work, content: Content, in_place_of: str) -> Answer:
        """What an earlier run began may be gone, and then the service does not say which image that was."""
        for times in range(MAX_GONE):
            try:
                return await self._issue(work, content, in_place_of + times * _NAMELESS)
            except Refused as refused:
                if refused.code not in _GONE:
                    raise
        return await self._issue(work, content, in_place_of + MAX_GONE * _NAMELESS)

    async def _issue(self, work: Work, content: Content, in_place_of: str) -> Answer:
        asked = content.asked() | {"dedupe": True}
        asked |= {} if self.preset is None else {"preset": self.preset}
        self._tell(work, "asking")
        if content.size > MULTIPART_BYTES:
            issued = await self._begin_parts(asked, in_place_of)
        else:
            asked |= {"once": True}
            issued = await self._urls.ask(asked, _name_of(PATH, asked, in_place_of))
        work.names(issued.document)
        return issued

    async def _begin_parts(self, asked: Mapping[str, Any], in_place_of: str) -> Answer:
        path = "/images/multipart"
        key = _name_of(path, asked, in_place_of)
        return await self.api.call("POST", path, body=asked, idempotency_key=key, expect=("processingId", "uniqueId"))

    async def _go_on(self, work: Work, content: Content, issued: Mapping[str, Any]) -> Mapping[str, Any]:
        """Continue where an earlier run with the same answer stopped."""
        job = await self._status(work)
        if job["status"] == "pending":
            await self._upload(work, content, await self._signed_again(work, issued))
            return await self._follow(work)
        work.existing = job["status"] == COMPLETED
        while job["status"] == FAILED:
            path = f"/images/process/{work.unique_id}"
            again = await self.api.call(
                "POST", path, idempotency_key=_name_of(path, work.processing_id), expect=("processingId", "uniqueId")
            )
            work.names(again.document)
            if not again.replayed:
                break
            job = await self._follow(work)
        return await self._follow(work)

    async def _signed_again(self, work: Work, issued: Mapping[str, Any]) -> Mapping[str, Any]:
        """New URLs for an upload of an earlier run, whose URLs may have expired; empty if the file has arrived
        meanwhile."""
        if "parts" in issued:
            return await self._missing(work)
        try:
            return (await self._refreshed(work)).document
        except Refused as refused:
            if refused.code != "already_uploaded":
                raise
            return {}

    async def _missing(self, work: Work) -> Mapping[str, Any]:
        try:
            await self._complete(work)
        except Refused as refused:
            if refused.code != "upload_incomplete":
                raise
            return (await self._parts(work, refused.problem.get("missingParts"))).document
        return {}

    async def _upload(self, work: Work, content: Content, issued: Mapping[str, Any]) -> None:
        if "parts" in issued:
            await self._upload_parts(work, content, issued)
        elif issued:
            await self._upload_whole(work, content, issued)

    async def _upload_whole(self, work: Work, content: Content, issued: Mapping[str, Any]) -> None:
        piece = Piece(path=content.photo.path, start=0, size=content.size)

        def tell(sent: int) -> None:
            self._sent(work, sent)

        for left in reversed(range(REFRESHES + 1)):
            try:
                work.uploaded = await self.storage.put(piece, issued["uploadUrl"], issued["headers"], tell)
            except UrlExpired:
                if not left:
                    raise
            else:
                return
            issued = await self._signed_again(work, issued)
            if not issued:
                return

    async def _upload_parts(self, work: Work, content: Content, issued: Mapping[str, Any]) -> None:
        slots = asyncio.Semaphore(PARTS_AT_ONCE)
        sent: dict[int, int] = {}

        def tell(number: int, size: int) -> None:
            sent[number] = size
            self._sent(work, sum(sent.values()))

        async def one(part: Mapping[str, Any]) -> None:
            async with slots:
                await self._send_part(
                    work, content, issued["partSize"], part, lambda size: tell(part["partNumber"], size)
                )

        try:
            async with asyncio.TaskGroup() as group:
                for part in issued["parts"]:
                    group.create_task(one(part))
        except ExceptionGroup as failed:  # the first one ends the others
            raise failed.exceptions[0] from None
        await self._complete(work)
        work.uploaded = True

    async def _send_part(
        self, work: Work, content: Content, part_size: int, part: Mapping[str, Any], tell: Callable[[int], None]
    ) -> None:
        number = part["partNumber"]
        piece = Piece(path=content.photo.path, start=(number - 1) * part_size, size=part["size"])
        for left in reversed(range(REFRESHES + 1)):
            try:
                await self.storage.put(piece, part["url"], part["headers"], tell)
            except UrlExpired:
                if not left:
                    raise
            except SubmitError as error:
                raise SubmitError(f"part {number}: {error}") from None
            else:
                return
            (part,) = (await self._parts(work, [number])).document["parts"]

    async def _refreshed(self, work: Work) -> Answer:
        return await self.api.call(
            "POST", f"/images/upload-url/{work.unique_id}/refresh", expect=("uploadUrl", "headers")
        )

    async def _parts(self, work: Work, numbers: Sequence[int] | None) -> Answer:
        """URLs for parts, for all of them without numbers."""
        body = {} if numbers is None else {"partNumbers": numbers}
        return await self.api.call(
            "POST", f"/images/multipart/{work.unique_id}/parts", body=body, expect=("parts", "partSize")
        )

    async def _complete(self, work: Work) -> None:
        await self.api.call("POST", f"/images/multipart/{work.unique_id}/complete")

    async def _follow(self, work: Work) -> Mapping[str, Any]:
        async for seconds in _looks():
            job = await self._status(work, wait_seconds=seconds)
            if job["status"] in ENDS:
                return job
        raise AssertionError("there is always a next look")

    async def _status(self, work: Work, *, wait_seconds: int = 0) -> Mapping[str, Any]:
        job = await look(self.api, work.processing_id, wait_seconds=wait_seconds)
        self._tell(work, job["status"])
        return job

    def _sent(self, work: Work, sent: int) -> None:
        work.sent = sent
        self._tell(work, "uploading")

    def _tell(self, work: Work, state: str) -> None:
        work.state = state
        self.observer.changed(work)


async def look(api: Api, processing_id: str, *, wait_seconds: int = 0) -> Mapping[str, Any]:
    """A job as the API shows it, at its next change if it has not ended; or the one that replaced it.

    Raises `Refused`, `Unusable`.
    """
    path = f"/images/status/{quote(processing_id, safe='')}" + (f"?wait={wait_seconds}" if wait_seconds else "")
    answer = await api.call("GET", path, expect=("status", "processingId", "uniqueId", "processedImages", "error"))
    successor = answer.document.get("supersededBy")
    return await look(api, successor) if successor else answer.document


async def look_up(
    api: Api, processing_ids: Sequence[str], show: Callable[[Result], None], *, patience_seconds: float | None
) -> None:
    """Show each job, one after the other; with `patience_seconds`, once it has ended, or so much later."""
    for start in range(0, len(processing_ids), BATCH):
        some = processing_ids[start : start + BATCH]
        try:
            found = await _look_at_once(api, some) if len(some) > 1 else {}
        except Unusable:
            return
        for processing_id in some:
            try:
                show(await _looked_up(api, processing_id, found.get(processing_id), patience_seconds))
            except Refused as refused:
                show(Result(photo=processing_id, status=FAILED, error=str(refused)))
            except Unusable:
                return


async def _look_at_once(api: Api, processing_ids: Sequence[str]) -> Mapping[str, Mapping[str, Any]]:
    """Jobs as the API shows them, of one call; without those of which it shows no job, or one that was replaced."""
    try:
        asked = {"processingIds": list(processing_ids)}
        answer = await api.call("POST", "/images/batch/status", body=asked, expect=("results",))
    except Refused:  # each by itself then says why
        return {}
    found = {each["id"]: each["answer"] for each in answer.document["results"]}
    return {name: job for name, job in found.items() if job is not None and not job.get("supersededBy")}


async def _looked_up(
    api: Api, processing_id: str, job: Mapping[str, Any] | None, patience_seconds: float | None
) -> Result:
    if job is None:
        job = await look(api, processing_id)
    with suppress(TimeoutError):
        async with asyncio.timeout(patience_seconds or 0):
            async for seconds in _looks():
                if job["status"] in ENDS:
                    break
                job = await look(api, processing_id, wait_seconds=seconds)
    return Result(photo=str(job.get("filename", processing_id)), **_fields(job))


def _fields(job: Mapping[str, Any]) -> dict[str, Any]:
    failure = job["error"]
    return {
        "status": job["status"],
        "processing_id": job["processingId"],
        "unique_id": job["uniqueId"],
        "variants": job["processedImages"],
        "error": f"{failure['code']}: {failure['message']}" if failure else "",
        "ended": job["status"] in ENDS,
    }


async def _looks() -> AsyncIterator[int]:
    """How long to wait at each look at a job. Photos that began together drift apart."""
    pause, longest = POLL_SECONDS
    while True:
        began = time.monotonic()
        yield WAIT_SECONDS
        await asyncio.sleep(began + pause * random.uniform(0.8, 1.2) - time.monotonic())  # noqa: S311 - no secret
        pause = min(longest, pause * 1.3)


@asynccontextmanager
async def open_api(url: str, api_key: str | None) -> AsyncIterator[Api]:
    """The service at a base URL, over connections of its own."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        yield Api(session=session, url=url, api_key=api_key)


def _name_of(*request: object) -> str:
    """The same for the same request, whoever repeats it and when."""
    return sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
