"""What happens to images, as it happens: a stream that goes on where it was when the connection breaks."""

from __future__ import annotations

import json
import random
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import httpx

from truss_image_client._async.together import pause
from truss_image_client._async.transport import MAX_ANSWER_BYTES, AsyncTransport
from truss_image_client.errors import WebhookRefused
from truss_image_client.webhooks import Event, event

#: The service is never silent for so long, in seconds: the connection is dead.
SILENCE_SECONDS = 60.0
#: Before a new connection, in seconds, at most: streams that ended together do not come back together.
PAUSE_SECONDS = 2.0
#: Events that are remembered, because each may come twice.
REMEMBERED = 10_000
#: What every type of event begins with.
PREFIX = "image."


@dataclass(frozen=True, slots=True)
class Message:
    """One of a stream: `last_id` is what to come back with after it."""

    event: str
    data: str
    last_id: str


class AsyncEventStream:
    """An iterator of events, without an end. It connects again by itself, and tells each event once.

    `last_event_id` is where to go on, also while nothing happens. Use it as a context manager, or close it with
    `aclose`: a loop that is left early keeps its connection.
    """

    def __init__(
        self,
        transport: AsyncTransport,
        query: Mapping[str, Any],
        last_event_id: str,
        missed: Callable[[datetime], object] | None,
    ) -> None:
        self.last_event_id = last_event_id
        self._transport = transport
        self._query = query
        self._missed = missed
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._told = self._events()

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._told

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the connection."""
        await self._told.aclose()

    async def _events(self) -> AsyncGenerator[Event, None]:
        while True:
            response = await self._transport.listen(
                "/images/events", self._query, last_id=self.last_event_id, silence=SILENCE_SECONDS
            )
            try:
                async for message in messages(response.aiter_bytes()):
                    self.last_event_id = message.last_id or self.last_event_id
                    told = self._read(message)
                    if told is not None:
                        yield told
            except (httpx.TransportError, httpx.DecodingError, ValueError, WebhookRefused):
                pass  # broken off, silent, or no stream of events any more: it begins again behind the last event
            finally:
                await response.aclose()
            await pause(random.uniform(0, PAUSE_SECONDS))  # noqa: S311 - spreads load, protects nothing

    def _read(self, message: Message) -> Event | None:
        """The event that a message tells of for the first time."""
        if message.event == "gap" and self._missed is not None:
            self._missed(datetime.fromisoformat(json.loads(message.data)["since"]))
        if not message.event.startswith(PREFIX):
            return None
        told = event(message.data)
        if told.id in self._seen:
            return None
        self._seen[told.id] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return told


async def messages(chunks: AsyncIterator[bytes]) -> AsyncIterator[Message]:
    """The messages of a stream (HTML, "Server-sent events"). One that is cut short at the end is none. A message
    without data only moves the id on."""
    last_id = event_type = ""
    data: list[str] = []
    async for line in _lines(chunks):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            yield Message(event=event_type, data="\n".join(data), last_id=last_id)
            event_type, data = "", []
        elif name == "id":
            last_id = value
        elif name == "event":
            event_type = value
        elif name == "data":
            data.append(value)


async def _lines(chunks: AsyncIterator[bytes]) -> AsyncIterator[str]:
    """Lines of text. Unicode knows more ends of lines than a stream of events does."""
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > MAX_ANSWER_BYTES:
            raise ValueError("a line without an end")
        for line in lines:
            yield line.removesuffix(b"\r").decode(errors="replace")
