"""A file to upload: its name, size and checksum, and any piece of it."""

from __future__ import annotations

import base64
import hashlib
import io
import mimetypes
import os
import re
import stat
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

from truss_image_client.errors import UploadFailed
from truss_image_client.models import Job

#: The path of a file, its bytes, or a file that is open for reading bytes and can seek.
File = str | os.PathLike[str] | bytes | IO[bytes]

#: Hears how many bytes of the file have been sent, and how many it has.
Progress = Callable[[int, int], None]

#: Bytes that are read at a time.
CHUNK_BYTES = 256 * 1024
_NOT_IN_A_NAME = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
#: A name that became a pipe since it was looked at must not hang the client.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


class Content:
    """A file that is open, to be uploaded. Several threads may read pieces of it at once.

    `source` is a path, bytes, or an open file, which stays open when this is closed. Raises `UploadFailed` for what is
    no file with something in it.
    """

    def __init__(self, source: File, filename: str | None = None) -> None:
        self._owned = not hasattr(source, "read")
        self._file = _opened(source)
        self._lock = threading.Lock()
        self._start = 0 if self._owned else self._file.tell()
        name = filename or (Path(source).name if isinstance(source, str | os.PathLike) else _name_of(self._file))
        self.filename = filename_of(name)
        self._checksum = ""
        self.size = self._file.seek(0, os.SEEK_END) - self._start
        if not self.size:
            self.close()
            raise UploadFailed("the file is empty")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.close()

    @property
    def content_type(self) -> str | None:
        guessed = mimetypes.guess_type(self.filename)[0]
        return guessed if guessed and guessed.startswith("image/") else None

    def checksum(self) -> str:
        """SHA-256 in base64. The file is read for it, once."""
        if not self._checksum:
            digest = hashlib.sha256()
            for start in range(0, self.size, CHUNK_BYTES):
                digest.update(self.read(start, min(CHUNK_BYTES, self.size - start)))
            self._checksum = base64.b64encode(digest.digest()).decode()
        return self._checksum

    def read(self, start: int, size: int) -> bytes:
        """So many bytes from `start` on. Raises `UploadFailed` when there are fewer."""
        try:
            with self._lock:
                self._file.seek(self._start + start)
                chunk = self._file.read(size)
        except OSError as error:
            raise _unreadable(error) from error
        if len(chunk) < size:
            raise UploadFailed("the file became shorter while it was read")
        return chunk

    def close(self) -> None:
        """Close what was opened here. A file that the caller opened stays open."""
        if self._owned:
            self._file.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file that is in the storage. `existing`: it was there before, so nothing was sent.

    `urls`: where each variant will be, by its name, as soon as the job has completed. `sent`: bytes that this upload
    brought there; of one that goes on where an earlier try stopped, less than the file has. `job`: what an earlier try
    has made, as it was when this one looked.
    """

    unique_id: str
    processing_id: str
    key: str
    urls: Mapping[str, str]
    existing: bool
    sent: int
    job: Job | None = None


def filename_of(name: str) -> str:
    """A name without what the API refuses: control characters, and bytes that are no text."""
    return _NOT_IN_A_NAME.sub("_", name)


#: What can be uploaded: a file, or what the caller has opened already, and closes.
Source = File | Content


def _opened(source: File) -> IO[bytes]:
    if isinstance(source, bytes | bytearray | memoryview):
        return io.BytesIO(source)
    if isinstance(source, str | os.PathLike):
        try:
            return _opened_file(Path(source))
        except OSError as error:
            raise _unreadable(error) from error
    if not source.seekable():
        raise UploadFailed("the file cannot seek: read it into memory first, and upload the bytes")
    return source


def _opened_file(path: Path) -> IO[bytes]:
    found = path.stat()
    if stat.S_ISDIR(found.st_mode):
        raise UploadFailed("it is a directory")
    if not stat.S_ISREG(found.st_mode):
        raise UploadFailed("it is a pipe or a device, not a file")
    return os.fdopen(os.open(path, _FLAGS), "rb")


def _unreadable(error: OSError) -> UploadFailed:
    return UploadFailed(f"it cannot be read: {error.strerror or error}")


def _name_of(file: IO[bytes]) -> str:
    """Files know their names, other streams may."""
    name = getattr(file, "name", None)
    return Path(name).name if isinstance(name, str) and name else "image"
