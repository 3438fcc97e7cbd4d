"""The interface to the code that converts bytes to variants."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from processor.faces import Face
from processor.formats.info import ImageInfo
from processor.images import Rendered, Variant
from processor.recipes import Recipe


async def _nothing(_: ImageInfo) -> None:
    """Nobody wants to know."""


def nobody_waits(_: Variant) -> None:
    """For whoever needs them all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """The tenant of an image, for fair turns, what its effects need, and the callbacks of its render."""

    tenant: str = ""
    #: Files of the assets that the recipe names, by digest.
    assets: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    #: Where faces are hidden, if an earlier render of the same source has found them; None: this one looks for them.
    hidden: tuple[Face, ...] | None = None
    #: Awaited when memory is there, before a pixel is worked on. What it raises ends the render.
    begin: Callable[[ImageInfo], Awaitable[None]] = _nothing
    #: Told each variant as soon as it is there, on the event loop; the smallest is there first.
    ready: Callable[[Variant], None] = nobody_waits


#: For whoever renders for itself alone.
NO_TICKET = Ticket()


class Renderer(Protocol):
    """Converts bytes to variants. If the caller is cancelled, the render is cancelled."""

    async def render(self, data: bytes, recipe: Recipe, ticket: Ticket = NO_TICKET) -> Rendered:
        """Every variant that the recipe asks for, in its order.

        Raises an `ImageRejected` when the bytes are at fault, `Unavailable` when the machine is."""
        ...
