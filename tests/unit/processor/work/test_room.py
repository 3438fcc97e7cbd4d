"""Files that wait for their conversion take no more memory than there is for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from processor.errors import CorruptImage
from processor.images import Rendered
from processor.pipeline.budget import MemoryBudget
from processor.ports.renderer import NO_TICKET, Ticket
from processor.recipes import Recipe
from processor.work.outcomes import OutcomeKind
from tests.unit.world import ScriptedRenderer, World
from tests.waiting import eventually

FILE = b"a photograph"


class Queued(ScriptedRenderer):
    """Lets an image wait for its turn until it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.turn = asyncio.Event()
        self.waiting: list[bytes] = []

    async def render(self, data: bytes, recipe: Recipe, ticket: Ticket = NO_TICKET) -> Rendered:
        self.waiting.append(data)
        await self.turn.wait()
        return await super().render(data, recipe, ticket)


async def waiting(room: MemoryBudget, also: Callable[[], bool] = lambda: True) -> None:
    async def one_waits() -> bool:
        return room.waiting == 1 and also()

    await eventually(one_waits)


@pytest.fixture
def room() -> MemoryBudget:
    return MemoryBudget(slots=10, budget_bytes=2 * len(FILE))


async def test_a_file_that_finds_no_room_is_not_fetched_until_another_has_its_turn(room: MemoryBudget) -> None:
    renderer = Queued()
    world = World(renderer=renderer)
    converter = world.another_converter(room=room)
    events = [(await world.uploaded(FILE))[1] for _ in range(3)]

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(converter.convert(event)) for event in events]
        await waiting(room, lambda: len(renderer.waiting) == 2)
        assert room.free_bytes == 0
        renderer.turn.set()

    assert [task.result().kind for task in tasks] == [OutcomeKind.COMPLETED] * 3
    assert renderer.rendered == [FILE] * 3
    assert (room.running, room.free_bytes) == (0, 2 * len(FILE))


async def test_a_file_gives_its_room_back_when_its_turn_comes(room: MemoryBudget) -> None:
    world = World()
    free: list[int] = []

    async def during() -> None:
        free.append(room.free_bytes)

    world.renderer.during = during
    _, event = await world.uploaded(FILE)
    await world.another_converter(room=room).convert(event)

    assert free == [room.budget_bytes]


@pytest.mark.parametrize("size", [len(FILE), 500])
async def test_room_is_given_back_whatever_becomes_of_the_file(room: MemoryBudget, size: int) -> None:
    async def broken() -> None:
        raise CorruptImage

    world = World(renderer=ScriptedRenderer(during=broken))
    _, event = await world.uploaded(b"x" * size)  # one that is larger than the room takes all of it

    outcome = await world.another_converter(room=room).convert(event)

    assert outcome.kind is OutcomeKind.FAILED
    assert (room.running, room.waiting, room.free_bytes) == (0, 0, room.budget_bytes)


async def test_who_is_told_to_stop_while_it_waits_for_room_leaves_nothing(room: MemoryBudget) -> None:
    world = World()
    await room.enter(room.budget_bytes)
    _, event = await world.uploaded(FILE)
    task = asyncio.create_task(world.another_converter(room=room).convert(event))
    await waiting(room)

    task.cancel()
    await asyncio.wait([task])
    room.leave(room.budget_bytes)

    assert task.cancelled()
    assert (room.running, room.waiting, room.free_bytes) == (0, 0, room.budget_bytes)
