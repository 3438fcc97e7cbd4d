"""An object store in one S3 bucket."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from processor.errors import Busy, FileTooLarge, Unavailable
from processor.ports.objects import ObjectInfo, PostForm, PresignedUpload, Removal, SignedUrl, UploadTerms, unwatched
from processor.stores.clients import AwsClients
from processor.stores.parts import LIST_PAGE, MultipartUploads
from processor.stores.translate import translated

if TYPE_CHECKING:
    from types_aiobotocore_s3.type_defs import (
        GetObjectOutputTypeDef,
        HeadObjectOutputTypeDef,
        ListObjectVersionsOutputTypeDef,
        ObjectIdentifierTypeDef,
        ObjectTypeDef,
        ObjectVersionTypeDef,
    )

#: Keys in one `DeleteObjects`. S3 accepts a thousand, but writing so many would block the event loop.
DELETE_BATCH = LIST_PAGE
#: The most times that a prefix is emptied and listed again. Meanwhile an upload may arrive, or a running job may store
#: some variants.
PURGE_ROUNDS = 12
#: Bytes of a body that are read at once.
CHUNK_BYTES = 1024 * 1024
#: Form field and header of an upload's checksum.
CHECKSUM = "x-amz-checksum-sha256"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Download:
    """The answer to a GET. Its body is read only on request."""

    info: ObjectInfo
    body: Any = field(repr=False)
    transfer_timeout_seconds: float

    async def read(self, *, max_bytes: int) -> bytes:
        """Raises `FileTooLarge`, `Unavailable`.

        Both the size from S3 and the count of bytes are checked, because too large a body would exhaust memory.
        """
        if self.info.size > max_bytes:
            raise FileTooLarge(limit=max_bytes, actual=self.info.size)
        whole = io.BytesIO()  # it grows in place and gives its bytes away; joining pieces would need twice the memory
        left = max_bytes
        with translated():
            async with asyncio.timeout(self.transfer_timeout_seconds):
                while chunk := await self.body.read(CHUNK_BYTES):
                    left -= len(chunk)
                    if left < 0:
                        raise FileTooLarge(limit=max_bytes, actual=max_bytes - left)
                    whole.write(chunk)
        return whole.getvalue()


class S3ObjectStore(MultipartUploads):
    """A bucket. Uploads are signed for the public endpoint; everything else uses the internal one."""

    def __init__(self, clients: AwsClients, bucket: str) -> None:
        super().__init__(clients, bucket)
        self._transfer_timeout_seconds = clients.config.transfer_timeout_seconds

    async def presign_upload(self, terms: UploadTerms) -> PresignedUpload:
        """Sign an upload both as a PUT and as a form.

        S3 refuses a PUT whose signed headers differ, and a form that breaks its policy. Without a known size, the
        length of a PUT has no limit. Only a form can have one (AWS, "POST policy").
        """
        with translated():
            seconds = await self._clients.lasting(terms.expires_in_seconds)
            url = await self._signer.generate_presigned_url(
                "put_object",
                Params={"Bucket": self._bucket, "Key": terms.key, **_signed_parameters(terms)},
                ExpiresIn=seconds,
                HttpMethod="PUT",
            )
            form = None if terms.once else await self._form(terms, seconds)
        return PresignedUpload(url=url, headers=_put_headers(terms), post=form, expires_in_seconds=seconds)

    async def _form(self, terms: UploadTerms, seconds: int) -> PostForm:
        form = await self._signer.generate_presigned_post(
            Bucket=self._bucket,
            Key=terms.key,
            Fields=_form_fields(terms),
            Conditions=_form_conditions(terms),
            ExpiresIn=seconds,
        )
        return PostForm(url=form["url"], fields={**form["fields"]})

    async def head(self, key: str) -> ObjectInfo:
        """The metadata of an object. Raises `ObjectNotFound`, `Unavailable`."""
        with translated():
            found = await self._s3.head_object(Bucket=self._bucket, Key=key)
        return _info(key, found)

    async def versions(self, key: str, *, until: str = "") -> tuple[ObjectInfo, ...]:
        """Raises `Unavailable`. S3 lists the newest version of a key first."""
        found: list[ObjectInfo] = []
        with translated(missing=Unavailable):
            async for page in self._version_pages(key):
                for each in page.get("Versions", ()):
                    version = _version(each["VersionId"])
                    if each["Key"] == key and version and version == until:
                        return tuple(found)
                    if each["Key"] == key:
                        found.append(_listed(each, version))
        return tuple(found)

    @asynccontextmanager
    async def open(self, key: str, *, etag: str | None = None) -> AsyncIterator[S3Download]:
        """Raises `ObjectNotFound`, `ObjectChanged`, `Unavailable`.

        A caller that leaves early drops the connection, and the rest of the body is not transferred.
        """
        wanted: dict[str, Any] = {"IfMatch": f'"{etag}"'} if etag else {}
        with translated():
            async with asyncio.timeout(self._transfer_timeout_seconds):
                found = await self._s3.get_object(Bucket=self._bucket, Key=key, **wanted)
        body = found["Body"]
        async with body:
            yield S3Download(info=_info(key, found), body=body, transfer_timeout_seconds=self._transfer_timeout_seconds)

    async def fetch(self, key: str, *, max_bytes: int, etag: str | None = None) -> bytes:
        """The whole object. Raises `ObjectNotFound`, `ObjectChanged`, `FileTooLarge`, `Unavailable`."""
        async with self.open(key, etag=etag) as download:
            return await download.read(max_bytes=max_bytes)

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
        """Write an object. S3 checks its SHA-256. Raises `Unavailable`."""
        # In a thread, because a large object would block the event loop.
        digest = bytes.fromhex(sha256) if sha256 else await asyncio.to_thread(_sha256, body)
        checksum = base64.b64encode(digest).decode()
        with translated(missing=Unavailable):  # only the bucket can be missing
            async with asyncio.timeout(self._transfer_timeout_seconds):
                await self._s3.put_object(
                    Bucket=self._bucket,
                    Key=key,
                    Body=io.BytesIO(body),  # sent in pieces; large `bytes` would block the event loop
                    ContentType=content_type,
                    CacheControl=cache_control,
                    Metadata={**metadata},
                    ChecksumSHA256=checksum,
                )

    async def copy(
        self, key: str, to: str, *, content_type: str, cache_control: str, metadata: Mapping[str, str]
    ) -> None:
        """Copy an object within the bucket, in one call: S3 copies up to 5 GB so. Raises `ObjectNotFound`,
        `Unavailable`."""
        with translated():
            async with asyncio.timeout(self._transfer_timeout_seconds):
                await self._s3.copy_object(
                    Bucket=self._bucket,
                    Key=to,
                    CopySource={"Bucket": self._bucket, "Key": key},
                    MetadataDirective="REPLACE",
                    ContentType=content_type,
                    CacheControl=cache_control,
                    Metadata={**metadata},
                    ChecksumAlgorithm="SHA256",
                )

    async def presign_download(self, key: str, *, expires_in_seconds: int) -> SignedUrl:
        """Signed for the public endpoint. Raises `Unavailable`."""
        with translated():
            seconds = await self._clients.lasting(expires_in_seconds)
            url = await self._signer.generate_presigned_url(
                "get_object", Params={"Bucket": self._bucket, "Key": key}, ExpiresIn=seconds, HttpMethod="GET"
            )
        return SignedUrl(url=url, expires_in_seconds=seconds)

    async def purge(self, prefix: str, *, before: Removal = unwatched) -> tuple[str, ...]:
        """Remove all versions of all objects under the prefix and all unfinished uploads, until none is left.

        Uploads are aborted first. If one is completed meanwhile, it is an object when versions are listed. Each delete
        names a version id. Without one, S3 would only hide an object of a versioned bucket. In other buckets the id is
        `null`.

        If any object is left, it raises `Unavailable`; or `Busy` if S3 refused nothing, because then new ones keep
        arriving.
        """
        purged: dict[str, None] = {}
        refused = False
        for _ in range(PURGE_ROUNDS):
            unfinished = await self._abort_all(prefix)
            versions, ids = await self._versions(prefix)
            if not ids and not unfinished:
                return tuple(purged)
            await before(versions)
            purged |= dict.fromkeys(each["Key"] for each in ids)
            for start in range(0, len(ids), DELETE_BATCH):
                refused = not await self._delete(ids[start : start + DELETE_BATCH]) or refused
        raise Unavailable if refused else Busy

    async def _versions(self, prefix: str) -> tuple[tuple[ObjectInfo, ...], list[ObjectIdentifierTypeDef]]:
        """Every version under the prefix, by key and newest first. Then the ids of all versions and delete markers."""
        found: list[ObjectInfo] = []
        ids: list[ObjectIdentifierTypeDef] = []
        with translated(missing=Unavailable):
            async for page in self._version_pages(prefix):
                versions = page.get("Versions", ())
                found += [_listed(each, _version(each["VersionId"])) for each in versions]
                ids += [
                    {"Key": each["Key"], "VersionId": each["VersionId"]}
                    for each in (*versions, *page.get("DeleteMarkers", ()))
                ]
        return tuple(found), ids

    def _version_pages(self, prefix: str) -> AsyncIterator[ListObjectVersionsOutputTypeDef]:
        return self._pages("list_object_versions", Bucket=self._bucket, Prefix=prefix)

    async def _delete(self, versions: list[ObjectIdentifierTypeDef]) -> bool:
        """Whether all were deleted. The next look at the prefix finds those that were not."""
        with translated(missing=Unavailable):
            answer = await self._s3.delete_objects(Bucket=self._bucket, Delete={"Objects": versions, "Quiet": True})
        failed = answer.get("Errors", ())
        if failed:
            log.warning(
                "Objects not deleted", count=len(failed), codes=sorted({each.get("Code", "") for each in failed})
            )
        return not failed

    async def walk(self, prefix: str) -> AsyncIterator[ObjectInfo]:
        """Every object under the prefix, in key order, a thousand in each call. Raises `Unavailable`."""
        pages = self._s3.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix)
        with translated(missing=Unavailable):
            async for page in pages:
                for found in page.get("Contents", ()):
                    yield _listed(found)

    async def list(self, prefix: str) -> list[ObjectInfo]:
        """The objects of `walk` as a list. Raises `Unavailable`."""
        return [found async for found in self.walk(prefix)]

    async def ping(self) -> None:
        """Raises `Unavailable` if the bucket cannot be reached."""
        with translated(missing=Unavailable):
            await self._s3.head_bucket(Bucket=self._bucket)


def _info(key: str, found: GetObjectOutputTypeDef | HeadObjectOutputTypeDef) -> ObjectInfo:
    return ObjectInfo(
        key=key,
        size=found["ContentLength"],
        etag=found["ETag"].strip('"'),
        last_modified=found["LastModified"],
        version=_version(found.get("VersionId")),
        content_type=found.get("ContentType", ""),
        metadata=found.get("Metadata", {}),
    )


def _listed(found: ObjectTypeDef | ObjectVersionTypeDef, version: str = "") -> ObjectInfo:
    return ObjectInfo(
        key=found["Key"],
        size=found["Size"],
        etag=found["ETag"].strip('"'),
        last_modified=found["LastModified"],
        version=version,
        latest=bool(found.get("IsLatest", True)),
    )


def _version(version_id: str | None) -> str:
    """The version of an object; empty: it has none.

    In a bucket without versioning, every id is `null` (AWS, "Working with objects in a versioning-suspended bucket"),
    and each object replaces the last one. So this id identifies nothing.
    """
    return "" if version_id in (None, "null") else version_id


def _put_headers(terms: UploadTerms) -> dict[str, str]:
    headers = {"Content-Type": terms.content_type}
    if terms.size is not None:
        headers["Content-Length"] = str(terms.size)
    if terms.checksum_sha256 is not None:
        headers[CHECKSUM] = terms.checksum_sha256
    if terms.once:
        headers["If-None-Match"] = "*"
    return headers


def _signed_parameters(terms: UploadTerms) -> dict[str, Any]:
    parameters: dict[str, Any] = {"ContentType": terms.content_type}
    if terms.size is not None:
        parameters["ContentLength"] = terms.size
    if terms.checksum_sha256 is not None:
        parameters["ChecksumSHA256"] = terms.checksum_sha256
    if terms.once:
        parameters["IfNoneMatch"] = "*"
    return parameters


def _form_fields(terms: UploadTerms) -> dict[str, Any]:
    fields = {"Content-Type": terms.content_type}
    if terms.checksum_sha256 is not None:
        fields[CHECKSUM] = terms.checksum_sha256
    return fields


def _form_conditions(terms: UploadTerms) -> list[Any]:
    """The policy must have every field with its value. The SDK adds the key."""
    least, most = (1, terms.max_bytes) if terms.size is None else (terms.size, terms.size)
    named = [{name: value} for name, value in _form_fields(terms).items()]
    return [*named, ["content-length-range", least, most]]


def _sha256(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()
