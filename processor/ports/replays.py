"""What a request was answered, for whoever repeats it because the answer got lost."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeatable:
    """A request that its caller may repeat. `name` is the same for every repetition, and for nothing else."""

    name: str
    #: Tells requests apart that were given the same name by mistake.
    fingerprint: str
    #: Tells this try from the others.
    token: str = field(default_factory=lambda: secrets.token_hex(8), compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What the first one was answered, as whoever recorded it wrote it."""

    answer: bytes = field(repr=False)


class ReplayStore(Protocol):
    """The records of repeatable requests. Every call raises `Unavailable`."""

    async def begin(self, request: Repeatable) -> Recorded | None:
        """None: nobody has answered it, and it is the caller's to answer or to abandon.

        Raises `RequestInProgress` while another is answering it, `IdempotencyKeyReused` when the fingerprint differs.
        """
        ...

    async def record(self, request: Repeatable, answer: bytes) -> None:
        """Keep the answer for 24 hours, unless another try has taken over."""
        ...

    async def abandon(self, request: Repeatable) -> None:
        """Nothing was done: whoever repeats it is the first, unless another try has taken over."""
        ...
