"""Webhooks: where a tenant wants to be told of its images, what became of each delivery, and who sends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final, Protocol

from processor.moments import Kind

#: What an event is called that is sent for a test, and tells of no image.
TEST: Final = "webhook.test"


class OffReason(StrEnum):
    """Why nothing is sent to an endpoint."""

    ASKED = "asked"  # its owner wants it so
    FAILING = "failing"  # it has taken nothing for days
    GONE = "gone"  # it answered 410: it wants no more


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try to deliver an event. `code` says why it failed; `status` is what the receiver answered, if it did."""

    at: datetime
    milliseconds: int
    status: int | None = None
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One URL of a tenant, and what it wants to hear."""

    webhook_id: str
    url: str
    description: str = ""
    events: tuple[Kind, ...]
    #: Signs what is sent: `whsec_` and base64.
    secret: str = field(repr=False)
    #: Signs beside it until then, after a rotation.
    old_secret: str = field(default="", repr=False)
    old_secret_until: datetime | None = None
    created_at: datetime
    updated_at: datetime
    #: None: events are sent.
    off: OffReason | None = None
    off_since: datetime | None = None
    #: The first failure since the last success.
    failing_since: datetime | None = None
    last_failure: Attempt | None = None

    def secrets(self, now: datetime) -> tuple[str, ...]:
        """What signs at that moment, the newest first."""
        both = self.old_secret and self.old_secret_until is not None and now < self.old_secret_until
        return (self.secret, self.old_secret) if both else (self.secret,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """All endpoints of a tenant, oldest first. `version` is one more after each change; 0: there was none yet."""

    all: tuple[Endpoint, ...] = ()
    version: int = 0

    def get(self, webhook_id: str) -> Endpoint | None:
        return next((each for each in self.all if each.webhook_id == webhook_id), None)

    def with_one(self, changed: Endpoint) -> Endpoints:
        """The same, with one changed."""
        return replace(self, all=tuple(changed if each.webhook_id == changed.webhook_id else each for each in self.all))


class DeliveryStatus(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"  # it is being tried
    DELIVERED = "delivered"  # the receiver has said so
    FAILED = "failed"  # all tries failed, or there was a reason to stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event for one endpoint, with the log of its attempts. It holds ids and codes, and nothing of the picture."""

    webhook_id: str
    event_id: str
    tenant: str
    #: A `Kind`, or `TEST`.
    type: str
    #: Empty for a test.
    unique_id: str = ""
    processing_id: str = ""
    #: When the event happened.
    event_at: datetime
    status: DeliveryStatus = DeliveryStatus.PENDING
    #: How often it was tried since it was asked for: a message that names another number is an old one.
    tries: int = 0
    #: The latest last.
    attempts: tuple[Attempt, ...] = ()
    #: When it is tried again.
    next_at: datetime | None = None
    #: Why it is not tried any more.
    code: str = ""
    #: When its record goes, in seconds since the epoch.
    expires_at: int

    @property
    def counts_as_failed(self) -> bool:
        """Also while it waits to be tried again after that."""
        again = self.status is DeliveryStatus.PENDING and not self.tries and bool(self.attempts)
        return self.status is DeliveryStatus.FAILED or again


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryQuery:
    """Which deliveries of an endpoint; `after` is the id of the last event of the page before."""

    tenant: str
    webhook_id: str
    failed: bool = False
    since: datetime | None = None
    until: datetime | None = None
    after: str = ""
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryPage:
    """Newest events first."""

    deliveries: Sequence[Delivery]
    #: The `after` of the next page; None: this was the last.
    next_after: str | None


def bound(moment: datetime | None) -> str:
    """What the ids of events from then on begin with, or come after: the time in milliseconds."""
    return "" if moment is None else f"{round(moment.timestamp() * 1000):013}"


class WebhookStore(Protocol):
    """The records of endpoints and deliveries. Every call raises `Unavailable`."""

    async def endpoints(self, tenant: str) -> Endpoints:
        """Consistent read."""
        ...

    async def write(self, tenant: str, endpoints: Endpoints) -> None:
        """Write what was made of `endpoints`, whose version is that which was read. Raises `RecordChanged`."""
        ...

    async def add(self, delivery: Delivery) -> Delivery | None:
        """Write a new delivery. None: it is written; else the one that is there already."""
        ...

    async def delivery(self, webhook_id: str, event_id: str) -> Delivery:
        """Consistent read. Raises `DeliveryNotFound`."""
        ...

    async def update(self, delivery: Delivery, *, tries: int) -> None:
        """Write a delivery of which the record has so many `tries`. Raises `RecordChanged`."""
        ...

    async def deliveries(self, query: DeliveryQuery) -> DeliveryPage:
        """Eventually consistent."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What became of one request: the status of its answer, or a code if there was none.

    `retry_after` is for how many seconds the receiver wants to be left alone.
    """

    status: int | None = None
    code: str = ""
    retry_after: int = 0

    @property
    def delivered(self) -> bool:
        return not self.code


class Sender(Protocol):
    """Sends one request to an address that a tenant has named."""

    async def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answered:
        """Bounded in time and in what is read. It raises nothing that the receiver could bring about."""
        ...
