"""Whatever a file says, it ends in variants or in a refusal of its own."""

from __future__ import annotations

import contextlib
import re
import struct

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from processor.errors import CorruptImage, ImageRejected, SideTooLong, TooManyPieces
from processor.formats.png import SIGNATURE as PNG_SIGNATURE
from processor.pipeline import decode, gif, jpeg, png, render
from processor.pipeline.limits import Deadline, FileLimits
from processor.recipes import standard
from tests import corpus
from tests.corpus import containers, hostile
from tests.corpus.animations import KEEP, OVER, Part, apng_chunks, apng_of, gif_of, png_of_chunks
from tests.searching import searching
from tests.unit.processor.pipeline.compare import difference, opened, rendered, variant

#: Small, so that what a lying header asks for stays cheap.
LIMITS = FileLimits(max_pixels=400_000, max_side=2_000, max_frames=20, timeout_seconds=20)
_PARTS = [
    Part(width=24, height=24, colour=(9, 99, 200, 255)),
    Part(left=8, top=4, width=8, height=9, colour=(200, 9, 9, 128), blend=OVER),
]
_GIF_PARTS = [Part(width=24, height=24, colour=1), Part(left=8, top=4, width=8, height=9, colour=2, transparent=0)]
FILES = {
    "gif": gif_of(24, 24, _GIF_PARTS, repeats=2),
    "apng": apng_of(24, 24, _PARTS, before=[(b"gAMA", struct.pack(">I", 60_000)), (b"cICP", b"\x09\x10\x00\x01")]),
    "png": corpus.png(corpus.photo(24, 24)),
    "png-cicp": containers.png_of_pixels([(0.5, 0.4, 0.3)] * 9, (b"cICP", b"\x0c\x0d\x00\x01"), (b"cHRM", bytes(32))),
    "jpeg": corpus.jpeg(corpus.photo(24, 24)),
    "jpeg-progressive": corpus.jpeg(corpus.photo(24, 24), interlace=True),
    "jpeg-restarts": corpus.jpeg(corpus.photo(40, 24), restart_interval=1),
    "webp": corpus.webp(corpus.photo(24, 24)),
}
many = searching(150, suppress=(HealthCheck.function_scoped_fixture,))


def tried(data: bytes) -> None:
    """Rendered or refused; anything else is a failure of the test."""
    recipe = standard(effort=0)
    with contextlib.suppress(ImageRejected):
        render.render(data, render.inspect(data, LIMITS), recipe, Deadline(LIMITS.timeout_seconds))


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A file with some bytes changed, taken out, or put in twice, checksums of PNG chunks made right again or not."""
    data = bytearray(FILES[draw(st.sampled_from(sorted(FILES)))])
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data) - 1))
        change = draw(st.sampled_from(["set", "flip", "cut", "repeat", "insert"]))
        size = draw(st.integers(1, 24))
        if change == "set":
            data[at] = draw(st.sampled_from([0, 1, 2, 0x7F, 0x80, 0xD9, 0xDA, 0xFE, 0xFF]))
        elif change == "flip":
            data[at] ^= 1 << draw(st.integers(0, 7))
        elif change == "cut":
            del data[at : at + size]
        elif change == "repeat":
            data[at:at] = data[at : at + size]
        else:
            data[at:at] = draw(st.binary(min_size=size, max_size=size))
        if not data:
            return b""
    return bytes(data)


@many
@given(data=mutated())
def test_a_changed_file_is_rendered_or_refused(data: bytes) -> None:
    tried(data)


#: Chunks that mean something to the parser, with bodies that are nearly right.
_numbers = st.sampled_from([0, 1, 2, 23, 24, 25, 0x7FFFFFFF, 0xFFFFFFFF])
_controls = st.builds(
    lambda *values: struct.pack(">IIIIIHHBB", *values),
    st.integers(0, 6),
    _numbers,
    _numbers,
    _numbers,
    _numbers,
    st.integers(0, 65_535),
    st.integers(0, 65_535),
    st.integers(0, 4),
    st.integers(0, 2),
)
_own = st.sampled_from(apng_chunks(24, 24, _PARTS))
_chunks = st.one_of(
    _own,
    st.tuples(st.just(b"fcTL"), _controls),
    st.tuples(st.just(b"acTL"), st.builds(lambda a, b: struct.pack(">II", a, b), _numbers, _numbers)),
    st.tuples(st.just(b"fdAT"), st.binary(max_size=40)),
    st.tuples(st.sampled_from([b"cICP", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cLLI", b"mDCV"]), st.binary(max_size=40)),
    st.tuples(st.just(b"cICP"), st.tuples(*[st.integers(0, 24)] * 4).map(bytes)),
    st.tuples(st.just(b"cHRM"), st.lists(_numbers, min_size=8, max_size=8).map(lambda x: struct.pack(">8I", *x))),
    st.tuples(st.just(b"gAMA"), _numbers.map(lambda x: struct.pack(">I", x))),
)


@many
@given(chunks=st.lists(_chunks, max_size=9), place=st.integers(0, 12))
def test_chunks_with_right_checksums_in_any_order_are_rendered_or_refused(
    chunks: list[tuple[bytes, bytes]], place: int
) -> None:
    own = apng_chunks(24, 24, _PARTS)

    tried(png_of_chunks([*own[:1], *own[1:place], *chunks, *own[place:]]))


_parts = st.builds(
    Part,
    left=st.sampled_from([0, 1, 23, 24, 65_535]),
    top=st.sampled_from([0, 1, 23, 24, 65_535]),
    width=st.sampled_from([0, 1, 24, 60]),
    height=st.sampled_from([0, 1, 24, 60]),
    colour=st.integers(0, 3),
    dispose=st.integers(0, 7),
    transparent=st.sampled_from([None, 0, 1, 255]),
)


@many
@given(
    parts=st.lists(_parts, min_size=1, max_size=4),
    size=st.tuples(*[st.sampled_from([0, 1, 24, 640, 65_535])] * 2),
    pixels=st.sampled_from([None, 0, 5]),
    trailer=st.sampled_from(
        [b"\x3b", b"", b"\x21", b"\x21\xff", b"\x21\xff\x0bNETSCAPE2.0\x03\x01", b"\x2c\x00\x00", b"??"]
    ),
)
def test_frames_of_a_gif_anywhere_are_rendered_or_refused(
    parts: list[Part], size: tuple[int, int], pixels: int | None, trailer: bytes
) -> None:
    tried(gif_of(*size, parts, pixels=pixels, trailer=trailer))


@many
@given(data=st.binary(max_size=200), start=st.sampled_from([b"GIF89a", b"\xff\xd8\xff", PNG_SIGNATURE]))
def test_nonsense_behind_a_signature_is_refused(data: bytes, start: bytes) -> None:
    for read in (gif.read, jpeg.read, png.read):
        with contextlib.suppress(ImageRejected):
            read(start + data)
    tried(start + data)


@pytest.mark.parametrize("name", sorted(FILES))
def test_a_file_cut_anywhere_is_rendered_or_refused(name: str) -> None:
    whole = FILES[name]

    for size in range(0, len(whole), max(1, len(whole) // 60)):
        tried(whole[:size])


def test_a_frame_that_only_claims_to_be_large_costs_nothing() -> None:
    """Nothing but the screen counts for a GIF, and a frame of an APNG fits into its screen."""
    part = Part(left=1, top=1, width=65_535, height=65_535, colour=1, dispose=KEEP)

    tried(gif_of(24, 24, [Part(width=24, height=24, colour=1), part], pixels=8))
    assert decode.probe(gif_of(24, 24, [Part(width=24, height=24, colour=1), part], pixels=8)).pixels == 24 * 24 * 2


LONG = 4_000_000


def _jpeg_with(filling: bytes, *, damaged: bool) -> bytes:
    """Filling in front of the tables, amid the data, and behind it; damaged, so that restarts are looked for."""
    whole = corpus.jpeg(restart_interval=4)
    amid = re.search(rb"\xff\xd3", whole[600:])
    assert amid is not None
    at = 600 + amid.start()
    stray = b"\x00\x13\x37" if damaged else b""
    return whole[:2] + filling + whole[2:at] + stray + filling + whole[at:-2] + filling + whole[-2:]


@pytest.mark.parametrize("side", [32, 0xFFFF])
def test_a_frame_with_any_sampling_is_read_or_refused(side: int) -> None:
    """Factors are 1 to 4 (T.81, B.2.2). A side that libvips cannot open is refused without libvips."""
    sound = bytearray(corpus.jpeg(corpus.photo(48, 32).colourspace("b-w")))
    frame = sound.index(b"\xff\xc0") + 4
    struct.pack_into(">HH", sound, frame + 1, side, side)
    for sampling in range(256):
        sound[frame + 7] = sampling
        is_valid = 1 <= sampling >> 4 <= 4 and 1 <= sampling & 0x0F <= 4
        refusal = SideTooLong if is_valid and side == 0xFFFF else CorruptImage
        with contextlib.nullcontext() if is_valid and refusal is CorruptImage else pytest.raises(refusal):
            render.inspect(bytes(sound), FileLimits())


@pytest.mark.parametrize(
    "filling",
    [
        b"\xff" * LONG,
        *(
            pytest.param(each, marks=pytest.mark.slow)
            for each in (b"\xff" * LONG + b"\x00\x12", b"\xff\xd0" * (LONG // 2))
        ),
    ],
)
@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.timeout(60)
def test_a_long_run_of_padding_takes_no_longer_than_it_is(filling: bytes, *, damaged: bool) -> None:
    """Searched anew from each of its bytes, this one would take hours, and hold up every other thread."""
    tried(_jpeg_with(filling, damaged=damaged))


def test_a_damaged_jpeg_of_countless_restarts_is_refused_before_it_is_made_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jpeg, "MAX_RESTARTS", 10)
    data = _jpeg_with(b"", damaged=True)

    assert not jpeg.has_all_restarts(data, jpeg.read(data))
    with pytest.raises(CorruptImage):
        rendered(data)


def test_a_chunk_of_a_later_edition_is_passed_over() -> None:
    """The reserved bit of its name is set (PNG, 5.4): a decoder should not complain."""
    whole = corpus.png()
    head = len(PNG_SIGNATURE) + 25
    for kind in (b"abcd", b"abcD"):
        foreign = containers.chunk(kind, b"something new")
        for data in (
            (whole[:head] + foreign + whole[head:])[:-18],  # without the end of its pixels
            whole[:head] + foreign * 2 + whole[head:],
            whole[:-12] + foreign + whole[-12:],
            whole[:-12] + foreign,
        ):
            assert difference(opened(variant(data)), opened(variant(whole))) == 0


def test_chunks_of_a_later_edition_are_passed_over_up_to_a_number() -> None:
    whole = corpus.png()
    head = len(PNG_SIGNATURE) + 25
    foreign = containers.chunk(b"abcd", b"")

    assert rendered(whole[:head] + foreign * png.MAX_FOREIGN + whole[head:]).variants
    with pytest.raises(TooManyPieces) as refusal:
        rendered(whole[:head] + foreign * (png.MAX_FOREIGN + 1) + whole[head:])
    assert refusal.value.limit == png.MAX_FOREIGN


def test_what_stands_in_front_of_the_pixels_is_looked_through_once() -> None:
    """A look-up for every frame would take as many steps as there are frames and chunks together."""
    data = hostile.png_of_chunks(apng_of(8, 8, [Part(width=8, height=8, colour=(9, 9, 9, 255))] * 3), 9_000)

    assert len(png.read(data).preamble) == 1
    assert rendered(data).source.frames == 3
