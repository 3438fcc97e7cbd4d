"""What is too much is refused before it costs anything, and what takes too long is stopped."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from processor.errors import (
    CorruptImage,
    EmptyFile,
    FileTooLarge,
    ImageRejected,
    SideTooLong,
    TimedOut,
    TooManyFrames,
    TooManyPixels,
    Unavailable,
)
from processor.formats.info import ImageInfo
from processor.pipeline import encode, render, steps
from processor.pipeline.limits import Deadline, Limits
from processor.recipes import STANDARD, Recipe, VariantSpec
from tests import corpus
from tests.unit.processor.pipeline.compare import rendered

#: Long enough for nothing but the start.
NOTHING_SECONDS = 0.0
#: An encode at this effort takes many times as long as `SOON_SECONDS`.
SLOW = (VariantSpec(name="slow", format="webp", quality=90),)
SOON_SECONDS = 0.15


@pytest.mark.parametrize(
    ("limits", "refusal"),
    [
        (Limits(max_bytes=100), FileTooLarge),
        (Limits(max_side=63), SideTooLong),
        (Limits(max_pixels=64 * 48 * 4 - 1), TooManyPixels),
        (Limits(max_frames=3), TooManyFrames),
    ],
)
def test_every_limit_refuses_what_exceeds_it(limits: Limits, refusal: type[ImageRejected]) -> None:
    with pytest.raises(refusal):
        rendered(corpus.animation(".webp"), limits=limits)


def test_every_limit_is_inclusive() -> None:
    data = corpus.animation(".webp")
    exact = Limits(max_bytes=len(data), max_side=64, max_pixels=64 * 48 * 4, max_frames=4)

    assert rendered(data, limits=exact).source.frames == 4


def test_an_empty_file_is_told_from_a_large_one() -> None:
    with pytest.raises(EmptyFile):
        Limits().check_size(0)


def test_a_bomb_is_refused_by_its_header_alone() -> None:
    bomb = corpus.SAMPLES["png-of-zeros"].make()

    assert len(bomb) < 100_000
    with pytest.raises(TooManyPixels):
        render.inspect(bomb, Limits())


def test_frames_count_as_pixels() -> None:
    info = ImageInfo(format="gif", width=1000, height=1000, frames=121)

    with pytest.raises(TooManyPixels):
        Limits().check_header(info)


def test_a_deadline_runs_from_its_start_and_not_before() -> None:
    deadline = Deadline(NOTHING_SECONDS)

    deadline.check()
    deadline.start()

    with pytest.raises(TimedOut):
        deadline.check()


def test_work_that_was_called_off_is_not_the_image_s_fault() -> None:
    deadline = Deadline(60)
    deadline.start()

    deadline.call_off()

    with pytest.raises(Unavailable):
        deadline.check()


@pytest.mark.parametrize("kind", ["jpeg", "webp-animated"])
def test_the_time_limit_stops_libvips_in_the_middle_of_encoding(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = corpus.large(3000, 2000)
    tiles = [picture.crop(0, 250 * number, 3000, 250) for number in range(8)]
    data = corpus.jpeg(picture) if kind == "jpeg" else corpus.animated(tiles, ".webp", delays=(50,) * 8, effort=0)
    recipe = Recipe(name="slow", version=1, specs=tuple(replace(spec, effort=6) for spec in SLOW))
    finished: list[bytes] = []
    whole = encode.write

    def noting(*args: Any, **kwargs: Any) -> bytes:
        data = whole(*args, **kwargs)
        finished.append(data)
        return data

    monkeypatch.setattr(encode, "write", noting)

    with pytest.raises(TimedOut):
        render.render(data, render.inspect(data, Limits()), recipe, Deadline(SOON_SECONDS))

    assert not finished


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp-animated", "gif-animated"])
def test_a_deadline_that_passed_stops_before_a_pixel_is_decoded(kind: str) -> None:
    data = corpus.SAMPLES[kind].make()
    recipe = STANDARD

    with pytest.raises(TimedOut):
        render.render(data, render.inspect(data, Limits()), recipe, Deadline(NOTHING_SECONDS))


@pytest.mark.parametrize("stage", [("fit", Unavailable), ("hold", CorruptImage)])
def test_a_failure_is_named_by_its_stage(stage: tuple[str, type[Exception]], monkeypatch: pytest.MonkeyPatch) -> None:
    name, expected = stage

    def breaks(*_: object) -> None:
        import pyvips  # noqa: PLC0415 - the only test that raises what libvips raises

        raise pyvips.Error("words", "of another image")

    monkeypatch.setattr(steps, name, breaks)
    monkeypatch.setattr(render, "PREPARATION", ((getattr(steps, "hold"), CorruptImage),))  # noqa: B009

    with pytest.raises(expected) as failure:
        rendered(corpus.jpeg(corpus.photo(400, 300)))
    assert "words" not in str(failure.value)


def test_a_machine_without_memory_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object, **__: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr(encode, "write", no_memory)

    with pytest.raises(Unavailable):
        rendered(corpus.jpeg())
