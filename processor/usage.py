"""The usage and the limits of a tenant."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog

from processor import clock
from processor.errors import Busy, DailyLimitReached, ImageLimitReached, RecordChanged, Throttled, Unavailable

#: How long a tenant's record is cached, in seconds, for checks without a write.
CACHE_SECONDS = 5.0
#: Tenants remembered at once; the least recently seen goes first.
CACHE_SIZE = 4096
MEGAPIXEL = 1_000_000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What was used: of the day (UTC, `YYYY-MM-DD`), and in all. Images are those that are stored now.

    `open` are images whose URL was issued that day and whose upload has not come; their announced sizes are in `bytes`.
    """

    day: str = ""
    bytes: int = 0
    pixels: int = 0
    open: int = 0
    images: int = 0

    def on(self, day: str) -> Usage:
        """The usage on a later day, of which nothing is used yet. An earlier day changes nothing."""
        return self if day <= self.day else replace(self, day=day, bytes=0, pixels=0, open=0)

    def __add__(self, more: Usage) -> Usage:
        """The sum, on the later of both days: just after midnight, the clock of another process may be behind."""
        before = self.on(more.day)
        counts = {name: getattr(before, name) + count for name, count in more.counts.items()}
        return replace(before, **counts)

    def __sub__(self, less: Usage) -> Usage:
        """The difference. If `less` is of a day that is over, only its images are subtracted."""
        returned = less if less.day == self.day else Usage(day=self.day, images=less.images)
        return replace(self, **{name: getattr(self, name) - count for name, count in returned.counts.items()})

    @property
    def counts(self) -> Mapping[str, int]:
        """What is not 0, by name."""
        counts = {"bytes": self.bytes, "pixels": self.pixels, "open": self.open, "images": self.images}
        return {name: count for name, count in counts.items() if count}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much a tenant may use. Requests are counted by each process for itself, in a bucket that refills."""

    requests_per_second: float
    request_burst: int
    tenant_requests_per_second: float
    tenant_request_burst: int
    bytes_per_day: int
    megapixels_per_day: int
    images: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Overrides:
    """The limits of one tenant, where they differ from everybody's; None: they do not."""

    requests_per_second: float | None = None
    request_burst: int | None = None
    tenant_requests_per_second: float | None = None
    tenant_request_burst: int | None = None
    bytes_per_day: int | None = None
    megapixels_per_day: int | None = None
    images: int | None = None

    def over(self, defaults: Limits) -> Limits:
        """What holds for the tenant."""
        own = {each.name: getattr(self, each.name) for each in fields(self)}
        return replace(defaults, **{name: value for name, value in own.items() if value is not None})


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantRecord:
    """What is kept of a tenant."""

    usage: Usage = field(default_factory=Usage)
    overrides: Overrides = field(default_factory=Overrides)


class UsageStore(Protocol):
    """The records of tenants. Every call raises `Unavailable`."""

    async def get(self, tenant: str) -> TenantRecord:
        """An empty one for a tenant that nothing is known of."""
        ...

    async def add(self, tenant: str, used: Usage) -> TenantRecord:
        """Add usage, in one atomic write. Returns the record afterwards.

        If the answer is lost, the write may be repeated: usage is never counted too low.
        """
        ...

    async def give_back(self, tenant: str, used: Usage) -> TenantRecord | None:
        """Subtract usage, at most once. Returns the record afterwards, or None if less than that is counted.

        If it is of a day that is over, only its images are subtracted. A failed write leaves the count too high, never
        too low.
        """
        ...

    async def trade(self, tenant: str, more: Usage, less: Usage) -> TenantRecord | None:
        """Add `more` and subtract `less`, of the same day, in one write, at most once.

        Returns the record afterwards, or None if nothing was changed: it is another day, or less than that is counted.
        """
        ...

    async def set_overrides(self, tenant: str, overrides: Overrides) -> None: ...


@dataclass(slots=True, kw_only=True)
class Quota:
    """The only code that counts usage and enforces limits.

    It counts first and compares afterwards, with the record as it is then. So however many processes count at once,
    none exceeds a limit unseen. A count is given back after one change of a record, by the process that made the
    change. So a process that dies leaves a count too high, never too low. What is owed goes with the next count of its
    tenant, because each write of a tenant is to the same item. `check_...` only reads a record that may be some seconds
    old.
    """

    store: UsageStore
    defaults: Limits
    monotonic: Callable[[], float] = time.monotonic
    _known: OrderedDict[str, tuple[TenantRecord, float]] = field(default_factory=OrderedDict)
    _owed: dict[str, Usage] = field(default_factory=dict)

    async def check_upload(self, tenant: str, size: int | None) -> None:
        """Check whether a URL may be issued, for `size` bytes if that is announced.

        Raises `DailyLimitReached`, `ImageLimitReached`, `Unavailable`.
        """
        usage, limits = await self.state(tenant)
        _check(usage, limits, Usage(day=usage.day, bytes=size or 0, open=1))

    async def check_open(self, tenant: str, size: int = 0) -> None:
        """Check whether an upload with a URL may go on, with `size` bytes that were not announced.

        Raises the same.
        """
        usage, limits = await self.state(tenant)
        _check(replace(usage, open=0), limits, Usage(day=usage.day, bytes=size, open=1))

    async def check_request(self, tenant: str) -> None:
        """Whether more work may be asked for today. Raises `DailyLimitReached`, `Unavailable`."""
        usage, limits = await self.state(tenant)
        _check(usage, limits, Usage(day=usage.day, bytes=1, pixels=1))

    async def check_work(self, tenant: str) -> None:
        """Whether what has come may be converted today. Raises `DailyLimitReached`, `Unavailable`."""
        usage, limits = await self.state(tenant)
        _check(usage, limits, Usage(day=usage.day, pixels=1))

    async def take(self, tenant: str, used: Usage) -> None:
        """Count usage, unless that exceeds a limit.

        The last image of a day may exceed the limit of megapixels. Raises `DailyLimitReached`, `ImageLimitReached`,
        `Busy`, `Unavailable`.
        """
        record = await self.count(tenant, used)
        try:
            _check(record.usage - replace(used, day=record.usage.day), record.overrides.over(self.defaults), used)
        except (DailyLimitReached, ImageLimitReached):
            await self.give_back(tenant, used)
            raise

    async def arrive(self, tenant: str, came: Usage, reserved: Usage) -> DailyLimitReached | ImageLimitReached | None:
        """Count an upload that has arrived. Returns why it must be removed, or None.

        Its bytes count in any case; its image counts only if it stays. A `reserved` upload goes before those that have
        not arrived. Raises `Busy`, `Unavailable`.
        """
        record = await self.count(tenant, came)
        before = record.usage - replace(came, day=record.usage.day)
        if reserved.open:
            before = replace(before, open=0)
        try:
            _check(before, record.overrides.over(self.defaults), came)
        except (DailyLimitReached, ImageLimitReached) as refusal:
            await self.give_back(tenant, Usage(day=came.day, images=came.images))
            return refusal
        return None

    @asynccontextmanager
    async def owing(self, tenant: str, used: Usage) -> AsyncIterator[None]:
        """Give back what was counted for a change of a record, if others were faster.

        If it is unknown whether the change was made, the count stays.
        """
        try:
            yield
        except (RecordChanged, Busy):
            await self.give_back(tenant, used)
            raise

    async def count(self, tenant: str, used: Usage) -> TenantRecord:
        """Count what cannot be refused any more; the record as it is then. Raises `Busy`, `Unavailable`."""
        record = await self._traded(tenant, used, self._owed.pop(tenant, Usage()))
        return self._remembered(tenant, record or await self.store.add(tenant, used))

    def owe(self, tenant: str, used: Usage) -> None:
        """Give back usage with the next count of the tenant, or with `settle`."""
        self._owed[tenant] = self._owed.get(tenant, Usage()) + used

    async def settle(self, tenant: str) -> None:
        """Give back what is still owed. If that fails, it stays counted."""
        await self.give_back(tenant, self._owed.pop(tenant, Usage()))

    async def give_back(self, tenant: str, used: Usage) -> None:
        """Give back usage. If that fails, it stays counted, and the caller's result does not change."""
        if used.counts:
            await asyncio.shield(self._give_back(tenant, used))

    async def _traded(self, tenant: str, used: Usage, owed: Usage) -> TenantRecord | None:
        """Count and give back in one write. None: `used` is not counted, or that is unknown."""
        if not owed.counts:
            return None
        if owed.day == used.day:
            try:
                record = await self.store.trade(tenant, used, owed)
            except (Throttled, Busy):  # nothing was changed
                self.owe(tenant, owed)
                return None
            except Unavailable as error:  # perhaps it was: it must not be twice
                log.warning("Usage not given back", code=error.code)
                return None
            if record is not None:
                return record
        await self.give_back(tenant, owed)
        return None

    async def _give_back(self, tenant: str, used: Usage) -> None:
        try:
            record = await self.store.give_back(tenant, used)
        except (Unavailable, Busy) as error:
            log.warning("Usage not given back", code=error.code)
            return
        if record is None:
            log.warning("Usage not given back", code="not_counted")
        else:
            self._remembered(tenant, record)

    async def limits(self, tenant: str) -> Limits:
        """What holds for a tenant. Raises `Unavailable`."""
        return (await self.state(tenant))[1]

    async def state(self, tenant: str) -> tuple[Usage, Limits]:
        """What a tenant has used today, and may, as of a moment ago. Raises `Unavailable`."""
        now = self.monotonic()
        record, good_until = self._known.get(tenant, (TenantRecord(), now))
        if now >= good_until:
            record = await self.store.get(tenant)
            self._remember(tenant, record, now + CACHE_SECONDS)
        self._known.move_to_end(tenant)
        return record.usage.on(today()), record.overrides.over(self.defaults)

    def _remembered(self, tenant: str, record: TenantRecord) -> TenantRecord:
        """Remember the record of a write: it contains the writes of others too."""
        self._remember(tenant, record, self.monotonic() + CACHE_SECONDS)
        return record

    def _remember(self, tenant: str, record: TenantRecord, good_until: float) -> None:
        self._known[tenant] = (record, good_until)
        self._known.move_to_end(tenant)
        while len(self._known) > CACHE_SIZE:
            self._known.popitem(last=False)


def _check(usage: Usage, limits: Limits, more: Usage) -> None:
    """Check `more` on top of `usage`. Only the limits of what is asked for count."""
    images = usage.images + max(0, usage.open) + more.images + more.open
    if images > limits.images and (more.open or more.images):
        raise ImageLimitReached(limit=limits.images, actual=images)
    used = usage.bytes + max(int(more.open > 0), more.bytes)
    if used > limits.bytes_per_day and (more.open or more.bytes):
        raise DailyLimitReached(seconds_left_today(), what="bytes", limit=limits.bytes_per_day, actual=used)
    if (more.open or more.pixels) and usage.pixels >= limits.megapixels_per_day * MEGAPIXEL:
        megapixels = int(usage.pixels // MEGAPIXEL) + 1
        raise DailyLimitReached(
            seconds_left_today(), what="megapixels", limit=limits.megapixels_per_day, actual=megapixels
        )


def today() -> str:
    """The day by which usage is counted, in UTC."""
    return day_of(clock.now())


def day_of(moment: datetime) -> str:
    """The day in UTC."""
    return moment.astimezone(UTC).date().isoformat()


def tomorrow() -> datetime:
    """When the counts of the day begin anew."""
    return datetime.fromisoformat(today()).replace(tzinfo=UTC) + timedelta(days=1)


def seconds_left_today() -> int:
    """At least 1."""
    return max(1, int((tomorrow() - clock.now()).total_seconds()))
