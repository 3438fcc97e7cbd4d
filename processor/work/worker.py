"""The queue worker: waits for a free slot, then receives messages; runs one task per message; settles or gives back;
drains."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Protocol, cast

import structlog

from processor import events
from processor.errors import Busy, NotAnEvent, Throttled, Unavailable
from processor.events import Event, JobRequested, Unreadable
from processor.pauses import backoff, jittered, pause
from processor.ports.queue import MAX_DELAY_SECONDS, Message, MessageQueue
from processor.probe import NO_PROBES, Probes, Span
from processor.turns import Turns
from processor.work.circuit import Circuit, CircuitState
from processor.work.conversion import Converter
from processor.work.outcomes import Outcome, OutcomeKind

#: Most messages that SQS hands out or takes back in one call (AWS, "Amazon SQS message quotas").
BATCH = 10
#: How long settled messages are collected before they are deleted in one call.
SETTLE_DELAY_SECONDS = 0.05
#: First and longest pause between two receives ahead, while every slot is taken. It grows while nothing is found.
LOOK_SECONDS = (0.5, 4.0)
#: First and longest pause of the poll loop while the queue is unavailable.
BACKOFF_SECONDS = (0.5, 30.0)
#: Time between two looks at whether work can be begun again.
FIT_SECONDS = 1.0
#: How long a message stays hidden after its first, second, ... failure. More than an hour lies between the first try
#: and the last of five, so an outage of an hour that the circuit does not see kills no message.
RETRY_SECONDS = (5, 120, 1200, 7200)
#: Longest pause after others were faster, in seconds.
BUSY_SECONDS = 5
#: How many messages are kept here because their jobs owe further formats. Others wait in the queue for this long.
MAX_OWING, OWING_SECONDS = 100, 300
#: The reason to keep an event that was handled: its job owes further formats.
OWED = "owed"
#: The reason to keep an errand that is for another time.
LATER = "later"
#: Most dead letters that are made of one message; with more unreadable records it becomes one as a whole.
MAX_LETTERS = 10
#: Largest body of a dead letter, in bytes: queues take 256 KiB unless they are told otherwise, the reason included.
MAX_LETTER_BYTES = 255 * 1024
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """How many messages the worker takes, and how long it hides them."""

    #: Messages in work at once.
    slots: int
    #: How many more messages may wait here while every slot is taken, so that tenants take turns.
    ahead: int = 0
    #: How many jobs get their further formats at once.
    further: int = 1
    #: Length of a long poll; SQS allows at most 20.
    wait_seconds: int = 20
    #: How long a received message stays hidden between two heartbeats.
    visibility_seconds: int = 60

    @property
    def heartbeat_seconds(self) -> float:
        """Two heartbeats may fail before a message comes back."""
        return self.visibility_seconds / 3

    @property
    def receivers(self) -> int:
        """As many long polls as it takes to fill every slot at once."""
        return -(-self.slots // BATCH)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Later:
    """An event that must be tried again, why, and in how many seconds."""

    event: Event
    reason: str
    seconds: int


@dataclass(slots=True, kw_only=True)
class _Rest:
    """The rest of a message after every event of it was tried."""

    done: int = 0
    later: list[_Later] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)

    @property
    def can_be_split(self) -> bool:
        """Whether the rest can be sent as messages of its own: the message had many events, and sending now makes
        sense."""
        return self._many and all(later.reason in ("busy", "broken", "untold", OWED) for later in self.later)

    @property
    def owed(self) -> JobRequested | None:
        """The job that owes further formats, if that is the only reason to keep a message of one event."""
        if self._many or not self.later or self.later[0].reason != OWED:
            return None
        return cast("JobRequested", self.later[0].event)

    @property
    def _many(self) -> bool:
        return self.done + len(self.later) + len(self.unreadable) > 1


@dataclass(slots=True, kw_only=True, eq=False)
class _Slot:
    """A message in work, and its tenant once that is known."""

    message: Message
    tenant: str = ""


class _PutBack(Exception):
    """A message that waited here is not begun, because this process stops or a dependency went away."""


class _NotBuried(Exception):
    """An unreadable record could not be kept as a dead letter."""


class Errands(Protocol):
    """Messages that are no events. They need no slot: what they wait for is not this machine."""

    def takes(self, body: str) -> bool:
        """Whether a message is one of these."""
        ...

    async def handle(self, body: str) -> int | None:
        """In how many seconds the same message must come again, which is no try; None: it is done.

        Raises `Unavailable`, `Busy`.
        """
        ...

    def stop(self) -> None:
        """Begin nothing more."""
        ...


async def _always() -> None:
    """There is no other work."""


@dataclass(slots=True)
class Worker:
    """Runs until `stop`; a message is settled only after the record says so."""

    queue: MessageQueue
    converter: Converter
    config: WorkerConfig
    #: The dead-letter queue. The queue moves messages there after their last try; this process, those that nobody can
    #: read. None: unknown.
    dead_letters: MessageQueue | None = None
    #: What is done beside the events; None: nothing is.
    errands: Errands | None = None
    #: Called for every message and event.
    probes: Probes = NO_PROBES
    #: Whether work can be begun; while it cannot, no messages are taken.
    fit: Callable[[], bool] = lambda: True
    #: Waits until there is spare capacity.
    idle: Callable[[], Awaitable[None]] = _always
    #: When the poll loop last heard from the queue (monotonic seconds); None before the first answer.
    last_poll: float | None = None
    #: Messages that were sent before this time have been received, as far as this process knows: seconds since the
    #: epoch, by the queue's clock. 0 before the first message.
    received_through: float = 0
    circuit: Circuit = field(init=False)
    _turns: Turns = field(init=False)
    _free: asyncio.Semaphore = field(init=False)
    _stopping: asyncio.Event = field(default_factory=asyncio.Event)
    _running: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _held: dict[str, str] = field(default_factory=dict)
    _waiting: set[asyncio.Task[None]] = field(default_factory=set)
    _owing: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _on_errand: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _further: Turns = field(init=False)
    _slots: set[_Slot] = field(default_factory=set)
    _settled: asyncio.Queue[str] = field(default_factory=asyncio.Queue)
    _receivers: list[asyncio.Task[None]] = field(default_factory=list)
    _upkeep: list[asyncio.Task[None]] = field(default_factory=list)
    _drained: bool = False
    _max_receives: int | None = None
    _knows_max_receives: bool = False

    def __post_init__(self) -> None:
        """Every slot is free, and all is well."""
        self.circuit = Circuit(self.converter.ping)
        self._free = asyncio.Semaphore(self.config.slots)
        self._turns = Turns(self.config.slots)
        self._further = Turns(self.config.further)

    @property
    def in_work(self) -> int:
        return self._turns.running

    @property
    def waiting(self) -> int:
        """Messages that wait here for a turn."""
        return len(self._waiting)

    @property
    def owing(self) -> int:
        """Messages that are kept because their jobs owe further formats."""
        return len(self._owing)

    @property
    def alive(self) -> bool:
        """Whether every loop still runs. A loop handles its own errors, so one that has ended is a defect, unless it
        had to end."""
        if self._drained:
            return True
        loops = [*self._upkeep, *(() if self._stopping.is_set() else self._receivers)]
        return bool(loops) and not any(loop.done() for loop in loops)

    @property
    def polling(self) -> bool:
        """Whether the poll loop is alive, may take messages, and has heard from the queue within two long polls."""
        heard = self.last_poll is not None and time.monotonic() - self.last_poll < 2 * self.config.wait_seconds + 10
        full = self._free.locked()
        alive = any(not receiver.done() for receiver in self._receivers)
        open_ = self.circuit.state is CircuitState.OPEN
        return alive and (heard or full) and not open_ and not self._stopping.is_set()

    def start(self) -> None:
        """Begin to poll. A queue that cannot be reached yet is asked again until it can."""
        self._receivers = [
            asyncio.create_task(self._receive_loop(), name=f"receiver-{number}")
            for number in range(self.config.receivers)
        ]
        if self.config.ahead:
            self._receivers.append(asyncio.create_task(self._look_ahead_loop(), name="look-ahead"))
        self._upkeep = [
            asyncio.create_task(self._heartbeat_loop(), name="heartbeat"),
            asyncio.create_task(self._settle_loop(), name="settler"),
        ]

    def stop_receiving(self) -> None:
        """Take no more messages. A running long poll is not cancelled, because its messages would stay hidden until
        their visibility timeout. Its messages are resent instead, and so are those that wait for a turn or for further
        formats."""
        self._stopping.set()
        if self.errands is not None:
            self.errands.stop()
        for task in (*self._waiting, *self._owing.values()):
            task.cancel()

    async def drain(self, seconds: float) -> None:
        """Let running work end within `seconds`, cancel and resend the rest, settle what is done."""
        self.stop_receiving()
        deadline = time.monotonic() + seconds
        await _wait(self._receivers, seconds)
        while (tasks := self._begun) and time.monotonic() < deadline:
            await _wait(tasks, deadline - time.monotonic())
        log.info("Worker drained", unfinished=len(self._running))
        self._drained = True
        await _cancel([*self._receivers, *self._begun, *self._upkeep])
        while not self._settled.empty():
            await self._settle([self._settled.get_nowait()])

    @property
    def _begun(self) -> list[asyncio.Task[None]]:
        """Everything that holds a message."""
        return [*self._running.values(), *self._owing.values(), *self._on_errand.values()]

    # -- receiving -----------------------------------------------------------------------------------------------

    async def _receive_loop(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            taken = await self._take_slots()
            messages: Sequence[Message] = ()
            try:
                messages = await self._receive(taken)
                failures = 0
            except Unavailable as error:
                failures += 1
                log.warning("Queue unavailable", code=error.code, failures=failures)
            except Exception:
                failures += 1
                log.exception("Receiving broke", failures=failures)
            finally:
                for _ in range(taken - len(messages)):
                    self._free.release()
            begun = [self._begin(message, self._free.release) for message in messages]
            if self.circuit.state is CircuitState.TRYING:
                await _wait(begun)
            if failures:
                await pause(self._stopping, backoff(failures, BACKOFF_SECONDS))

    async def _look_ahead_loop(self) -> None:
        """While every slot is taken, receive further messages, so that another tenant can have the next slot.

        It does not use long polls: a new message is for a process that has a free slot.
        """
        looks = 0
        while not self._stopping.is_set():
            looks += 1
            await pause(self._stopping, backoff(looks, LOOK_SECONDS))
            room = min(BATCH, self.config.ahead - self.waiting)
            if room <= 0 or not self._turns.waits() or self.circuit.state is not CircuitState.CLOSED or not self.fit():
                looks = 0
                continue
            try:
                messages = await self._receive(room, wait_seconds=0)
            except Unavailable as error:
                log.warning("Queue unavailable", code=error.code)
            except Exception:
                log.exception("Receiving broke")
            else:
                looks = 0 if messages else looks
                for message in messages:
                    self._begin(message)

    async def _receive(self, limit: int, *, wait_seconds: int | None = None) -> Sequence[Message]:
        if self._stopping.is_set():  # it was while this loop waited for a slot
            return ()
        if not self._knows_max_receives:
            self._max_receives = await self.queue.max_receive_count()
            self._knows_max_receives = True
        # The first answer shows that this process may receive, and it is not ready before: so it is had at once.
        if wait_seconds is None:
            wait_seconds = 0 if self.last_poll is None else self.config.wait_seconds
        messages = await self.queue.receive(
            limit, wait_seconds=wait_seconds, visibility_seconds=self.config.visibility_seconds
        )
        self.last_poll = time.monotonic()
        new = [message.sent_at for message in messages if message.receive_count == 1]
        self.received_through = max(self.received_through, min(new, default=0))
        return messages

    async def _take_slots(self) -> int:
        """Wait for one free slot, and for the circuit; then take as many more as one receive can fill."""
        await self._free.acquire()
        await self.circuit.passable(self._stopping)
        await self._until_fit()
        taken = 1
        while self.circuit.state is CircuitState.CLOSED and taken < BATCH and not self._free.locked():
            await self._free.acquire()  # free, so it does not wait
            taken += 1
        return taken

    async def _until_fit(self) -> None:
        if self.fit():
            return
        log.warning("No messages taken until a thread ends")
        while not self.fit() and not self._stopping.is_set():
            await pause(self._stopping, FIT_SECONDS)

    def _begin(self, message: Message, at_end: Callable[[], None] = lambda: None) -> asyncio.Task[None]:
        if self.errands is not None and self.errands.takes(message.body):
            at_end()
            return self._send_on_errand(message, self.errands)
        task = asyncio.create_task(self._handle(message), name=f"message-{message.message_id}")
        # A message that is delivered again while it is in work has a receipt of its own.
        self._running[message.receipt] = task
        self._held[message.receipt] = message.message_id
        task.add_done_callback(lambda _: self._end(message, at_end))
        return task

    def _end(self, message: Message, at_end: Callable[[], None]) -> None:
        self._running.pop(message.receipt, None)
        if message.receipt not in self._owing:
            self._held.pop(message.receipt, None)
        at_end()

    @asynccontextmanager
    async def _turn(self, message: Message) -> AsyncIterator[None]:
        """Hold a slot. Raises `_PutBack`."""
        slot = _Slot(message=message)
        waited = self._turns.waits()
        with self.probes.span("wait", of="slot"):
            if waited:
                await self._wait_for_slot(slot)
            else:
                await self._turns.enter(0)
        self._slots.add(slot)
        try:
            if waited and (self._stopping.is_set() or self.circuit.state is not CircuitState.CLOSED):
                raise _PutBack
            yield
        finally:
            self._slots.discard(slot)
            self._turns.leave(0, slot.tenant)

    async def _wait_for_slot(self, slot: _Slot) -> None:
        """Wait for the turn of its tenant. Raises `_PutBack`."""
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._waiting.add(task)
        try:
            await self._learn_tenants()
            slot.tenant = await self._tenant_of(slot.message)
            await self._turns.enter(0, slot.tenant)
        except asyncio.CancelledError:
            if not self._stopping.is_set():
                raise
            task.uncancel()
            raise _PutBack from None
        finally:
            self._waiting.discard(task)

    async def _learn_tenants(self) -> None:
        """Find the tenants of the messages in work. Nobody needs them before somebody has to wait."""
        for slot in [slot for slot in self._slots if not slot.tenant]:
            tenant = await self._tenant_of(slot.message)
            if slot in self._slots and not slot.tenant:
                self._turns.rename(slot.tenant, tenant)
                slot.tenant = tenant

    async def _tenant_of(self, message: Message) -> str:
        """The tenant of a message, by its first event. Messages without one take turns like a tenant."""
        with contextlib.suppress(NotAnEvent, Unavailable, Busy):
            for event in events.parse(message.body):
                if not isinstance(event, Unreadable):
                    return await self.converter.tenant_of(event)
        return ""

    # -- one message ---------------------------------------------------------------------------------------------

    async def _handle(self, message: Message) -> None:
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(messageId=message.message_id, receiveCount=message.receive_count)
        with self.probes.span("message") as span:
            if self._stopping.is_set():  # the last long poll brought it after the order to stop
                await self._resend(message, "put_back", span)
            else:
                await self._take_its_turn(message, span)

    async def _take_its_turn(self, message: Message, span: Span) -> None:
        try:
            async with self._turn(message):
                await self._bring_to_an_end(message, span)
        except _PutBack:
            await asyncio.shield(self._resend(message, "put_back", span))
        except Exception:
            log.exception("Message broke")
            await self._give_back(message, _retry_seconds(message.receive_count), "broken", span)

    async def _bring_to_an_end(self, message: Message, span: Span) -> None:
        if await self._dead(message):
            span.facts["end"] = "dead"
            self._settled.put_nowait(message.receipt)
            return
        try:
            rest = await self._convert_all(message)
            if rest.owed is not None:
                self._keep(message, rest.owed)
                return
            reason, retry_after = await self._leave(message, rest)
        except asyncio.CancelledError:
            await asyncio.shield(self._resend(message, "stopping", span))
            raise
        except Exception:
            log.exception("Message broke")
            reason, retry_after = "broken", _retry_seconds(message.receive_count)
        if retry_after is None:
            span.facts["end"] = "settled"
            self._settled.put_nowait(message.receipt)
        else:
            await self._give_back(message, retry_after, reason, span)

    async def _dead(self, message: Message) -> bool:
        """Whether the message has had all its tries, and is a dead letter now. The queue moves such a message by
        itself, unless it was resent: then some of its tries were those of the earlier message."""
        if self._max_receives is None or message.receive_count <= self._max_receives:
            return False
        try:
            await self._bury([message.body])
        except _NotBuried:
            return False
        return True

    def _is_last_try(self, message: Message) -> bool:
        """Whether the queue will not deliver it again."""
        return self._max_receives is not None and message.receive_count >= self._max_receives

    async def _convert_all(self, message: Message) -> _Rest:
        """Handle every event of a message, whatever happens to the others. Returns the rest of the message."""
        last_try = self._is_last_try(message)
        rest = _Rest()
        try:
            records = events.parse(message.body)
        except NotAnEvent:
            return replace(rest, unreadable=[message.body])
        for record in records:
            structlog.contextvars.unbind_contextvars("uniqueId", "processingId")
            if isinstance(record, Unreadable):
                rest.unreadable.append(record.body)
            else:
                left = await self._convert(record, message, last_try=last_try)
                if left is None:
                    rest.done += 1
                else:
                    rest.later.append(left)
        return rest

    async def _convert(self, event: Event, message: Message, *, last_try: bool) -> _Later | None:
        """Handle one event. Returns what is left to do; None when nothing is."""
        if event.unique_id:  # so that every log line names the image, even before its job is known
            structlog.contextvars.bind_contextvars(uniqueId=event.unique_id)
        try:
            with self.probes.span("event") as span:
                span.facts["outcome"] = outcome = await self.converter.convert(event, last_try=last_try)
                self.circuit.succeeded()
        except Throttled as error:
            # Others ask too much of one key, or this process of all: a pause for this message helps, none for all.
            log.warning("Dependency busy", code=error.code)
            return _Later(event=event, reason="throttled", seconds=_retry_seconds(message.receive_count))
        except Unavailable as error:
            self.circuit.failed()
            log.warning("Dependency unavailable", code=error.code)
            return _Later(event=event, reason="unavailable", seconds=_retry_seconds(message.receive_count))
        except Busy:
            log.info("Others were faster")
            return _Later(event=event, reason="busy", seconds=round(jittered(BUSY_SECONDS)))
        except Exception:
            log.exception("Conversion broke")
            return _Later(event=event, reason="broken", seconds=_retry_seconds(message.receive_count))
        return _left(event, outcome, message.receive_count)

    async def _leave(self, message: Message, rest: _Rest) -> tuple[str, int | None]:
        """Send the rest of a message on. Returns why and in how many seconds to try the message again; None: it is
        done.

        Events that must be tried again become messages of their own, so that only they are tried and counted. They are
        sent before the message is settled; if the process dies in between, they are in the queue twice.
        """
        longest = max(rest.later, key=lambda later: later.seconds, default=None)
        if longest is not None and not rest.can_be_split:
            return longest.reason, longest.seconds
        try:
            if rest.unreadable:
                log.warning("Message is not an event", code=NotAnEvent.code, count=len(rest.unreadable))
                letters = rest.unreadable if len(rest.unreadable) <= MAX_LETTERS else [message.body]
                await self._bury(letters, reason=NotAnEvent.code)
            for later in rest.later:
                await self.queue.send(later.event.to_message(), delay_seconds=min(later.seconds, MAX_DELAY_SECONDS))
        except _NotBuried:
            return "unreadable", _retry_seconds(message.receive_count)
        except Unavailable as error:
            log.warning("Rest of a message not sent", code=error.code)
            return "unavailable", _retry_seconds(message.receive_count)
        return "", None

    async def _bury(self, letters: Sequence[str], *, reason: str = "") -> None:
        """Send dead letters: what the service cannot read (with the reason), or what has had all its tries.

        Raises `_NotBuried`: the queue then moves the message by itself after its last receive.
        """
        fit = all(len(letter.encode(errors="replace")) <= MAX_LETTER_BYTES for letter in letters)
        if self.dead_letters is None or not fit:
            raise _NotBuried
        try:
            for letter in letters:
                await self.dead_letters.send(letter, reason=reason)
        except Unavailable as error:
            log.warning("Dead letter not sent", code=error.code)
            raise _NotBuried from None

    async def _resend(self, message: Message, reason: str, span: Span, *, after: int = RETRY_SECONDS[0]) -> None:
        """Send a copy of a message and settle it, as if it had not been received. This process cannot work on
        it, which is no try: pods that stop one after the other would otherwise make it a dead letter. Earlier
        tries stay counted."""
        delay_seconds = 0 if self._stopping.is_set() and reason != LATER else after
        tries = message.receive_count - 1
        try:
            await self.queue.send(message.body, delay_seconds=delay_seconds, reason=message.reason, tries=tries)
        except Unavailable:
            await self._give_back(message, delay_seconds, reason, span)
        else:
            span.facts["end"] = reason
            self._held.pop(message.receipt, None)
            self._settled.put_nowait(message.receipt)

    async def _give_back(self, message: Message, seconds: int, reason: str, span: Span) -> None:
        span.facts["end"] = reason
        self._held.pop(message.receipt, None)  # from here on the heartbeat must not hide it again
        try:
            await self.queue.set_visibility([message.receipt], seconds)
        except Unavailable:
            log.warning("Message not given back; it returns when its visibility ends")

    # -- further formats -----------------------------------------------------------------------------------------

    def _keep(self, message: Message, owed: JobRequested) -> None:
        """Keep a message without its slot until its job has the formats that it owes."""
        full = self.owing >= MAX_OWING
        task = asyncio.create_task(
            self._further_formats(message, owed, full=full), name=f"further-{message.message_id}"
        )
        self._owing[message.receipt] = task
        task.add_done_callback(lambda _: self._forget(message))

    def _forget(self, message: Message) -> None:
        self._owing.pop(message.receipt, None)
        self._held.pop(message.receipt, None)

    async def _further_formats(self, message: Message, owed: JobRequested, *, full: bool) -> None:
        reason: str
        seconds: int | None
        with self.probes.span("message") as span:
            try:
                if full:
                    reason, seconds = OWED, round(jittered(OWING_SECONDS))
                else:
                    reason, seconds = await self._in_spare_time(message, owed)
            except asyncio.CancelledError:
                if not self._stopping.is_set():
                    raise
                cast("asyncio.Task[None]", asyncio.current_task()).uncancel()
                # Not before the last long poll of this process has ended.
                reason, seconds = "stopping", self.config.wait_seconds
            except Exception:
                log.exception("Further formats broke")
                reason, seconds = "broken", _retry_seconds(message.receive_count)
            await asyncio.shield(self._leave_owing(message, owed, reason, seconds, span))

    async def _in_spare_time(self, message: Message, owed: JobRequested) -> tuple[str, int | None]:
        """Make the further formats when there is spare capacity. Returns why and in how many seconds to try again;
        None: all is done."""
        if self._stopping.is_set():
            return "stopping", self.config.wait_seconds
        async with self._further.turn(await self._tenant_of(message)):
            while self.circuit.state is CircuitState.OPEN and not self._stopping.is_set():
                await pause(self._stopping, FIT_SECONDS)
            await self.idle()
            return await self._make_further(message, owed)

    async def _make_further(self, message: Message, owed: JobRequested) -> tuple[str, int | None]:
        try:
            with self.probes.span("event") as span:
                span.facts["outcome"] = outcome = await self.converter.make_further(owed)
                self.circuit.succeeded()
        except Busy:
            return "busy", round(jittered(BUSY_SECONDS))
        except Throttled as error:
            log.warning("Dependency busy", code=error.code)
            return "throttled", _retry_seconds(message.receive_count)
        except Unavailable as error:
            self.circuit.failed()
            log.warning("Dependency unavailable", code=error.code)
            return "unavailable", _retry_seconds(message.receive_count)
        if outcome.kind is OutcomeKind.BUSY:
            return "busy", outcome.retry_after_seconds
        if not outcome.told and not self._is_last_try(message):
            return "untold", _retry_seconds(message.receive_count)
        return "", None

    async def _leave_owing(
        self, message: Message, owed: JobRequested, reason: str, seconds: int | None, span: Span
    ) -> None:
        """Settle a message, or have it tried again. A delay by others is no try, so it becomes a new message."""
        if seconds is None:
            span.facts["end"] = "settled"
            self._settled.put_nowait(message.receipt)
            return
        if reason in ("stopping", "busy", OWED):
            with contextlib.suppress(Unavailable):
                await self.queue.send(owed.to_message(), delay_seconds=min(seconds, MAX_DELAY_SECONDS))
                span.facts["end"] = reason
                self._settled.put_nowait(message.receipt)
                return
        await self._give_back(message, seconds, reason, span)

    # -- errands -------------------------------------------------------------------------------------------------

    def _send_on_errand(self, message: Message, errands: Errands) -> asyncio.Task[None]:
        task = asyncio.create_task(self._errand(message, errands), name=f"errand-{message.message_id}")
        self._on_errand[message.receipt] = task
        self._held[message.receipt] = message.message_id
        task.add_done_callback(lambda _: self._back_from_errand(message))
        return task

    def _back_from_errand(self, message: Message) -> None:
        self._on_errand.pop(message.receipt, None)
        self._held.pop(message.receipt, None)

    async def _errand(self, message: Message, errands: Errands) -> None:
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(messageId=message.message_id, receiveCount=message.receive_count)
        with self.probes.span("message") as span:
            try:
                dead = await self._dead(message)
                seconds = None if dead else await errands.handle(message.body)
            except asyncio.CancelledError:
                await asyncio.shield(self._resend(message, "stopping", span))
                raise
            except Busy:
                await self._resend(message, "busy", span)
            except Unavailable as error:
                log.warning("Dependency unavailable", code=error.code)
                await self._give_back(message, _retry_seconds(message.receive_count), "unavailable", span)
            except Exception:
                log.exception("Message broke")
                await self._give_back(message, _retry_seconds(message.receive_count), "broken", span)
            else:
                await self._leave_errand(message, seconds, "dead" if dead else "settled", span)

    async def _leave_errand(self, message: Message, seconds: int | None, end: str, span: Span) -> None:
        if seconds is None:
            span.facts["end"] = end
            self._settled.put_nowait(message.receipt)
        else:
            await self._resend(message, LATER, span, after=seconds)

    # -- in the background ---------------------------------------------------------------------------------------

    async def _heartbeat_loop(self) -> None:
        """Extend the visibility timeout of messages and the leases of their jobs together."""
        while True:
            await asyncio.sleep(self.config.heartbeat_seconds)
            if not self._held:
                continue
            try:
                with self.probes.span("heartbeat"):
                    await self.queue.set_visibility(list(self._held), self.config.visibility_seconds)
                    await self.converter.renew_leases()
            except (Unavailable, Busy) as error:
                log.warning("Heartbeat failed", code=error.code)
            except Exception:
                log.exception("Heartbeat broke")

    async def _settle_loop(self) -> None:
        """Delete settled messages, in batches of those that come within a moment."""
        while True:
            receipts = [await self._settled.get()]
            try:
                await asyncio.sleep(SETTLE_DELAY_SECONDS)
            finally:  # a cancelled collector still settles what it holds
                while len(receipts) < BATCH and not self._settled.empty():
                    receipts.append(self._settled.get_nowait())
                await asyncio.shield(self._settle(receipts))

    async def _settle(self, receipts: list[str]) -> None:
        try:
            await self.queue.settle(receipts)
        except Unavailable as error:
            # They come back, and are then found to be duplicates.
            log.warning("Messages not settled", code=error.code, count=len(receipts))
        except Exception:
            log.exception("Settling broke", count=len(receipts))


def _left(event: Event, outcome: Outcome, receive_count: int) -> _Later | None:
    if outcome.settles:
        return _owed(outcome)
    if outcome.kind is OutcomeKind.BUSY:
        return _Later(event=event, reason="busy", seconds=outcome.retry_after_seconds)
    return _Later(event=event, reason="untold", seconds=_retry_seconds(receive_count))


def _owed(outcome: Outcome) -> _Later | None:
    if not outcome.owes or outcome.unique_id is None or outcome.processing_id is None:
        return None
    event = JobRequested(unique_id=outcome.unique_id, processing_id=outcome.processing_id)
    return _Later(event=event, reason=OWED, seconds=0)


def _retry_seconds(receive_count: int) -> int:
    return round(jittered(RETRY_SECONDS[min(receive_count, len(RETRY_SECONDS)) - 1]))


async def _wait(tasks: Iterable[asyncio.Task[None]], seconds: float | None = None) -> None:
    pending = [task for task in tasks if not task.done()]
    if pending:
        await asyncio.wait(pending, timeout=None if seconds is None else max(0, seconds))
    else:  # what a task does once it has ended is done in the next round of the loop
        await asyncio.sleep(0)


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
