"""The interface to a bucket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectInfo:
    """What a store knows about an object without reading it. `size` in bytes; `etag` without quotes."""

    key: str
    size: int
    etag: str
    last_modified: datetime
    #: Names this upload among all that came under the key; empty where the bucket keeps no others.
    version: str = ""
    #: Whether it is what the key shows now.
    latest: bool = True
    content_type: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadTerms:
    """What an upload must be: `size` and `checksum_sha256` (base64) bind it when the client gave them."""

    key: str
    content_type: str
    expires_in_seconds: int
    max_bytes: int
    size: int | None = None
    checksum_sha256: str | None = None
    once: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PostForm:
    """An upload as an HTML form: every field, then the file."""

    url: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class PresignedUpload:
    """One upload, signed twice: as a PUT to `url` with `headers`, and as a form.

    There is no form for an upload that may be made once: S3 knows no such condition for forms. Both hold for
    `expires_in_seconds`, which is less than was asked for when the session that signed them ends sooner.
    """

    url: str
    headers: Mapping[str, str]
    post: PostForm | None
    expires_in_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MultipartUpload:
    """An upload in parts, from its beginning until it is completed or aborted."""

    key: str
    upload_id: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part that has arrived. Numbers begin at 1; `size` in bytes; `etag` without quotes."""

    number: int
    size: int
    etag: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PresignedPart:
    """One part, signed as a PUT to `url` with `headers`: it must have exactly `size` bytes."""

    number: int
    size: int
    url: str
    headers: Mapping[str, str]
    expires_in_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedUrl:
    """A URL that does one thing without credentials, and how long it holds."""

    url: str
    expires_in_seconds: int


class Download(Protocol):
    """An object that is there, of which no more than its description has been read yet."""

    @property
    def info(self) -> ObjectInfo: ...

    async def read(self, *, max_bytes: int) -> bytes:
        """The whole object, once. Raises `FileTooLarge` before reading a body of more than `max_bytes`."""
        ...


#: Is told of objects that are going to be removed.
Removal = Callable[[tuple[ObjectInfo, ...]], Awaitable[None]]


async def unwatched(_: tuple[ObjectInfo, ...]) -> None:
    """Nobody wants to know."""


class ObjectStore(Protocol):
    """One bucket."""

    async def presign_upload(self, terms: UploadTerms) -> PresignedUpload: ...

    async def begin_multipart(self, key: str, *, content_type: str) -> MultipartUpload:
        """Begin a multipart upload. Until it is completed there is no object, and the queue gets no event."""
        ...

    async def sign_parts(
        self, upload: MultipartUpload, sizes: Mapping[int, int], *, expires_in_seconds: int
    ) -> tuple[PresignedPart, ...]:
        """Presigned URLs for the parts whose `sizes` in bytes are given by number, in that order.

        It is not checked whether the upload still exists. A part that is sent again replaces the earlier one.
        """
        ...

    async def sign_part(self, upload: MultipartUpload, number: int, *, expires_in_seconds: int) -> SignedUrl:
        """A presigned URL for one part of any size. It is not checked whether the upload still exists."""
        ...

    async def list_parts(self, upload: MultipartUpload) -> tuple[Part, ...]:
        """What has arrived so far, by number. Raises `ObjectNotFound` for an upload that is not there any more."""
        ...

    async def complete_multipart(self, upload: MultipartUpload, parts: Sequence[Part]) -> None:
        """Make one object of `parts`, in order. Raises `ObjectNotFound` like `list_parts`, except perhaps when this
        was done already; `ObjectChanged` when a part is not there as it was listed."""
        ...

    async def abort_multipart(self, upload: MultipartUpload) -> None:
        """Remove the parts; from then on the upload cannot be completed. One that is gone is no error."""
        ...

    async def head(self, key: str) -> ObjectInfo:
        """Raises `ObjectNotFound`."""
        ...

    async def versions(self, key: str, *, until: str = "") -> tuple[ObjectInfo, ...]:
        """Every upload under the key that is still there, newest first, up to the version `until` and without it;
        where the bucket keeps no versions, what is there now. `content_type` and `metadata` are not filled in."""
        ...

    def open(self, key: str, *, etag: str | None = None) -> AbstractAsyncContextManager[Download]:
        """Begin to fetch an object. One call returns its description, and its body if it is read.

        Raises `ObjectNotFound`; `ObjectChanged` when it has another etag than `etag`.
        """
        ...

    async def fetch(self, key: str, *, max_bytes: int, etag: str | None = None) -> bytes:
        """The whole object. Raises `ObjectNotFound`; `ObjectChanged` when it has another etag than `etag`;
        `FileTooLarge` before reading a body of more than `max_bytes`."""
        ...

    async def store(
        self,
        key: str,
        body: bytes,
        *,
        content_type: str,
        cache_control: str,
        metadata: Mapping[str, str],
        sha256: str | None = None,
    ) -> None:
        """Write an object. `sha256` (hex) is its digest, where the caller has it already: it is compared on arrival."""
        ...

    async def copy(
        self, key: str, to: str, *, content_type: str, cache_control: str, metadata: Mapping[str, str]
    ) -> None:
        """Copy an object within the bucket. Its description is written anew. Raises `ObjectNotFound`."""
        ...

    async def presign_download(self, key: str, *, expires_in_seconds: int) -> SignedUrl:
        """A presigned URL that reads an object, and how long it holds. It is not checked whether there is one."""
        ...

    async def purge(self, prefix: str, *, before: Removal = unwatched) -> tuple[str, ...]:
        """Remove every object under the prefix with all its versions, and every unfinished upload, until nothing is
        left.

        Returns the keys of the objects that were removed. Nothing under the prefix is no error. `before` gets what will
        be removed, each time before it is removed: the versions of a key, newest first.
        """
        ...

    def walk(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Every object under the prefix, in key order; `content_type` and `metadata` are not filled in."""
        ...

    async def list(self, prefix: str) -> list[ObjectInfo]:
        """The same at once, for a prefix under which few lie."""
        ...

    async def ping(self) -> None:
        """Raises `Unavailable` when the bucket cannot be reached."""
        ...
