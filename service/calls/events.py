"""Events about images on the wire: CloudEvents 1.0 in JSON."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

import structlog
from aiohttp import hdrs, web
from pydantic import AfterValidator, BaseModel, Field
from pydantic_core import PydanticCustomError

from processor import clock
from processor.catalog.feeds import HISTORY, LATE, Cursor, Feeds, Listener, Told, TooSlow, Wanted, cursor_at
from processor.errors import Busy, Unavailable
from processor.formats import FORMATS
from processor.images import StoredVariant, is_private
from processor.jobs import with_end
from processor.moments import Kind
from processor.notices import Notice, notices_of
from processor.ports.webhooks import TEST, Delivery
from service.auth.middleware import tenant_of
from service.calls import groups, samples
from service.calls.names import UNIQUE_ID, ProcessingId, PublicUrl, UniqueId, UrlExpiry
from service.calls.variants import FileAnswer
from service.http.call import call, stream
from service.http.middleware import held
from service.http.problems import FieldError, InvalidRequest, TooManyStreams
from service.http.wire import Answer, Question, Time, as_json, is_empty, is_none, read_query
from service.limits.lines import leave_line
from service.limits.open_calls import STREAMS
from service.observe.probes import PROBES

#: A stream ends after so many seconds. Then its client connects again, with its credentials.
STREAM_SECONDS = 900.0
#: The longest time without data, in seconds. Load balancers and CDNs close an idle connection after 30 or 60 seconds.
KEEPALIVE_SECONDS = 15.0
#: The longest time for which a client may read nothing, in seconds.
WRITE_SECONDS = 30.0
#: Time after which a client connects again when its stream has ended, in milliseconds.
RETRY_MILLISECONDS = 2000
LAST_EVENT_ID = "Last-Event-ID"
#: Proxies must not store, compress or change a stream.
HEADERS = {
    hdrs.CONTENT_TYPE: "text/event-stream; charset=utf-8",
    hdrs.CACHE_CONTROL: "no-store, no-transform",
    "X-Accel-Buffering": "no",
}

FEEDS = web.AppKey("feeds", Feeds)

log = structlog.get_logger(__name__)

#: The source of events (CloudEvents 1.0, `source`). Their ids are unique within it.
SOURCE = "/images"

_FORMATS = {content_type: each.name for each in FORMATS for content_type in each.content_types}


class EventVariant(FileAnswer):
    """A variant that is stored."""

    # An event is kept, and told again: a URL that ends has no place in it.
    url: PublicUrl = Field(
        exclude_if=is_private, description="Not of a private variant: ask for one with `GET /images/processed/...`."
    )
    expires_at: UrlExpiry = Field(default="", exclude=True)
    name: str = Field(examples=["thumbnail"])
    format: str = Field(examples=["webp"])

    @classmethod
    def named(cls, variant: StoredVariant) -> Self:
        return cls.of(variant, name=variant.name, format=_FORMATS.get(variant.content_type, ""))


class EventError(Answer):
    """The reason why a job failed."""

    code: str = Field(description="As in the status of the job.", examples=["corrupt_image"])


class EventData(Answer):
    """An image, and what happened to it."""

    unique_id: UniqueId
    processing_id: ProcessingId = Field(description="Of `image.deleted`, the image's last job.")
    variant: EventVariant | None = Field(default=None, exclude_if=is_none, description="Of `image.variant`.")
    processed_images: dict[str, EventVariant] = Field(
        default={}, exclude_if=is_empty, description="Of `image.completed`: every variant by name."
    )
    error: EventError | None = Field(default=None, exclude_if=is_none, description="Of `image.failed`.")
    reason: str | None = Field(
        default=None,
        exclude_if=is_none,
        description="Of `image.needs_review`: why, as in the status of the job. Of `image.rejected`: what the reviewer "
        "said, if anything.",
        examples=["preset"],
    )
    superseded_by: ProcessingId | None = Field(
        default=None, exclude_if=is_none, description="Of `image.superseded`: the job that took the place."
    )

    @classmethod
    def of(cls, notice: Notice) -> Self:
        variants = [EventVariant.named(variant) for variant in notice.variants]
        one = notice.kind is Kind.VARIANT
        return cls(
            unique_id=notice.unique_id,
            processing_id=notice.processing_id,
            variant=variants[0] if one else None,
            processed_images={} if one else {variant.name: variant for variant in variants},
            error=EventError(code=notice.code) if notice.code else None,
            reason=notice.reason or None,
            superseded_by=notice.superseded_by,
        )


class EventAnswer(Answer):
    """Something that happened to an image: a CloudEvent."""

    specversion: Literal["1.0"] = "1.0"
    id: str = Field(
        description="The same, however often the event is told. As text, the ids of one job sort as things happened.",
        examples=["1767323055090-img_1767323045678_9f86d081884c7d65-0002"],
    )
    source: str = Field(default=SOURCE, examples=[SOURCE])
    type: Kind
    subject: UniqueId = Field(description="The image: `uniqueId`.")
    time: Time
    datacontenttype: Literal["application/json"] = "application/json"
    tenant: str = Field(examples=["default"])
    data: EventData

    @classmethod
    def of(cls, notice: Notice) -> Self:
        return cls(
            id=notice.id,
            type=notice.kind,
            subject=notice.unique_id,
            time=notice.at,
            tenant=notice.tenant,
            data=EventData.of(notice),
        )


class TestData(Answer):
    """The data of a test event. It is about no image."""

    webhook_id: str


class TestEvent(Answer):
    """The event that a webhook gets as a test: a CloudEvent about no image."""

    specversion: Literal["1.0"] = "1.0"
    id: str
    source: str = SOURCE
    type: Literal["webhook.test"] = TEST
    subject: str
    time: Time
    datacontenttype: Literal["application/json"] = "application/json"
    tenant: str
    data: TestData

    @classmethod
    def of(cls, delivery: Delivery) -> Self:
        return cls(
            id=delivery.event_id,
            subject=delivery.webhook_id,
            time=delivery.event_at,
            tenant=delivery.tenant,
            data=TestData(webhook_id=delivery.webhook_id),
        )


def event_body(delivery: Delivery, notice: Notice | None, *, public_url: str) -> bytes:
    """The body of a delivery. It has the same bytes at every attempt."""
    answer: BaseModel = TestEvent.of(delivery) if notice is None else EventAnswer.of(notice)
    return as_json(answer, public_url)


def event_text(notice: Notice, *, public_url: str) -> str:
    """The text of an event for a bus."""
    return as_json(EventAnswer.of(notice), public_url).decode()


def as_message(notice: Notice, public_url: str) -> bytes:
    """An event in a stream of Server-Sent Events, without the line with the id."""
    return b"event: %b\ndata: %b\n\n" % (notice.kind.encode(), as_json(EventAnswer.of(notice), public_url))


def _kinds(text: str) -> str:
    unknown = {name for name in text.split(",") if name not in set(Kind)}
    if unknown:
        raise PydanticCustomError("kinds", f"must be some of {', '.join(Kind)}, by commas")
    return text


class EventsQuery(Question):
    """A filter for events; without it, all of the tenant's."""

    unique_id: str | None = Field(default=None, pattern=UNIQUE_ID.pattern, description="Of this image alone.")
    processing_id: str | None = Field(
        default=None, pattern=r"^img_[0-9]+_[A-Za-z0-9]+$", description="Of this job alone."
    )
    types: Annotated[str, AfterValidator(_kinds)] | None = Field(
        default=None, description="Of these types alone, by commas.", examples=[f"{Kind.COMPLETED},{Kind.FAILED}"]
    )
    last_event_id: str | None = Field(
        default=None,
        max_length=200,
        description="Go on behind this event, for clients that cannot send the header `Last-Event-ID`.",
    )

    @property
    def wanted(self) -> Wanted:
        return Wanted(
            kinds=None if self.types is None else frozenset(map(Kind, self.types.split(","))),
            unique_id=None if self.unique_id is None else self.unique_id.lower(),
            processing_id=self.processing_id,
        )


(FAILED,) = notices_of(with_end(samples.FAILED))
EXAMPLE = {
    "id": FAILED.id,
    "event": str(FAILED.kind),
    "data": as_json(EventAnswer.of(FAILED), samples.URL).decode(),
}


@call(
    "getEvents",
    groups.EVENTS,
    stream("Server-Sent Events, of which this is one", EXAMPLE),
    query=EventsQuery,
    problems=(TooManyStreams,),
)
async def live(request: web.Request) -> web.StreamResponse:
    """Get events about images as they happen.

    The answer is a stream of Server-Sent Events. The data of each is a CloudEvent. A client that connects again within
    an hour, with the `id` of the last event in `Last-Event-ID` or `lastEventId`, gets the events since then. An event
    may come twice, with the same `id` in its data. `gap` means that more events were missed than the stream has. A
    stream ends after at most a quarter of an hour. Its last event is `closed`, with the `reason` `time`, `stopping`,
    `slow` or `unavailable`.
    """
    asked = read_query(EventsQuery, request.query)
    cursor = _cursor(request.headers.get(LAST_EVENT_ID) or asked.last_event_id)
    if request.method == hdrs.METH_HEAD:
        return web.Response(headers=HEADERS)
    with request.app[STREAMS].place(tenant_of(request)):
        async with request.app[FEEDS].listen(tenant_of(request), asked.wanted, cursor) as listener:
            leave_line(request)
            response = web.StreamResponse(headers=HEADERS)
            response.force_close()
            await response.prepare(request)
            with held(request):
                await _Stream(request, response, listener).run(cursor)
    return response


def _cursor(text: str | None) -> Cursor | None:
    """Raises `InvalidRequest`."""
    if not text:
        return None
    try:
        return Cursor.of(text)
    except ValueError:
        raise InvalidRequest([FieldError(field="lastEventId", message="is no id of an event of this stream")]) from None


@dataclass(slots=True)
class _Stream:
    """The stream of one client."""

    request: web.Request
    response: web.StreamResponse
    listener: Listener
    sent_at: float = 0.0

    async def run(self, cursor: Cursor | None) -> None:
        """Send events until the stream ends, and send the client the reason; or until the client has gone."""
        try:
            await self._open(cursor)
            reason = await self._tell()
            await self._write(_message("closed", {"reason": reason}))
        except ConnectionError:
            return
        except TimeoutError:
            log.info("Client takes no events any more")
            if self.request.transport is not None:
                self.request.transport.abort()

    async def _open(self, cursor: Cursor | None) -> None:
        begin = f"retry: {RETRY_MILLISECONDS}\n".encode()
        if cursor is None:  # so that the client can come back before the first event
            begin += f"id: {cursor_at(self.listener.feed.looked_at)}\n\n".encode()
        elif cursor.changed < clock.now() - HISTORY - LATE:
            begin += _message("gap", {"since": clock.to_iso(clock.now() - HISTORY)})
        await self._write(begin)

    async def _tell(self) -> str:
        """Send events. The result is the reason for the end."""
        ends_at = time.monotonic() + STREAM_SECONDS
        try:
            while not self.request.app[FEEDS].ended:
                left = ends_at - time.monotonic()
                if left <= 0:
                    return "time"
                told = await self.listener.next(max(0.0, min(left, self._silence_left)))
                if told:
                    await self._send(told)
                elif self._silence_left <= 0:
                    await self._keep_alive()
        except TooSlow:
            return "slow"
        except (Unavailable, Busy):
            return "unavailable"
        return "stopping"

    @property
    def _silence_left(self) -> float:
        return self.sent_at + KEEPALIVE_SECONDS - time.monotonic()

    async def _send(self, told: Sequence[Told]) -> None:
        with self.request.app[PROBES].span("send", events=len(told)):
            await self._write(b"".join(b"id: %b\n%b" % (each.cursor.encode(), each.encoded) for each in told))

    async def _keep_alive(self) -> None:
        cursor = self.listener.cursor
        await self._write(b": keep-alive\n" + (b"" if cursor is None else f"id: {cursor}\n".encode()) + b"\n")

    async def _write(self, data: bytes) -> None:
        async with asyncio.timeout(WRITE_SECONDS):
            await self.response.write(data)
        self.sent_at = time.monotonic()


def _message(event: str, data: dict[str, str]) -> bytes:
    return f"event: {event}\ndata: {json.dumps(data)}\n\n".encode()
