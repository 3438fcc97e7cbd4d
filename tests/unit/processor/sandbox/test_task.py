"""The child's side, in this process: what it says, and the limits that it would set."""

from __future__ import annotations

import io
import os
import resource
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from processor.errors import CorruptImage, DecoderCrashed, ImageRejected, NotConvertible, TooLargeForMemory, Unavailable
from processor.facts import Facts
from processor.images import Variant
from processor.pipeline import render as pipeline
from processor.pipeline.estimate import working_bytes
from processor.pipeline.limits import FileLimits
from processor.recipes import Recipe, standard
from processor.sandbox import child, confine
from processor.sandbox import task as task_module
from processor.sandbox.answers import read_end, read_info, read_need, refusal, unpack
from processor.sandbox.messages import Packet, receive, send
from processor.sandbox.process import environment
from processor.sandbox.task import perform, task_of
from tests.corpus import SAMPLES, jpeg, large, png

#: What the parent grants.
MEMORY_BYTES = 200_000_000
FAST = standard(effort=0)


@pytest.fixture(autouse=True)
def allowed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The limits on memory that the child set itself; this process goes without."""
    allowed: list[int] = []
    monkeypatch.setattr(task_module, "limit_memory", lambda *limits: allowed.extend(limits))
    return allowed


def conversation(data: bytes, recipe: Recipe = FAST) -> io.BytesIO:
    """Everything that a parent says."""
    source = io.BytesIO()
    send(source, {**task_of(recipe, FileLimits()), "memory_bytes": 5, "cpu_seconds": 7})
    send(source, {}, (data,))
    send(source, {"memory_bytes": MEMORY_BYTES, "untouched_bytes": 9, "most_bytes": 11})
    source.seek(0)
    return source


def answered(data: bytes, recipe: Recipe = FAST) -> list[Packet]:
    """Everything that the child says."""
    source, answers = conversation(data, recipe), io.BytesIO()
    perform(receive(source), source, answers)
    return frames(answers.getvalue())


def frames(said: bytes) -> list[Packet]:
    stream, found = io.BytesIO(said), []
    while stream.tell() < len(said):
        found.append(receive(stream))
    return found


def test_a_good_image_is_described_and_then_rendered_within_the_memory_that_is_granted(allowed: list[int]) -> None:
    data = jpeg()

    ready, description, *outputs, found = answered(data)

    assert read_info(description.header).format == "jpeg"
    variants: list[Variant] = []
    for output, spec in zip(outputs, FAST.specs, strict=True):
        variants.append(unpack(output, spec, variants))
    assert ready == Packet(header={})
    assert [variant.name for variant in variants] == ["thumbnail", "medium", "large", "webp"]
    facts, cpu_ms, _ = read_end(found.header, FAST.analyses)
    assert facts.everything.keys() == set(FAST.analyses)
    assert cpu_ms > 0
    assert allowed == [MEMORY_BYTES, 9, 11]


def test_what_the_image_does_not_need_is_told_when_it_is_decoded() -> None:
    solid = png(large(2000, 1500).bandjoin(255), compression=1)

    _, description, need, *outputs = answered(solid)

    most = working_bytes(read_info(description.header), len(solid), FAST)
    assert 0 < (read_need(need.header) or 0) < most / 2
    assert [output.header["name"] for output in outputs[:-1]] == [spec.name for spec in FAST.specs]


def test_who_asks_for_no_facts_is_told_none() -> None:
    *others, end = answered(jpeg(), replace(FAST, analyses=()))
    assert len(others) == 2 + len(FAST.specs)
    assert read_end(end.header, ())[0] == Facts()


def test_what_the_header_tells_is_refused_before_memory_is_asked_for(allowed: list[int]) -> None:
    said = answered(SAMPLES["png-65000-square"].make())

    assert [frame.header for frame in said] == [{}, {"error": "side_too_long", "limit": 32767, "actual": 65000}]
    assert allowed == []


@pytest.mark.parametrize(
    ("failure", "full", "error"),
    [
        (MemoryError, False, TooLargeForMemory(limit=MEMORY_BYTES)),
        (Unavailable, True, TooLargeForMemory(limit=MEMORY_BYTES)),
        (CorruptImage, True, TooLargeForMemory(limit=MEMORY_BYTES)),
        (NotConvertible, True, TooLargeForMemory(limit=MEMORY_BYTES)),
        (CorruptImage, False, CorruptImage()),
        (NotConvertible, False, NotConvertible()),
        (Unavailable, False, DecoderCrashed()),
    ],
)
def test_what_breaks_for_lack_of_memory_is_told_from_what_breaks_by_itself(
    failure: type[Exception], full: bool, error: ImageRejected, monkeypatch: pytest.MonkeyPatch
) -> None:
    def render(*_: Any, **__: Any) -> None:
        raise failure

    monkeypatch.setattr(pipeline, "render", render)
    monkeypatch.setattr(task_module, "ran_out", lambda _: full)

    assert answered(jpeg())[-1].header == refusal(error)


def test_the_program_limits_itself_before_it_looks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[dict[str, int]] = []
    source = conversation(jpeg())
    answers = (tmp_path / "answers").open("wb")
    monkeypatch.setattr(child, "_streams", lambda: (source, answers))
    monkeypatch.setattr(child, "confine", lambda **limits: asked.append({**limits, "read": source.tell()}))

    child.main()

    assert asked == [{"memory_bytes": 5, "cpu_seconds": 7, "read": asked[0]["read"]}]
    assert asked[0]["read"] < 1000
    assert len(frames((tmp_path / "answers").read_bytes())) == 2 + len(FAST.specs) + 1


def test_the_program_ends_in_silence_when_its_parent_does(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    answers = (tmp_path / "answers").open("wb")
    monkeypatch.setattr(child, "_streams", lambda: (io.BytesIO(), answers))

    child.main()

    assert (tmp_path / "answers").read_bytes() == b""


def test_libvips_is_not_there_before_the_limits_are() -> None:
    code = "import sys, processor.sandbox.child; sys.exit('pyvips' in sys.modules)"

    assert os.spawnl(os.P_WAIT, sys.executable, sys.executable, "-c", code) == 0


class System:
    """Stands in for `resource`: knows some limits, and refuses one."""

    RLIM_INFINITY = resource.RLIM_INFINITY
    RLIMIT_AS, RLIMIT_CPU, RLIMIT_NOFILE, RLIMIT_CORE = range(4)

    def __init__(self) -> None:
        self.set: dict[int, tuple[int, int]] = {}

    def getrlimit(self, kind: int) -> tuple[int, int]:
        return (8, 16) if kind == self.RLIMIT_NOFILE else (self.RLIM_INFINITY, self.RLIM_INFINITY)

    def setrlimit(self, kind: int, limits: tuple[int, int]) -> None:
        if kind == self.RLIMIT_CORE:
            raise ValueError("no")
        self.set[kind] = limits


def test_limits_that_the_system_does_not_know_or_want_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    system = System()
    monkeypatch.setattr(confine, "resource", system)
    monkeypatch.setattr(confine, "_confine_on_linux", lambda: None)

    confine.confine(memory_bytes=1000, cpu_seconds=9)

    infinity = System.RLIM_INFINITY
    assert system.set == {
        System.RLIMIT_AS: (confine.BASE_ADDRESS_BYTES + 1000, infinity),
        System.RLIMIT_CPU: (9, infinity),
        System.RLIMIT_NOFILE: (16, 16),  # the hard limit was lower than ours
    }


def test_of_the_environment_the_child_gets_what_it_needs_to_run() -> None:
    ours = {"PATH": "/bin", "LANG": "C", "VIPS_WARNING": "1", "AWS_SECRET_ACCESS_KEY": "x", "HOME": "/root"}

    theirs = environment(ours | {"VIPS_DISC_THRESHOLD": "1"})

    root = str(Path(__file__).resolve().parents[4])
    own = {
        "PYTHONPATH": root,
        "MALLOC_ARENA_MAX": "1",
        "MALLOC_MMAP_THRESHOLD_": "1048576",
        "VIPS_DISC_THRESHOLD": "1000g",
    }
    assert theirs == {"PATH": "/bin", "LANG": "C", "VIPS_WARNING": "1"} | own
