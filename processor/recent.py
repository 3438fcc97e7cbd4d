"""A cache of values that are needed all the time, for a few seconds."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Value = TypeVar("Value")

#: How long a value is remembered, in seconds. After this time every process knows of a change.
FRESH_SECONDS = 5.0
#: The most values that are remembered.
REMEMBERED = 1000


@dataclass(slots=True, kw_only=True)
class Recent(Generic[Value]):
    """One value for each name, read by `read`."""

    read: Callable[[str], Awaitable[Value]]
    monotonic: Callable[[], float] = time.monotonic
    _known: OrderedDict[str, tuple[float, Value]] = field(default_factory=OrderedDict)
    _reading: dict[str, asyncio.Task[Value]] = field(default_factory=dict)

    async def of(self, name: str) -> Value:
        """A value, a few seconds old at most. Callers share one read. Raises what `read` raises."""
        known = self._known.get(name)
        if known is not None and self.monotonic() - known[0] < FRESH_SECONDS:
            return known[1]
        reading = self._reading.get(name)
        if reading is None:
            reading = self._reading[name] = asyncio.create_task(self._read(name))
        try:
            return await asyncio.shield(reading)
        finally:
            del reading  # its error has this frame, so the two would keep each other, and what its callers hold

    async def _read(self, name: str) -> Value:
        began = self.monotonic()
        try:
            value = await self.read(name)
        finally:
            current = self._reading.get(name) is asyncio.current_task()
            if current:
                del self._reading[name]
        if current:
            self._known[name] = (began, value)
            self._known.move_to_end(name)
            while len(self._known) > REMEMBERED:
                self._known.popitem(last=False)
        return value

    def forget(self, name: str) -> None:
        """Read the value again next time: this process changed it. A read in progress is not used."""
        self._known.pop(name, None)
        self._reading.pop(name, None)
