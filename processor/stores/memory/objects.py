"""An object store in memory."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from urllib.parse import quote

from processor import clock
from processor.errors import FileTooLarge, ObjectChanged, ObjectNotFound, Unavailable
from processor.events import SourceArrived
from processor.images import SOURCE_PREFIX
from processor.ports.objects import (
    MultipartUpload,
    ObjectInfo,
    Part,
    PostForm,
    PresignedPart,
    PresignedUpload,
    Removal,
    SignedUrl,
    UploadTerms,
    unwatched,
)
from processor.stores.memory.queue import MemoryQueue


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stored:
    """An object and its metadata."""

    info: ObjectInfo
    body: bytes = field(repr=False)

    async def read(self, *, max_bytes: int) -> bytes:
        """Raises `FileTooLarge`."""
        if self.info.size > max_bytes:
            raise FileTooLarge(limit=max_bytes, actual=self.info.size)
        return self.body


@dataclass(frozen=True, slots=True, kw_only=True)
class _Unfinished:
    """An upload in parts, with the parts that have arrived, by number."""

    key: str
    content_type: str
    parts: dict[int, bytes] = field(default_factory=dict, repr=False)


@dataclass(kw_only=True)
class MemoryObjectStore:
    """A bucket. It sends an event to the `queue`, if any, for every new object under the source prefix, as S3 does."""

    bucket: str = field(default="memory", kw_only=False)
    queue: MemoryQueue | None = None
    #: Seconds that the signing session has left; None: it has no end.
    session_seconds: int | None = None
    #: Whether overwritten objects are kept.
    versioned: bool = True
    _count: int = 0
    _older: dict[str, list[_Stored]] = field(default_factory=dict)
    _objects: dict[str, _Stored] = field(default_factory=dict)
    _unfinished: dict[str, _Unfinished] = field(default_factory=dict)

    async def presign_upload(self, terms: UploadTerms) -> PresignedUpload:
        """URLs with the key of the object. Nothing listens there."""
        url = f"memory://{self.bucket}/"
        headers = {"Content-Type": terms.content_type}
        if terms.size is not None:
            headers["Content-Length"] = str(terms.size)
        if terms.checksum_sha256 is not None:
            headers["x-amz-checksum-sha256"] = terms.checksum_sha256
        fields = {name: value for name, value in headers.items() if name != "Content-Length"}
        form = PostForm(url=url, fields={"key": terms.key, **fields})
        return PresignedUpload(
            url=url + quote(terms.key),
            headers=headers | ({"If-None-Match": "*"} if terms.once else {}),
            post=None if terms.once else form,
            expires_in_seconds=self._lasting(terms.expires_in_seconds),
        )

    def _lasting(self, seconds: int) -> int:
        return seconds if self.session_seconds is None else min(seconds, self.session_seconds)

    async def begin_multipart(self, key: str, *, content_type: str) -> MultipartUpload:
        upload = MultipartUpload(key=key, upload_id=secrets.token_hex(16))
        self._unfinished[upload.upload_id] = _Unfinished(key=key, content_type=content_type)
        return upload

    async def sign_parts(
        self,
        upload: MultipartUpload,
        sizes: Mapping[int, int],
        *,
        expires_in_seconds: int,
    ) -> tuple[PresignedPart, ...]:
        """URLs with the numbers of the parts. `put_part` does the work of an upload to one of them."""
        url = f"memory://{self.bucket}/{quote(upload.key)}?partNumber="
        return tuple(
            PresignedPart(
                number=number,
                size=size,
                url=f"{url}{number}",
                headers={"Content-Length": str(size)},
                expires_in_seconds=self._lasting(expires_in_seconds),
            )
            for number, size in sizes.items()
        )

    async def sign_part(self, upload: MultipartUpload, number: int, *, expires_in_seconds: int) -> SignedUrl:
        """A URL with the number of the part."""
        return SignedUrl(
            url=f"memory://{self.bucket}/{quote(upload.key)}?partNumber={number}",
            expires_in_seconds=self._lasting(expires_in_seconds),
        )

    async def put_part(self, upload: MultipartUpload, number: int, body: bytes) -> None:
        """Do the work of an upload of a part. Raises `ObjectNotFound`."""
        self._begun(upload).parts[number] = bytes(body)

    async def list_parts(self, upload: MultipartUpload) -> tuple[Part, ...]:
        """Raises `ObjectNotFound`."""
        return tuple(
            Part(number=number, size=len(body), etag=_md5(body))
            for number, body in sorted(self._begun(upload).parts.items())
        )

    async def complete_multipart(self, upload: MultipartUpload, parts: Sequence[Part]) -> None:
        """Raises `ObjectNotFound`, `ObjectChanged`."""
        begun = self._begun(upload)
        arrived = await self.list_parts(upload)
        if any(part not in arrived for part in parts):
            raise ObjectChanged
        del self._unfinished[upload.upload_id]
        await self.put(begun.key, b"".join(begun.parts[part.number] for part in parts), content_type=begun.content_type)

    async def abort_multipart(self, upload: MultipartUpload) -> None:
        self._unfinished.pop(upload.upload_id, None)

    def _begun(self, upload: MultipartUpload) -> _Unfinished:
        try:
            return self._unfinished[upload.upload_id]
        except KeyError:
            raise ObjectNotFound from None

    async def put(
        self,
        key: str,
        body: bytes,
        *,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> SourceArrived:
        """Do the work of an upload. Returns the event that S3 would send."""
        self._count += 1
        info = ObjectInfo(
            key=key,
            size=len(body),
            etag=_md5(body),
            last_modified=clock.now(),
            version=f"v{self._count}" if self.versioned else "",
            content_type=content_type,
            metadata=dict(metadata or {}),
        )
        if self.versioned and key in self._objects:
            self._older.setdefault(key, []).insert(0, self._objects[key])
        self._objects[key] = _Stored(info=info, body=bytes(body))
        event = self._event(info)
        if self.queue is not None and key.startswith(SOURCE_PREFIX):
            await self.queue.send(event.to_message())
        return event

    async def head(self, key: str) -> ObjectInfo:
        """Raises `ObjectNotFound`."""
        return self._stored(key).info

    async def versions(self, key: str, *, until: str = "") -> tuple[ObjectInfo, ...]:
        """The current version, and the versions that it replaced."""
        stored = [*([self._objects[key]] if key in self._objects else []), *self._older.get(key, ())]
        found = [_listed(each.info, latest=number == 0) for number, each in enumerate(stored)]
        known = next((number for number, each in enumerate(found) if each.version and each.version == until), None)
        return tuple(found[:known])

    @asynccontextmanager
    async def open(self, key: str, *, etag: str | None = None) -> AsyncIterator[_Stored]:
        """The current object, even if it is replaced later. Raises `ObjectNotFound`, `ObjectChanged`."""
        stored = self._stored(key)
        if etag and stored.info.etag != etag:
            raise ObjectChanged
        yield stored

    async def fetch(self, key: str, *, max_bytes: int, etag: str | None = None) -> bytes:
        """Raises `ObjectNotFound`, `ObjectChanged`, `FileTooLarge`."""
        async with self.open(key, etag=etag) as stored:
            return await stored.read(max_bytes=max_bytes)

    async def store(
        self,
        key: str,
        body: bytes,
        *,
        content_type: str,
        cache_control: str,  # noqa: ARG002 - nobody reads it back
        metadata: Mapping[str, str],
        sha256: str | None = None,
    ) -> None:
        """Write an object. Raises `Unavailable` if its SHA-256 is another."""
        if sha256 is not None and hashlib.sha256(body).hexdigest() != sha256:
            raise Unavailable
        await self.put(key, body, content_type=content_type, metadata=metadata)

    async def copy(
        self,
        key: str,
        to: str,
        *,
        content_type: str,
        cache_control: str,  # noqa: ARG002 - nobody reads it back
        metadata: Mapping[str, str],
    ) -> None:
        """Copy an object. Raises `ObjectNotFound`."""
        stored = self._stored(key)
        await self.put(to, await stored.read(max_bytes=stored.info.size), content_type=content_type, metadata=metadata)

    async def presign_download(self, key: str, *, expires_in_seconds: int) -> SignedUrl:
        """A URL that leads nowhere."""
        return SignedUrl(
            url=f"memory://{self.bucket}/{quote(key)}", expires_in_seconds=self._lasting(expires_in_seconds)
        )

    async def purge(self, prefix: str, *, before: Removal = unwatched) -> tuple[str, ...]:
        """Remove every object and unfinished upload under the prefix. Returns the keys of the objects."""
        purged: set[str] = set()
        while found := await self._under(prefix):
            await before(found)
            self._remove(found)
            purged |= {each.key for each in found}
        return tuple(sorted(purged))

    async def _under(self, prefix: str) -> tuple[ObjectInfo, ...]:
        self._unfinished = {name: each for name, each in self._unfinished.items() if not each.key.startswith(prefix)}
        keys = sorted(key for key in self._objects if key.startswith(prefix))
        return tuple([each for key in keys for each in await self.versions(key)])

    def _remove(self, found: tuple[ObjectInfo, ...]) -> None:
        """Remove these versions. Newer objects stay."""
        gone = {(each.key, each.version) for each in found}
        for key in {each.key for each in found}:
            self._older[key] = [each for each in self._older.get(key, ()) if (key, each.info.version) not in gone]
            if key in self._objects and (key, self._objects[key].info.version) in gone:
                del self._objects[key]

    async def walk(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Every object under the prefix, in key order."""
        for key in sorted(self._objects):
            if key.startswith(prefix) and key in self._objects:
                yield replace(_listed(self._objects[key].info), version="")

    async def list(self, prefix: str) -> list[ObjectInfo]:
        return [found async for found in self.walk(prefix)]

    async def ping(self) -> None:
        """Memory is always there."""

    def _stored(self, key: str) -> _Stored:
        try:
            return self._objects[key]
        except KeyError:
            raise ObjectNotFound from None

    def _event(self, info: ObjectInfo) -> SourceArrived:
        return SourceArrived(
            bucket=self.bucket,
            key=info.key,
            etag=info.etag,
            event_time=clock.to_iso(info.last_modified),
            version=info.version,
        )


def _listed(info: ObjectInfo, *, latest: bool = True) -> ObjectInfo:
    return replace(info, content_type="", metadata={}, latest=latest)


def _md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()
