"""What is done with photos: uploaded, and followed to the end of their jobs; an earlier run is gone on with.

An upload is named after its content (`Idempotency-Key`), so that whoever repeats it gets the same image and the same
job; bytes that are completed already are not sent.
"""

from __future__ import annotations

import asyncio
import json
import math
import stat
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Protocol

from service.client.api import Api
from service.client.errors import Refused, SubmitError, Unusable
from service.client.result import COMPLETED, ENDS, FAILED, INTERRUPTED, Result
from truss_image_client import AsyncClient, Content, NotDone, Upload, document
from truss_image_client.models import Job, Process

#: Files of more bytes go up in parts.
MULTIPART_BYTES = 64 * 1024 * 1024
#: Jobs that are looked up in one call, at most.
BATCH = 100

#: What an image that is not there any more, or can never be finished, is answered with.
_GONE = frozenset({"job_not_found", "image_not_found", "image_deleted", "not_uploaded", "upload_expired"})
#: Stands for an image that is gone, in the name of the request for the one in its place; and how often in a row.
_NAMELESS = "+"
MAX_GONE = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """`shown` is what the person called it; `name` is what the service is told, where that differs."""

    path: Path
    shown: str
    name: str = ""


@dataclass(slots=True, kw_only=True)
class Work:
    """One photo under way."""

    photo: Photo
    state: str = "reading"
    size: int = 0
    sent: int = 0
    #: Bytes that this run brought to the storage.
    arrived: int = 0
    existing: bool = False
    processing_id: str = ""
    unique_id: str = ""
    started: float = field(default_factory=time.monotonic)

    def names(self, processing_id: str, unique_id: str) -> None:
        """The ids of what is under way."""
        self.processing_id, self.unique_id = processing_id, unique_id

    def result(self, status: str, error: str = "") -> Result:
        return Result(
            photo=self.photo.shown,
            status=status,
            seconds=time.monotonic() - self.started,
            sent=self.arrived,
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
    concurrency: int
    timeout_seconds: float
    observer: Observer
    #: Name of the preset; None: the tenant's default.
    preset: str | None = None
    #: Which job has the bytes with this checksum, of those that this run completed.
    _completed: dict[str, tuple[str, str]] = field(default_factory=dict)
    _locks: dict[str, asyncio.Lock] = field(default_factory=dict)

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
        return replace(work.result(job.status), **_fields(job))

    async def _submit(self, work: Work) -> Job:
        with self.api.told(), await asyncio.to_thread(_opened, work.photo) as content:
            work.size = content.size
            checksum = await asyncio.to_thread(content.checksum)
            # The same bytes under two names are one image; the second waits for the first.
            async with self._locks.setdefault(checksum, asyncio.Lock()):
                job = await self._known(work, checksum) or await self._begin(work, content)
                if job.status == COMPLETED:
                    self._completed[checksum] = job.processing_id, job.unique_id
                return job

    async def _known(self, work: Work, checksum: str) -> Job | None:
        if checksum not in self._completed:
            return None
        work.names(*self._completed[checksum])
        work.existing = True
        return await self._status(work)

    async def _begin(self, work: Work, content: Content) -> Job:
        """Upload, and follow the job. An image that was deleted since an earlier run is replaced by a new one, whose
        upload is named after it."""
        in_place_of = ""
        while True:
            begun: list[Upload] = []
            try:
                with self.api.told():
                    uploaded = await self._upload(work, content, in_place_of, begun)
                    work.arrived = uploaded.sent
                    if uploaded.existing:
                        return await self._go_on(work, uploaded.job)
            except Refused as refused:
                in_place_of = _next_name(in_place_of, refused, begun)
                work.existing = False
            else:
                return await self._follow(work)

    async def _upload(self, work: Work, content: Content, in_place_of: str, begun: list[Upload]) -> Upload:
        def begins(upload: Upload) -> None:
            begun.append(upload)
            work.names(upload.processing_id, upload.unique_id)

        def tell(sent: int, _: int) -> None:
            work.sent = sent
            self._tell(work, "uploading")

        self._tell(work, "asking")
        return await self.api.images.upload(
            content,
            filename=work.photo.name or None,
            preset=self.preset,
            dedupe=True,
            progress=tell,
            begun=begins,
            idempotency_key=_name_of(content.checksum(), content.filename, self.preset, in_place_of),
            multipart_bytes=MULTIPART_BYTES,
        )

    async def _go_on(self, work: Work, job: Job | None) -> Job:
        """Continue where an earlier run, or somebody else with the same bytes, has stopped."""
        if job is None or job.superseded_by is not None:
            job = await self._status(work)
        work.existing = job.status == COMPLETED
        while job.status == FAILED:
            path = f"/images/process/{work.unique_id}"
            answer = await self.api.images.request("POST", path, idempotency_key=_name_of(path, work.processing_id))
            again = answer.model(Process)
            work.names(again.processing_id, again.unique_id)
            job = await self._follow(work)
            if not answer.replayed:
                break
        return job if job.status in ENDS else await self._follow(work)

    async def _follow(self, work: Work) -> Job:
        with self.api.told():
            async for job in self.api.images.follow(work.processing_id, timeout=math.inf):
                self._tell(work, job.status)
                if job.status in ENDS:
                    return job
        raise AssertionError("what is followed has an end")

    async def _status(self, work: Work) -> Job:
        job = await look(self.api.images, work.processing_id)
        self._tell(work, job.status)
        return job

    def _tell(self, work: Work, state: str) -> None:
        work.state = state
        self.observer.changed(work)


def _next_name(in_place_of: str, refused: Refused, begun: Sequence[Upload]) -> str:
    """What an earlier run began may be gone, and then the service does not always say which image that was.

    Raises what is no such refusal.
    """
    if refused.code not in _GONE:
        raise refused
    if begun and begun[-1].unique_id != in_place_of:
        return begun[-1].unique_id
    if begun or in_place_of.endswith(MAX_GONE * _NAMELESS):
        raise refused
    return in_place_of + _NAMELESS


def _opened(photo: Photo) -> Content:
    found = None
    with suppress(OSError):  # told with the others, by whoever opens it
        found = photo.path.stat()
    if found is not None and not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
        raise SubmitError("it is a pipe or a device, not a file; `-` reads standard input")
    return Content(photo.path, photo.name or None)


async def look(images: AsyncClient, processing_id: str) -> Job:
    """A job; or the one that replaced it."""
    job = await images.get_status(processing_id)
    return job if job.superseded_by is None else await look(images, job.superseded_by)


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


async def _look_at_once(api: Api, processing_ids: Sequence[str]) -> Mapping[str, Job]:
    """Jobs as the API shows them, of one call; without those of which it shows no job, or one that was replaced."""
    try:
        with api.told():
            answer = await api.images.get_statuses(processing_ids=processing_ids)
    except Refused:  # each by itself then says why
        return {}
    found = {each.id: each.answer for each in answer.results}
    return {name: job for name, job in found.items() if job is not None and job.superseded_by is None}


async def _looked_up(api: Api, processing_id: str, job: Job | None, patience_seconds: float | None) -> Result:
    with api.told():
        if job is None:
            job = await look(api.images, processing_id)
        if patience_seconds is not None and job.status not in ENDS:
            with suppress(NotDone):
                async for each in api.images.follow(job.processing_id, timeout=patience_seconds):
                    job = each
    return Result(photo=job.filename or processing_id, **_fields(job))


def _fields(job: Job) -> dict[str, Any]:
    return {
        "status": job.status,
        "processing_id": job.processing_id,
        "unique_id": job.unique_id,
        "variants": document(job)["processedImages"],
        "error": f"{job.error.code}: {job.error.message}" if job.error else "",
        "ended": job.status in ENDS,
    }


def _name_of(*request: object) -> str:
    """The same for the same request, whoever repeats it and when."""
    return sha256(json.dumps(request, sort_keys=True).encode()).hexdigest()
