"""A child process that is not trusted: it gets no credentials, answers in packets, and is killed with descendants."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from asyncio.subprocess import PIPE, SubprocessStreamProtocol
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from processor.errors import DecoderCrashed, ImageRejected, TimedOut, TooLargeForMemory, Unavailable
from processor.sandbox.confine import OUT_OF_MEMORY
from processor.sandbox.messages import Packet, hear, opening

#: Bytes that are written to a pipe at once, and the buffer for reading from one.
CHUNK_BYTES = 256 * 1024
#: The variables that the child inherits, besides libvips' own. There must be no credentials among them.
_INHERITED = frozenset({"PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH"})
_INHERITED_PREFIX = "VIPS_"
#: Variables for the child alone. Each arena of glibc's malloc reserves 64 MiB of the address space that `confine`
#: limits, and a single thread needs only one. Blocks above the malloc threshold go back to the system when they are
#: freed. libvips unpacks pictures above its threshold into files, which the child cannot write.
GIVEN: Mapping[str, str] = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_THRESHOLD_": "1048576",
    "VIPS_DISC_THRESHOLD": "1000g",
}
#: The image's error, by the exit status of its child.
_ENDINGS: Mapping[int | None, type[ImageRejected]] = {-signal.SIGXCPU: TimedOut, OUT_OF_MEMORY: TooLargeForMemory}
#: The folder from which this package was imported. The child must import the same code.
_ROOT = Path(__file__).resolve().parents[2]


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    ours = {name: value for name, value in environ.items() if name in _INHERITED or name.startswith(_INHERITED_PREFIX)}
    return {**ours, **GIVEN, "PYTHONPATH": str(_ROOT)}


class _Protocol(SubprocessStreamProtocol):
    """The streams, and an event for the exit."""

    stdin: asyncio.StreamWriter
    stdout: asyncio.StreamReader

    def __init__(self) -> None:
        super().__init__(limit=CHUNK_BYTES, loop=asyncio.get_running_loop())
        self.exited = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the event loop when the process has started."""
        super().connection_made(transport)
        self._group = cast("asyncio.SubprocessTransport", transport).get_pid()

    def process_exited(self) -> None:
        """Called by the event loop when the process has been reaped."""
        super().process_exited()
        self.kill_group()  # its descendants would keep the pipes open
        self.exited.set()

    def forget(self) -> None:
        """Let go of the streams and of what nobody read. A stream and its protocol refer to each other."""
        self.stdin = self.stdout = None  # type: ignore[assignment]  # asyncio sets them so itself

    def kill_group(self) -> None:
        self.signal_group(signal.SIGKILL)

    def signal_group(self, number: signal.Signals) -> None:
        """Send a signal to the process group, which the process leads. Everything that it started is in the group."""
        with contextlib.suppress(ProcessLookupError, PermissionError):  # the group is empty
            os.killpg(self._group, number)


class ChildProcess:
    """One running child. Its creator must call `end`."""

    def __init__(self, transport: asyncio.SubprocessTransport, protocol: _Protocol) -> None:
        self._transport = transport
        self._protocol = protocol

    @classmethod
    async def start(cls, command: Sequence[str]) -> ChildProcess:
        """Run a program. Raises `Unavailable` if the machine cannot start it."""
        try:
            transport, protocol = await asyncio.get_running_loop().subprocess_exec(
                _Protocol,
                *command,
                stdin=PIPE,
                stdout=PIPE,
                stderr=asyncio.subprocess.DEVNULL,  # it may quote the content of the file
                env=environment(os.environ),
                cwd="/",
                close_fds=True,
                start_new_session=True,
            )
        except OSError:
            raise Unavailable from None
        return cls(transport, protocol)

    async def ask(
        self, header: Mapping[str, Any], body: bytes = b"", *, within_seconds: float | None, max_body_bytes: int = 0
    ) -> Packet:
        """Send a packet and receive the answer.

        Raises `TimedOut` if it takes too long, or if the child used up its CPU time; `TooLargeForMemory` if it used up
        its memory; `DecoderCrashed` if it ends in another way, or answers anything but a packet of at most
        `max_body_bytes`.
        """
        telling = asyncio.create_task(self._tell(header, body))
        try:
            return await self.listen(within_seconds=within_seconds, max_body_bytes=max_body_bytes)
        finally:
            telling.cancel()

    async def listen(self, *, within_seconds: float | None, max_body_bytes: int = 0) -> Packet:
        """Receive the child's next packet. Raises what `ask` raises."""
        try:
            async with asyncio.timeout(within_seconds):
                return await hear(self._protocol.stdout, max_body_bytes=max_body_bytes)
        except TimeoutError:
            raise TimedOut from None
        except EOFError:
            raise await self._last_words() from None
        except ValueError:
            raise DecoderCrashed from None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the process and everything that it started."""
        if not self._protocol.exited.is_set():
            self._protocol.signal_group(number)

    def kill(self) -> None:
        """End the process and everything that it started."""
        self.signal(signal.SIGKILL)

    async def end(self) -> None:
        """Kill it if it still runs, and wait until nothing is left of it. May be repeated."""
        self.kill()
        stdin = self._transport.get_pipe_transport(0)
        if isinstance(stdin, asyncio.WriteTransport) and not stdin.is_closing():
            stdin.abort()  # `close` would wait until the child has read the rest
        try:
            await self._protocol.exited.wait()
        finally:
            self._transport.close()
            self._protocol.forget()

    async def _tell(self, header: Mapping[str, Any], body: bytes) -> None:
        # A broken pipe shows in the missing answer.
        with contextlib.suppress(ConnectionError):
            self._protocol.stdin.write(opening(header, len(body)))
            for start in range(0, len(body), CHUNK_BYTES):
                self._protocol.stdin.write(body[start : start + CHUNK_BYTES])
                await self._protocol.stdin.drain()

    async def _last_words(self) -> ImageRejected:
        """Why the child sends nothing more. A kill does not change the status of a process that has ended already."""
        self.kill()
        await self._protocol.exited.wait()
        return _ENDINGS.get(self._transport.get_returncode(), DecoderCrashed)()
