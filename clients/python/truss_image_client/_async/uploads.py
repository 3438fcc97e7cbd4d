"""Uploads straight to the storage, in one piece or in parts; they go on where an earlier try stopped."""

from __future__ import annotations

import re
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from typing import Any

import httpx

from truss_image_client._async.calls import AsyncCalls
from truss_image_client._async.together import aside, pause, together
from truss_image_client._async.transport import AsyncTransport
from truss_image_client._async.urls import AsyncUploadUrls
from truss_image_client.content import CHUNK_BYTES, Content, Progress, Upload
from truss_image_client.errors import Conflict, UploadFailed
from truss_image_client.models import Job, Multipart, Part, UploadUrl
from truss_image_client.retrying import backoff
from truss_image_client.wire import plain

#: Files of more bytes go up in parts, so many of them at once.
MULTIPART_BYTES = 64 * 1024 * 1024
PARTS_AT_ONCE = 4
#: How often a piece is sent, how often a URL that has run out is replaced, and how often missing parts are sent again.
TRIES = 6
REFRESHES = 3
#: Longest silence of the storage, in seconds: it answers only when it has everything.
ANSWER_SECONDS = 120.0

_BUSY_CODES = frozenset(
    {"SlowDown", "RequestTimeout", "ConditionalRequestConflict", "OperationAborted", "InternalError"}
)
_BUSY_STATUSES = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
_EXPIRED_CODES = frozenset({"ExpiredToken", "TokenRefreshRequired"})


class _UrlExpired(UploadFailed):
    """The service must sign the upload again."""


class _Again(UploadFailed):
    """The piece may be sent once more."""


@dataclass(slots=True)
class _Sent:
    """How much of a file is sent, by piece: pieces go at once, and one that failed begins anew."""

    size: int
    progress: Progress | None
    arrived: int = 0
    _pieces: dict[int, int] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def tell(self, piece: int, sent: int) -> None:
        with self._lock:
            self._pieces[piece] = sent
            if self.progress is not None:
                self.progress(sum(self._pieces.values()), self.size)

    def has_arrived(self, size: int) -> None:
        with self._lock:
            self.arrived += size


class AsyncUploads:
    """One file on its way. `begun` hears of it before its bytes are sent."""

    def __init__(
        self,
        transport: AsyncTransport,
        calls: AsyncCalls,
        content: Content,
        progress: Progress | None,
        begun: Callable[[Upload], object] | None,
    ) -> None:
        self._transport = transport
        self._calls = calls
        self._content = content
        self._sent = _Sent(content.size, progress)
        self._begun = begun

    async def whole(self, urls: AsyncUploadUrls, terms: Mapping[str, Any], idempotency_key: str | None) -> Upload:
        """In one PUT."""
        found = await urls.ask(plain(terms), idempotency_key)
        issued = found.answer
        known = await self._known(issued, replayed=found.replayed)
        if known is not None:
            return known
        if found.replayed:
            refreshed = await self._refreshed(issued.unique_id)
            if refreshed is None:
                return self._upload(issued, existing=True)
            issued = refreshed
        await self._send_whole(issued)
        return self._upload(issued, existing=False)

    async def in_parts(self, terms: Mapping[str, Any], idempotency_key: str | None) -> Upload:
        """In parts. Of an upload that was begun before, only the parts that are missing are sent."""
        answer = await self._transport.send(
            "POST", "/images/multipart", body=plain(terms), idempotency_key=idempotency_key
        )
        begun = answer.model(Multipart)
        known = await self._known(begun, replayed=answer.replayed)
        if known is not None:
            return known
        await self._send_parts(begun, await self._missing(begun) if answer.replayed else begun.parts)
        for left in reversed(range(REFRESHES)):
            try:
                await self._calls.complete_multipart_upload(begun.unique_id)
            except Conflict as refused:
                missing = refused.problem.missing_parts
                if not left or refused.code != "upload_incomplete" or not missing:
                    raise
                await self._send_parts(begun, await self._signed(begun, missing))
            else:
                break
        return self._upload(begun, existing=False)

    async def _known(self, issued: UploadUrl | Multipart, *, replayed: bool) -> Upload | None:
        """What was there before; None: the bytes are still to be sent. Who wants to know hears which image they are."""
        is_duplicate = issued.duplicate_of is not None
        if self._begun is not None:
            self._begun(self._upload(issued, existing=is_duplicate))
        if is_duplicate or not replayed:
            return self._upload(issued, existing=True) if is_duplicate else None
        job = await self._calls.get_status(issued.processing_id)
        return None if job.status == "pending" else self._upload(issued, existing=True, job=job)

    def _upload(self, issued: UploadUrl | Multipart, *, existing: bool, job: Job | None = None) -> Upload:
        return Upload(
            unique_id=issued.unique_id,
            processing_id=issued.processing_id,
            key=issued.key,
            urls=issued.processed_image_urls,
            existing=existing,
            sent=self._sent.arrived,
            job=job,
        )

    async def _refreshed(self, unique_id: str) -> UploadUrl | None:
        """New URLs; None: the file has arrived meanwhile."""
        try:
            return await self._calls.refresh_upload_url(unique_id)
        except Conflict as refused:
            if refused.code != "already_uploaded":
                raise
            return None

    async def _send_whole(self, issued: UploadUrl) -> None:
        size = self._content.size
        for left in reversed(range(REFRESHES + 1)):
            try:
                return await self._put(str(issued.upload_url), issued.headers, 0, size, partial(self._sent.tell, 0))
            except _UrlExpired:
                if not left:
                    raise
            refreshed = await self._refreshed(issued.unique_id)
            if refreshed is None:
                return None
            issued = refreshed
        return None

    async def _missing(self, begun: Multipart) -> Sequence[Part]:
        there = await self._calls.get_multipart_upload(begun.unique_id)
        for part in there.parts:
            self._sent.tell(part.part_number, part.size)
        return await self._signed(begun, there.missing_parts)

    async def _signed(self, begun: Multipart, numbers: Sequence[int]) -> Sequence[Part]:
        if not numbers:
            return []
        signed = await self._calls.sign_parts(begun.unique_id, part_numbers=numbers)
        return signed.parts

    async def _send_parts(self, begun: Multipart, parts: Sequence[Part]) -> None:
        await together([partial(self._send_part, begun, part) for part in parts], at_once=PARTS_AT_ONCE)

    async def _send_part(self, begun: Multipart, part: Part) -> None:
        start = (part.part_number - 1) * begun.part_size
        for left in reversed(range(REFRESHES + 1)):
            try:
                tell = partial(self._sent.tell, part.part_number)
                return await self._put(part.url, part.headers, start, part.size, tell)
            except _UrlExpired:
                if not left:
                    raise
            except UploadFailed as failed:
                raise UploadFailed(f"part {part.part_number}: {failed}") from failed
            (part,) = await self._signed(begun, [part.part_number])
        return None

    async def _put(
        self, url: str, headers: Mapping[str, str], start: int, size: int, tell: Callable[[int], None]
    ) -> None:
        for tries in range(TRIES):
            try:
                return await self._put_once(url, headers, start, size, tell)
            except _Again:
                if tries == TRIES - 1:
                    raise
            await pause(backoff(tries))
        return None

    async def _put_once(
        self, url: str, headers: Mapping[str, str], start: int, size: int, tell: Callable[[int], None]
    ) -> None:
        try:
            response = await self._transport.http.put(
                url,
                content=self._chunks(start, size, tell),
                headers={**headers, "Content-Length": str(size)},
                timeout=httpx.Timeout(ANSWER_SECONDS, connect=10.0, pool=None),
            )
        except httpx.TransportError as error:
            raise _Again(f"the upload broke off ({type(error).__name__})") from None
        if response.is_success:
            self._sent.has_arrived(size)
        # The URL is good for one object, and an earlier try of this call has made it.
        elif response.status_code != HTTPStatus.PRECONDITION_FAILED:
            raise _refused(response.status_code, response.text)

    async def _chunks(self, start: int, size: int, tell: Callable[[int], None]) -> AsyncIterator[bytes]:
        for taken in range(0, size, CHUNK_BYTES):
            length = min(CHUNK_BYTES, size - taken)
            yield await aside(partial(self._content.read, start + taken, length))
            tell(taken + length)


def _refused(status: int, body: str) -> UploadFailed:
    """S3's errors are XML (Amazon S3 API reference, "Error responses"); only their code is repeated."""
    code, message = (_element(name, body) for name in ("Code", "Message"))
    if code in _EXPIRED_CODES or "has expired" in message:
        return _UrlExpired("the URL for the upload has run out")
    words = f"the upload was refused ({', '.join(filter(None, (f'HTTP {status}', code)))})"
    busy = status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _BUSY_STATUSES or code in _BUSY_CODES
    return _Again(words) if busy else UploadFailed(words)


def _element(name: str, body: str) -> str:
    found = re.search(rf"<{name}>([^<]{{1,200}})</{name}>", body)
    return found[1] if found else ""
