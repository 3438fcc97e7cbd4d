"""What a tenant has used, and how much it may."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

from processor import clock
from processor.errors import DailyLimitReached, ImageLimitReached

#: How long a tenant's record is believed, in seconds: by so much a limit may be overshot, beside what is under way.
CACHE_SECONDS = 5.0
#: Tenants remembered at once; the least recently seen goes first.
CACHE_SIZE = 4096
MEGAPIXEL = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What was used: of the day (UTC, `YYYY-MM-DD`), and in all. Images are those that are stored now."""

    day: str = ""
    bytes: int = 0
    pixels: int = 0
    images: int = 0

    def on(self, day: str) -> Usage:
        """The same on another day, when nothing of that day is used yet."""
        return self if day == self.day else replace(self, day=day, bytes=0, pixels=0)


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

    async def add(self, tenant: str, used: Usage) -> None:
        """Add to what was used, in one write that no other process can undo."""
        ...

    async def set_overrides(self, tenant: str, overrides: Overrides) -> None:
        """Replace all of them."""
        ...


@dataclass(slots=True, kw_only=True)
class Quota:
    """Says no to more than a tenant may. What is under way is not counted before it has ended."""

    store: UsageStore
    defaults: Limits
    monotonic: Callable[[], float] = time.monotonic
    _known: OrderedDict[str, tuple[TenantRecord, float]] = field(default_factory=OrderedDict)

    async def check_upload(self, tenant: str, size: int | None) -> None:
        """Raises `DailyLimitReached`, `ImageLimitReached`, `Unavailable`. `size` in bytes, where it is known."""
        usage, limits = await self.state(tenant)
        if usage.images >= limits.images:
            raise ImageLimitReached(limit=limits.images, actual=usage.images + 1)
        self._check_day(usage, limits, size or 0)

    async def check_work(self, tenant: str, *, new_image: bool = False) -> None:
        """The same for converting an image, which may not be counted yet."""
        usage, limits = await self.state(tenant)
        if new_image and usage.images >= limits.images:
            raise ImageLimitReached(limit=limits.images, actual=usage.images + 1)
        self._check_day(usage, limits, 0)

    async def limits(self, tenant: str) -> Limits:
        """What holds for a tenant. Raises `Unavailable`."""
        return (await self.state(tenant))[1]

    async def state(self, tenant: str) -> tuple[Usage, Limits]:
        """What a tenant has used today, and may, as of a moment ago. Raises `Unavailable`."""
        now = self.monotonic()
        record, good_until = self._known.get(tenant, (TenantRecord(), now))
        if now >= good_until:
            record = await self.store.get(tenant)
            self._known[tenant] = (record, now + CACHE_SECONDS)
        self._known.move_to_end(tenant)
        while len(self._known) > CACHE_SIZE:
            self._known.popitem(last=False)
        return record.usage.on(today()), record.overrides.over(self.defaults)

    def _check_day(self, usage: Usage, limits: Limits, size: int) -> None:
        wanted = usage.bytes + max(1, size)
        if wanted > limits.bytes_per_day:
            raise DailyLimitReached(seconds_left_today(), what="bytes", limit=limits.bytes_per_day, actual=wanted)
        if usage.pixels >= limits.megapixels_per_day * MEGAPIXEL:
            megapixels = int(usage.pixels // MEGAPIXEL) + 1
            raise DailyLimitReached(
                seconds_left_today(), what="megapixels", limit=limits.megapixels_per_day, actual=megapixels
            )


def today() -> str:
    """The day by which usage is counted, in UTC."""
    return clock.now().astimezone(UTC).date().isoformat()


def tomorrow() -> datetime:
    """When the counts of the day begin anew."""
    return datetime.fromisoformat(today()).replace(tzinfo=UTC) + timedelta(days=1)


def seconds_left_today() -> int:
    """At least 1."""
    return max(1, int((tomorrow() - clock.now()).total_seconds()))
