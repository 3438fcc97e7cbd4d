"""The stored variants of a job in work, and when its record should show them."""

from __future__ import annotations

import asyncio
import time
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
    _stored: dict[str, StoredVariant] = field(default_factory=dict)
    #: Set while the record lacks a stored variant.
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _noted: float | None = None

    @property
    def variants(self) -> tuple[StoredVariant, ...]:
        """Those that are stored, in the order of the recipe."""
        return tuple(self._stored[spec.name] for spec in self.recipe.specs if spec.name in self._stored)

    def add(self, variant: StoredVariant) -> None:
        """Add a stored variant. When all are stored, the job will end soon."""
        self._stored[variant.name] = variant
        if len(self._stored) < len(self.recipe.specs):
            self._news.set()
        else:
            self._news.clear()

    async def worth_a_note(self) -> tuple[StoredVariant, ...]:
        """Wait until a note is worth while; then return all stored variants."""
        while True:
            await self._news.wait()
            await asyncio.sleep(self._pause_seconds())
            if self._news.is_set():
                break
        self._news.clear()
        self._noted = time.monotonic()
        return self.variants

    def _pause_seconds(self) -> float:
        if self._noted is not None:
            return max(0.0, self._noted + NOTE_SECONDS - time.monotonic())
        return 0.0 if self.pixels >= WORTH_A_NOTE_PIXELS else WORTH_A_NOTE_SECONDS
