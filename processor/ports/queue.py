"""The interface to the queue."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

#: Longest time that a message can be delayed, in seconds (AWS, "Amazon SQS message timers").
MAX_DELAY_SECONDS = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """An SQS envelope. `receive_count` includes this receive, and those of the message that it was resent from."""

    message_id: str
    receipt: str
    body: str = field(repr=False)
    receive_count: int = 1
    #: When it was sent, in seconds since the epoch.
    sent_at: float = field(default_factory=time.time)
    #: Why it is a dead letter, where this service made it one.
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueDepth:
    """Approximate numbers of messages: not received now (delayed ones included), and received but not settled."""

    waiting: int
    in_flight: int
    #: How many of those that wait nobody can receive yet.
    delayed: int = 0

    @property
    def visible(self) -> int:
        """What can be received now."""
        return self.waiting - self.delayed


class MessageQueue(Protocol):
    """The queue that S3 and this service write to."""

    async def receive(self, limit: int, *, wait_seconds: int, visibility_seconds: int) -> list[Message]:
        """At most `limit` (1 to 10) messages; waits up to `wait_seconds` (0 to 20) for the first."""
        ...

    async def settle(self, receipts: Sequence[str]) -> None:
        """Delete messages, in batches. One that is gone already is no error."""
        ...

    async def set_visibility(self, receipts: Sequence[str], seconds: int) -> None:
        """Hide messages for `seconds` from now (0: give back at once), in batches. One that is gone is no error."""
        ...

    async def send(self, body: str, *, delay_seconds: int = 0, reason: str = "", tries: int = 0) -> None:
        """Nobody receives the message before `delay_seconds` (0 to 900) are over. `reason` goes with a dead letter.

        `tries` is how often it was received before, as another message; the queue itself does not count them.
        """
        ...

    async def depth(self) -> QueueDepth:
        """How much is in the queue; it may lag behind what was just sent or settled."""
        ...

    async def max_receive_count(self) -> int | None:
        """After how many receives the queue moves a message to its dead-letter queue; None: never."""
        ...

    async def ping(self) -> None:
        """Raises `Unavailable` when the queue cannot be reached."""
        ...
