"""A file to submit: checked before it is opened, read in pieces, with a name that the API accepts."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import mimetypes
import os
import re
import stat
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.client.errors import SubmitError

#: Bytes read from a file at a time.
CHUNK_BYTES = 256 * 1024
#: Control characters, and the halves that Python makes of bytes that are no UTF-8 (PEP 383).
_NOT_IN_A_NAME = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Photo:
    """`shown` is what the person called it; `name` is what the service is told, where that differs."""

    path: Path
    shown: str
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What a photo was when it was read: `size` in bytes, `checksum` as SHA-256 in base64."""

    photo: Photo
    size: int
    checksum: str

    def asked(self) -> dict[str, Any]:
        """What the API is told of it, the same for the same file every time."""
        name = wire_name(self.photo.name or self.photo.path.name)
        asked: dict[str, Any] = {"filename": name, "size": self.size, "checksumSha256": self.checksum}
        guessed = mimetypes.guess_type(name)[0]
        if guessed and guessed.startswith("image/"):
            asked["contentType"] = guessed
        return asked


async def read_content(photo: Photo) -> Content:
    """Size and checksum of the file. Raises `SubmitError` for what is no file with something in it, `OSError`."""
    size = await asyncio.to_thread(_size, photo.path)
    digest = hashlib.sha256()
    async for chunk in chunks(photo.path, 0, size):
        digest.update(chunk)
    return Content(photo=photo, size=size, checksum=base64.b64encode(digest.digest()).decode())


async def chunks(path: Path, start: int, size: int, tell: Callable[[int], None] | None = None) -> AsyncIterator[bytes]:
    """`size` bytes of the file from `start` on, read outside the event loop; `tell` hears how many were taken.

    Raises `SubmitError` when there are fewer.
    """
    sent = 0
    # A name that became a pipe since it was looked at must not hang the client.
    descriptor = await asyncio.to_thread(os.open, path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb", buffering=0) as file:  # noqa: ASYNC230, PTH123 - it is open already
        file.seek(start)
        while sent < size:
            chunk = await asyncio.to_thread(file.read, min(CHUNK_BYTES, size - sent))
            if not chunk:
                raise SubmitError("the file became shorter while it was read")
            yield chunk
            sent += len(chunk)
            if tell is not None:
                tell(sent)


def wire_name(name: str) -> str:
    """A file's name without what the API refuses: control characters, and bytes that are no text."""
    return _NOT_IN_A_NAME.sub("_", name)


def _size(path: Path) -> int:
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        raise SubmitError("it is a directory")
    if not stat.S_ISREG(found.st_mode):
        raise SubmitError("it is a pipe or a device, not a file; `-` reads standard input")
    if not found.st_size:
        raise SubmitError("the file is empty")
    return found.st_size
