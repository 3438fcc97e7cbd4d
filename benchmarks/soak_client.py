"""The clients of a soak, and the end that each upload must have."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests import corpus
from tests.fleet import ServiceProcess

#: Other ends that a job may have, because another upload or a delete came in between.
DELETED = "deleted"
#: Photographs of 0.3 to 6 megapixels, as from phones and cameras.
PHOTOS = ((640, 480), (1280, 853), (2048, 1536), (3000, 2000))
#: Valid small files of every format.
GOOD = ("png-alpha", "webp", "webp-animated", "gif-animated", "jpeg-cmyk", "jpeg-orientation-6", "png-sixteen-bit")
#: Invalid files, and decompression bombs. (`png-of-zeros` takes seconds to make; only tests use it.)
HOSTILE = tuple(name for name, sample in corpus.SAMPLES.items() if sample.code and name != "png-of-zeros")
#: Time limit for a client's retries while processes restart, in seconds.
PATIENCE_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """A file to upload. `end` is `completed`, or the code with which it must fail."""

    data: bytes
    end: str


@dataclass(slots=True, kw_only=True)
class Upload:
    """One image of one client."""

    unique_id: str
    #: The end that the newest accepted file must have; or `deleted`.
    end: str
    #: Files that S3 accepted.
    files: int = 0


@dataclass(slots=True, kw_only=True)
class Clients:
    """Uploads through any process that answers, with retries, as real clients do."""

    services: Sequence[ServiceProcess]
    session: aiohttp.ClientSession
    files: Mapping[str, Sequence[File]]
    chance: random.Random
    hostile: float
    uploads: list[Upload] = field(default_factory=list)
    retries: int = 0

    async def one(self) -> None:
        """One client: it uploads, and sometimes overwrites the same key, asks for a new job, or deletes at once."""
        kind = "hostile" if self.chance.random() < self.hostile else self.chance.choice(("photo", "photo", "small"))
        deed = self.chance.choices(("leave", "overwrite", "again", "delete"), weights=(94, 2, 2, 2))[0]
        file = self.chance.choice(self.files[kind])
        issued = await self._ask("POST", "/images/upload-url", json={"filename": "photo.jpg"})
        upload = Upload(unique_id=issued["uniqueId"], end=file.end)
        self.uploads.append(upload)
        await self._put(issued, file, upload)
        if deed == "overwrite":
            newer = self.chance.choice(self.files["small"])
            upload.end = newer.end
            await self._put(issued, newer, upload)
        elif deed == "again":
            await self._ask("POST", f"/images/process/{upload.unique_id}", accept=(202, 409))
        elif deed == "delete":
            upload.end = DELETED
            await self._ask("DELETE", f"/images/image/{upload.unique_id}", accept=(200, 404))

    async def _put(self, issued: Any, file: File, upload: Upload) -> None:
        async with self.session.put(issued["uploadUrl"], data=file.data, headers=issued["headers"]) as answer:
            answer.raise_for_status()
        upload.files += 1

    async def _ask(self, method: str, path: str, *, accept: tuple[int, ...] = (200,), **options: Any) -> Any:
        """The answer of the first process that gives one. A repeated POST is done only once."""
        headers = {"Idempotency-Key": uuid.uuid4().hex}
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                service = self.chance.choice(self.services)
                try:
                    async with self.session.request(method, service.url + path, headers=headers, **options) as answer:
                        body = await answer.json()
                    if answer.status in accept:
                        return body
                    if answer.status not in (409, 429, 500, 503):
                        raise AssertionError(f"{method} {path}: {answer.status} {body}")
                except aiohttp.ClientError:
                    pass
                self.retries += 1
                await asyncio.sleep(0.2)


def deck() -> dict[str, list[File]]:
    """Files of every kind. They are made only once."""
    return {
        "photo": [
            File(data=corpus.jpeg(corpus.photo(*size, seed=number), quality=85), end="completed")
            for number, size in enumerate(PHOTOS)
        ],
        "small": [File(data=corpus.SAMPLES[name].make(), end="completed") for name in GOOD],
        "hostile": [File(data=corpus.SAMPLES[name].make(), end=corpus.SAMPLES[name].code or "") for name in HOSTILE],
    }
