"""GIF and APNG look frame by frame as browsers show them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest

from processor.errors import CorruptImage, TooManyFrames, TooManyPixels
from processor.pipeline import render
from processor.pipeline.decode import probe
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.origin import Origin
from processor.recipes import STANDARD
from tests import corpus
from tests.corpus.animations import (
    APNG_BACKGROUND,
    APNG_KEEP,
    APNG_PREVIOUS,
    BACKGROUND,
    KEEP,
    OVER,
    PREVIOUS,
    Part,
    apng_chunks,
    apng_of,
    gif_of,
    png_of_chunks,
)
from tests.unit.processor.pipeline.compare import colour_at, opened, rendered, variant

RED, GREEN, BLUE, CLEAR = [255, 0, 0, 255], [0, 255, 0, 255], [0, 0, 255, 255], [0, 0, 0, 0]
#: The corners of a screen of this size that the tests look at, in reading order.
SIDE = 32
CORNERS = ((4, 4), (SIDE - 5, 4), (4, SIDE - 5), (SIDE - 5, SIDE - 5))
HALF = SIDE // 2


def whole(colour: int | tuple[int, ...], **more: Any) -> Part:
    return Part(width=SIDE, height=SIDE, colour=colour, **more)


def corner(colour: int | tuple[int, ...], place: int = 0, **more: Any) -> Part:
    """A quarter of the screen."""
    return Part(left=HALF * (place % 2), top=HALF * (place // 2), width=HALF, height=HALF, colour=colour, **more)


def screens(data: bytes) -> list[list[list[float]]]:
    """The colours of the corners, frame by frame, of what was decoded and not yet encoded."""
    info = render.inspect(data, FileLimits())
    deadline = Deadline(60)
    deadline.start()
    roll = render._prepare(data, info, Origin(data, info.format, STANDARD), deadline)
    solid = roll if roll.hasalpha() else roll.bandjoin(255)
    return [[colour_at(solid, x, SIDE * number + y) for x, y in CORNERS] for number in range(info.frames)]


def test_a_first_frame_that_does_not_cover_the_screen_leaves_the_rest_transparent() -> None:
    data = gif_of(SIDE, SIDE, [corner(1), corner(2, 3)])

    assert probe(data).has_alpha
    assert screens(data) == [[GREEN, CLEAR, CLEAR, CLEAR], [GREEN, CLEAR, CLEAR, BLUE]]


def test_a_still_that_does_not_cover_its_screen_is_transparent_around() -> None:
    assert screens(gif_of(SIDE, SIDE, [corner(1, 1)])) == [[CLEAR, GREEN, CLEAR, CLEAR]]


def test_every_variant_keeps_the_uncovered_part_transparent() -> None:
    for output in rendered(gif_of(SIDE * 10, SIDE * 10, [corner(1), whole(2)])).variants:
        assert colour_at(opened(output), output.width - 1, output.height - 1)[3] == 0


def test_a_gif_whose_frames_cover_the_screen_has_no_alpha() -> None:
    data = gif_of(SIDE, SIDE, [whole(1), corner(2)])

    assert not probe(data).has_alpha
    assert rendered(data).variants
    assert screens(data) == [[GREEN] * 4, [BLUE, GREEN, GREEN, GREEN]]


@pytest.mark.parametrize(
    ("dispose", "second"),
    [
        (0, [GREEN, GREEN, BLUE, GREEN]),
        (KEEP, [GREEN, GREEN, BLUE, GREEN]),
        (BACKGROUND, [CLEAR, GREEN, BLUE, GREEN]),
        (PREVIOUS, [RED, GREEN, BLUE, GREEN]),
        (4, [RED, GREEN, BLUE, GREEN]),
        (7, [GREEN, GREEN, BLUE, GREEN]),
    ],
)
def test_a_frame_of_a_gif_leaves_what_its_disposal_says(dispose: int, second: list[list[int]]) -> None:
    """Above a green screen, a frame in the corner; the background colour, which is red, never shows."""
    data = gif_of(SIDE, SIDE, [whole(1), corner(0), corner(1, dispose=dispose), corner(2, 2)])

    found = screens(data)

    assert found[2] == [GREEN] * 4
    assert found[3] == second


def test_transparent_pixels_of_a_gif_show_what_is_below() -> None:
    data = gif_of(SIDE, SIDE, [corner(1), whole(2, transparent=2), whole(0, transparent=2)])

    assert screens(data) == [[GREEN, CLEAR, CLEAR, CLEAR], [GREEN, CLEAR, CLEAR, CLEAR], [RED] * 4]


@pytest.mark.parametrize("size", [(640, 480), (800, 600), (2100, 40)])
def test_screens_of_any_size_are_believed(size: tuple[int, int]) -> None:
    info = probe(gif_of(*size, [corner(1)]))

    assert (info.width, info.height) == size


def test_a_first_frame_enlarges_the_screen_and_a_later_one_is_clipped() -> None:
    data = gif_of(8, 8, [whole(1), Part(left=HALF, top=HALF, width=4 * SIDE, height=4 * SIDE, colour=2)])

    assert (probe(data).width, probe(data).height) == (SIDE, SIDE)
    assert screens(data) == [[GREEN] * 4, [GREEN, GREEN, GREEN, BLUE]]


def test_a_frame_outside_of_the_screen_or_without_a_size_draws_nothing() -> None:
    outside = Part(left=5 * SIDE, top=0, width=4, height=4, colour=2)
    empty = Part(width=0, height=0, colour=2)

    assert screens(gif_of(SIDE, SIDE, [whole(1), outside, empty])) == [[GREEN] * 4] * 3


def test_a_later_frame_however_large_takes_no_more_than_the_screen() -> None:
    data = gif_of(SIDE, SIDE, [whole(1), Part(width=65_535, height=65_535, colour=2)], pixels=4 * SIDE * SIDE)

    with pytest.raises(CorruptImage):  # its pixels are not there, but the attempt is cheap
        rendered(data)


@pytest.mark.parametrize(("repeats", "loop"), [(None, 1), (0, 0), (1, 2), (3, 4)])
def test_a_gif_plays_once_more_than_it_says_that_it_is_repeated(repeats: int | None, loop: int) -> None:
    image = opened(variant(gif_of(SIDE, SIDE, [whole(1, delay=7), whole(2, delay=0)], repeats=repeats)))

    assert image.get("loop") == loop
    assert image.get("delay")[0] == 70


@pytest.mark.parametrize("count", [SIDE * SIDE - 1, SIDE * SIDE // 2, 0])
@pytest.mark.parametrize("transparent", [None, 3])
def test_a_frame_of_a_gif_that_lost_pixels_is_refused_although_its_blocks_are_whole(
    count: int, transparent: int | None
) -> None:
    with pytest.raises(CorruptImage):
        rendered(gif_of(SIDE, SIDE, [whole(1), whole(2, transparent=transparent)], pixels=count))


def test_an_apng_is_animated_in_every_variant() -> None:
    parts = [
        Part(width=400, height=340, colour=(40 + 60 * number, 80, 90, 255), delay=10 + number) for number in range(3)
    ]
    result = rendered(apng_of(400, 340, parts, plays=5))

    assert (result.source.format, result.source.frames) == ("png", 3)
    assert (result.variants[0].width, result.variants[0].height) == (300, 255)
    for output in result.variants:
        image = opened(output)
        assert (image.get("n-pages"), image.get("delay"), image.get("loop")) == (3, [100, 110, 120], 5)
        reds = [colour_at(image, 5, 5 + number * output.height)[0] for number in range(3)]
        assert reds == pytest.approx([40, 100, 160], abs=5)


def test_a_default_image_that_is_no_frame_is_not_shown() -> None:
    data = apng_of(SIDE, SIDE, [whole((0, 255, 0, 255)), whole((0, 0, 255, 255))], hidden=(255, 0, 0, 255))

    assert screens(data) == [[GREEN] * 4, [BLUE] * 4]


def test_an_apng_of_one_frame_is_a_still_of_that_frame() -> None:
    data = apng_of(SIDE, SIDE, [corner((0, 255, 0, 255))], hidden=(255, 0, 0, 255))

    assert screens(data) == [[GREEN, CLEAR, CLEAR, CLEAR]]
    assert not opened(variant(data)).get_typeof("delay")


@pytest.mark.parametrize(
    ("dispose", "second"),
    [
        (APNG_KEEP, [RED, GREEN, BLUE, GREEN]),
        (APNG_BACKGROUND, [CLEAR, GREEN, BLUE, GREEN]),
        (APNG_PREVIOUS, [GREEN, GREEN, BLUE, GREEN]),
    ],
)
def test_a_frame_of_an_apng_leaves_what_its_disposal_says(dispose: int, second: list[list[int]]) -> None:
    parts = [whole((0, 255, 0, 255)), corner((255, 0, 0, 255), dispose=dispose)]
    data = apng_of(SIDE, SIDE, [*parts, corner((0, 0, 255, 255), 2)])

    assert screens(data) == [[GREEN] * 4, [RED, GREEN, GREEN, GREEN], second]


def test_an_apng_blends_over_what_is_there_or_takes_its_place() -> None:
    half = (255, 0, 0, 128)
    parts = [whole((0, 255, 0, 255)), corner(half, blend=OVER), corner(half, 1)]

    _, over, source = screens(apng_of(SIDE, SIDE, parts))

    assert over[0] == pytest.approx([128, 127, 0, 255], abs=1)
    assert source[1] == [255, 0, 0, 128]


def test_an_apng_is_drawn_in_the_colours_that_it_declares() -> None:
    gamma = [(b"gAMA", struct.pack(">I", 100_000))]
    data = apng_of(SIDE, SIDE, [whole((128, 128, 128, 255)), corner((10, 10, 10, 255))], before=gamma)

    first, second = screens(data)

    assert first[0] == pytest.approx([188, 188, 188, 255], abs=1)
    assert second[0] == pytest.approx([56, 56, 56, 255], abs=1)


def test_an_apng_is_drawn_through_its_profile() -> None:
    chunks = dict(corpus.containers.png_chunks(corpus.png(corpus.flat(4, 4, (9, 9, 9)), profile="p3")))
    parts = [whole((200, 90, 90, 255)), corner((90, 200, 90, 255))]
    data = apng_of(SIDE, SIDE, parts, before=[(b"iCCP", chunks[b"iCCP"])])
    declared = apng_of(SIDE, SIDE, parts, before=[(b"cICP", b"\x0c\x0d\x00\x01")])

    assert screens(data)[1] != screens(apng_of(SIDE, SIDE, parts))[1]
    for through_profile, by_number in zip(screens(data), screens(declared), strict=True):
        for one, other in zip(through_profile, by_number, strict=True):
            assert one == pytest.approx(other, abs=2)


def test_a_delay_without_a_denominator_counts_hundredths() -> None:
    chunks = apng_chunks(SIDE, SIDE, [whole((9, 9, 9, 255)), whole((200, 8, 8, 255))])
    undivided = [
        (kind, body[:20] + struct.pack(">HH", 7, 0) + body[24:] if kind == b"fcTL" else body) for kind, body in chunks
    ]

    assert opened(variant(png_of_chunks(undivided))).get("delay") == [70, 70]


@pytest.mark.parametrize("plays", [0xFFFF, 0x10000, 0xFFFFFFFF])
def test_more_plays_and_longer_delays_than_webp_can_express_are_as_many_as_it_can(plays: int) -> None:
    chunks = apng_chunks(SIDE, SIDE, [whole((9, 9, 9, 255)), whole((200, 8, 8, 255))], plays=plays)
    slow = [
        (kind, body[:20] + struct.pack(">HH", 0xFFFF, 1) + body[24:] if kind == b"fcTL" else body)
        for kind, body in chunks
    ]

    image = opened(variant(png_of_chunks(slow)))

    assert image.get("loop") == 0xFFFF
    assert image.get("delay") == [0xFFFFFF] * 2


def test_a_gif_repeated_as_often_as_can_be_plays_as_often_as_can_be() -> None:
    assert opened(variant(gif_of(SIDE, SIDE, [whole(1), whole(2)], repeats=0xFFFF))).get("loop") == 0xFFFF


def test_limits_count_the_frames_of_an_apng_before_any_is_decoded() -> None:
    parts = [whole((9, 9, 9, 255))] * 4

    with pytest.raises(TooManyFrames) as frames:
        render.inspect(apng_of(SIDE, SIDE, parts), FileLimits(max_frames=3))
    with pytest.raises(TooManyPixels) as pixels:
        render.inspect(apng_of(SIDE, SIDE, parts), FileLimits(max_pixels=4 * SIDE * SIDE - 1))
    with pytest.raises(TooManyFrames) as told:
        render.inspect(apng_of(SIDE, SIDE, parts, told=2_000_000_000), FileLimits())

    assert (frames.value.limit, frames.value.actual) == (3, 4)
    assert (pixels.value.limit, pixels.value.actual) == (4 * SIDE * SIDE - 1, 4 * SIDE * SIDE)
    assert told.value.actual == 2_000_000_000


def _damaged(kind: str) -> list[tuple[bytes, bytes]]:
    chunks = apng_chunks(SIDE, SIDE, [whole((9, 99, 9, 255)), corner((99, 9, 9, 255)), corner((9, 9, 99, 255))])
    controls = [place for place, (name, _) in enumerate(chunks) if name == b"fcTL"]
    data = [place for place, (name, _) in enumerate(chunks) if name == b"fdAT"]
    name, body = chunks[controls[1]]
    changed: dict[str, Callable[[], list[tuple[bytes, bytes]]]] = {
        "a frame less than told": lambda: chunks[: controls[2]] + chunks[-1:],
        "a number twice": lambda: [
            *chunks[: controls[1]],
            (name, b"\x00\x00\x00\x00" + body[4:]),
            *chunks[controls[1] + 1 :],
        ],
        "frames in another order": lambda: [
            *chunks[: controls[1]],
            *chunks[controls[2] : -1],
            *chunks[controls[1] : controls[2]],
            chunks[-1],
        ],
        "no data": lambda: [chunk for place, chunk in enumerate(chunks) if place not in data[-2:]],
        "half of the data": lambda: [chunk for place, chunk in enumerate(chunks) if place != data[-1]],
        "data before its frame": lambda: [
            *chunks[: controls[1]],
            chunks[data[0]],
            chunks[controls[1]],
            *chunks[data[0] + 1 :],
        ],
        "a frame outside of the screen": lambda: [
            *chunks[: controls[1]],
            (name, body[:12] + struct.pack(">I", SIDE) + body[16:]),
            *chunks[controls[1] + 1 :],
        ],
        "a frame without a size": lambda: [
            *chunks[: controls[1]],
            (name, body[:4] + bytes(4) + body[8:]),
            *chunks[controls[1] + 1 :],
        ],
        "a disposal that nobody knows": lambda: [
            *chunks[: controls[1]],
            (name, body[:24] + b"\x03\x00"),
            *chunks[controls[1] + 1 :],
        ],
        "a control that is too short": lambda: [
            *chunks[: controls[1]],
            (name, body[:-1]),
            *chunks[controls[1] + 1 :],
        ],
        "a first frame that is not the screen's": lambda: [
            *chunks[: controls[0]],
            (name, chunks[controls[0]][1][:4] + struct.pack(">I", HALF) + chunks[controls[0]][1][8:]),
            *chunks[controls[0] + 1 :],
        ],
    }
    return changed[kind]()


@pytest.mark.parametrize(
    "kind",
    [
        "a frame less than told",
        "a number twice",
        "frames in another order",
        "no data",
        "half of the data",
        "data before its frame",
        "a frame outside of the screen",
        "a frame without a size",
        "a disposal that nobody knows",
        "a control that is too short",
        "a first frame that is not the screen's",
    ],
)
def test_a_damaged_animation_is_refused(kind: str) -> None:
    with pytest.raises(CorruptImage):
        rendered(png_of_chunks(_damaged(kind)))


@pytest.mark.parametrize("name", [b"fcTL", b"fdAT", b"IDAT"])
def test_a_wrong_checksum_in_an_animation_is_damage(name: bytes) -> None:
    data = apng_of(SIDE, SIDE, [whole((9, 99, 9, 255)), corner((99, 9, 9, 255))])
    at = data.rindex(name) - 4
    checksum = at + 8 + int.from_bytes(data[at : at + 4], "big")

    with pytest.raises(CorruptImage):
        rendered(data[:checksum] + bytes([data[checksum] ^ 1]) + data[checksum + 1 :])


@pytest.mark.parametrize(
    "kind",
    ["no frames", "too many to count", "short", "checksum", "behind the pixels", "no frame", "first frame damaged"],
)
def test_an_animation_that_is_broken_before_it_begins_is_a_still(kind: str) -> None:
    """As the specification has it: whoever cannot read acTL sees the default image."""
    chunks = apng_chunks(SIDE, SIDE, [whole((0, 0, 255, 255)), whole((0, 255, 0, 255))])
    place = [name for name, _ in chunks].index(b"acTL")
    if kind == "no frames":
        chunks[place] = (b"acTL", struct.pack(">II", 0, 0))
    elif kind == "too many to count":
        chunks[place] = (b"acTL", struct.pack(">II", 2**31, 0))
    elif kind == "no frame":
        chunks = [entry for entry in chunks if entry[0] not in (b"fcTL", b"fdAT")]
    elif kind == "short":
        chunks[place] = (b"acTL", b"\x00\x00\x00\x02")
    elif kind == "behind the pixels":
        chunks.insert(-1, chunks.pop(place))
    data = png_of_chunks(chunks)
    damaged = {"checksum": (b"acTL", 8), "first frame damaged": (b"fcTL", 26)}
    if kind in damaged:
        name, size = damaged[kind]
        at = data.index(name) + len(name) + size
        data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]

    assert screens(data) == [[BLUE] * 4]


def test_more_frames_than_told_are_all_shown() -> None:
    data = apng_of(SIDE, SIDE, [whole((0, 0, 255, 255)), whole((0, 255, 0, 255))], told=1)

    assert screens(data) == [[BLUE] * 4, [GREEN] * 4]


@pytest.mark.parametrize("orientation", [1, 6])
def test_an_apng_is_turned_as_its_exif_block_says(orientation: int) -> None:
    exif = [(b"eXIf", corpus.containers.exif(orientation))]
    data = apng_of(SIDE, SIDE, [whole((0, 0, 255, 255)), corner((0, 255, 0, 255))], before=exif)

    place = 1 if orientation == 6 else 0
    assert screens(data)[1] == [GREEN if number == place else BLUE for number in range(4)]


def test_frames_of_an_apng_may_have_sixteen_bits_and_a_palette() -> None:
    """A default image and its IDAT, made a frame by hand."""
    for options in ({"palette": True}, {"bitdepth": 16}):
        picture = corpus.quarters(SIDE, SIDE)
        picture = picture.colourspace("rgb16") if "bitdepth" in options else picture
        chunks = corpus.containers.png_chunks(corpus.png(picture, keep="none", **options))
        place = next(place for place, (name, _) in enumerate(chunks) if name == b"IDAT")
        pixels = b"".join(body for name, body in chunks if name == b"IDAT")
        control = struct.pack(">IIIIIHHBB", 0, SIDE, SIDE, 0, 0, 1, 10, 0, 0)
        again = struct.pack(">I", 1) + control[4:]
        frame = struct.pack(">I", 2) + pixels
        data = png_of_chunks(
            [
                *chunks[:place],
                (b"acTL", struct.pack(">II", 2, 0)),
                (b"fcTL", control),
                (b"IDAT", pixels),
                (b"fcTL", again),
                (b"fdAT", frame),
                (b"IEND", b""),
            ]
        )

        for frame_colours in screens(data):
            for found, (x, y) in zip(frame_colours, CORNERS, strict=True):
                assert found[:3] == pytest.approx(colour_at(corpus.quarters(SIDE, SIDE), x, y), abs=4)


def test_an_animation_whose_pixels_are_packed_under_too_small_a_window_is_shown() -> None:
    parts = [whole((0, 0, 255, 255)), whole((0, 255, 0, 255))]
    plain = apng_chunks(SIDE, SIDE, parts)
    tiny = [(name, body[:4] + b"\x08\x1d" + body[6:] if body[4:5] == b"\x78" else body) for name, body in plain]
    assert tiny != plain

    assert screens(png_of_chunks(tiny)) == [[BLUE] * 4, [GREEN] * 4]


def test_a_pixel_may_name_a_colour_that_the_table_does_not_have() -> None:
    """It is transparent when it is said to be so, which is why files have it, and else black, as in browsers."""
    few = gif_of(SIDE, SIDE, [whole(0), corner(2, 3, transparent=2)])
    table = 13, 13 + 3 * 4
    short = few[:10] + b"\x80" + few[11 : table[0]] + few[table[0] : table[0] + 6] + few[table[1] :]

    assert screens(short) == [[RED] * 4] * 2
    opaque = gif_of(SIDE, SIDE, [whole(0), corner(2, 3)])
    short = opaque[:10] + b"\x80" + opaque[11 : table[0] + 6] + opaque[table[1] :]
    assert screens(short)[1] == [RED, RED, RED, [0, 0, 0, 255]]


def test_a_table_of_its_own_goes_before_that_of_the_screen() -> None:
    data = gif_of(SIDE, SIDE, [whole(1)])
    at = data.index(b"\x2c") + 9
    own = data[:at] + b"\x80" + bytes((9, 9, 9, 0, 0, 255)) + data[at + 1 :]

    assert screens(own) == [[BLUE] * 4]


def test_a_frame_without_colours_or_with_codes_that_cannot_be_is_damaged() -> None:
    data = gif_of(SIDE, SIDE, [whole(1)])
    codes = data.index(b"\x2c") + 10
    colourless = data[:10] + b"\x00" + data[11:13] + data[25:]

    for damaged in (colourless, data[:codes] + b"\x00" + data[codes + 1 :], data[:codes] + b"\x0c" + data[codes + 1 :]):
        with pytest.raises(CorruptImage):
            rendered(damaged)
