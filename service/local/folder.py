"""The folder of the local mode: created, locked for one process, and read by other commands."""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict, ValidationError

from service.local import LocalError

#: Where the data is, unless something else is said, and the variable that says it.
DATA_DIR, DATA_DIR_VARIABLE = ".local", "DATA_DIR"
#: Says where the running local mode is. That one holds a lock on it, which ends with the process however that ends.
RUNNING_FILE = "running.json"
#: Whoever only looks holds the lock for less than a moment; longer than this, somebody runs.
_MOMENT_SECONDS = 0.5


class Running(BaseModel):
    """Where a local mode is: its API, and its AWS."""

    model_config = ConfigDict(frozen=True)

    url: str
    endpoint_url: str


@contextmanager
def told(folder: Path) -> Iterator[None]:
    """Turn errors of the file system into a `LocalError` with helpful words."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:  # the last two of a name that cannot be one
        reason = (error.strerror if isinstance(error, OSError) else None) or error
        raise LocalError(
            f"Cannot keep data in {folder} ({reason}): choose another folder with {DATA_DIR_VARIABLE}=."
        ) from None


def make_folder(data_dir: str) -> Path:
    """The folder as an absolute path, made when it is missing. Raises `LocalError` when it cannot be written to."""
    if not data_dir:
        raise LocalError(f"The folder for data has no name: name one with {DATA_DIR_VARIABLE}=.")
    with told(Path(data_dir)):
        folder = Path(data_dir).expanduser().resolve()
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, "it is no folder")
        folder.mkdir(parents=True, exist_ok=True)
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "it may not be written to")
    return folder


def refuse_second(folder: Path) -> None:
    """Raises `LocalError` while a local mode runs over the folder."""
    if not (folder / RUNNING_FILE).exists():
        return
    with told(folder), (folder / RUNNING_FILE).open() as file:
        if _lock(file, fcntl.LOCK_SH):
            return
        running = _read(file)
    where = f", at {running.url}" if running else ""
    raise LocalError(
        f"{folder} is in use by another local mode{where}: use that one, or start this one with another"
        f" {DATA_DIR_VARIABLE}= and another PORT=."
    )


@contextmanager
def held(folder: Path) -> Iterator[IO[str]]:
    """Lock the folder for this process. Yields the file for `announce`. Raises `LocalError`."""
    with told(folder):
        file = (folder / RUNNING_FILE).open("a+")
    with file:
        if not _lock(file, fcntl.LOCK_EX):
            refuse_second(folder)
        file.truncate(0)
        try:
            yield file
        finally:
            file.truncate(0)


def announce(file: IO[str], running: Running) -> None:
    """Let other commands find this one."""
    file.write(running.model_dump_json())
    file.flush()


def find_running(environ: Mapping[str, str]) -> Running:
    """The local mode that runs on the folder of the environment. Raises `LocalError`."""
    path = Path(environ.get(DATA_DIR_VARIABLE) or DATA_DIR).expanduser().absolute() / RUNNING_FILE
    if path.exists():
        with told(path.parent), path.open() as file:
            running = None if _lock(file, fcntl.LOCK_SH) else _read(file)
        if running is not None:
            return running
    raise LocalError(
        f"No local mode runs over {path.parent}: start it with `make run`, or let {DATA_DIR_VARIABLE}= name its folder."
    )


def _lock(file: IO[str], kind: int) -> bool:
    deadline = time.monotonic() + _MOMENT_SECONDS
    while True:
        try:
            fcntl.flock(file, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        else:
            return True


def _read(file: IO[str]) -> Running | None:
    """None while it only starts."""
    file.seek(0)
    try:
        return Running.model_validate_json(file.read())
    except ValidationError:
        return None
