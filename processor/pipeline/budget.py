"""Who may start: tenants by turns, while threads and memory last; and what can never start.

`benchmarks/memory_peak.py` measures the figures, as resident memory. They hold for jemalloc, which the image has, and
for glibc's malloc as the service and its children tune it. By default that keeps what is free and below 32 MiB.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import replace

from processor.errors import TooLargeForMemory
from processor.formats import decoding_of
from processor.formats.info import ImageInfo
from processor.pipeline import geometry
from processor.recipes import STANDARD_VARIANTS, VariantSpec

#: Bytes that every image takes, however small: the reduced sizes, the outputs, tables of the codecs.
BASE_BYTES = 24 * 1024 * 1024
#: Bytes per pixel of a frame while it is encoded: libvips' copy, libwebp's planes, what it writes.
ENCODING_BYTES = 5.1
#: The same of grey, which libvips copies as it is.
ENCODING_GREY_BYTES = 4.3
#: The same with alpha, which libwebp compresses without loss: so much for noise, a good half for something smooth.
ENCODING_ALPHA_BYTES = 37.5
#: Of an animation libwebp keeps several canvases, each of 4 bytes a pixel, and tries ways to write each frame.
ENCODING_FRAME_BYTES = 38.0
#: Bytes per pixel of all frames for what is written, and for what the allocator keeps between frames.
ROLL_BYTES = 2
#: Bytes of a frame, however small it is, for the operations that it goes through.
FRAME_BYTES = 64 * 1024


def working_bytes(info: ImageInfo, file_bytes: int, specs: Sequence[VariantSpec] = STANDARD_VARIANTS) -> int:
    """The most memory that rendering takes, estimated from the header; the file itself is counted in."""
    return BASE_BYTES + file_bytes + max(_decoding(info), _holding(info) + _encoding(info) + _reduced(info, specs))


def least_bytes(info: ImageInfo, file_bytes: int, specs: Sequence[VariantSpec] = STANDARD_VARIANTS) -> int:
    """The least that it can take: less than `working_bytes` where alpha may turn out to be solid."""
    solid = _holding(info) + _encoding(replace(info, has_alpha=False)) + _reduced(info, specs)
    return BASE_BYTES + file_bytes + max(_decoding(info), solid)


def share(info: ImageInfo, file_bytes: int, budget_bytes: int, specs: Sequence[VariantSpec] = STANDARD_VARIANTS) -> int:
    """What to admit an image with. Raises `TooLargeForMemory` when it cannot fit, however alone it is."""
    least = least_bytes(info, file_bytes, specs)
    if least > budget_bytes:
        raise TooLargeForMemory(limit=budget_bytes, actual=least)
    return min(working_bytes(info, file_bytes, specs), budget_bytes)


def _decoding(info: ImageInfo) -> int:
    """While the decoder holds what it holds, and the picture comes out of it."""
    return _holding(info) + decoding_of(info.format).working_bytes(info)


def _holding(info: ImageInfo) -> int:
    """The decoded picture, which lives until the last variant is encoded; an animation is turned frame by frame."""
    turned = 2 if info.frames > 1 and info.orientation > 1 else 1
    return info.pixels * min(info.bands, 4 if info.has_alpha else 3) * turned


def _encoding(info: ImageInfo) -> int:
    frame = info.width * info.height
    if info.frames > 1:
        alpha = ENCODING_ALPHA_BYTES if info.has_alpha else 0
        return round(frame * (ENCODING_FRAME_BYTES + alpha)) + info.pixels * ROLL_BYTES + info.frames * FRAME_BYTES
    if info.has_alpha:
        return round(frame * ENCODING_ALPHA_BYTES)
    return round(frame * (ENCODING_BYTES if info.bands > 1 else ENCODING_GREY_BYTES))


def _reduced(info: ImageInfo, specs: Sequence[VariantSpec]) -> int:
    """The smaller sizes of an animation, once frame by frame and once joined. Those of a still are in the base."""
    if info.frames == 1:
        return 0
    sizes = {geometry.target_size(info, spec) for spec in specs} - {geometry.upright(info)}
    return sum(width * height for width, height in sizes) * info.frames * info.bands * 2


#: A weight in bytes, and what ends the wait.
_Entry = tuple[int, asyncio.Future[None]]


class MemoryBudget:
    """A semaphore with weights, and a queue for each tenant.

    The turn is with the tenant that has the fewest images in work, and of several with the one that has waited for the
    longest time since it had one. Whose turn it is nobody overtakes: else a large image would wait for as long as small
    ones come.
    """

    def __init__(self, *, slots: int, budget_bytes: int) -> None:
        self._slots = slots
        self._budget_bytes = budget_bytes
        self._taken: list[int] = []
        self._running: Counter[str] = Counter()
        self._queues: dict[str, deque[_Entry]] = {}

    @property
    def running(self) -> int:
        """Admissions not given back yet."""
        return len(self._taken)

    @property
    def waiting(self) -> int:
        """Who stands in a queue."""
        return sum(map(len, self._queues.values()))

    @property
    def budget_bytes(self) -> int:
        """All of it."""
        return self._budget_bytes

    @property
    def free_bytes(self) -> int:
        """What is left."""
        return self._budget_bytes - sum(self._taken)

    async def enter(self, weight_bytes: int, tenant: str = "") -> None:
        """Wait for a slot and for `weight_bytes`. Raises `TooLargeForMemory` when there never are so many."""
        if weight_bytes > self._budget_bytes:
            raise TooLargeForMemory(limit=self._budget_bytes, actual=weight_bytes)
        if not self._queues and self._fits(weight_bytes):
            self._take(weight_bytes, tenant)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (weight_bytes, turn)
        self._queues.setdefault(tenant, deque()).append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the turn came together with the cancellation
                self.leave(weight_bytes, tenant)
            elif entry in self._queues.get(tenant, ()):
                self._dequeue(tenant, entry)
                self._call_next()  # the one behind may be small enough
            raise

    def leave(self, weight_bytes: int, tenant: str = "") -> None:
        """Give back what `enter` took."""
        self._taken.remove(weight_bytes)
        self._running[tenant] -= 1
        if not self._running[tenant]:
            del self._running[tenant]
        self._move_to_end(tenant)
        self._call_next()

    def _call_next(self) -> None:
        while self._queues:
            tenant = min(self._queues, key=self._running.__getitem__)
            entry = weight, turn = self._queues[tenant][0]
            if not turn.done() and not self._fits(weight):
                return
            self._dequeue(tenant, entry)
            if not turn.done():  # cancelled, and about to notice
                self._move_to_end(tenant)
                self._take(weight, tenant)
                turn.set_result(None)

    def _move_to_end(self, tenant: str) -> None:
        if tenant in self._queues:
            self._queues[tenant] = self._queues.pop(tenant)

    def _take(self, weight: int, tenant: str) -> None:
        self._taken.append(weight)
        self._running[tenant] += 1

    def _dequeue(self, tenant: str, entry: _Entry) -> None:
        self._queues[tenant].remove(entry)
        if not self._queues[tenant]:
            del self._queues[tenant]

    def _fits(self, weight: int) -> bool:
        return len(self._taken) < self._slots and sum(self._taken) + weight <= self._budget_bytes
