"""What the core needs of whoever turns bytes into variants."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from processor.formats.info import ImageInfo
from processor.images import Rendered, Variant
from processor.recipes import Recipe


async def _nothing(_: ImageInfo) -> None:
    """Nobody wants to know."""


def nobody_waits(_: Variant) -> None:
    """For whoever needs them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """Whose an image is, for fair turns, and who is to know that its turn has come."""

    tenant: str = ""
    #: Awaited when memory is there, before a pixel is worked on. What it raises ends the render.
    begin: Callable[[ImageInfo], Awaitable[None]] = _nothing
    #: Told each variant as soon as it is there, on the event loop; the smallest is there first.
    ready: Callable[[Variant], None] = nobody_waits


#: For whoever renders for itself alone.
NO_TICKET = Ticket()


class Renderer(Protocol):
    """Turns bytes into variants. A render whose caller is cancelled is called off."""

    async def render(self, data: bytes, recipe: Recipe, ticket: Ticket = NO_TICKET) -> Rendered:
        """Every variant that the recipe asks for, in its order.

        Raises an `ImageRejected` when the bytes are at fault, `Unavailable` when the machine is."""
        ...
