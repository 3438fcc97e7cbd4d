"""A sound file of a kind that cannot be decoded is not called damaged, and a limit names its number."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import pytest

from processor.errors import (
    FileTooLarge,
    ImageRejected,
    NotConvertible,
    SideTooLong,
    TooManyFrames,
    TooManyPixels,
    UnsupportedFormat,
)
from processor.pipeline import render
from processor.pipeline.limits import FileLimits
from processor.recipes import STANDARD
from processor.sandbox.answers import read_refusal, refusal
from processor.sandbox.messages import Packet, receive, send
from processor.sandbox.task import perform, task_of
from tests import corpus
from tests.corpus import containers
from tests.corpus.animations import Part, gif_of, png_of_chunks
from tests.unit.processor.pipeline.compare import rendered


def _frame(marker: int, bits: int = 8, height: int = 120) -> bytes:
    """A JPEG whose frame is of this kind; what follows would be its own coding."""
    data = corpus.jpeg()
    at = data.index(b"\xff\xc0")
    return data[: at + 1] + bytes([marker]) + data[at + 2 : at + 4] + struct.pack(">BH", bits, height) + data[at + 7 :]


def _cgbi() -> bytes:
    """As Xcode writes PNG for telephones: a chunk of its own in front of the header."""
    return png_of_chunks([(b"CgBI", b"\x50\x00\x20\x02"), *containers.png_chunks(corpus.png())])


def _foreign_chunk() -> bytes:
    header, *others = containers.png_chunks(corpus.png())
    return png_of_chunks([header, (b"JDAT", b"of another kind"), *others])


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: _frame(0xC1, bits=12), "JPEG (12 bits a sample)"),
        (lambda: _frame(0xC2, bits=12), "JPEG (12 bits a sample)"),
        (lambda: _frame(0xC3), "JPEG (lossless)"),
        (lambda: _frame(0xC3, bits=16), "JPEG (lossless)"),
        (lambda: _frame(0xCB), "JPEG (lossless)"),
        (lambda: _frame(0xC5), "JPEG (hierarchical)"),
        (lambda: _frame(0xCE), "JPEG (hierarchical)"),
        (lambda: _frame(0xF7), "JPEG (JPEG-LS)"),
        (lambda: _frame(0xC0, height=0), "JPEG (height behind the picture)"),
        (_cgbi, "PNG (with CgBI)"),
        (_foreign_chunk, "PNG (with JDAT)"),
    ],
)
def test_a_sound_file_of_another_kind_is_named(make: Callable[[], bytes], kind: str) -> None:
    with pytest.raises(UnsupportedFormat) as found:
        rendered(make())

    assert found.value.message == f"This kind of {kind} is not supported."


def test_a_foreign_chunk_that_is_damaged_is_damage() -> None:
    data = _foreign_chunk()
    at = data.index(b"of another kind")

    with pytest.raises(ImageRejected) as found:
        rendered(data[:at] + b"O" + data[at + 1 :])

    assert found.value.code == "corrupt_image"


def test_extended_jpeg_of_eight_bits_is_decoded() -> None:
    assert rendered(_frame(0xC1)).variants


PARTS = [Part(width=64, height=48, colour=number) for number in (1, 2, 3)]


@pytest.mark.parametrize(
    ("limits", "error", "message"),
    [
        (FileLimits(max_bytes=100), FileTooLarge, "bytes; the service accepts 100."),
        (FileLimits(max_side=63), SideTooLong, "The longer side of the image has 64 pixels; the service accepts 63."),
        (FileLimits(max_pixels=9215), TooManyPixels, "has 9,216 pixels, frames counted in; the service accepts 9,215."),
        (FileLimits(max_frames=2), TooManyFrames, "The animation has 3 frames; the service accepts 2."),
    ],
)
def test_a_limit_names_its_number_and_the_file_s(limits: FileLimits, error: type[ImageRejected], message: str) -> None:
    data = gif_of(64, 48, PARTS)

    with pytest.raises(error) as found:
        rendered(data, limits=limits)

    assert found.value.message.endswith(message)
    assert found.value.limit in {100, 63, 9215, 2}
    assert found.value.actual in {len(data), 64, 9216, 3}


@pytest.mark.parametrize("frames", [501, 600])
def test_a_small_gif_of_many_frames_is_told_how_many_it_has(frames: int) -> None:
    with pytest.raises(TooManyFrames) as found:
        render.inspect(containers.gif_of_frames(frames), FileLimits())

    assert found.value.message == f"The animation has {frames} frames; the service accepts 500."


@pytest.mark.parametrize(
    "error",
    [
        TooManyFrames(limit=500, actual=600),
        FileTooLarge(limit=1, actual=2),
        NotConvertible(actual=7),
        UnsupportedFormat("JPEG (12 bits a sample)"),
        UnsupportedFormat(),
    ],
)
def test_what_a_child_refuses_is_told_in_the_same_words(error: ImageRejected) -> None:
    told = read_refusal(refusal(error))

    assert type(told) is type(error)
    assert (told.message, told.limit, told.actual) == (error.message, error.limit, error.actual)


@pytest.mark.parametrize(
    "header",
    [
        {"error": "no_such_code"},
        {"error": 7},
        {"error": None},
        {"error": ["corrupt_image"]},
        {"error": "image_rejected"},
    ],
)
def test_a_child_that_refuses_in_words_of_its_own_is_not_believed(header: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="no refusal"):
        read_refusal(header)


@pytest.mark.parametrize(
    "more",
    [
        {"limit": 500, "actual": 3},
        {"limit": "500", "actual": "600"},
        {"limit": None, "actual": 600},
        {"kind": "<script>"},
    ],
)
def test_numbers_and_names_of_a_child_that_make_no_sense_are_left_out(more: dict[str, object]) -> None:
    for code in ("too_many_frames", "unsupported_format"):
        with_numbers = read_refusal({"error": code, **more})
        assert with_numbers.code == code
        assert (with_numbers.limit, with_numbers.actual) == (None, None)
        assert with_numbers.message == type(with_numbers)().message


def test_a_child_tells_the_kind_and_the_numbers() -> None:
    told = []
    for data in (_frame(0xC3), containers.gif_of_frames(501)):
        source, answers = io.BytesIO(), io.BytesIO()
        send(source, {}, (data,))
        source.seek(0)
        perform(Packet(header=task_of(STANDARD, FileLimits())), source, answers)
        answers.seek(0)
        receive(answers)
        told.append(receive(answers).header)

    assert told == [
        {"error": "unsupported_format", "kind": "JPEG (lossless)"},
        {"error": "too_many_frames", "limit": 500, "actual": 501},
    ]


def test_a_png_that_says_it_is_larger_than_a_side_may_be_is_told_so() -> None:
    with pytest.raises(SideTooLong) as found:
        rendered(containers.png_claiming(65_000, 3))

    assert (found.value.limit, found.value.actual) == (32_767, 65_000)
    assert struct.pack(">I", 65_000) in containers.png_claiming(65_000, 3)


@pytest.mark.parametrize(("width", "height"), [(2**31 - 1, 1), (1, 20_000_000), (2**31 - 1, 2**31 - 1)])
def test_a_side_that_no_decoder_takes_is_told_with_both_numbers(width: int, height: int) -> None:
    frame = corpus.jpeg().index(b"\xff\xc0") + 5
    tall = corpus.jpeg()[:frame] + b"\xff\xff" + corpus.jpeg()[frame + 2 :]

    for data, side in ((containers.png_claiming(width, height, rows=0), max(width, height)), (tall, 65_535)):
        with pytest.raises(SideTooLong) as refusal:
            rendered(data)
        assert (refusal.value.limit, refusal.value.actual) == (FileLimits().max_side, side)
