"""A bus is told what webhooks are told, of every tenant; what it did not take keeps the message."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from processor import clock
from processor.errors import Throttled, Unavailable
from processor.jobs import End
from processor.notices import notices_of
from processor.ports.bus import BusEvent
from processor.stores.eventbridge import BATCH, EventBridgeBus
from processor.stores.memory import MemoryBus
from processor.webhooks.bus import BusTeller
from service.calls.events import event_text
from tests.unit.world import World
from tests.waiting import eventually

EVENTS = [BusEvent(type="image.completed", at=clock.now(), detail=str(number)) for number in range(BATCH + 2)]


class AwayBus(MemoryBus):
    async def put(self, events: Sequence[BusEvent]) -> None:
        raise Unavailable(str(len(events)))


def teller(bus: MemoryBus) -> BusTeller:
    return BusTeller(bus=bus, render=lambda notice: event_text(notice, public_url="https://cdn.example.com"))


async def test_everything_that_happened_to_a_job_is_told_when_it_has_ended() -> None:
    bus = MemoryBus()
    world = World(listeners=(teller(bus),))
    submission, event = await world.uploaded()
    await world.converter.convert(event)
    job = await world.jobs.job_of_any_tenant(submission.job.processing_id)
    assert [each.type for each in bus.taken] == [notice.kind for notice in notices_of(job)]
    assert sorted(json.loads(each.detail)["id"] for each in bus.taken) == [notice.id for notice in notices_of(job)]
    assert '"specversion":"1.0"' in bus.taken[-1].detail
    assert f'"tenant":"{job.tenant}"' in bus.taken[-1].detail
    old = replace(
        job,
        variants=(),
        created_at=job.created_at - timedelta(days=9),
        moments=tuple(replace(each, at=each.at - timedelta(days=9)) for each in job.moments),
    )
    bus.taken.clear()
    await teller(bus).ended(old, End.COMPLETED)
    assert bus.taken == []


async def test_what_was_told_as_it_happened_is_not_told_again_at_the_end() -> None:
    bus = MemoryBus()
    told = teller(bus)
    world = World(listeners=(told,))
    submission, event = await world.uploaded()

    async def begun() -> None:
        async def both() -> bool:
            return [each.type for each in bus.taken] == ["image.uploaded", "image.processing"]

        await eventually(both, what="the beginning of the job")

    world.renderer.during = begun
    await world.converter.convert(event)
    job = await world.jobs.job_of_any_tenant(submission.job.processing_id)
    await told.ended(job, End.COMPLETED)
    assert [each.type for each in bus.taken] == [notice.kind for notice in notices_of(job)]


async def test_what_the_bus_did_not_take_as_it_happened_it_takes_at_the_end() -> None:
    bus = MemoryBus()
    told = teller(bus)
    world = World(listeners=(told,))
    submission, event = await world.uploaded()
    put, refused = bus.put, asyncio.Event()

    async def refuse(events: Sequence[BusEvent]) -> None:
        assert events
        refused.set()
        raise Throttled

    async def until_refused() -> None:
        await refused.wait()
        bus.put = put  # type: ignore[method-assign]

    bus.put = refuse  # type: ignore[method-assign]
    world.renderer.during = until_refused
    assert (await world.converter.convert(event)).settles
    job = await world.jobs.job_of_any_tenant(submission.job.processing_id)
    assert [each.type for each in bus.taken] == [notice.kind for notice in notices_of(job)]


async def test_while_the_bus_is_away_the_message_stays() -> None:
    world = World(listeners=(teller(AwayBus()),))
    _, event = await world.uploaded()
    assert not (await world.converter.convert(event)).settles


@dataclass
class Scripted:
    """EventBridge, that refuses some."""

    refused: dict[int, str] = field(default_factory=dict)
    calls: list[list[Any]] = field(default_factory=list)

    async def put_events(self, *, Entries: list[Any]) -> Any:  # noqa: N803 - as the SDK has it
        self.calls.append(Entries)
        entries = [
            {"ErrorCode": self.refused[number]} if number in self.refused else {"EventId": "e"}
            for number in range(len(Entries))
        ]
        return {"FailedEntryCount": len(self.refused), "Entries": entries}


def bus_on(client: Scripted) -> EventBridgeBus:
    clients: Any = SimpleNamespace(events=client)
    return EventBridgeBus(clients, "images")


async def test_events_are_put_ten_at_a_time_with_their_type_and_time() -> None:
    client = Scripted()
    await bus_on(client).put(EVENTS)
    assert [len(call) for call in client.calls] == [BATCH, 2]
    assert client.calls[1][1] == {
        "EventBusName": "images",
        "Source": "truss-image",
        "DetailType": "image.completed",
        "Detail": EVENTS[-1].detail,
        "Time": EVENTS[-1].at,
    }


@pytest.mark.parametrize(
    ("codes", "error"),
    [(["ThrottlingException"], Throttled), (["ThrottlingException", "InternalFailure"], Unavailable)],
)
async def test_a_call_that_took_only_some_has_failed(codes: list[str], error: type[Exception]) -> None:
    with pytest.raises(error) as raised:
        await bus_on(Scripted(refused=dict(enumerate(codes)))).put(EVENTS)
    assert type(raised.value) is error
