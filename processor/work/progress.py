"""The stored variants of a job in work, and when its record should show them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from processor.images import StoredVariant
from processor.recipes import Recipe

#: A note is written only if the rest of the job takes at least this long; otherwise the extra call helps nobody. Also
#: the time between two notes, in seconds.
WORTH_A_NOTE_SECONDS, NOTE_SECONDS = 0.3, 1.0
#: An image with this many pixels (all frames) is known to take that long, so its first variants are noted at once. A
#: smaller image takes that long only beside other work; its variants are noted when the time is over.
WORTH_A_NOTE_PIXELS = 8_000_000


@dataclass(slots=True, kw_only=True)
class Progress:
    """Variants of one job, as they are stored."""

    recipe: Recipe
    #: Pixels of the source, once they are known.
    pixels: int = 0
    #: How many variants the record shows, and when it was made to.
    noted: int = 0
    _noted_at: float | None = None
    _stored: dict[str, StoredVariant] = field(default_factory=dict)
    #: Set when there is one variant more; then there is another event.
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def variants(self) -> tuple[StoredVariant, ...]:
        """Those that are stored, in the order of the recipe."""
        return tuple(self._stored[spec.name] for spec in self.recipe.specs if spec.name in self._stored)

    def add(self, variant: StoredVariant) -> None:
        """Add a stored variant."""
        self._stored[variant.name] = variant
        self._news.set()
        self._news = asyncio.Event()

    def note(self, variants: Sequence[StoredVariant]) -> None:
        """The record shows these now."""
        self.noted, self._noted_at = len(variants), time.monotonic()

    async def more_than(self, number: int) -> tuple[StoredVariant, ...]:
        """Wait until more variants than that are stored; then return all of them. When the last one is stored, the job
        will end soon, so nobody hears of that."""
        while not self._is_news(number):
            await self._news.wait()
        return self.variants

    async def worth_a_note(self) -> None:
        """Wait until a note is worth while."""
        while True:
            await self.more_than(self.noted)
            await asyncio.sleep(self._pause_seconds())
            if self._is_news(self.noted):
                return

    def _is_news(self, number: int) -> bool:
        return number < len(self._stored) < len(self.recipe.specs)

    def _pause_seconds(self) -> float:
        if self._noted_at is not None:
            return max(0.0, self._noted_at + NOTE_SECONDS - time.monotonic())
        return 0.0 if self.pixels >= WORTH_A_NOTE_PIXELS else WORTH_A_NOTE_SECONDS
