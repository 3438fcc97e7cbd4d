"""Who may start: first come, first served, while threads and memory last."""

from __future__ import annotations

import asyncio
from collections import deque

from processor.images import ImageInfo

#: Bytes per pixel of the decoded picture (of all frames), which lives until the last variant is encoded.
HELD_BYTES = 4
#: Bytes per pixel of one frame for libvips' copy and libwebp's planes while it is encoded; measured as RSS, rounded up.
ENCODING_BYTES = 7
#: The same with alpha: libwebp compresses it losslessly, in a search that needs room.
ENCODING_ALPHA_BYTES = 23
#: Bytes per pixel of all frames on top, for the decoder's and the encoder's idea of an animation.
ANIMATION_BYTES = 8
#: Bytes that every image takes, however small: the reduced sizes, the outputs, tables of the codecs.
BASE_BYTES = 24 * 1024 * 1024


def working_bytes(info: ImageInfo, file_bytes: int) -> int:
    """The most memory that rendering takes, estimated from the header; the file itself is counted in."""
    per_pixel = HELD_BYTES + (ANIMATION_BYTES if info.frames > 1 else 0)
    encoding = ENCODING_ALPHA_BYTES if info.has_alpha else ENCODING_BYTES
    return BASE_BYTES + file_bytes + info.pixels * per_pixel + info.width * info.height * encoding


class MemoryBudget:
    """A semaphore with weights. Nobody overtakes: else a large image would wait for as long as small ones come."""

    def __init__(self, *, slots: int, budget_bytes: int) -> None:
        self._slots = slots
        self._budget_bytes = budget_bytes
        self._taken: list[int] = []
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def running(self) -> int:
        """Admissions not given back yet."""
        return len(self._taken)

    @property
    def waiting(self) -> int:
        """Who stands in the queue."""
        return len(self._waiting)

    @property
    def free_bytes(self) -> int:
        """What is left; 0 while an image larger than the whole budget is in work."""
        return max(0, self._budget_bytes - sum(self._taken))

    async def enter(self, weight_bytes: int) -> None:
        """Wait for a slot and for `weight_bytes`. What exceeds the whole budget is let in when it is alone."""
        if not self._waiting and self._fits(weight_bytes):
            self._taken.append(weight_bytes)
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (weight_bytes, turn)
        self._waiting.append(entry)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # the turn came together with the cancellation
                self.leave(weight_bytes)
            elif entry in self._waiting:
                self._waiting.remove(entry)
                self._call_next()  # the one behind may be small enough
            raise

    def leave(self, weight_bytes: int) -> None:
        """Give back what `enter` took."""
        self._taken.remove(weight_bytes)
        self._call_next()

    def _call_next(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            weight, turn = self._waiting.popleft()
            if not turn.done():  # cancelled, and about to notice
                self._taken.append(weight)
                turn.set_result(None)

    def _fits(self, weight: int) -> bool:
        if not self._taken:
            return True
        return len(self._taken) < self._slots and sum(self._taken) + weight <= self._budget_bytes
