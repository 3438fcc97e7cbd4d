"""Uploads to presigned URLs, with retries while the connection breaks or the storage is busy."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import aiohttp
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from service.client.errors import SubmitError, UrlExpired
from service.client.photo import chunks
from service.client.proxies import proxy_for

#: How often a piece is sent before its upload is given up.
TRIES = 6
#: First and longest pause before it is sent again, in seconds.
BACKOFF_SECONDS = (0.5, 20.0)
#: Longest wait for the storage's answer once everything is sent, in seconds.
ANSWER_SECONDS = 120.0
#: So much of an error is read: S3's have a few hundred bytes.
MAX_ERROR_BYTES = 16 * 1024

_BUSY_CODES = frozenset(
    {"SlowDown", "RequestTimeout", "ConditionalRequestConflict", "OperationAborted", "InternalError"}
)
_BUSY_STATUSES = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS})
_EXPIRED_CODES = frozenset({"ExpiredToken", "TokenRefreshRequired"})


class _Again(SubmitError):
    """The piece may be sent once more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """`size` bytes of a file from `start` on."""

    path: Path
    start: int
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """Where presigned URLs lead to. It gets no key of the API."""

    session: aiohttp.ClientSession

    async def put(self, piece: Piece, url: str, headers: Mapping[str, str], tell: Callable[[int], None]) -> bool:
        """Send a piece; False: it was uploaded already. Raises `UrlExpired`, `SubmitError`, `OSError` of the file."""
        pause, longest = BACKOFF_SECONDS
        tries = AsyncRetrying(
            retry=retry_if_exception_type(_Again),
            stop=stop_after_attempt(TRIES),
            wait=wait_random_exponential(multiplier=pause, max=longest),
            reraise=True,
        )
        return await tries(self._put, piece, url, headers, tell)

    async def _put(self, piece: Piece, url: str, headers: Mapping[str, str], tell: Callable[[int], None]) -> bool:
        reading = _Reading(piece, tell)
        try:
            async with self.session.put(
                url,
                data=reading.body(),
                headers={**headers, "Content-Length": str(piece.size)},
                allow_redirects=False,
                proxy=proxy_for(url),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=ANSWER_SECONDS),
            ) as response:
                if response.ok:
                    return True
                # The URL is good for one object, and an earlier try has made it.
                if response.status == HTTPStatus.PRECONDITION_FAILED:
                    return False
                error = await response.content.read(MAX_ERROR_BYTES)
                raise _refusal(response.status, error.decode(errors="replace"))
        except (aiohttp.ClientError, TimeoutError) as error:
            if reading.failure is not None:
                raise reading.failure from None
            raise _Again(f"the upload broke off ({type(error).__name__})") from None
        except ValueError:
            raise SubmitError("the service issued a URL that cannot be used") from None


class _Reading:
    """The bytes of a piece, and why they could not be read: the HTTP client hides that behind an error of its own."""

    def __init__(self, piece: Piece, tell: Callable[[int], None]) -> None:
        self._piece, self._tell = piece, tell
        self.failure: SubmitError | OSError | None = None

    async def body(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in chunks(self._piece.path, self._piece.start, self._piece.size, self._tell):
                yield chunk
        except (SubmitError, OSError) as failure:
            self.failure = failure
            raise


def _refusal(status: int, body: str) -> SubmitError:
    """S3's errors are XML (Amazon S3 API reference, "Error responses"); only their code and message are repeated."""
    code, message = (_element(name, body) for name in ("Code", "Message"))
    if code in _EXPIRED_CODES or "has expired" in message:
        return UrlExpired("the URL for the upload has run out")
    words = f"the upload was refused ({', '.join(filter(None, (f'HTTP {status}', code)))})"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _BUSY_STATUSES or code in _BUSY_CODES:
        return _Again(words)
    return SubmitError(words)


def _element(name: str, body: str) -> str:
    found = re.search(rf"<{name}>([^<]{{1,200}})</{name}>", body)
    return found[1] if found else ""
