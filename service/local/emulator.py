"""Runs the AWS emulator of the local mode: a child process on loopback, with its data in a folder."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import click

from service.local import LocalError
from service.local.folder import DATA_DIR_VARIABLE, told
from service.local.ports import LOOPBACK, address_of, bindable, free_port, parse_port

__all__ = ["Emulator", "bindable", "choose_port", "run_emulator"]

#: Interpreter of the emulator's environment. It has its own, because its pinned packages conflict with aioboto3's.
PYTHON_VARIABLE = "LOCAL_AWS_PYTHON"
#: Port of the emulator. Containers need it, because their published ports are chosen before they start.
PORT_VARIABLE = "LOCAL_AWS_PORT"
#: Time limits for the emulator to answer after its start, and to save its state before its end.
START_SECONDS, STOP_SECONDS = 60, 30
#: The emulator's account; it is part of the buckets' names.
ACCOUNT_ID = "000000000000"
REGION = "us-east-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Emulator:
    """A running emulator. `intact`: it saved all records before its last end, or it had none."""

    endpoint_url: str
    data_dir: Path
    intact: bool


@asynccontextmanager
async def run_emulator(data_dir: Path, port: int | None = None) -> AsyncIterator[Emulator]:
    """Start the emulator over the folder `data_dir`, and let it save its state at the end. Raises `LocalError`."""
    async with _only_user_of(data_dir) as lock:
        port = choose_port(data_dir, os.environ) if port is None else port
        with told(data_dir):
            saved = data_dir / "saved"
            intact = saved.exists() or not (data_dir / "s3").exists()
            saved.unlink(missing_ok=True)
        process = await _start(data_dir, port, saved, lock)
        try:
            await _wait_until_ready(process, port, data_dir)
            yield Emulator(endpoint_url=endpoint_url(port), data_dir=data_dir, intact=intact)
        finally:
            await _stop(process)


def endpoint_url(port: int) -> str:
    return f"http://{LOOPBACK}:{port}"


async def _start(data_dir: Path, port: int, saved: Path, lock: int) -> asyncio.subprocess.Process:
    python = _python()
    with told(data_dir), (data_dir / "emulator.log").open("wb") as log_file:
        try:
            return await asyncio.create_subprocess_exec(
                python,
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
        except OSError as error:
            raise LocalError(f"{python} cannot be run ({error.strerror}): {_remedy()}.") from None


def _python() -> str:
    given = os.environ.get(PYTHON_VARIABLE)
    # In the source tree, where `make setup` puts it, or beside the environment of an installed package.
    candidates = (
        [Path(given)]
        if given
        else [root / ".venv-aws" / "bin" / "python" for root in (Path(__file__).parents[2], Path(sys.prefix).parent)]
    )
    for candidate in candidates:
        if candidate.exists():
            return str(candidate)
    raise LocalError(f"The local AWS is not installed (looked for {candidates[0]}): {_remedy()}.")


def _remedy() -> str:
    """Advice for a missing or broken environment of the emulator."""
    if os.environ.get(PYTHON_VARIABLE):
        return f"let {PYTHON_VARIABLE}= name a Python that has ministack, or unset it and run `make setup`"
    return "run `rm -rf .venv-aws && make run`"


def _environment(data_dir: Path, port: int) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return kept | {
        "AUTH": "true",
        "PERSIST_STATE": "1",
        "S3_PERSIST": "1",
        "GATEWAY_PORT": str(port),
        "BIND_HOST": address_of(os.environ),
        "MINISTACK_HOST": "127.0.0.1",
        "STATE_DIR": str(data_dir / "state"),
        "S3_DATA_DIR": str(data_dir / "s3"),
        "SFTP_ENABLED": "0",
        "IOT_MTLS_ENABLED": "0",
        "AWS_DEFAULT_REGION": REGION,
    }


def choose_port(data_dir: Path, environ: Mapping[str, str], *, apart_from: int | None = None) -> int:
    """The port that is asked for, or that of the last run if it is free, or any free one. Raises `LocalError`.

    URLs of the last run have its port. If it stays the same, they stay valid.
    """
    given = environ.get(PORT_VARIABLE)
    if given:
        return free_port(parse_port(given, PORT_VARIABLE), PORT_VARIABLE, address_of(environ))
    remembered = data_dir / "port"
    with contextlib.suppress(OSError, ValueError, OverflowError):
        port = int(remembered.read_text())
        if port not in (0, apart_from):
            return bindable(port)
    port = bindable(0)
    with told(data_dir):
        remembered.write_text(str(port))
    return port


@asynccontextmanager
async def _only_user_of(data_dir: Path) -> AsyncIterator[int]:
    """Hold the lock of the folder; yields its descriptor. Two emulators would overwrite each other's state.

    The emulator of a killed service may still be saving its state, so this waits for it.
    """
    with told(data_dir):
        lock = (data_dir / "lock").open("w")
    with lock:
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await _lock(lock.fileno())
        except TimeoutError:
            raise LocalError(
                f"{data_dir} is in use by another local service, or by the local AWS of one that has just ended: try"
                f" again in a moment, or choose another folder with {DATA_DIR_VARIABLE}=."
            ) from None
        yield lock.fileno()


async def _lock(descriptor: int) -> None:
    told_to_wait = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if not told_to_wait:
                click.echo("Waiting for the local AWS of the last run to save its data.", err=True)
            told_to_wait = True
            await asyncio.sleep(0.1)
        else:
            return


async def _wait_until_ready(process: asyncio.subprocess.Process, port: int, data_dir: Path) -> None:
    url = f"{endpoint_url(port)}/_ministack/health"
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(START_SECONDS), aiohttp.ClientSession() as session:
            while process.returncode is None:
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(url) as answer:
                        if answer.ok:
                            return
                await asyncio.sleep(0.05)
    log_file = data_dir / "emulator.log"
    raise LocalError(
        f"The local AWS did not start{_last_words(log_file)}: {log_file} says why; if it is broken, {_remedy()}."
    )


def _last_words(log_file: Path) -> str:
    """The last line of the log, which usually shows the cause."""
    lines = log_file.read_text(errors="replace").split("\n") if log_file.exists() else []
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return f" ({last[:120]})" if last else ""


async def _stop(process: asyncio.subprocess.Process) -> None:
    """Send SIGTERM, so that the emulator saves its state, and wait for its end."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
