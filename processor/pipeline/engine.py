"""The renderer of the service: it sets up libvips, and has a thread pool with a memory budget in front of it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pyvips

from processor.errors import TrussError, Unavailable
from processor.formats import DECODED, decoding_of
from processor.formats.info import ImageInfo
from processor.images import Rendered, Variant
from processor.looking.models import use
from processor.pipeline import geometry
from processor.pipeline.allocator import give_all_back, give_back, tune_allocator
from processor.pipeline.budget import MemoryBudget, Share
from processor.pipeline.courtesy import step_back
from processor.pipeline.effects import check_effects
from processor.pipeline.estimate import share, working_bytes
from processor.pipeline.lanes import Lanes
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.meter import Meter, beside_this_thread
from processor.pipeline.render import Rendering, inspect
from processor.pipeline.silence import must_be_killable
from processor.ports.renderer import NO_TICKET, Renderer, Ticket
from processor.probe import NO_PROBES, Probes
from processor.recipes import Recipe
from processor.turns import Turns

Result = TypeVar("Result")

#: Time that a thread may need to end after its time limit, even on a busy machine.
STUCK_SECONDS = 5.0
#: After so long without an image, free memory goes back to the system.
REST_SECONDS = 2.0
#: State of a libvips operation that must not be used.
_BLOCKED = True


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineConfig:
    """How much of the machine the pipeline gets, and how much one image may use."""

    #: Threads of the long lane: so many images are in their long phase at once; see `lanes`.
    threads: int
    #: Memory of all images in work together; see `estimate.working_bytes` for what counts.
    memory_budget_bytes: int
    #: The most memory of a child process, so that it runs out before its container does; None: no limit is known.
    ceiling_bytes: int | None = None
    #: The folder of the models that look into pictures; None: looking is off.
    models: Path | None = None
    limits: FileLimits = field(default_factory=FileLimits)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLoad:
    """How busy the engine is. `waiting` counts images that wait for a thread or for memory."""

    running: int
    waiting: int
    free_bytes: int


@dataclass(slots=True, kw_only=True)
class _Rest:
    """The second phase of an image. It begins when the image is decoded and a thread is free, beside the
    first phase."""

    lane: Turns
    tenant: str
    deadline: Deadline
    work: Callable[[], Awaitable[None]]
    _begun: bool = False
    _task: asyncio.Task[None] | None = None

    def decoded(self) -> None:
        """Let it begin as soon as a thread is free."""
        self._task = asyncio.create_task(self._in_turn())

    async def end(self) -> None:
        """Wait for this phase, after the first one has ended. Raises what this phase raises."""
        if self._task is None:
            return
        if not self._begun:
            self.deadline.pause()
        try:
            await self._task
        finally:
            self._task = None  # its error has frames that name this object

    async def call_off(self) -> None:
        """Stop this phase, because the first one has failed. A thread cannot be cancelled, so wait until it stops."""
        if self._task is None:
            return
        if self._begun:
            self.deadline.call_off()
        else:
            self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        self._task = None

    async def _in_turn(self) -> None:
        async with self.lane.turn(self.tenant):
            self._begun = True
            self.deadline.go_on()
            await self.work()


class Engine:
    """Implements `ports.Renderer`. Made and used within one event loop.

    `outside` renders in child processes. It gets pictures that must not run in a thread: their codec may ignore the
    time limit, or they may run out of memory. It shares the `budget`. `probes` get the steps of a render, in the thread
    that does them.
    """

    def __init__(
        self,
        config: EngineConfig,
        *,
        budget: MemoryBudget | None = None,
        lanes: Lanes | None = None,
        outside: Renderer | None = None,
        probes: Probes = NO_PROBES,
    ) -> None:
        tune_allocator()
        set_up_libvips()
        use(config.models)
        self._limits = config.limits
        self._budget = budget or MemoryBudget.of_threads(config.threads, config.memory_budget_bytes)
        self._lanes = lanes or Lanes(config.threads)
        self._outside = outside
        self._probes = probes
        self._meter = Meter(beside_this_thread())
        self._pool = ThreadPoolExecutor(config.threads + 1, thread_name_prefix="render", initializer=step_back)
        # Headers have a thread of their own. In the pool they would wait behind whole images.
        self._prober = ThreadPoolExecutor(1, thread_name_prefix="probe")
        self._deadlines: set[Deadline] = set()
        self._working: set[asyncio.Task[Rendered]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._resting: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def load(self) -> EngineLoad:
        budget = self._budget
        without_thread = self._lanes.first.waiting + sum(deadline.paused for deadline in self._deadlines)
        return EngineLoad(
            running=budget.running - without_thread,
            waiting=budget.waiting + without_thread,
            free_bytes=budget.free_bytes,
        )

    @property
    def stuck(self) -> bool:
        """Whether a thread is still running `STUCK_SECONDS` after its time limit. Then nothing new should begin."""
        return any(deadline.overdue(STUCK_SECONDS) for deadline in self._deadlines)

    @property
    def wedged(self) -> bool:
        """Whether a thread is still running after twice its time limit. Then only a restart can end it.

        Everything that began beside it has reached its own limit by now, so a restart interrupts nothing else.
        """
        grace = self._limits.timeout_seconds
        return any(deadline.overdue(grace) for deadline in self._deadlines)

    async def render(self, data: bytes, recipe: Recipe, ticket: Ticket = NO_TICKET) -> Rendered:
        """All variants of one file. It first waits for its tenant's turn, for memory and for a thread.

        If the caller is cancelled, the thread is told to stop. It keeps its share of the budget until it has stopped.
        Raises an `ImageRejected` if the file is at fault, `Unavailable` if the machine is or if the engine closes,
        `ValueError` for effects that this release does not know.
        """
        if self._closed:
            raise Unavailable
        check_effects(recipe)
        deadline = Deadline(self._limits.timeout_seconds)
        self._deadlines.add(deadline)
        self._idle.clear()
        self._stop_resting()
        try:
            return await self._admitted(data, recipe, ticket, deadline)
        except asyncio.CancelledError:
            deadline.call_off()
            raise
        finally:
            self._deadlines.discard(deadline)
            self._note_idle()

    def abort(self) -> None:
        """Cancel every render, running or waiting. Each ends soon with `Unavailable`; no new one is accepted."""
        self._closed = True
        for deadline in self._deadlines:
            deadline.call_off()

    async def close(self) -> None:
        """Accept no new renders, let the others end, join the threads."""
        self._closed = True
        await self._idle.wait()
        self._stop_resting()
        for pool in (self._prober, self._pool):
            await asyncio.to_thread(pool.shutdown)

    async def _admitted(self, data: bytes, recipe: Recipe, ticket: Ticket, deadline: Deadline) -> Rendered:
        info = await self._in_thread(self._prober, lambda: inspect(data, self._limits))
        weight = share(info, len(data), self._budget.budget_bytes, recipe)
        if self._outside is not None and self._belongs_outside(info, len(data), recipe):
            return await self._outside.render(data, recipe, ticket)
        with self._probes.span("wait", of="memory"):
            held = await self._budget.share(weight, ticket.tenant)
        # In the caller's context, not the thread's: log lines must name this image.
        loop, context = asyncio.get_running_loop(), copy_context()

        def ready(variant: Variant) -> None:
            loop.call_soon_threadsafe(ticket.ready, variant, context=context)

        def settled(left_bytes: int) -> None:
            loop.call_soon_threadsafe(held.keep, left_bytes)

        rendering = Rendering(
            data,
            info,
            recipe,
            deadline,
            ready,
            settled=settled,
            assets=ticket.assets,
            hidden=ticket.hidden,
            probes=self._probes,
            meter=self._meter,
        )
        task = asyncio.create_task(self._work(rendering, info, held, ticket))
        self._working.add(task)
        task.add_done_callback(self._end)
        try:
            # A thread cannot be cancelled, and its memory is in use until it ends.
            return await asyncio.shield(task)
        finally:
            del task  # its error has this frame, so the two would keep each other, and the file

    def _belongs_outside(self, info: ImageInfo, file_bytes: int, recipe: Recipe) -> bool:
        if decoding_of(info.format).is_suspect:
            return True
        working = working_bytes(info, file_bytes, recipe)
        return working > self._budget.budget_bytes or must_be_killable(info, self._limits.timeout_seconds, recipe.specs)

    async def _work(self, rendering: Rendering, info: ImageInfo, held: Share, ticket: Ticket) -> Rendered:
        try:
            await ticket.begin(info)
            await self._both_phases(rendering, ticket.tenant)
            return rendering.rendered()
        finally:
            # Beside the loop, which would wait for pages to be given back; and before the next image takes its place.
            try:
                await self._in_thread(self._prober, partial(_put_away, rendering, info))
            finally:
                held.leave()

    async def _both_phases(self, rendering: Rendering, tenant: str) -> None:
        loop, lanes = asyncio.get_running_loop(), self._lanes
        rest = _Rest(
            lane=lanes.long,
            tenant=tenant,
            deadline=rendering.deadline,
            work=lambda: self._in_thread(self._pool, _quietly(rendering.rest)),
        )

        def decoded() -> None:
            if rendering.has_rest:
                loop.call_soon_threadsafe(rest.decoded)

        try:
            async with AsyncExitStack() as turn:
                with self._probes.span("wait", of="thread"):
                    await turn.enter_async_context(lanes.first.turn(tenant))
                await self._in_thread(self._pool, _quietly(partial(rendering.first, decoded)))
        except BaseException:
            await rest.call_off()
            raise
        await rest.end()

    async def _in_thread(self, pool: ThreadPoolExecutor, work: Callable[[], Result]) -> Result:
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, work)
        except MemoryError:
            raise Unavailable from None

    def _end(self, task: asyncio.Task[Rendered]) -> None:
        self._working.discard(task)
        if not task.cancelled():
            task.exception()  # read it, in case the caller is gone: otherwise asyncio logs an error
        self._note_idle()

    def _note_idle(self) -> None:
        if not self._deadlines and not self._working:
            self._idle.set()
            self._stop_resting()
            self._resting = asyncio.get_running_loop().call_later(REST_SECONDS, self._rest)

    def _rest(self) -> None:
        self._prober.submit(give_all_back)

    def _stop_resting(self) -> None:
        if self._resting is not None:
            self._resting.cancel()


def _put_away(rendering: Rendering, info: ImageInfo) -> None:
    """Small images leave little, and would take a twentieth longer. What they leave is given back at rest."""
    rendering.forget()
    if geometry.takes_long(info, (info.width, info.height)):
        give_back()


def _quietly(work: Callable[[], None]) -> Callable[[], None]:
    """The same work, in the context of the caller. Its errors hold no stack frames."""

    def without_frames() -> None:
        try:
            work()
        except TrussError as error:
            # Stack frames refer to pictures, so a traceback would keep their memory as long as the error lives.
            error.__context__ = None
            raise error.with_traceback(None)  # noqa: B904 - the cause must go too

    # Each thread gets its own copy: two threads cannot enter one context at once.
    return partial(copy_context().run, without_frames)


def set_up_libvips() -> None:
    """Set up libvips for the whole process, before the first image. May be repeated."""
    # No two uploads share an operation, so a cache would only hold their memory.
    pyvips.cache_set_max(0)
    # One thread per image: the pool gives the parallelism, and more threads than processors would be slower.
    pyvips.concurrency_set(1)
    # libvips' error texts may quote the file. If one is not UTF-8, pyvips fails at every later error.
    pyvips.error._to_string = _words  # noqa: SLF001 - pyvips has no public way
    pyvips.block_untrusted_set(_BLOCKED)
    pyvips.operation_block_set("VipsForeignLoad", _BLOCKED)
    for each in DECODED:
        if loader_class := decoding_of(each.name).loader_class:
            pyvips.operation_block_set(loader_class, not _BLOCKED)


def _words(text: Any) -> str:
    return bytes(pyvips.ffi.string(text)).decode(errors="replace") if text else ""


def libvips_version() -> str:
    """Name and version of the encoder, for manifests."""
    return "libvips " + ".".join(str(pyvips.version(number)) for number in range(3))
