"""Live events: each process looks for a tenant's changed records once, and tells all listeners of that tenant.

docs/adr/0088-events-follow-from-the-records.md says how a process hears of the work of others.
docs/adr/0090-streams-resume-anywhere.md says why no event is lost.
"""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import structlog

from processor import clock
from processor.errors import Busy, Unavailable
from processor.jobs import Job
from processor.moments import Kind
from processor.notices import Notice, notices_of, time_of
from processor.ports.changes import IMAGE_PREFIX, Change, ChangeStore
from processor.probe import NO_PROBES, Probes

#: A change may appear so much later than its own time says: clocks differ, writes are repeated, the index lags.
LATE = timedelta(seconds=60)
#: Time between two looks, in seconds. With more feeds than this in a process, the looks are further apart.
LOOK_SECONDS, FEEDS_A_LOOK = 1.0, 10
#: Most looks go back this far, because later changes are rare. Every tenth look goes back as far as `LATE`.
USUALLY_LATE, LOOKS_A_SWEEP = timedelta(seconds=5), 10
#: A listener that comes back gets the events of this time.
HISTORY = timedelta(hours=1)
#: Events that a feed keeps for slow listeners. A listener that is further behind is disconnected. It may come back.
MOST_BEHIND = 5000
#: A feed remembers the events of at least so many jobs.
REMEMBERED = 5000
#: Records in one read, and rows on one page of the index.
RECORDS, ROWS = 100, 2000
#: Listeners that catch up at the same time.
REPLAYS = 4

#: A time before all others.
NEVER = datetime.min.replace(tzinfo=UTC)

log = structlog.get_logger(__name__)

Encode = Callable[[Notice], bytes]
Item = TypeVar("Item")


class TooSlow(Exception):
    """A listener reads more slowly than events happen, and has missed some."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The events that a listener wants. None means all."""

    kinds: frozenset[Kind] | None = None
    unique_id: str | None = None
    processing_id: str | None = None

    def wants(self, notice: Notice) -> bool:
        return (
            (self.kinds is None or notice.kind in self.kinds)
            and self.unique_id in (None, notice.unique_id)
            and self.processing_id in (None, notice.processing_id)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An event for listeners. A listener that comes back with `cursor` gets the events after this one."""

    notice: Notice
    cursor: str
    encoded: bytes


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where a listener continues: at events since `since`, of records that changed since `changed`."""

    changed: datetime
    since: datetime

    @classmethod
    def of(cls, text: str) -> Cursor:
        """Raises `ValueError`."""
        id_, _, since = text.partition("~")
        at = time_of(id_)
        return cls(changed=at - LATE, since=time_of(f"{since}-0") if since else at - LATE)


def cursor_at(moment: datetime) -> str:
    """The cursor of a listener that has all events until then."""
    return f"{_milliseconds(moment)}-0"


def _milliseconds(moment: datetime) -> str:
    return f"{round(moment.timestamp() * 1000):013}"


@dataclass(slots=True, kw_only=True)
class _Known:
    """The events of a record that listeners must not get: those until `floor`, and those with one of the ids."""

    floor: datetime
    ids: set[str] = field(default_factory=set)
    #: The last change of the record that the feed has seen.
    at: datetime = NEVER

    def learns(self, notice: Notice) -> bool:
        """Whether listeners must get this event. True only once for each event."""
        if notice.at <= self.floor or notice.id in self.ids:
            return False
        self.ids.add(notice.id)
        return True


@dataclass(frozen=True, slots=True)
class _Interest:
    """The records that listeners want. It may include a few that nobody wants."""

    everything: bool
    unique_ids: frozenset[str | None]
    processing_ids: frozenset[str | None]

    @classmethod
    def of(cls, listeners: Iterable[Wanted]) -> _Interest:
        all_of_them = tuple(listeners)
        return cls(
            everything=any(each.unique_id is None and each.processing_id is None for each in all_of_them),
            unique_ids=frozenset(each.unique_id for each in all_of_them) - {None},
            processing_ids=frozenset(each.processing_id for each in all_of_them) - {None},
        )

    def covers(self, change: Change) -> bool:
        """Whether the feed must read the record."""
        if self.everything or change.unique_id in self.unique_ids or change.record in self.processing_ids:
            return True
        return bool(self.processing_ids) and change.record.startswith(IMAGE_PREFIX)


@dataclass(slots=True, kw_only=True, eq=False)
class Feed:
    """The events of one tenant, for all its listeners in this process."""

    tenant: str
    changes: ChangeStore
    encode: Encode
    pause_seconds: Callable[[], float]
    probes: Probes = NO_PROBES
    #: The feed has all changes until this time, except late ones.
    looked_at: datetime = NEVER
    _floor: datetime = NEVER
    _known: OrderedDict[str, _Known] = field(default_factory=OrderedDict)
    _listeners: Counter[Wanted] = field(default_factory=Counter)
    _recent: deque[Told] = field(default_factory=deque)
    #: The number of events since the feed began.
    told: int = 0
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    # -- listeners

    def join(self, wanted: Wanted) -> None:
        self._listeners[wanted] += 1

    def leave(self, wanted: Wanted) -> bool:
        """Whether there are still listeners."""
        self._listeners[wanted] -= 1
        self._listeners += Counter()  # removes zeros
        return bool(self._listeners)

    async def after(self, position: int, seconds: float) -> Sequence[Told]:
        """The events after the first `position` ones. Empty if none comes within so many seconds. Raises `TooSlow`."""
        if position == self.told:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._news.wait()
        behind = self.told - position
        if behind > len(self._recent):
            raise TooSlow
        return [self._recent[index] for index in range(len(self._recent) - behind, len(self._recent))]

    def wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    # -- looking

    async def begin(self) -> None:
        """Read the changes that came before the feed. Listeners do not get their events. Raises `Unavailable`."""
        began = clock.now()
        self._floor = began - LATE
        async for page in self.changes.since(self.tenant, self._floor, rows=ROWS):
            for change in page:
                self._know(change, _Known(floor=change.at))
        self.looked_at = began

    async def look_on(self) -> None:
        """Look for changes until cancelled."""
        looks = 0
        while True:
            await asyncio.sleep(self.pause_seconds())
            looks += 1
            try:
                await self.look(LATE if looks % LOOKS_A_SWEEP == 0 else USUALLY_LATE)
            except (Unavailable, Busy) as error:  # the next look begins where the last successful one began
                log.info("Events not looked for", code=error.code)
            except Exception:
                log.exception("Looking for events broke")

    async def look(self, back: timedelta) -> None:
        """Publish the changes since the last look, and those that are late by at most `back`. Raises `Unavailable`."""
        began = clock.now()
        async for page in self.changes.since(self.tenant, self.looked_at - back, rows=ROWS):
            interest = _Interest.of(self._listeners)
            fresh = [change for change in page if self._is_fresh(change)]
            for change in fresh:
                if not interest.covers(change):
                    self._know(change, _Known(floor=change.at))
            for some in _batches([change for change in fresh if interest.covers(change)], RECORDS):
                await self._tell(some)
        self.looked_at = began
        self._forget()

    def _is_fresh(self, change: Change) -> bool:
        known = self._known.get(change.record)
        return known is None or known.at < change.at

    async def _tell(self, changes: Sequence[Change]) -> None:
        jobs = await self.changes.read(self.tenant, [change.record for change in changes])
        found = {_record(job): job for job in jobs}
        fresh: list[Notice] = []
        for change in changes:
            known = self._know(change, self._known.get(change.record) or _Known(floor=self._floor))
            if change.record in found:
                fresh += [notice for notice in notices_of(found[change.record]) if known.learns(notice)]
        self._publish(sorted(fresh, key=lambda notice: notice.id))

    def _know(self, change: Change, known: _Known) -> _Known:
        known.at = change.at
        self._known[change.record] = known
        self._known.move_to_end(change.record)
        return known

    def _publish(self, notices: Sequence[Notice]) -> None:
        if not notices:
            return
        lag = max(0.0, (clock.now() - min(notice.at for notice in notices)).total_seconds())
        with self.probes.span("tell", events=len(notices), lag_seconds=lag):
            self._recent.extend(
                Told(notice=notice, cursor=notice.id, encoded=self.encode(notice)) for notice in notices
            )
            self.told += len(notices)
            while len(self._recent) > MOST_BEHIND:
                self._recent.popleft()
        self.wake()

    def _forget(self) -> None:
        """Forget records that no look will find again, unless they change."""
        horizon = self.looked_at - 2 * LATE
        while len(self._known) > REMEMBERED:
            record = next(iter(self._known))
            if self._known[record].at >= horizon:
                break
            del self._known[record]


@dataclass(slots=True, kw_only=True, eq=False)
class Listener:
    """A listener of a feed. It gets the events that it missed, and then the new ones."""

    feed: Feed
    wanted: Wanted
    _position: int
    _missed: AsyncIterator[Sequence[Told]] | None
    #: Events that it missed and has by now, but that are so recent that the feed may find them too.
    _heard: set[str] = field(default_factory=set)

    async def next(self, seconds: float) -> Sequence[Told]:
        """The next events. Empty if there are none within so many seconds.

        Raises `TooSlow`, and `Unavailable` while it reads the events that were missed.
        """
        if self._missed is not None:
            missed = await anext(self._missed, None)
            if missed is not None:
                recent = clock.now() - LATE
                self._heard.update(told.notice.id for told in missed if told.notice.at >= recent)
                return missed
            self._missed = None
        told = await self.feed.after(self._position, seconds)
        self._position += len(told)
        return [each for each in told if self.wanted.wants(each.notice) and each.notice.id not in self._heard]

    @property
    def cursor(self) -> str | None:
        """The cursor to come back with when there was no event. None until it has the events that it missed."""
        idle = self._missed is None and self._position == self.feed.told
        return cursor_at(self.feed.looked_at) if idle else None


@dataclass(slots=True, kw_only=True)
class Feeds:
    """The feeds of one process: one for each tenant with listeners."""

    changes: ChangeStore
    encode: Encode
    probes: Probes = NO_PROBES
    ended: bool = False
    _feeds: dict[str, _Running] = field(default_factory=dict)
    _replays: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(REPLAYS))

    @asynccontextmanager
    async def listen(self, tenant: str, wanted: Wanted, cursor: Cursor | None = None) -> AsyncIterator[Listener]:
        """Listen from now on, or from a cursor. The listener gets every event from then until the context ends.

        Raises `Unavailable`.
        """
        running = self._feeds.get(tenant)
        if running is None:
            feed = Feed(
                tenant=tenant,
                changes=self.changes,
                encode=self.encode,
                pause_seconds=self._pause_seconds,
                probes=self.probes,
            )
            running = self._feeds[tenant] = _Running(feed)
        feed = running.feed
        feed.join(wanted)
        try:
            await running.begun()
            missed = None if cursor is None else self._since(feed, wanted, cursor)
            yield Listener(feed=feed, wanted=wanted, _position=feed.told, _missed=missed)
        finally:
            if not feed.leave(wanted):
                running.stop()
                del self._feeds[tenant]

    def end(self) -> None:
        """End all listeners, because this process stops. They come back to another process."""
        self.ended = True
        for running in self._feeds.values():
            running.feed.wake()

    def _pause_seconds(self) -> float:
        return LOOK_SECONDS * max(1.0, len(self._feeds) / FEEDS_A_LOOK)

    async def _since(self, feed: Feed, wanted: Wanted, cursor: Cursor) -> AsyncIterator[Sequence[Told]]:
        """The events that a listener missed, page by page.

        If there is one page, the events are in the order of time. With more pages, an event of a later page may be
        older than one of an earlier page. Then each cursor also says where all of it began.
        """
        oldest = clock.now() - HISTORY
        since, changed = max(cursor.since, oldest), max(cursor.changed, oldest)
        interest = _Interest.of([wanted])
        whole = True
        pages = self.changes.since(feed.tenant, changed, rows=ROWS)
        page = await anext(pages, None)
        while page is not None:
            following = await anext(pages, None)
            whole = whole and following is None
            records = [change.record for change in page if interest.covers(change)]
            async with self._replays:
                jobs = [
                    job for some in _batches(records, RECORDS) for job in await self.changes.read(feed.tenant, some)
                ]
            notices = (notice for job in jobs for notice in notices_of(job) if notice.at >= since)
            yield [
                Told(
                    notice=notice,
                    cursor=notice.id if whole else f"{notice.id}~{_milliseconds(since)}",
                    encoded=self.encode(notice),
                )
                for notice in sorted(notices, key=lambda each: each.id)
                if wanted.wants(notice)
            ]
            page = following


@dataclass(slots=True)
class _Running:
    """A feed that runs while it has listeners."""

    feed: Feed
    _beginning: asyncio.Task[None] = field(init=False)
    _looking: asyncio.Task[None] | None = None

    def __post_init__(self) -> None:
        """All listeners that come before the feed has begun wait for the same task."""
        self._beginning = asyncio.create_task(self.feed.begin(), name="events")

    async def begun(self) -> None:
        """Wait until the feed has begun. Raises `Unavailable`."""
        await asyncio.shield(self._beginning)
        if self._looking is None:
            self._looking = asyncio.create_task(self.feed.look_on(), name="events")

    def stop(self) -> None:
        self._beginning.cancel()
        if self._looking is not None:
            self._looking.cancel()


def _batches(whole: Sequence[Item], most: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(whole), most):
        yield whole[start : start + most]


def _record(job: Job) -> str:
    """The key of the record that a job was read from."""
    deleted = any(moment.kind is Kind.DELETED for moment in job.moments)
    return IMAGE_PREFIX + job.unique_id if deleted else job.processing_id
