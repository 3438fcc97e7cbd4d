"""A file to upload: its name, size and checksum, and any piece of it."""

from __future__ import annotations

import base64
import hashlib
import io
import mimetypes
import os
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from truss_image_client.errors import UploadFailed

#: What can be uploaded: the path of a file, its bytes, or a file that is open for reading bytes and can seek.
Source = str | os.PathLike[str] | bytes | IO[bytes]

#: Bytes that are read at a time.
CHUNK_BYTES = 256 * 1024
_NOT_IN_A_NAME = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class Content:
    """An open file. Several threads may read pieces of it at once."""

    def __init__(self, source: Source, filename: str | None) -> None:
        self._owned = not hasattr(source, "read")
        self._file = _opened(source)
        self._lock = threading.Lock()
        self._start = 0 if self._owned else self._file.tell()
        name = filename or (Path(source).name if isinstance(source, str | os.PathLike) else _name_of(self._file))
        self.filename = _NOT_IN_A_NAME.sub("_", name)
        self.size = self._file.seek(0, os.SEEK_END) - self._start
        if not self.size:
            self.close()
            raise UploadFailed("the file is empty")

    @property
    def content_type(self) -> str | None:
        guessed = mimetypes.guess_type(self.filename)[0]
        return guessed if guessed and guessed.startswith("image/") else None

    def checksum(self) -> str:
        """SHA-256 in base64."""
        digest = hashlib.sha256()
        for chunk in self.chunks(0, self.size):
            digest.update(chunk)
        return base64.b64encode(digest.digest()).decode()

    def chunks(self, start: int, size: int, tell: Callable[[int], None] | None = None) -> Iterator[bytes]:
        """`size` bytes from `start` on; `tell` hears how many were taken."""
        taken = 0
        while taken < size:
            chunk = self.read(start + taken, min(CHUNK_BYTES, size - taken))
            yield chunk
            taken += len(chunk)
            if tell is not None:
                tell(taken)

    def read(self, start: int, size: int) -> bytes:
        with self._lock:
            self._file.seek(self._start + start)
            chunk = self._file.read(size)
        if not chunk:
            raise UploadFailed("the file became shorter while it was read")
        return chunk

    def close(self) -> None:
        """Close what was opened here. A file that the caller opened stays open."""
        if self._owned:
            self._file.close()


def _opened(source: Source) -> IO[bytes]:
    if isinstance(source, bytes | bytearray | memoryview):
        return io.BytesIO(source)
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        if not path.is_file():
            raise UploadFailed(f"{path.name} is no file")
        return path.open("rb")
    if not source.seekable():
        raise UploadFailed("the file cannot seek: read it into memory first, and upload the bytes")
    return source


def _name_of(file: IO[bytes]) -> str:
    """Files know their names, other streams may."""
    name = getattr(file, "name", None)
    return Path(name).name if isinstance(name, str) and name else "image"
