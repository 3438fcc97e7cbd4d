"""The AWS emulator of the local mode: a child process on loopback, with its data in a folder."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

#: Interpreter of the emulator's environment. It has one of its own because its pins and aioboto3's collide.
PYTHON_VARIABLE = "LOCAL_AWS_PYTHON"
#: Address that the local mode listens on, and port of the emulator. They are for a container: its published ports lead
#: to another address than loopback, and are chosen before it starts.
ADDRESS_VARIABLE, PORT_VARIABLE = "LOCAL_ADDRESS", "LOCAL_AWS_PORT"
#: The local mode lets everybody in, so it listens for this machine alone unless it is told otherwise.
LOOPBACK = "127.0.0.1"
#: How long the emulator may take to answer after its start, and to save its state before its end.
START_SECONDS, STOP_SECONDS = 60, 30
#: The emulator's account, which names of buckets carry.
ACCOUNT_ID = "000000000000"
REGION = "us-east-1"


class EmulatorError(Exception):
    """The emulator cannot run; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulator:
    """A running emulator. `intact` says that it had saved all its records before its last end, or has had none."""

    endpoint_url: str
    data_dir: Path
    intact: bool


@asynccontextmanager
async def run_emulator(data_dir: Path) -> AsyncIterator[Emulator]:
    """Start the emulator over the folder `data_dir`, and let it save its state at the end. Raises `EmulatorError`."""
    async with _only_user_of(data_dir) as lock:
        port = _port(data_dir)
        saved = data_dir / "saved"
        intact = saved.exists() or not (data_dir / "s3").exists()
        saved.unlink(missing_ok=True)
        with (data_dir / "emulator.log").open("wb") as log_file:
            process = await asyncio.create_subprocess_exec(
                _python(),
                str(Path(__file__).with_name("emulator_child.py")),
                str(saved),
                env=_environment(data_dir, port),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=log_file,
                pass_fds=(
                    lock,
                ),  # the folder stays locked until the emulator has ended, even if this process is killed
                start_new_session=True,  # Ctrl-C is for the service, which stops the emulator last
            )
        try:
            await _wait_until_ready(process, port, data_dir)
            yield Emulator(endpoint_url=f"http://127.0.0.1:{port}", data_dir=data_dir, intact=intact)
        finally:
            await _stop(process)


def _python() -> str:
    given = os.environ.get(PYTHON_VARIABLE)
    # Beside the source tree, where `make setup` puts it; or beside the environment of an installed package.
    candidates = (
        [Path(given)]
        if given
        else [root / ".venv-aws" / "bin" / "python" for root in (Path(__file__).parents[2], Path(sys.prefix).parent)]
    )
    for candidate in candidates:
        if candidate.exists():
            return str(candidate)
    raise EmulatorError(
        f"The local AWS is not installed (looked for {candidates[0]}): run `make setup`, or let {PYTHON_VARIABLE} name"
        " the Python of an environment that has ministack."
    )


def _environment(data_dir: Path, port: int) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return kept | {
        "AUTH": "true",
        "PERSIST_STATE": "1",
        "S3_PERSIST": "1",
        "GATEWAY_PORT": str(port),
        "BIND_HOST": os.environ.get(ADDRESS_VARIABLE, LOOPBACK),
        "MINISTACK_HOST": "127.0.0.1",
        "STATE_DIR": str(data_dir / "state"),
        "S3_DATA_DIR": str(data_dir / "s3"),
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "AWS_DEFAULT_REGION": REGION,
    }


def _port(data_dir: Path) -> int:
    """The port that is asked for, or that of the last run while it is free, or any free one.

    URLs that were handed out name it, and stay good with it.
    """
    given = os.environ.get(PORT_VARIABLE)
    if given:
        return bindable(int(given))
    remembered = data_dir / "port"
    with contextlib.suppress(OSError, ValueError):
        return bindable(int(remembered.read_text()))
    port = bindable(0)
    remembered.write_text(str(port))
    return port


def bindable(port: int) -> int:
    """A port of the loopback address that can be listened on: `port`, or any when that is 0. Raises `OSError`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def _only_user_of(data_dir: Path) -> AsyncIterator[int]:
    """Hold the lock of the folder (its descriptor): two emulators over one folder would overwrite each other's state.

    The emulator of a service that was killed may still be saving, so it is waited for.
    """
    with (data_dir / "lock").open("w") as lock:
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await _lock(lock.fileno())
        except TimeoutError:
            raise EmulatorError(f"{data_dir} is in use by another local service; choose another --data-dir.") from None
        yield lock.fileno()


async def _lock(descriptor: int) -> None:
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            await asyncio.sleep(0.1)
        else:
            return


async def _wait_until_ready(process: asyncio.subprocess.Process, port: int, data_dir: Path) -> None:
    url = f"http://127.0.0.1:{port}/_ministack/health"
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(START_SECONDS), aiohttp.ClientSession() as session:
            while process.returncode is None:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(url) as answer:
                        if answer.ok:
                            return
                await asyncio.sleep(0.05)
    raise EmulatorError(f"The local AWS did not start; {data_dir / 'emulator.log'} says why.")


async def _stop(process: asyncio.subprocess.Process) -> None:
    """SIGTERM lets the emulator save its state; it is waited for."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
