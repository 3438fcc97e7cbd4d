"""Compares servers that resize on demand with this pipeline: one WebP of 512 pixels for each picture.

    python -m benchmarks.on_demand [--photos 12] [--rounds 3] [--thumbor DIR] [FILE ...]

All get the same task, in turn: fit into 512 x 512, quality 80, two pictures at a time. CPU is that of the server's
processes. A server gets a request for each picture, and reads it from a folder. This pipeline makes variants once and
serves nothing, so it is called as a function. Its figure includes its checks of the file, but no HTTP.

thumbor is installed into `.local/thumbor` with pip, unless `--thumbor` is the folder of another environment. imagor and
imgproxy take part if they are on the PATH.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import aiohttp

from benchmarks.cpu_per_megapixel import machine
from benchmarks.end_to_end import cpu_seconds
from benchmarks.photos import files
from processor.formats.webp import WEBP
from processor.pipeline.engine import set_up_libvips
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.render import inspect, render
from processor.recipes import Recipe, VariantSpec
from tests.ports import held_port
from tests.waiting import eventually

#: The task. Effort 4 is the default of libwebp, and so of the servers.
SIDE, QUALITY, EFFORT = 512, 80, 4
ONE = Recipe(
    name="one",
    version=1,
    specs=(VariantSpec(name="one", format=WEBP.name, quality=QUALITY, effort=EFFORT, box=(SIDE, SIDE)),),
)
#: Simultaneous pictures.
AT_ONCE = 2
#: Time limit for one picture, in seconds.
PATIENCE_SECONDS = 60.0
OURS = "this pipeline"

#: Makes one picture of a file. Returns its size in bytes.
Make = Callable[[Path], Awaitable[int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """How to start a server, and its URL for a picture. `{port}`, `{folder}` and `{file}` are placeholders."""

    command: Sequence[str]
    path: str
    environment: Mapping[str, str] = field(default_factory=dict)


_LIKE_THUMBOR = f"/unsafe/fit-in/{SIDE}x{SIDE}/filters:format(webp):quality({QUALITY})/{{file}}"
SERVERS: Mapping[str, Server] = {
    "thumbor": Server(
        command=("thumbor", "-p", "{port}", "-i", "127.0.0.1", "-c", "{folder}/thumbor.conf", "--processes", "2"),
        path=_LIKE_THUMBOR,
    ),
    "imagor": Server(
        command=("imagor", "-port", "{port}", "-imagor-unsafe", "-file-loader-base-dir", "{folder}"),
        path=_LIKE_THUMBOR,
    ),
    "imgproxy": Server(
        command=("imgproxy",),
        path=f"/insecure/rs:fit:{SIDE}:{SIDE}/q:{QUALITY}/plain/local:///{{file}}@webp",
        environment={"IMGPROXY_BIND": "127.0.0.1:{port}", "IMGPROXY_LOCAL_FILESYSTEM_ROOT": "{folder}"},
    ),
}
#: thumbor reads files, caches nothing, and has one process for each simultaneous picture.
THUMBOR_SETTINGS = """
LOADER = "thumbor.loaders.file_loader"
FILE_LOADER_ROOT_PATH = {folder!r}
STORAGE = "thumbor.storages.no_storage"
ALLOW_UNSAFE_URL = True
MAX_PIXELS = 10**9
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """A function that makes the picture, and one for the CPU seconds so far."""

    make: Make
    cpu_seconds: Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Make all pictures once."""

    cpu_seconds: float
    seconds: float
    written: int


async def contest(pictures: Sequence[Path], rounds: int, paths: str) -> str:
    """The table of all servers that take part."""
    found = {name: shutil.which(server.command[0], path=paths) for name, server in SERVERS.items()}
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        named = [folder / f"{number}{picture.suffix}" for number, picture in enumerate(pictures)]
        await asyncio.to_thread(_copy, pictures, named)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        here = {OURS: Contestant(make=_ours, cpu_seconds=time.process_time)}
        for name, program in found.items():
            if program:
                here[name] = await stack.enter_async_context(_started(SERVERS[name], program, folder, session))
        for one in here.values():
            await _all(one, named[:AT_ONCE])
        runs: dict[str, list[Round]] = {name: [] for name in here}
        for _ in range(rounds):
            for name, one in here.items():
                runs[name].append(await _all(one, named))
    missing = [f"{name}: not here" for name, program in found.items() if not program]
    return "\n".join([*_table(runs, len(pictures)), *missing])


async def _all(contestant: Contestant, pictures: Sequence[Path]) -> Round:
    room = asyncio.Semaphore(AT_ONCE)

    async def one(picture: Path) -> int:
        async with room:
            return await contestant.make(picture)

    cpu, began = contestant.cpu_seconds(), time.monotonic()
    written = await asyncio.gather(*(one(picture) for picture in pictures))
    seconds = time.monotonic() - began
    return Round(cpu_seconds=contestant.cpu_seconds() - cpu, seconds=seconds, written=sum(written))


async def _ours(picture: Path) -> int:
    return await asyncio.to_thread(_rendered, picture)


def _rendered(picture: Path) -> int:
    data = picture.read_bytes()
    result = render(data, inspect(data, FileLimits()), ONE, Deadline(PATIENCE_SECONDS))
    return sum(len(variant.data) for variant in result.variants)


@asynccontextmanager
async def _started(
    server: Server, program: str, folder: Path, session: aiohttp.ClientSession
) -> AsyncIterator[Contestant]:
    port = held_port()
    fill = {"port": str(port), "folder": str(folder)}
    process = await asyncio.create_subprocess_exec(
        program,
        *(word.format_map(fill) for word in server.command[1:]),
        env={**os.environ, **{name: value.format_map(fill) for name, value in server.environment.items()}},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )

    async def make(picture: Path) -> int:
        url = f"http://127.0.0.1:{port}{server.path.format(file=picture.name)}"
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=PATIENCE_SECONDS)) as answer:
            data = await answer.read()
            assert answer.ok, f"{url}: {answer.status} {data[:200]!r}"
            assert data[8:12] == b"WEBP", f"{url}: {answer.content_type}"
            return len(data)

    async def answers() -> bool:
        try:
            async with session.get(f"http://127.0.0.1:{port}/"):
                return True
        except aiohttp.ClientError:
            return False

    try:
        await eventually(answers, within=PATIENCE_SECONDS, what=f"{program} to answer")
        yield Contestant(make=make, cpu_seconds=lambda: _cpu_seconds(process.pid))
    finally:
        os.killpg(process.pid, signal.SIGTERM)  # thumbor's processes outlive their parent
        await process.wait()


def _cpu_seconds(pid: int) -> float:
    """CPU seconds of a process and of all its descendants, also ended ones."""
    children = [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in _words(task / "children")]
    return cpu_seconds(pid) + sum(_cpu_seconds(child) for child in children)


def _words(file: Path) -> list[str]:
    return file.read_text().split()


def _copy(pictures: Sequence[Path], named: Sequence[Path]) -> None:
    for picture, name in zip(pictures, named, strict=True):
        shutil.copyfile(picture, name)
    folder = named[0].parent
    (folder / "thumbor.conf").write_text(THUMBOR_SETTINGS.format(folder=str(folder)))


def _table(runs: Mapping[str, Sequence[Round]], count: int) -> list[str]:
    lines = [f"{'':14} {'CPU s a picture':>16} {'of ours':>8} {'pictures/s':>11} {'of ours':>8} {'bytes':>10}"]
    for name, rounds in runs.items():
        pairs = list(zip(rounds, runs[OURS], strict=True))
        cpu = median(each.cpu_seconds / ours.cpu_seconds for each, ours in pairs)
        pace = median(ours.seconds / each.seconds for each, ours in pairs)
        lines.append(
            f"{name:14} {median(each.cpu_seconds for each in rounds) / count:16.3f} {cpu:8.2f} "
            f"{count / median(each.seconds for each in rounds):11.1f} {pace:8.2f} {rounds[0].written:10,}"
        )
    return lines


def installed(folder: Path | None) -> Path:
    """The folder of programs of an environment with thumbor; makes one if it is missing."""
    if folder is None:
        folder = Path(".local/thumbor")
        if not (folder / "bin" / "thumbor").exists():
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            subprocess.run([str(folder / "bin" / "pip"), "install", "--quiet", "thumbor~=7.8"], check=True)
    return folder / "bin"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--photos", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--thumbor", type=Path, metavar="DIR")
    options = parser.parse_args()
    pictures = options.files or files(options.photos)
    paths = os.pathsep.join([str(installed(options.thumbor)), os.environ["PATH"]])
    set_up_libvips()
    print(f"{machine()}; {len(pictures)} pictures, {options.rounds} rounds, {AT_ONCE} at a time")
    print(asyncio.run(contest(pictures, options.rounds, paths)))


if __name__ == "__main__":
    main()
