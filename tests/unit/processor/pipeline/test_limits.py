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
    NotConvertible,
    SideTooLong,
    TimedOut,
    TooManyFrames,
    TooManyPixels,
    Unavailable,
)
from processor.formats.info import ImageInfo
from processor.pipeline import encode, render
from processor.pipeline.allocator import is_to_be_had
from processor.pipeline.limits import Deadline, FileLimits
from processor.recipes import STANDARD, Recipe, VariantSpec
from tests import corpus
from tests.unit.processor.pipeline.compare import FINE, rendered

#: Long enough for nothing but the start.
NOTHING_SECONDS = 0.0
#: An encode at this effort takes many times as long as `SOON_SECONDS`.
SLOW = (VariantSpec(name="slow", format="webp", quality=90),)
SOON_SECONDS = 0.15


@pytest.mark.parametrize(
    ("limits", "refusal"),
    [
        (FileLimits(max_bytes=100), FileTooLarge),
        (FileLimits(max_side=63), SideTooLong),
        (FileLimits(max_pixels=64 * 48 * 4 - 1), TooManyPixels),
        (FileLimits(max_frames=3), TooManyFrames),
    ],
)
def test_every_limit_refuses_what_exceeds_it(limits: FileLimits, refusal: type[ImageRejected]) -> None:
    with pytest.raises(refusal):
        rendered(corpus.animation(".webp"), limits=limits)


def test_every_limit_is_inclusive() -> None:
    data = corpus.animation(".webp")
    exact = FileLimits(max_bytes=len(data), max_side=64, max_pixels=64 * 48 * 4, max_frames=4)

    assert rendered(data, limits=exact).source.frames == 4


def test_an_empty_file_is_told_from_a_large_one() -> None:
    with pytest.raises(EmptyFile):
        FileLimits().check_size(0)


def test_a_bomb_is_refused_by_its_header_alone() -> None:
    bomb = corpus.SAMPLES["png-of-zeros"].make()

    assert len(bomb) < 100_000
    with pytest.raises(TooManyPixels):
        render.inspect(bomb, FileLimits())


def test_frames_count_as_pixels() -> None:
    info = ImageInfo(format="gif", width=1000, height=1000, frames=121)

    with pytest.raises(TooManyPixels):
        FileLimits().check_header(info)


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
        render.render(data, render.inspect(data, FileLimits()), recipe, Deadline(SOON_SECONDS))

    assert not finished


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp-animated", "gif-animated"])
def test_a_deadline_that_passed_stops_before_a_pixel_is_decoded(kind: str) -> None:
    data = corpus.SAMPLES[kind].make()
    recipe = STANDARD

    with pytest.raises(TimedOut):
        render.render(data, render.inspect(data, FileLimits()), recipe, Deadline(NOTHING_SECONDS))


@pytest.mark.parametrize("stage", [("fit", NotConvertible), ("hold", CorruptImage)])
def test_a_failure_is_named_by_its_stage(stage: tuple[str, type[Exception]], monkeypatch: pytest.MonkeyPatch) -> None:
    name, expected = stage

    def breaks(*_: object) -> None:
        import pyvips  # noqa: PLC0415 - the only test that raises what libvips raises

        raise pyvips.Error("words", "of another image")

    monkeypatch.setattr(render, name, breaks)
    monkeypatch.setattr(render, "PREPARATION", ((getattr(render, "hold"), CorruptImage),))  # noqa: B009

    with pytest.raises(expected) as failure:
        rendered(corpus.jpeg(corpus.photo(400, 300)))
    assert "words" not in str(failure.value)


@pytest.mark.parametrize("name", ["drop_solid_alpha", "orient", "fit", "write"])
@pytest.mark.parametrize("memory", [True, False])
def test_what_cannot_be_converted_is_the_pictures_fault_unless_memory_is_short(
    name: str, memory: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object, **__: object) -> None:
        import pyvips  # noqa: PLC0415 - raises what libvips raises

        raise pyvips.Error("words", "of another image")

    prepared = tuple((breaks if step.__name__ == name else step, failure) for step, failure in render.PREPARATION)
    monkeypatch.setattr(render, "PREPARATION", prepared)
    monkeypatch.setattr(encode if name == "write" else render, name, breaks)
    monkeypatch.setattr(render, "is_to_be_had", lambda _: memory)

    with pytest.raises(NotConvertible if memory else Unavailable) as failure:
        rendered(corpus.jpeg(corpus.photo(400, 300)))

    if memory:
        assert failure.value.actual in (400 * 300, 300 * 225)
        assert f"{failure.value.actual:,} pixels" in failure.value.message


def test_memory_is_to_be_had_up_to_what_the_system_grants() -> None:
    assert is_to_be_had(1)
    assert not is_to_be_had(1 << 62)


def test_what_libwebp_refuses_in_a_hurry_it_is_asked_for_with_care(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    save = encode._saved

    def refusing(image: Any, spec: VariantSpec, effort: int, keep: int) -> bytes:
        asked.append(effort)
        if effort == 0:
            import pyvips  # noqa: PLC0415 - raises what libvips raises

            raise pyvips.Error("unable to encode")
        return save(image, spec, effort, keep)

    monkeypatch.setattr(encode, "_saved", refusing)

    assert rendered(corpus.jpeg(), specs=FINE).variants  # at effort 0
    assert asked == [0, 1] * len(FINE)


def test_a_machine_without_memory_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_memory(*_: object, **__: object) -> bytes:
        raise MemoryError

    monkeypatch.setattr(encode, "write", no_memory)

    with pytest.raises(Unavailable):
        rendered(corpus.jpeg())
