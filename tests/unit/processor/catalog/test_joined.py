"""A storm of calls about one thing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from processor.catalog.joined import Joined


@dataclass
class Work:
    """Counts its runs; each ends when it is told to."""

    begun: int = 0
    gates: list[asyncio.Event] = field(default_factory=list)

    async def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        self.gates.append(gate := asyncio.Event())
        await gate.wait()
        return number


async def calls(joined: Joined[int], work: Work, count: int, name: str = "a") -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(joined.run(name, work)) for _ in range(count)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return tasks


async def test_who_comes_while_a_run_is_under_way_shares_the_next_one() -> None:
    joined, work = Joined[int](), Work()
    (first,) = await calls(joined, work, 1)
    others = await calls(joined, work, 20)
    assert work.begun == 1
    work.gates[0].set()
    assert await first == 1
    last = await calls(joined, work, 1)
    work.gates[1].set()
    assert await asyncio.gather(*others) == [2] * 20
    await asyncio.sleep(0)
    work.gates[-1].set()
    assert await last[0] in (2, 3)
    assert joined == Joined()  # nothing is remembered


async def test_other_names_do_not_wait() -> None:
    joined, work = Joined[int](), Work()
    tasks = await calls(joined, work, 1, "a") + await calls(joined, work, 1, "b")
    assert work.begun == 2
    for gate in work.gates:
        gate.set()
    assert await asyncio.gather(*tasks) == [1, 2]


async def test_who_leaves_takes_nothing_from_the_others() -> None:
    joined, work = Joined[int](), Work()
    leaver, stayer = await calls(joined, work, 2)
    leaver.cancel()
    work.gates[0].set()
    with pytest.raises(asyncio.CancelledError):
        await leaver
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    work.gates[-1].set()
    assert await stayer in (1, 2)


async def test_a_run_that_fails_fails_for_all_that_share_it_and_the_next_is_begun() -> None:
    joined = Joined[int]()

    async def fail() -> int:
        await asyncio.sleep(0)
        raise ValueError

    results = await asyncio.gather(*(joined.run("a", fail) for _ in range(3)), return_exceptions=True)
    assert [type(result) for result in results] == [ValueError] * 3
    assert joined == Joined()
