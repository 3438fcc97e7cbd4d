"""Sends deliveries, and decides after each try: delivered, try again later, or give up."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from http import HTTPStatus
from typing import Any

import structlog

from processor import clock
from processor.errors import Busy, DeliveryNotFound, ImageNotFound, RecordChanged
from processor.jobs import Job, epoch, removed
from processor.moments import Kind
from processor.notices import Notice, notices_of
from processor.pauses import jittered
from processor.ports.jobs import JobStore, known_job
from processor.ports.queue import MAX_DELAY_SECONDS
from processor.ports.webhooks import (
    TEST,
    Attempt,
    Delivery,
    DeliveryStatus,
    Endpoint,
    Endpoints,
    OffReason,
    Sender,
)
from processor.probe import NO_PROBES, TRACE, Probes
from processor.turns import Turns
from processor.webhooks.listener import KEPT, due
from processor.webhooks.messages import DeliveryDue, ReplayDue
from processor.webhooks.registry import Webhooks, changed
from processor.webhooks.signing import signed

#: Pauses between tries, in seconds. Together they are about a day.
PAUSES = (5, 60, 300, 1800, 7200, 18000, 28800, 28800)
#: The smallest part of a pause. Pauses vary, so that deliveries that failed together are not tried together.
LEAST_OF_PAUSE = 0.75
#: The longest time for which a receiver is left alone because it asks for that, in seconds. Then it is tried once more.
LONGEST_ALONE_SECONDS = 3600
#: And of so much of it in addition what waited comes back, bit by bit.
SPREAD = 0.25
#: Requests at the same time: to one endpoint, and from this process.
AT_ONCE, AT_ONCE_IN_ALL = 4, 64
#: Deliveries that wait in this process: for one endpoint, and for all. Others wait in the queue, so many seconds.
WAITING, WAITING_IN_ALL, CROWDED_SECONDS = 16, 256, 15
#: Attempts that a record keeps: enough for two rounds of tries.
ATTEMPTS_KEPT = 2 * (len(PAUSES) + 1)

#: Why there is nothing left to tell: the image was deleted, and so was what could be told; or a variant counts no more,
#: because the work was begun anew, failed or was overtaken.
IMAGE_DELETED, VARIANT_GONE = "image_deleted", "variant_gone"

log = structlog.get_logger(__name__)

#: Makes the body of a request. None stands for a test event.
Render = Callable[[Delivery, Notice | None], bytes]


@dataclass(slots=True, kw_only=True)
class Deliverer:
    """Delivers events; one for each process with a worker. A slow endpoint fills only its own places."""

    webhooks: Webhooks
    jobs: JobStore
    sender: Sender
    render: Render
    #: An endpoint is switched off after so long without a success.
    failing_limit: timedelta
    probes: Probes = NO_PROBES
    _turns: Turns = field(default_factory=lambda: Turns(AT_ONCE_IN_ALL))
    _places: dict[str, asyncio.Semaphore] = field(default_factory=dict)
    _here: Counter[str] = field(default_factory=Counter)
    #: Endpoints that want to be left alone, and until when (seconds since the epoch).
    _alone: dict[str, float] = field(default_factory=dict)
    _stopping: bool = False

    def takes(self, body: str) -> bool:
        """Whether a message is for the deliverer."""
        return DeliveryDue.read(body) is not None or ReplayDue.read(body) is not None

    def stop(self) -> None:
        """Begin no further delivery. Those that wait go back to the queue."""
        self._stopping = True

    async def handle(self, body: str) -> int | None:
        """Try a delivery. The result is the number of seconds after which the message must come again, or None if done.

        Raises `Unavailable`, `Busy`.
        """
        replay = ReplayDue.read(body)
        if replay is not None:
            await self.webhooks.replay_page(replay)
            return None
        message = DeliveryDue.read(body)
        return None if message is None else await self._in_time(message)

    async def _in_time(self, message: DeliveryDue) -> int | None:
        pause = self._pause(message)
        if pause:
            return pause
        if self._here[message.webhook_id] >= WAITING or self._here.total() >= WAITING_IN_ALL:
            return CROWDED_SECONDS
        async with self._place(message):
            if self._stopping:
                return 0
            pause = self._pause(message)  # the receiver may have asked for one while this waited
            if pause:
                return pause
            structlog.contextvars.bind_contextvars(webhookId=message.webhook_id, eventId=message.event_id)
            await self._handle(message)
        return None

    @contextlib.asynccontextmanager
    async def _place(self, message: DeliveryDue) -> AsyncIterator[None]:
        """Take one of the endpoint's places, then one of the process's. Tenants take turns."""
        webhook_id = message.webhook_id
        self._here[webhook_id] += 1
        places = self._places.setdefault(webhook_id, asyncio.Semaphore(AT_ONCE))
        try:
            async with places, self._turns.turn(message.tenant):
                yield
        finally:
            self._here[webhook_id] -= 1
            if not self._here[webhook_id]:
                del self._here[webhook_id], self._places[webhook_id]

    async def _handle(self, message: DeliveryDue) -> None:
        """Try a delivery, unless its message is old: the delivery has ended, or was tried since."""
        try:
            delivery = await self.webhooks.store.delivery(message.webhook_id, message.event_id)
        except DeliveryNotFound:
            return
        if delivery.status is not DeliveryStatus.PENDING or delivery.tries != message.number:
            return
        endpoint = (await self.webhooks.directory.of(delivery.tenant)).get(delivery.webhook_id)
        if endpoint is None:
            await self._end(delivery, "webhook_deleted")
        elif endpoint.off is not None:
            await self._end(delivery, "webhook_off")
        else:
            await self._deliver(endpoint, delivery)

    async def _deliver(self, endpoint: Endpoint, delivery: Delivery) -> None:
        job = None if delivery.type == TEST else await self._job(delivery)
        notice = None if job is None else next((one for one in notices_of(job) if one.id == delivery.event_id), None)
        if notice is None and delivery.type != TEST:
            await self._end(delivery, IMAGE_DELETED if job is None else VARIANT_GONE)
            return
        body = self.render(delivery, notice)
        trace = job.trace if job is not None else None
        with self.probes.span("delivery", tried=True, continues=trace, type=delivery.type) as span:
            span.facts["due"] = delivery.next_at or delivery.event_at
            now = clock.now()
            headers = signed(delivery.event_id, body, now, endpoint.secrets(now))
            if trace:  # so that the receiver can continue the trace
                headers["traceparent"] = TRACE.get() or trace
            answered = await self.sender.post(endpoint.url, headers, body)
            span.end()
            attempt = Attempt(at=now, milliseconds=span.milliseconds, status=answered.status, code=answered.code)
            alone = min(answered.retry_after, LONGEST_ALONE_SECONDS)
            span.facts["delivery"] = tried = _tried(delivery, attempt, alone)
        if alone:
            self._leave_alone(delivery.webhook_id, alone)
        await self._record(delivery, tried)
        await self._note_health(delivery.tenant, endpoint, attempt)

    def _leave_alone(self, webhook_id: str, seconds: float) -> None:
        """Other processes find out by themselves."""
        now = time.time()
        self._alone = {each: until for each, until in self._alone.items() if until > now}
        self._alone[webhook_id] = now + seconds

    def _pause(self, message: DeliveryDue) -> int:
        """For how many seconds a message must wait, as far as one hop goes; 0: it is due."""
        now = time.time()
        alone = max(0.0, self._alone.get(message.webhook_id, 0) - now)
        alone += SPREAD * jittered(alone, least=0)  # so that what waited does not come back at once
        left = max(message.due - now, alone)
        return min(MAX_DELAY_SECONDS, round(left)) if left >= 1 else 0

    async def _job(self, delivery: Delivery) -> Job | None:
        """The job, or the tombstone of a deleted image."""
        if delivery.type != Kind.DELETED:
            return await known_job(self.jobs, delivery.tenant, delivery.processing_id)
        with contextlib.suppress(ImageNotFound):
            image = await self.jobs.get_image(delivery.tenant, delivery.unique_id)
            return None if image.deleted_at is None else removed(image)
        return None

    async def _record(self, before: Delivery, after: Delivery) -> None:
        """Send the next message, then write the record.

        If the process dies in between, this message returns and is tried again. Then two messages exist. The one that
        comes second is old, and is ignored.
        """
        if after.next_at is not None:
            at = epoch(after.next_at)
            delay = max(0, min(MAX_DELAY_SECONDS, at - int(time.time())))
            await self.webhooks.queue.send(due(after, at=at).to_message(), delay_seconds=delay)
        try:
            await self.webhooks.store.update(after, tries=before.tries)
        except RecordChanged:
            log.info("Delivery tried twice")

    async def _end(self, delivery: Delivery, code: str) -> None:
        """Give up the delivery without a try."""
        with self.probes.span("delivery", tried=False) as span:
            span.facts["delivery"] = ended = replace(
                delivery, status=DeliveryStatus.FAILED, next_at=None, code=code, tries=delivery.tries + 1
            )
        await self._record(delivery, ended)

    async def _note_health(self, tenant: str, endpoint: Endpoint, attempt: Attempt) -> None:
        """Record the first failure, the first success after it, and that the endpoint is switched off. Nothing else."""
        news = health(endpoint, attempt, self.failing_limit)
        if not news:
            return
        known: list[Endpoint] = []

        def applied(there: Endpoints) -> Endpoints:
            known[:] = [each for each in (there.get(endpoint.webhook_id),) if each is not None and each.off is None]
            return there.with_one(replace(known[0], **news)) if known else there

        try:
            await changed(self.webhooks.store, tenant, applied)
        except Busy:  # an endpoint that is tried so often has its next success soon
            log.info("Health of a webhook not written")
        else:
            if known and "off" in news:  # by this attempt, and by no other that failed at the same time
                log.warning("Webhook switched off", reason=news["off"].value, tenant=tenant)
                with self.probes.span("switch off", reason=news["off"].value):
                    pass
        self.webhooks.directory.forget(tenant)


def health(endpoint: Endpoint, attempt: Attempt, limit: timedelta) -> dict[str, Any]:
    """The fields of an endpoint that an attempt changes."""
    since = endpoint.failing_since
    if not attempt.code:
        # However soon it comes: else one failure after days without events would look like days of failures.
        return {} if since is None else {"failing_since": None}
    failing = {"failing_since": since or attempt.at, "last_failure": attempt}
    if attempt.status == HTTPStatus.GONE:
        return {**failing, "off": OffReason.GONE, "off_since": attempt.at}
    if since is None:
        return failing
    if attempt.at - since >= limit:
        return {**failing, "off": OffReason.FAILING, "off_since": attempt.at}
    return {}


def _tried(delivery: Delivery, attempt: Attempt, alone: int) -> Delivery:
    """The delivery after an attempt; the receiver wants to be left alone for so many seconds."""
    after = replace(
        delivery,
        tries=delivery.tries + 1,
        attempts=(*delivery.attempts, attempt)[-ATTEMPTS_KEPT:],
        next_at=None,
        expires_at=epoch(attempt.at + KEPT),
    )
    if not attempt.code:
        return replace(after, status=DeliveryStatus.DELIVERED)
    if attempt.status == HTTPStatus.GONE or delivery.tries >= len(PAUSES):
        return replace(after, status=DeliveryStatus.FAILED, code=attempt.code)
    own = jittered(PAUSES[delivery.tries], least=LEAST_OF_PAUSE)
    asked = alone + SPREAD * jittered(alone, least=0)
    return replace(after, next_at=clock.now() + timedelta(seconds=max(1, round(max(own, asked)))))
