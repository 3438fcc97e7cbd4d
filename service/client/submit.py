"""What a client does with a photo: ask for the URL, upload, follow the status."""

from __future__ import annotations

import asyncio
import json
import mimetypes
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_attempt,
    wait_random_exponential,
)

#: First and longest pause between two looks at the status, in seconds.
POLL_SECONDS = (0.15, 2.0)
#: How often a call is tried when the service is away or busy, and by which statuses that is known.
TRIES = 4
AWAY = frozenset({429, 502, 503, 504})
#: Longest first pause between two tries, and longest pause of all, in seconds.
CALL_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
#: Longest that one HTTP exchange with the API may take; an upload may take as long as its job.
CALL_TIMEOUT_SECONDS = 30
#: Bytes read from a file at a time.
CHUNK_BYTES = 256 * 1024
#: Files of more bytes go up in parts, so many of them at once.
MULTIPART_BYTES = 64 * 1024 * 1024
PARTS_AT_ONCE = 4
#: Longest first pause before a part is sent again, in seconds.
PART_PAUSE_SECONDS = 1.0


class SubmitError(Exception):
    """A photo could not be submitted; the message is fit for the person who asked."""


class _Away(SubmitError):
    """It may succeed in a moment."""

    def __init__(self, message: str, retry_after: str = "") -> None:
        super().__init__(message)
        #: What the service said about how long, in seconds.
        self.retry_after = min(LONGEST_PAUSE_SECONDS, int(retry_after)) if retry_after.isdecimal() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one photo. `variants` is the API's `processedImages`; `seconds` runs from the first call."""

    photo: Path
    status: str
    seconds: float
    processing_id: str = ""
    unique_id: str = ""
    variants: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""

    @property
    def ok(self) -> bool:
        """Whether every variant is there."""
        return self.status == "completed"


#: Told of every change: the photo, its state, and, while it is `uploading`, the bytes sent so far.
Progress = Callable[[Path, str, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitter:
    """Submits photos to the service at `base_url`, at most `concurrency` at once."""

    session: aiohttp.ClientSession
    base_url: str
    concurrency: int
    timeout_seconds: float
    progress: Progress
    #: Goes to the API alone, never to where the file goes.
    api_key: str | None = field(default=None, repr=False)

    async def submit(self, photos: Sequence[Path]) -> list[Result]:
        """One result a photo, in order; a photo that fails does not keep the others from their end."""
        slots = asyncio.Semaphore(self.concurrency)

        async def one(photo: Path) -> Result:
            async with slots:
                return await self._submit(photo)

        return await asyncio.gather(*(one(photo) for photo in photos))

    async def _submit(self, photo: Path) -> Result:
        started = time.monotonic()
        try:
            async with asyncio.timeout(self.timeout_seconds):
                job = await self._run(photo)
        except TimeoutError:
            return self._failed(photo, started, f"not done after {self.timeout_seconds:.0f} s")
        except (SubmitError, aiohttp.ClientError, OSError) as error:
            return self._failed(photo, started, str(error) or type(error).__name__)
        failure = job["error"]
        result = Result(
            photo=photo,
            status=job["status"],
            seconds=time.monotonic() - started,
            processing_id=job["processingId"],
            unique_id=job["uniqueId"],
            variants=job["processedImages"],
            error=f"{failure['code']}: {failure['message']}" if failure else "",
        )
        self.progress(photo, result.status, 0)
        return result

    def _failed(self, photo: Path, started: float, error: str) -> Result:
        self.progress(photo, "failed", 0)
        return Result(photo=photo, status="failed", seconds=time.monotonic() - started, error=error)

    async def _run(self, photo: Path) -> Mapping[str, Any]:
        size = await asyncio.to_thread(lambda: photo.stat().st_size)
        self.progress(photo, "asking", 0)
        asked: dict[str, Any] = {"filename": photo.name}
        if size:  # an empty file is refused after the upload, with its code
            asked["size"] = size
        guessed = mimetypes.guess_type(photo.name)[0]
        if guessed and guessed.startswith("image/"):
            asked["contentType"] = guessed
        if size > MULTIPART_BYTES:
            issued = await self._call("POST", "/images/multipart", json_body=asked)
            await self._upload_parts(photo, issued)
        else:
            issued = await self._call("POST", "/images/upload-url", json_body=asked)
            await self._upload(photo, size, issued)
        return await self._follow(photo, issued["processingId"])

    async def _upload(self, photo: Path, size: int, issued: Mapping[str, Any]) -> None:
        headers = {**issued["headers"], "Content-Length": str(size)}
        body = _chunks(photo, 0, size, lambda sent: self.progress(photo, "uploading", sent))
        async with self.session.put(issued["uploadUrl"], data=body, headers=headers) as answer:
            if not answer.ok:
                raise SubmitError(f"the upload was refused (HTTP {answer.status})")

    async def _upload_parts(self, photo: Path, issued: Mapping[str, Any]) -> None:
        slots = asyncio.Semaphore(PARTS_AT_ONCE)
        sent: dict[int, int] = {}

        def tell(number: int, size: int) -> None:
            sent[number] = size
            self.progress(photo, "uploading", sum(sent.values()))

        async def one(part: Mapping[str, Any]) -> None:
            async with slots:
                await self._send_part(photo, issued["partSize"], part, tell)

        try:
            async with asyncio.TaskGroup() as group:
                for part in issued["parts"]:
                    group.create_task(one(part))
        except ExceptionGroup as failed:  # the first one ends the others
            raise failed.exceptions[0] from None
        await self._call("POST", f"/images/multipart/{issued['uniqueId']}/complete")

    async def _send_part(
        self, photo: Path, part_size: int, part: Mapping[str, Any], tell: Callable[[int, int], None]
    ) -> None:
        """One part; sent again while the connection breaks or S3 is busy."""
        number, size = part["partNumber"], part["size"]
        refused = f"part {number} of the upload was refused"

        async def attempt() -> None:
            body = _chunks(photo, (number - 1) * part_size, size, lambda sent: tell(number, sent))
            try:
                async with self.session.put(part["url"], data=body, headers=part["headers"]) as answer:
                    if not answer.ok:
                        kind = _Away if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR else SubmitError
                        raise kind(f"{refused} (HTTP {answer.status})")
            except aiohttp.ClientError as error:
                raise _Away(f"{refused} ({type(error).__name__})") from None

        await _again(PART_PAUSE_SECONDS)(attempt)

    async def _follow(self, photo: Path, processing_id: str) -> Mapping[str, Any]:
        pause, longest = POLL_SECONDS
        while True:
            job = await self._call("GET", f"/images/status/{processing_id}")
            if job["status"] in ("completed", "failed"):
                return job
            self.progress(photo, job["status"], 0)
            await asyncio.sleep(pause)
            pause = min(longest, pause * 1.3)

    async def _call(self, method: str, path: str, json_body: object = None) -> Mapping[str, Any]:
        """One call of the API; tried again while the service is away or asks to wait."""
        timeout = aiohttp.ClientTimeout(total=CALL_TIMEOUT_SECONDS)
        headers = {"Idempotency-Key": uuid.uuid4().hex} | ({"X-Api-Key": self.api_key} if self.api_key else {})

        async def attempt() -> Mapping[str, Any]:
            try:
                async with self.session.request(
                    method, self.base_url + path, json=json_body, headers=headers, timeout=timeout
                ) as answer:
                    return await _document(answer)
            except (aiohttp.ClientConnectionError, TimeoutError):
                raise _Away(f"no answer from {self.base_url}") from None

        return await _again(CALL_PAUSE_SECONDS)(attempt)


@asynccontextmanager
async def open_submitter(
    base_url: str, *, concurrency: int, timeout_seconds: float, progress: Progress, api_key: str | None = None
) -> AsyncIterator[Submitter]:
    """A submitter with a session of its own."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, sock_connect=10)) as session:
        yield Submitter(
            session=session,
            base_url=base_url.rstrip("/"),
            concurrency=concurrency,
            timeout_seconds=timeout_seconds,
            progress=progress,
            api_key=api_key,
        )


async def _document(answer: aiohttp.ClientResponse) -> Mapping[str, Any]:
    try:
        document = json.loads(await answer.read())
    except ValueError:
        document = None
    if isinstance(document, dict) and answer.ok:
        return document
    if isinstance(document, dict):
        why = f"{document.get('code', answer.status)}: {document.get('detail', answer.reason)}"
    else:
        why = f"{answer.url.path} does not speak this API (HTTP {answer.status})"
    if answer.status in AWAY:
        raise _Away(why, answer.headers.get("Retry-After", ""))
    raise SubmitError(why)


def _again(pause_seconds: float) -> AsyncRetrying:
    """Tries again what is away for a moment, after pauses that grow or as long as the service says."""
    growing = wait_random_exponential(multiplier=pause_seconds, max=LONGEST_PAUSE_SECONDS)

    def pause(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        told = error.retry_after if isinstance(error, _Away) else None
        return growing(state) if told is None else told

    return AsyncRetrying(retry=retry_if_exception_type(_Away), stop=stop_after_attempt(TRIES), wait=pause, reraise=True)


async def _chunks(photo: Path, start: int, size: int, tell: Callable[[int], None]) -> AsyncIterator[bytes]:
    """`size` bytes of the file from `start` on, read outside the event loop; `tell` hears how many were taken."""
    sent = 0
    with photo.open("rb") as file:
        file.seek(start)
        while chunk := await asyncio.to_thread(file.read, min(CHUNK_BYTES, size - sent)):
            yield chunk
            sent += len(chunk)
            tell(sent)
