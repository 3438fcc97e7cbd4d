"""Uploads in parts to one S3 bucket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from processor.errors import ObjectNotFound, Unavailable
from processor.ports.objects import MultipartUpload, Part, PresignedPart, SignedUrl
from processor.stores.clients import AwsClients
from processor.stores.translate import translated

#: Entries of a list in one answer of S3. The SDK parses them on the event loop: a hundred take two milliseconds, S3's
#: default of a thousand takes seventy.
LIST_PAGE = 100


class MultipartUploads:
    """The multipart uploads of a bucket."""

    def __init__(self, clients: AwsClients, bucket: str) -> None:
        self._clients = clients
        self._s3 = clients.s3
        self._signer = clients.s3_presign
        self._bucket = bucket

    async def begin_multipart(self, key: str, *, content_type: str) -> MultipartUpload:
        """Raises `Unavailable`."""
        with translated(missing=Unavailable):
            begun = await self._s3.create_multipart_upload(Bucket=self._bucket, Key=key, ContentType=content_type)
        return MultipartUpload(key=key, upload_id=begun["UploadId"])

    async def sign_parts(
        self, upload: MultipartUpload, sizes: Mapping[int, int], *, expires_in_seconds: int
    ) -> tuple[PresignedPart, ...]:
        """S3 refuses a part whose length differs from the one that is signed. Raises `Unavailable`."""
        parts = []
        for number, size in sizes.items():
            signed = await self._signed(upload, expires_in_seconds, PartNumber=number, ContentLength=size)
            parts.append(
                PresignedPart(
                    number=number,
                    size=size,
                    url=signed.url,
                    headers={"Content-Length": str(size)},
                    expires_in_seconds=signed.expires_in_seconds,
                )
            )
            await asyncio.sleep(0)  # signing only computes: let other tasks run
        return tuple(parts)

    async def sign_part(self, upload: MultipartUpload, number: int, *, expires_in_seconds: int) -> SignedUrl:
        """S3 accepts a part of any length, up to 5 GiB. Raises `Unavailable`."""
        return await self._signed(upload, expires_in_seconds, PartNumber=number)

    async def _signed(self, upload: MultipartUpload, expires_in_seconds: int, **terms: int) -> SignedUrl:
        with translated():
            seconds = await self._clients.lasting(expires_in_seconds)
            url = await self._signer.generate_presigned_url(
                "upload_part",
                Params={**self._named(upload), **terms},
                ExpiresIn=seconds,
                HttpMethod="PUT",
            )
        return SignedUrl(url=url, expires_in_seconds=seconds)

    async def list_parts(self, upload: MultipartUpload) -> tuple[Part, ...]:
        """Raises `ObjectNotFound`, `Unavailable`."""
        found: list[Part] = []
        with translated():
            async for page in self._pages("list_parts", **self._named(upload)):
                found += [
                    Part(number=part["PartNumber"], size=part["Size"], etag=part["ETag"].strip('"'))
                    for part in page.get("Parts", ())
                ]
        return tuple(found)

    async def complete_multipart(self, upload: MultipartUpload, parts: Sequence[Part]) -> None:
        """Raises `ObjectNotFound`, `ObjectChanged`, `Unavailable`."""
        listed = [{"PartNumber": part.number, "ETag": f'"{part.etag}"'} for part in parts]
        with translated():
            await self._s3.complete_multipart_upload(**self._named(upload), MultipartUpload={"Parts": listed})  # type: ignore[typeddict-item]

    async def abort_multipart(self, upload: MultipartUpload) -> None:
        """Raises `Unavailable`."""
        with suppress(ObjectNotFound), translated():
            await self._s3.abort_multipart_upload(**self._named(upload))

    async def _abort_all(self, prefix: str) -> int:
        """Abort every upload under the prefix, even if no record has it. Returns their number."""
        found: list[MultipartUpload] = []
        with translated(missing=Unavailable):
            async for page in self._pages("list_multipart_uploads", Bucket=self._bucket, Prefix=prefix):
                found += [
                    MultipartUpload(key=each["Key"], upload_id=each["UploadId"]) for each in page.get("Uploads", ())
                ]
        for upload in found:
            await self.abort_multipart(upload)
        return len(found)

    def _pages(self, operation: Any, **request: Any) -> AsyncIterator[Any]:
        """The pages of a long list."""
        pages: AsyncIterator[Any] = self._s3.get_paginator(operation).paginate(
            **request, PaginationConfig={"PageSize": LIST_PAGE}
        )
        return pages

    def _named(self, upload: MultipartUpload) -> dict[str, Any]:
        return {"Bucket": self._bucket, "Key": upload.key, "UploadId": upload.upload_id}
