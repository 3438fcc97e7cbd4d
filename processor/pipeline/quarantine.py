"""Renders suspects: images whose worker vanished the last time, and which therefore get a process of their own."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from processor.errors import DecoderCrashed, ImageRejected, Unavailable
from processor.images import Rendered
from processor.pipeline.answers import read_info, read_refusal, unpack
from processor.pipeline.attempt import order
from processor.pipeline.budget import HELD_BYTES, MemoryBudget, working_bytes
from processor.pipeline.childprocess import ChildProcess
from processor.pipeline.engine import EngineConfig
from processor.pipeline.frames import Frame
from processor.pipeline.render import Recipe

#: The child: without the user's packages, without the current directory, without writing bytecode.
COMMAND = (sys.executable, "-sPB", "-m", "processor.pipeline.child")
#: Longest start of the child; a tenth of a second on an idle machine.
START_SECONDS = 30.0
#: What the child gets beyond the time limit of an image, so that it can tell by itself that it was too slow.
GRACE_SECONDS = 5.0
#: Processor time per second of the time limit: libvips and libwebp overlap a little, 1.1 was measured.
CPU_FACTOR = 1.25
#: Resident memory of a child that has done nothing yet.
CHILD_BYTES = 40 * 1024 * 1024


class ChildRenderer:
    """Implements `ports.Renderer`, one image at a time. Made and used within one event loop.

    With a `budget` (the engine's), an image waits for its share of it once its header is known. `command` replaces
    the program that is started.
    """

    def __init__(
        self, config: EngineConfig, *, command: Sequence[str] | None = None, budget: MemoryBudget | None = None
    ) -> None:
        self._recipe = Recipe(specs=config.specs, effort=config.effort, limits=config.limits)
        self._memory_bytes = config.memory_budget_bytes
        self._command = tuple(command or COMMAND)
        self._budget = budget
        self._turn = asyncio.Lock()
        self._child: ChildProcess | None = None
        self._closed = False

    async def render(self, data: bytes) -> Rendered:
        """Every variant of one file; waits for its turn first. When the caller is cancelled the child is killed.

        Raises an `ImageRejected` when the bytes are at fault: `DecoderCrashed` when they bring the child down.
        `Unavailable` when the child does not even start, or the renderer closes.
        """
        self._recipe.limits.check_size(len(data))
        async with self._turn:
            try:
                async with self._started(len(data)) as child:
                    return await self._converse(child, data)
            except ImageRejected:
                if self._closed:  # the child was killed, and not by the image
                    raise Unavailable from None
                raise

    def abort(self) -> None:
        """Kill the child, if any: its render, and those that wait, end with `Unavailable`. No more are taken."""
        self._closed = True
        if self._child:
            self._child.kill()

    async def close(self) -> None:
        """Abort, and wait until nothing is left of the child."""
        self.abort()
        async with self._turn:
            pass

    @asynccontextmanager
    async def _started(self, file_bytes: int) -> AsyncIterator[ChildProcess]:
        """A child that has limited itself and waits for a file: so far, whatever fails is not the image's fault."""
        self._refuse_when_closed()
        self._child = child = await ChildProcess.start(self._command)
        try:
            self._refuse_when_closed()
            try:
                await child.ask(self._order(file_bytes), within_seconds=START_SECONDS)
            except ImageRejected:
                raise Unavailable from None
            yield child
        finally:
            self._child = None
            await child.end()

    async def _converse(self, child: ChildProcess, data: bytes) -> Rendered:
        seconds = self._recipe.limits.timeout_seconds + GRACE_SECONDS
        found = _checked(await child.ask({}, data, within_seconds=seconds))
        with _garbage_is_a_crash():
            info = read_info(found.header)
        self._recipe.limits.check_header(info)
        memory_bytes = working_bytes(info, len(data))
        # The file is in this process and in the child.
        async with self._admitted(child, memory_bytes + len(data) + CHILD_BYTES):
            # The outputs come out of the child's memory, so they are no larger than that.
            answer = _checked(await child.ask({}, within_seconds=seconds, max_body_bytes=memory_bytes))
        with _garbage_is_a_crash():
            return unpack(answer, info, self._recipe.specs)

    @asynccontextmanager
    async def _admitted(self, child: ChildProcess, memory_bytes: int) -> AsyncIterator[None]:
        if self._budget is None:
            yield
            return
        await self._budget.enter(memory_bytes)
        try:
            yield
        finally:
            try:
                await child.end()  # its memory is not free before
            finally:
                self._budget.leave(memory_bytes)

    def _order(self, file_bytes: int) -> dict[str, Any]:
        limits = self._recipe.limits
        # Before the header is known: libvips reserves the whole picture of some formats already to read that.
        memory_bytes = file_bytes + max(self._memory_bytes, limits.max_pixels * HELD_BYTES)
        cpu_seconds = math.ceil(limits.timeout_seconds * CPU_FACTOR + GRACE_SECONDS)
        return {"recipe": order(self._recipe), "memory_bytes": memory_bytes, "cpu_seconds": cpu_seconds}

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise Unavailable


def _checked(answer: Frame) -> Frame:
    """The answer, unless it is a refusal; one that is not known is a crash."""
    if "error" not in answer.header:
        return answer
    with _garbage_is_a_crash():
        raise read_refusal(answer.header)


@contextmanager
def _garbage_is_a_crash() -> Iterator[None]:
    try:
        yield
    except ValueError:
        raise DecoderCrashed from None
