"""What this process has told already: told as it happened, it is not told once more at the end."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

#: Events that are remembered: those of a thousand jobs at once, in about 3 MB. What is forgotten is told twice, by the
#: same id.
REMEMBERED = 10_000


@dataclass(slots=True)
class Told:
    """One per teller."""

    remembered: int = REMEMBERED
    #: The latest last.
    _known: OrderedDict[Hashable, None] = field(default_factory=OrderedDict)
    _in_turn: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    @asynccontextmanager
    async def of(self, processing_id: str) -> AsyncIterator[None]:
        """One at a time tells of a job. So whoever comes next knows what was told."""
        lock = self._in_turn.get(processing_id)
        if lock is None:
            lock = self._in_turn[processing_id] = asyncio.Lock()
        async with lock:
            yield

    def __contains__(self, event: Hashable) -> bool:
        return event in self._known

    def add(self, event: Hashable) -> None:
        """Call it when it is certain."""
        self._known[event] = None
        if len(self._known) > self.remembered:
            self._known.popitem(last=False)
