"""Reads a stream of Server-Sent Events as a browser does."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import aiohttp

from tests.waiting import PATIENCE_SECONDS


@dataclass
class Message:
    """One with data; `id` is that of its own lines."""

    event: str = "message"
    data: Any = None
    id: str = ""


@dataclass
class Reader:
    """`last_id` is what it would come back with."""

    response: aiohttp.ClientResponse
    last_id: str = ""
    comments: int = 0
    retry: str = ""

    async def messages(self, number: int) -> list[Message]:
        """The next ones; fails the test when the stream ends before."""
        found: list[Message] = []
        while len(found) < number:
            message = await asyncio.wait_for(self.message(), PATIENCE_SECONDS)
            assert message is not None, found
            found.append(message)
        return found

    async def message(self) -> Message | None:
        """None at the end."""
        message = Message()
        while line := (await self.response.content.readline()).decode():
            if line == "\n":
                if message.data is not None:
                    return message
                message = Message()
            elif line.startswith(":"):
                self.comments += 1
            else:
                self._field(message, *line.rstrip("\n").split(": ", 1))
        return None

    def _field(self, message: Message, name: str, value: str) -> None:
        if name == "id":
            message.id = self.last_id = value
        elif name == "event":
            message.event = value
        elif name == "retry":
            self.retry = value
        else:
            message.data = json.loads(value)
