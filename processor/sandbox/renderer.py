"""Renders in child processes, which can be killed and have limited memory.

Two kinds of images come here: suspects, and those that the engine sends. The engine sends an image if a codec may
ignore the time limit, or if only the pixels decide whether the memory is enough.
"""

from __future__ import annotations

import asyncio
import math
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, nullcontext
from typing import Any

from processor.errors import DecoderCrashed, ImageRejected, TimedOut, TooLargeForMemory, Unavailable
from processor.facts import Facts
from processor.images import Rendered, Variant
from processor.looks import TALLY
from processor.pipeline import geometry
from processor.pipeline.budget import MemoryBudget
from processor.pipeline.effects import check_effects
from processor.pipeline.engine import EngineConfig
from processor.pipeline.estimate import share as share_of
from processor.pipeline.needs import looking_bytes
from processor.pipeline.render import nobody_counts
from processor.pipeline.spare import Spare
from processor.ports.renderer import NO_TICKET, Ticket
from processor.probe import NO_PROBES, Probes
from processor.recipes import Recipe, VariantSpec
from processor.sandbox.answers import read_end, read_info, read_need, read_refusal, unpack
from processor.sandbox.messages import Packet
from processor.sandbox.process import ChildProcess
from processor.sandbox.task import task_of
from processor.turns import Turns

#: The child runs without the user's packages and the current directory in its path, and writes no bytecode.
COMMAND = (sys.executable, "-sPB", "-m", "processor.sandbox.child")
#: The longest start of the child. On an idle machine it takes a tenth of a second.
START_SECONDS = 30.0
#: Time that the child gets beyond the time limit of an image, so that it can report itself that it was too slow.
GRACE_SECONDS = 1.0
#: CPU time per second of the time limit. libvips and libwebp run in parallel a little; 1.1 was measured.
CPU_FACTOR = 1.25
#: Resident memory of a child before it has done anything.
CHILD_BYTES = 40 * 1024 * 1024
#: Address space per pixel in addition to memory: libwebp reserves whole pictures, but never uses all at once.
UNTOUCHED_BYTES = 8
#: CPU time for the start of the interpreter and for the end.
START_CPU_SECONDS = 5.0


class ChildRenderer:
    """Implements `ports.Renderer`. Made and used within one event loop.

    With a `budget` (the engine's), an image waits for its share when its header is known. Only then does the next image
    begin, so at most one file is in a child without being counted. Without a budget, one image is rendered at a time.
    With a `lane`, images take turns there with the engine's threads. `command` replaces the program of the child. A
    `patient` child may be paused, and gets only spare CPU. Its limit is on CPU time, and the caller watches the clock.
    """

    def __init__(
        self,
        config: EngineConfig,
        *,
        command: Sequence[str] | None = None,
        budget: MemoryBudget | Spare | None = None,
        lane: Turns | None = None,
        probes: Probes = NO_PROBES,
        patient: bool = False,
    ) -> None:
        self._limits = config.limits
        self._models = config.models
        self._patient = patient
        self._standing: set[ChildProcess] = set()
        self._memory_bytes = config.memory_budget_bytes
        self._command = tuple(command or COMMAND)
        self._budget = budget
        self._lane = lane
        self._probes = probes
        self._ceiling_bytes = config.ceiling_bytes
        self._turn = asyncio.Lock()
        self._children: set[ChildProcess] = set()
        self._closed = False

    async def render(self, data: bytes, recipe: Recipe, ticket: Ticket = NO_TICKET) -> Rendered:
        """All variants of one file. It first waits for its turn. If the caller is cancelled, the child is killed.

        Raises an `ImageRejected` if the file is at fault, such as `DecoderCrashed` if the child crashes; `Unavailable`
        if the child does not start or the renderer closes; `ValueError` for effects that this release does not know.
        """
        check_effects(recipe)
        self._limits.check_size(len(data))
        async with AsyncExitStack() as turn:
            await turn.enter_async_context(self._turn)
            try:
                with self._probes.span("child"):
                    async with self._started(len(data), recipe, ticket) as child:
                        return await self._converse(child, data, recipe, ticket, turn)
            except ImageRejected as error:
                if self._closed:  # `abort` killed the child; the image is not at fault
                    raise Unavailable from None
                if isinstance(error, TimedOut):  # the error from a killed child has no limit
                    raise TimedOut(limit=math.ceil(self._limits.timeout_seconds)) from None
                raise

    def stand_still(self, still: bool) -> bool:  # noqa: FBT001 - it is a state
        """Pause or resume the children. Returns `still`."""
        if still:
            for child in self._children - self._standing:
                child.signal(signal.SIGSTOP)
            self._standing = set(self._children)
        else:
            for child in self._standing & self._children:
                child.signal(signal.SIGCONT)
            self._standing.clear()
        return still

    def abort(self) -> None:
        """Kill all children. Their renders, and those that wait, end with `Unavailable`; no new one is accepted."""
        self._closed = True
        for child in self._children:
            child.kill()

    async def close(self) -> None:
        """Abort, and wait until all children have ended."""
        self.abort()
        async with self._turn:
            pass
        for child in tuple(self._children):
            await child.end()

    @asynccontextmanager
    async def _started(self, file_bytes: int, recipe: Recipe, ticket: Ticket) -> AsyncIterator[ChildProcess]:
        """A child that has set its limits and waits for a file. Until then, no failure is the image's fault."""
        self._refuse_when_closed()
        child = await ChildProcess.start(self._command)
        self._children.add(child)
        try:
            self._refuse_when_closed()
            try:
                start_seconds = None if self._patient else START_SECONDS
                opening = self._task(file_bytes, recipe, ticket)
                await child.ask(opening, b"".join(ticket.assets.values()), within_seconds=start_seconds)
            except ImageRejected:
                raise Unavailable from None
            yield child
        finally:
            try:
                await child.end()
            finally:
                self._children.discard(child)

    async def _converse(
        self, child: ChildProcess, data: bytes, recipe: Recipe, ticket: Ticket, turn: AsyncExitStack
    ) -> Rendered:
        seconds = None if self._patient else self._limits.timeout_seconds + GRACE_SECONDS
        found = _checked(await child.ask({}, data, within_seconds=seconds))
        with _garbage_is_a_crash():
            info = read_info(found.header)
        self._limits.check_header(info)
        looking = looking_bytes(recipe, self._models)
        memory_bytes = share_of(info, len(data), self._memory_bytes, recipe) + looking
        untouched_bytes = self._bounded(memory_bytes + info.pixels * UNTOUCHED_BYTES + looking) - memory_bytes
        # Besides its image and the models, a child holds little that it does not share with this process.
        most_bytes = self._memory_bytes + looking + CHILD_BYTES
        grant = {"memory_bytes": memory_bytes, "untouched_bytes": untouched_bytes, "most_bytes": most_bytes}
        # The file is in this process and in the child.
        beside_bytes = len(data) + looking + CHILD_BYTES
        share_bytes = min(memory_bytes - looking + beside_bytes, self._memory_bytes)
        async with self._admitted(child, share_bytes, ticket.tenant) as keep:
            if self._budget is not None:
                await turn.aclose()
            await ticket.begin(info)
            # The outputs are in the child's memory, so they cannot be larger than that.
            until = None if seconds is None else time.monotonic() + seconds
            variants: dict[str, Variant] = {}
            try:
                first = _checked(await child.ask(grant, within_seconds=seconds, max_body_bytes=memory_bytes))
                with _garbage_is_a_crash():
                    left_bytes = read_need(first.header)
                if left_bytes is not None:
                    keep(left_bytes + beside_bytes)
                    first = await child.listen(within_seconds=_left(until), max_body_bytes=memory_bytes)
                specs = [spec for spec, _ in geometry.smallest_first(info, recipe.specs)]
                async for variant in _variants(child, first, specs, until, memory_bytes):
                    variants[variant.name] = variant
                    ticket.ready(variant)
                facts, cpu_ms = await _end(child, recipe.fact_names, until)
            except TooLargeForMemory:
                raise TooLargeForMemory(limit=memory_bytes) from None
        made = tuple(variants[spec.name] for spec in recipe.specs)
        return Rendered(source=info, variants=made, facts=facts, cpu_ms=cpu_ms)

    @asynccontextmanager
    async def _admitted(
        self, child: ChildProcess, memory_bytes: int, tenant: str
    ) -> AsyncIterator[Callable[[int], None]]:
        """Waits for a share of the budget. The callback shrinks the share when the child needs less."""
        if self._budget is None:
            yield nobody_counts
            return
        with self._probes.span("wait", of="memory"):
            share = await self._budget.share(memory_bytes, tenant)
        try:
            async with self._lane.turn(tenant) if self._lane else nullcontext():
                yield share.keep
        finally:
            try:
                await child.end()  # its memory is in use until then
            finally:
                share.leave()

    def _task(self, file_bytes: int, recipe: Recipe, ticket: Ticket) -> dict[str, Any]:
        limits = self._limits
        # Before the header is known.
        memory_bytes = self._bounded(file_bytes + self._memory_bytes)
        cpu_seconds = math.ceil(limits.timeout_seconds * CPU_FACTOR + START_CPU_SECONDS)
        bounds = {"memory_bytes": memory_bytes, "cpu_seconds": cpu_seconds}
        task = task_of(recipe, limits, ticket.assets, patient=self._patient, models=self._models, hidden=ticket.hidden)
        return {**task, **bounds}

    def _bounded(self, memory_bytes: int) -> int:
        """The child's memory, kept below the container's limit: exceeding that would kill the container too."""
        return memory_bytes if self._ceiling_bytes is None else min(memory_bytes, self._ceiling_bytes)

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise Unavailable


async def _variants(
    child: ChildProcess, answer: Packet, specs: Sequence[VariantSpec], until: float | None, memory_bytes: int
) -> AsyncIterator[Variant]:
    """Yields each variant as soon as the child sends it. The first is in `answer`."""
    earlier: list[Variant] = []
    for spec in specs:
        if earlier:
            answer = await child.listen(within_seconds=_left(until), max_body_bytes=memory_bytes)
        with _garbage_is_a_crash():
            earlier.append(unpack(_checked(answer), spec, earlier))
        yield earlier[-1]


async def _end(child: ChildProcess, names: Sequence[str], until: float | None) -> tuple[Facts, int]:
    """The facts and the CPU, which the child sends after the variants. What it asked models counts here, too."""
    answer = _checked(await child.listen(within_seconds=_left(until)))
    with _garbage_is_a_crash():
        facts, cpu_ms, looked = read_end(answer.header, names)
    for looks in looked:
        TALLY.add(looks)
    return facts, cpu_ms


def _left(until: float | None) -> float | None:
    return None if until is None else max(0.0, until - time.monotonic())


def _checked(answer: Packet) -> Packet:
    """The answer. Raises the error that it reports; `DecoderCrashed` if that is unknown."""
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
