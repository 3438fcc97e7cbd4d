"""Suspects: whatever an image does to the child, its parent lives, learns what happened, and nothing is left."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pyvips

from processor.errors import DecoderCrashed, FileTooLarge, ImageRejected, TimedOut, TooLargeForMemory, Unavailable
from processor.formats.info import ImageInfo
from processor.images import Rendered
from processor.pipeline.budget import MemoryBudget
from processor.pipeline.engine import Engine, EngineConfig
from processor.pipeline.limits import FileLimits
from processor.ports.renderer import Ticket
from processor.probe import Probes
from processor.recipes import Recipe, VariantSpec, sharpened, standard
from processor.sandbox import confine
from processor.sandbox import renderer as quarantine
from processor.sandbox.process import ChildProcess
from processor.sandbox.renderer import ChildRenderer
from tests import corpus
from tests.garbage import left_by
from tests.in_part import one_in
from tests.mutants.seeds import seeds
from tests.unit.world import Noted
from tests.waiting import PATIENCE_SECONDS, eventually

HOSTILE = Path(__file__).with_name("hostile_child.py")
BUDGET = 512 * 1024 * 1024
#: What is made where it does not matter.
FAST = standard(effort=0)
CONFIG = EngineConfig(threads=1, memory_budget_bytes=BUDGET)
GOOD = [name for name, sample in corpus.SAMPLES.items() if sample.code is None]
BAD = [name for name, sample in corpus.SAMPLES.items() if sample.code is not None]
#: One case in so many for every run: each starts a child.
PART = 16
CRASHES = [
    "segfault",
    "abort",
    "leave",
    "raise",
    "garbage",
    "flood",
    "flood-of-a-frame",
    "nested",
    "no-object",
    "no-variants",
    "unknown-code",
    "no-code",
    "heir",
    "facts-unasked",
    "facts-without-end",
    "facts-too-deep",
    "facts-of-no-kind",
    "no-facts",
]

Make = Callable[..., ChildRenderer]


def hostile(fault: str) -> tuple[str, ...]:
    return (sys.executable, str(HOSTILE), fault)


def gone(pid: int) -> bool:
    """Whether nothing is left of a child and its kin, not even a zombie."""
    try:
        os.killpg(pid, 0)
    except ProcessLookupError:
        return True
    return False


def proc(pid: int, name: str) -> str:
    """What Linux says about a process; nothing once it is gone."""
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


@pytest.fixture
def counted() -> list[MemoryBudget]:
    """The budgets of renderers that were made with one: their children may run beside each other."""
    return []


@pytest.fixture
def pids(monkeypatch: pytest.MonkeyPatch, counted: list[MemoryBudget]) -> list[int]:
    """Every child that was started; without a budget, each when there was no other."""
    pids: list[int] = []
    start = ChildProcess.start

    async def noted(command: Any) -> ChildProcess:
        assert counted or all(map(gone, pids))
        child = await start(command)
        pids.append(child._transport.get_pid())
        return child

    monkeypatch.setattr(ChildProcess, "start", noted)
    return pids


@pytest.fixture
async def make(pids: list[int], counted: list[MemoryBudget]) -> AsyncIterator[Make]:
    """Makes renderers; in the end nothing may be left of any child."""
    made: list[ChildRenderer] = []

    def make(config: EngineConfig = CONFIG, *, budget: MemoryBudget | None = None, **options: Any) -> ChildRenderer:
        counted.extend([budget] if budget else [])
        made.append(ChildRenderer(config, budget=budget, **options))
        return made[-1]

    yield make
    for renderer in made:
        await asyncio.wait_for(renderer.close(), PATIENCE_SECONDS)

    async def all_gone() -> bool:
        return all(map(gone, pids))

    await eventually(all_gone, what="the end of every child")
    gc.collect()  # a leaked pipe is found here, and not in the next test


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    engine = Engine(CONFIG)
    yield engine
    await engine.close()


@pytest.mark.parametrize("name", one_in(PART, GOOD))
async def test_a_good_image_becomes_the_same_bytes_as_in_the_engine(name: str, engine: Engine, make: Make) -> None:
    data = corpus.SAMPLES[name].make()

    assert await make().render(data, FAST) == await engine.render(data, FAST)


async def test_effects_reach_the_child(engine: Engine, make: Make) -> None:
    data, recipe = corpus.jpeg(corpus.photo(400, 300)), sharpened(FAST, [0.8])

    made = await make().render(data, recipe)

    assert made == await engine.render(data, recipe)
    assert made.variants[0].data != (await engine.render(data, FAST)).variants[0].data


@pytest.mark.parametrize("name", one_in(PART, BAD))
async def test_a_bad_image_is_refused_with_the_same_code(name: str, engine: Engine, make: Make) -> None:
    data = corpus.SAMPLES[name].make()
    with pytest.raises(ImageRejected) as direct:
        await engine.render(data, FAST)
    with pytest.raises(ImageRejected) as refusal:
        await make().render(data, FAST)

    assert refusal.value.code == corpus.SAMPLES[name].code
    found, known = refusal.value, direct.value
    assert (found.message, found.limit, found.actual) == (known.message, known.limit, known.actual)


async def test_variants_are_those_of_the_recipe_and_limits_those_of_the_configuration(
    engine: Engine, make: Make
) -> None:
    specs = (VariantSpec(name="dot", format="webp", quality=1, box=(7, 7)),)
    config = EngineConfig(threads=1, memory_budget_bytes=BUDGET, limits=FileLimits(max_bytes=100_000))

    result = await make(config).render(corpus.jpeg(), Recipe(name="dots", version=1, specs=specs))

    assert [(variant.name, variant.width, variant.height) for variant in result.variants] == [("dot", 7, 5)]
    with pytest.raises(FileTooLarge):
        await make(config).render(bytes(100_001), FAST)


async def test_a_picture_that_libvips_would_unpack_into_a_file_is_unpacked_in_memory(
    engine: Engine, make: Make
) -> None:
    data = corpus.webp(corpus.flat(7000, 5000, (10, 20, 30)), effort=0)

    result = await make(EngineConfig(threads=1, memory_budget_bytes=BUDGET)).render(data, FAST)

    assert result.source.pixels == 35_000_000


@pytest.mark.parametrize("fault", one_in(PART, CRASHES))
async def test_what_brings_the_child_down_does_not_touch_the_parent(fault: str, engine: Engine, make: Make) -> None:
    noted = Noted()
    renderer = make(command=hostile(fault), probes=Probes((noted,)))
    with pytest.raises(DecoderCrashed):
        await asyncio.wait_for(renderer.render(corpus.jpeg(), FAST), PATIENCE_SECONDS)
    assert [span.error for span in noted.spans if span.name == "child"] == [DecoderCrashed]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell what a process holds")
@pytest.mark.parametrize("fault", ["devour", "devour-in-c"])
async def test_a_child_that_takes_more_memory_than_it_may_is_told_from_one_that_crashed(
    fault: str, engine: Engine, make: Make
) -> None:
    with pytest.raises(TooLargeForMemory) as refusal:
        await asyncio.wait_for(make(command=hostile(fault)).render(corpus.jpeg(), FAST), PATIENCE_SECONDS)

    assert refusal.value.limit is not None
    assert refusal.value.limit < BUDGET


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell what a process holds")
async def test_alpha_that_takes_more_than_the_budget_ends_its_child_and_nothing_else(make: Make) -> None:
    noise = [pyvips.Image.gaussnoise(2400, 2000, mean=128, sigma=60, seed=seed).cast("uchar") for seed in range(4)]
    noisy = noise[0].bandjoin(noise[1:]).copy(interpretation="srgb")
    solid = noise[0].bandjoin([*noise[1:3], 255]).copy(interpretation="srgb")
    config = EngineConfig(threads=2, memory_budget_bytes=130 * 1024 * 1024)
    budget = MemoryBudget(slots=2, budget_bytes=config.memory_budget_bytes)
    engine = Engine(config, budget=budget, outside=make(config, budget=budget))

    refused, rendered, beside = await asyncio.gather(
        engine.render(corpus.png(noisy, compression=1), FAST),
        engine.render(corpus.png(solid, compression=1), FAST),
        engine.render(corpus.jpeg(), FAST),
        return_exceptions=True,
    )

    assert isinstance(refused, TooLargeForMemory)
    assert isinstance(rendered, Rendered)
    assert isinstance(beside, Rendered)
    assert (budget.running, budget.free_bytes) == (0, config.memory_budget_bytes)
    await engine.close()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems know fewer limits")
async def test_no_child_may_take_more_than_its_container_has(engine: Engine, make: Make) -> None:
    config = EngineConfig(threads=1, memory_budget_bytes=BUDGET, ceiling_bytes=BUDGET // 8)

    told = await facts(make(config, command=hostile("facts")))

    assert told["limits"]["RLIMIT_AS"] <= confine.BASE_ADDRESS_BYTES + BUDGET // 8


async def test_a_child_that_hangs_in_c_is_killed_when_its_time_is_up(
    engine: Engine, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "GRACE_SECONDS", 0.2)
    limits = FileLimits(timeout_seconds=1.0)
    renderer = make(EngineConfig(threads=1, memory_budget_bytes=BUDGET, limits=limits), command=hostile("hang"))

    with pytest.raises(TimedOut):
        await asyncio.wait_for(renderer.render(corpus.jpeg(), FAST), PATIENCE_SECONDS)


async def test_a_child_that_used_up_its_processor_time_was_too_slow(engine: Engine, make: Make) -> None:
    with pytest.raises(TimedOut):
        await asyncio.wait_for(make(command=hostile("spin")).render(corpus.jpeg(), FAST), PATIENCE_SECONDS)


async def test_a_child_notices_by_itself_that_it_is_too_slow(engine: Engine, make: Make) -> None:
    config = EngineConfig(threads=1, memory_budget_bytes=BUDGET, limits=FileLimits(timeout_seconds=0.001))

    with pytest.raises(TimedOut):
        await make(config).render(corpus.jpeg(corpus.photo(1000, 1000)), FAST)


@pytest.mark.parametrize("command", [hostile("not-even-start"), ("/nowhere/python",)])
async def test_a_child_that_never_saw_the_image_says_nothing_about_it(
    command: tuple[str, ...], engine: Engine, make: Make
) -> None:
    with pytest.raises(Unavailable):
        await make(command=command).render(corpus.jpeg(), FAST)


async def test_a_child_that_does_not_get_started_is_given_up(
    engine: Engine, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quarantine, "START_SECONDS", 0.2)

    with pytest.raises(Unavailable):
        await make(command=hostile("start-slowly")).render(corpus.jpeg(), FAST)


async def facts(renderer: ChildRenderer) -> dict[str, Any]:
    result = await renderer.render(corpus.jpeg(), FAST)
    told: dict[str, Any] = json.loads(result.variants[0].data.removeprefix(b"RIFF....WEBP"))
    return told


async def test_the_child_inherits_neither_secrets_nor_descriptors(
    engine: Engine, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_SECRET_ACCESS_KEY", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "API_TOKEN", "HOME"):
        monkeypatch.setenv(name, "secret")
    monkeypatch.setenv("VIPS_CONCURRENCY", "1")
    reader, writer = os.pipe()
    os.set_inheritable(writer, True)

    told = await facts(make(command=hostile("facts")))

    os.close(reader)
    os.close(writer)
    allowed = {"PATH", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH", "PYTHONPATH"}
    assert {name for name in told["environment"] if not name.startswith(("VIPS_", "MALLOC_"))} <= allowed
    assert told["environment"]["VIPS_CONCURRENCY"] == "1"
    assert set(told["descriptors"]) - {0, 1, 2} <= {3}  # the listing itself
    assert told["session"]
    assert told["directory"] == "/"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems know fewer limits")
async def test_the_child_may_take_what_this_image_needs_and_no_more(engine: Engine, make: Make) -> None:
    told = await facts(make(command=hostile("facts")))

    assert told["limits"].pop("RLIMIT_AS") < 400 * 1024 * 1024
    assert told["limits"] == {"RLIMIT_CPU": 80, "RLIMIT_CORE": 0, "RLIMIT_NOFILE": 32, "RLIMIT_FSIZE": 0}


async def test_a_cancelled_render_leaves_nothing_however_far_it_came(
    engine: Engine, make: Make, pids: list[int]
) -> None:
    renderer = make()
    data = corpus.jpeg(corpus.photo(600, 400))
    for rounds in (0, 1, 2, 3, 5, 10, 30, 100, 300):
        task = asyncio.create_task(renderer.render(data, FAST))
        for _ in range(rounds):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, PATIENCE_SECONDS)
        assert all(map(gone, pids))


async def hanging(renderer: ChildRenderer, budget: MemoryBudget) -> asyncio.Task[Any]:
    """A render whose child is stuck for ever."""
    task = asyncio.create_task(renderer.render(corpus.jpeg(), FAST))

    async def admitted() -> bool:
        return budget.running == 1 or task.done()

    await eventually(admitted, what="the child's admission")
    return task


async def test_cancelling_kills_a_child_that_hangs(engine: Engine, make: Make) -> None:
    budget = MemoryBudget(slots=1, budget_bytes=10**9)
    task = await hanging(make(command=hostile("hang"), budget=budget), budget)

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, PATIENCE_SECONDS)
    assert (budget.running, budget.free_bytes) == (0, 10**9)


async def test_closing_kills_what_runs_and_refuses_what_waits(engine: Engine, make: Make, pids: list[int]) -> None:
    budget = MemoryBudget(slots=1, budget_bytes=10**9)
    renderer = make(command=hostile("hang"), budget=budget)
    running = await hanging(renderer, budget)
    waiting = asyncio.create_task(renderer.render(corpus.jpeg(), FAST))

    await asyncio.wait_for(renderer.close(), PATIENCE_SECONDS)

    outcomes = await asyncio.wait_for(asyncio.gather(running, waiting, return_exceptions=True), PATIENCE_SECONDS)
    assert [type(outcome) for outcome in outcomes] == [Unavailable, Unavailable]
    assert all(map(gone, pids))
    with pytest.raises(Unavailable):
        await renderer.render(corpus.jpeg(), FAST)


async def test_a_child_that_is_started_while_the_renderer_closes_ends_at_once(
    engine: Engine, make: Make, pids: list[int]
) -> None:
    renderer = make()
    task = asyncio.create_task(renderer.render(corpus.jpeg(), FAST))
    await asyncio.sleep(0)
    await asyncio.wait_for(renderer.close(), PATIENCE_SECONDS)

    with pytest.raises(Unavailable):
        await task
    assert all(map(gone, pids))


async def test_without_a_budget_images_are_tried_one_at_a_time(engine: Engine, make: Make, pids: list[int]) -> None:
    renderer = make()

    await asyncio.gather(*(renderer.render(corpus.jpeg(), FAST) for _ in range(3)))

    assert len(pids) == 3  # and `pids` has seen that there was no other whenever one began


async def test_within_a_budget_a_child_that_hangs_keeps_nobody_waiting(
    engine: Engine, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = MemoryBudget(slots=2, budget_bytes=10**9)
    renderer = make(command=hostile("hang"), budget=budget)
    stuck = await hanging(renderer, budget)
    monkeypatch.setattr(renderer, "_command", quarantine.COMMAND)

    result = await asyncio.wait_for(renderer.render(corpus.jpeg(), FAST), PATIENCE_SECONDS)

    assert result.source.format == "jpeg"
    assert not stuck.done()
    stuck.cancel()
    await asyncio.gather(stuck, return_exceptions=True)


async def test_a_suspect_waits_for_its_share_of_the_memory(engine: Engine, make: Make) -> None:
    budget = MemoryBudget(slots=2, budget_bytes=10**8)
    await budget.enter(10**8 - 1)
    task = asyncio.create_task(make(budget=budget).render(corpus.jpeg(), FAST))

    async def in_the_queue() -> bool:
        return budget.waiting == 1

    await eventually(in_the_queue, what="the wait for memory")
    budget.leave(10**8 - 1)

    assert (await asyncio.wait_for(task, PATIENCE_SECONDS)).source.format == "jpeg"
    assert budget.free_bytes == 10**8


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell what a process holds")
async def test_what_does_not_fit_after_all_is_ended_before_it_takes_more_than_the_budget(
    make: Make, pids: list[int]
) -> None:
    limit = 96 * 1024 * 1024
    noise = pyvips.Image.gaussnoise(2000, 1500, mean=128, sigma=60, seed=corpus.SEED).cast("uchar")
    data = corpus.png(corpus.large(2000, 1500).bandjoin(noise).copy(interpretation="srgb"), compression=1)
    renderer = make(replace(CONFIG, memory_budget_bytes=limit), budget=MemoryBudget(slots=1, budget_bytes=limit))
    task = asyncio.create_task(renderer.render(data, FAST))
    highest = 0
    while not task.done():
        found = re.search(r"VmHWM:\s+(\d+)", proc(pids[-1], "status") if pids else "")
        highest = max(highest, int(found[1]) * 1024 if found else 0)
        await asyncio.sleep(0.002)

    with pytest.raises(TooLargeForMemory):
        await task
    # It looks at itself a hundred times a second, and fills memory meanwhile.
    assert limit < highest < limit + quarantine.CHILD_BYTES + 32 * 1024 * 1024


async def test_a_child_gives_back_what_its_image_does_not_need(make: Make) -> None:
    data = corpus.png(corpus.large(2000, 1500).bandjoin(255).copy(interpretation="srgb"), compression=1)
    budget = MemoryBudget(slots=2, budget_bytes=BUDGET)
    taken: list[int] = []

    async def begin(_: ImageInfo) -> None:
        taken.append(BUDGET - budget.free_bytes)

    ticket = Ticket(begin=begin, ready=lambda _: taken.append(BUDGET - budget.free_bytes))
    await make(budget=budget).render(data, FAST, ticket)

    first, *later = taken
    assert max(later) < first * 0.6
    assert budget.free_bytes == BUDGET


#: Each is looked at for half a minute of everything that Python holds.
ENDS_OF_A_CHILD = (
    ("heic", None),
    ("other", None),
    ("heic", "segfault"),
    ("heic", "flood"),
    ("heic", "hang"),
    ("heic", "devour"),
)


@pytest.mark.parametrize(
    ("file", "fault"),
    [
        ("half", None),
        *(pytest.param(*each, marks=pytest.mark.slow) for each in ENDS_OF_A_CHILD),
    ],
)
async def test_nothing_of_a_file_stays_in_a_cycle_however_its_child_ends(
    file: str, fault: str | None, make: Make
) -> None:
    heic = seeds()["heic"]
    data = {"heic": heic, "half": heic[: len(heic) // 2], "other": bytes(4000)}[file]
    config = replace(CONFIG, limits=FileLimits(timeout_seconds=1.0 if fault == "hang" else 60.0))

    async def work() -> None:
        renderer = make(config, **({"command": hostile(fault)} if fault else {}))
        with suppress(ImageRejected):
            await Engine(config, outside=renderer).render(data, FAST)
        await renderer.close()

    assert await left_by(work) == []


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a child notices when it next reads or writes")
async def test_a_child_does_not_outlive_a_parent_that_was_killed(tmp_path: Path) -> None:
    program = f"""
import asyncio
from pathlib import Path
from processor.pipeline import engine
from processor.recipes import STANDARD
from processor.sandbox import renderer as quarantine

quarantine.ChildProcess.start, start = None, quarantine.ChildProcess.start

async def noted(command):
    child = await start(command)
    Path({str(tmp_path / "pid")!r}).write_text(str(child._transport.get_pid()))
    return child

quarantine.ChildProcess.start = noted
config = engine.EngineConfig(threads=1, memory_budget_bytes={BUDGET})
renderer = quarantine.ChildRenderer(config, command={hostile("hang")!r})
from tests import corpus
asyncio.run(renderer.render(corpus.jpeg(), STANDARD))
"""
    root = Path(__file__).parents[2]
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", program, cwd=root)

    async def child_pid() -> int:
        noted = tmp_path / "pid"
        return int(noted.read_text() or 0) if noted.exists() else 0

    pid = await eventually(child_pid, what="the child")

    async def limited() -> bool:
        # The first thing that it does; before, it would see its input end.
        return "NoNewPrivs:\t1" in proc(pid, "status")

    await eventually(limited, what="the child's limits")
    parent.send_signal(signal.SIGKILL)
    await parent.wait()

    async def dead() -> bool:
        # Whoever adopts it may leave a zombie.
        return proc(pid, "stat").rpartition(")")[2].split()[:1] in ([], ["Z"], ["X"])

    await eventually(dead, what="the end of the child")
