"""A message queue in memory."""

from __future__ import annotations

import asyncio
import secrets
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from processor.ports.queue import Message, QueueDepth


class MemoryQueue:
    """A queue. `clock` gives the time in seconds, by which hidden messages return.

    After too many receives, messages move to `dead_letters`; none is lost.
    """

    def __init__(self, *, max_receive_count: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.dead_letters: list[Message] = []
        self._max_receive_count = max_receive_count
        self._clock = clock
        self._letters: dict[str, _Letter] = {}
        self._changed = asyncio.Event()

    @property
    def count(self) -> int:
        """Messages in the queue, including hidden ones."""
        return len(self._letters)

    async def receive(self, limit: int, *, wait_seconds: float, visibility_seconds: int) -> list[Message]:
        """At most `limit` messages, the longest waiting first."""
        deadline = self._clock() + wait_seconds
        while True:
            self._changed.clear()
            messages = self._take(limit, visibility_seconds)
            left = deadline - self._clock()
            if messages or left <= 0:
                return messages
            await self._wait(left)

    async def settle(self, receipts: Sequence[str]) -> None:
        """Delete messages; a stale receipt deletes nothing."""
        for receipt in receipts:
            letter = self._by_receipt(receipt)
            if letter is not None:
                del self._letters[letter.message_id]

    async def set_visibility(self, receipts: Sequence[str], seconds: int) -> None:
        """Hide messages. A receipt that is stale or expired hides nothing."""
        for receipt in receipts:
            letter = self._by_receipt(receipt)
            if letter is not None and letter.hidden_until > self._clock():
                letter.hidden_until = self._clock() + seconds
        self._changed.set()

    async def send(self, body: str, *, delay_seconds: int = 0, reason: str = "", tries: int = 0) -> None:
        """Add a message, and wake receivers that wait for one."""
        hidden_until = self._clock() + delay_seconds if delay_seconds else float("-inf")
        letter = _Letter(message_id=str(uuid.uuid4()), body=body, hidden_until=hidden_until, reason=reason, tries=tries)
        self._letters[letter.message_id] = letter
        self._changed.set()

    async def depth(self) -> QueueDepth:
        """The counts. A message that was never received counts as waiting, even if it is delayed."""
        now = self._clock()
        hidden = [letter for letter in self._letters.values() if letter.hidden_until > now]
        in_flight = sum(letter.receive_count > 0 for letter in hidden)
        return QueueDepth(waiting=self.count - in_flight, in_flight=in_flight, delayed=len(hidden) - in_flight)

    async def max_receive_count(self) -> int | None:
        """The number of receives after which a message becomes a dead letter."""
        return self._max_receive_count

    async def ping(self) -> None:
        """Memory is always there."""

    def _take(self, limit: int, visibility_seconds: int) -> list[Message]:
        now = self._clock()
        taken: list[Message] = []
        for letter in list(self._letters.values()):
            if letter.hidden_until > now or len(taken) == limit:
                continue
            if self._max_receive_count is not None and letter.receive_count >= self._max_receive_count:
                self.dead_letters.append(letter.to_message())
                del self._letters[letter.message_id]
                continue
            letter.hidden_until = now + visibility_seconds
            letter.receive_count += 1
            letter.receipt = secrets.token_hex(8)
            taken.append(letter.to_message())
        return taken

    async def _wait(self, seconds: float) -> None:
        """Wait until something changes, the next hidden message returns, or the seconds are over."""
        now = self._clock()
        comes_back = min((letter.hidden_until - now for letter in self._letters.values()), default=seconds)
        try:
            await asyncio.wait_for(self._changed.wait(), max(0.0, min(seconds, comes_back)))
        except TimeoutError:
            return

    def _by_receipt(self, receipt: str) -> _Letter | None:
        return next((letter for letter in self._letters.values() if letter.receipt == receipt), None)


@dataclass(slots=True, kw_only=True)
class _Letter:
    """A message and its state."""

    message_id: str
    body: str
    reason: str = ""
    receipt: str = ""
    receive_count: int = 0
    tries: int = 0
    sent_at: float = field(default_factory=time.time)
    hidden_until: float = float("-inf")

    def to_message(self) -> Message:
        return Message(
            message_id=self.message_id,
            receipt=self.receipt,
            body=self.body,
            receive_count=self.tries + self.receive_count,
            sent_at=self.sent_at,
            reason=self.reason,
        )
