"""Colours that are declared without a profile come out as they were meant, sample by sample."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import pyvips

from processor.pipeline import decode
from processor.pipeline.steps import srgb
from processor.pipeline.steps.srgb import to_srgb
from tests import corpus
from tests.corpus import containers
from tests.unit.processor.pipeline.compare import colour_at, difference, opened, variant

#: Steps of 255 that rounding may cost.
CLOSE = 1.5
GREYS = [(value,) * 3 for value in (0.0, 0.05, 0.1, 0.25, 0.4, 0.5, 0.58, 0.75, 0.9, 1.0)]
MUTED = [(0.5, 0.4, 0.3), (0.3, 0.5, 0.4), (0.4, 0.3, 0.5), (0.7, 0.6, 0.5)]
#: From linear light in Display P3 and BT.2020 to linear light in sRGB (both whites are D65).
P3 = ((1.22494, -0.22494, 0.0), (-0.04206, 1.04206, 0.0), (-0.01964, -0.07864, 1.09827))
BT2020 = ((1.66049, -0.58764, -0.07285), (-0.12455, 1.1329, -0.00835), (-0.01815, -0.10058, 1.11873))
SAME = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
SRGB_CHRM = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
P3_CHRM = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)

Light = Callable[[float], float]


def cicp(primaries: int, transfer: int, matrix: int = 0, full: int = 1) -> tuple[bytes, bytes]:
    return b"cICP", bytes((primaries, transfer, matrix, full))


def gama(value: int) -> tuple[bytes, bytes]:
    return b"gAMA", struct.pack(">I", value)


def chrm(values: tuple[int, ...]) -> tuple[bytes, bytes]:
    return b"cHRM", struct.pack(">8I", *values)


def linear(code: float) -> float:
    return code / 12.92 if code <= 0.04045 else math.pow((code + 0.055) / 1.055, 2.4)


def coded(light: float) -> float:
    light = min(max(light, 0.0), 1.0)
    return 255 * (12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055)


def pq(code: float) -> float:
    """In multiples of white, 203 cd/m²."""
    root = code ** (1 / 78.84375)
    return 10_000 / 203 * math.pow(max(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root), 1 / 0.1593017578125)


def hlg(code: float) -> float:
    """The same, of a grey on a screen of 1,000 cd/m²."""
    scene = code * code / 3 if code <= 0.5 else (math.exp((code - 0.55991073) / 0.17883277) + 0.28466892) / 12
    return 1000 / 203 * math.pow(scene, 1.2)


def expected(pixels: Sequence[Sequence[float]], light: Light, matrix: Sequence[Sequence[float]]) -> list[list[float]]:
    lights = [[light(sample) for sample in pixel] for pixel in pixels]
    return [[coded(sum(a * b for a, b in zip(row, one, strict=True))) for row in matrix] for one in lights]


def decoded(data: bytes) -> pyvips.Image:
    """In sRGB, before any variant is made of it."""
    return to_srgb(decode.load(data, decode.probe(data), lambda image: image, lambda: None, strict=True)).copy_memory()


def shown(data: bytes) -> list[list[float]]:
    image = decoded(data)
    assert image.format == "uchar"
    return [colour_at(image, x, 0) for x in range(image.width)]


def samples_of(image: pyvips.Image) -> bytes:
    return bytes(image.write_to_memory())


def assert_close(found: Sequence[Sequence[float]], wanted: Sequence[Sequence[float]]) -> None:
    for have, want in zip(found, wanted, strict=True):
        assert have == pytest.approx(want, abs=CLOSE)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize(
    ("chunks", "light", "matrix"),
    [
        ([cicp(12, 13)], linear, P3),
        ([cicp(9, 13)], linear, BT2020),
        ([cicp(1, 1)], lambda code: code**2.4, SAME),
        ([cicp(9, 14)], lambda code: code**2.4, BT2020),
        ([cicp(1, 8)], lambda code: code, SAME),
        ([cicp(1, 4)], lambda code: code**2.2, SAME),
        ([gama(100_000)], lambda code: code, SAME),
        ([gama(55_556)], lambda code: code**1.8, SAME),
        ([gama(45_455), chrm(SRGB_CHRM)], lambda code: code**2.2, SAME),
        ([gama(100_000), chrm(P3_CHRM)], lambda code: code, P3),
    ],
    ids=["p3", "bt2020", "bt709", "bt2020-14", "linear", "gamma-2.2", "gama-1", "gama-1.8", "gama-chrm", "gama-p3"],
)
def test_declared_colours_are_computed(
    chunks: list[tuple[bytes, bytes]], light: Light, matrix: Sequence[Sequence[float]], *, wide: bool
) -> None:
    data = containers.png_of_pixels(GREYS + MUTED, *chunks, wide=wide)

    assert_close(shown(data), expected(GREYS + MUTED, light, matrix))


@pytest.mark.parametrize(
    "chunks",
    [[gama(45_455)], [chrm(P3_CHRM)], [(b"sRGB", b"\x00"), gama(100_000)], [gama(0)], [gama(4_000_000_000)]],
    ids=["usual-gamma", "chrm-alone", "srgb-first", "no-gamma", "absurd-gamma"],
)
def test_what_means_srgb_stays_as_it_is(chunks: list[tuple[bytes, bytes]]) -> None:
    assert shown(containers.png_of_pixels(GREYS + MUTED, *chunks)) == shown(containers.png_of_pixels(GREYS + MUTED))


@pytest.mark.parametrize("curve", [(16, pq), (18, hlg)], ids=["pq", "hlg"])
def test_hdr_is_as_bright_as_a_screen_without_it_can_show(curve: tuple[int, Light]) -> None:
    transfer, light = curve
    greys = shown(containers.png_of_pixels(GREYS, cicp(9, transfer), wide=True))

    half = [[value for value in GREYS[place] if light(value) <= 1] for place in range(len(GREYS))]
    for place, values in enumerate(half):
        if values:  # up to white, half the light
            assert greys[place] == pytest.approx([coded(0.5 * light(values[0]))] * 3, abs=CLOSE)
    levels = [grey[0] for grey in greys]
    assert levels == sorted(levels)
    assert levels[-1] == 255
    assert all(max(grey) - min(grey) <= 1 for grey in greys)


@pytest.mark.parametrize("transfer", [16, 18])
def test_hdr_keeps_its_colours(transfer: int) -> None:
    red, green, blue = shown(
        containers.png_of_pixels([(0.5, 0.3, 0.3), (0.3, 0.5, 0.3), (0.3, 0.3, 0.5)], cicp(9, transfer))
    )

    assert red[0] > 1.6 * max(red[1:])
    assert green[1] > 1.6 * max(green[0], green[2])
    assert blue[2] > 1.6 * max(blue[:2])


def test_a_picture_that_is_not_so_bright_is_not_taken_down_so_far() -> None:
    levels = (b"cLLI", struct.pack(">II", 400 * 10_000, 200 * 10_000))
    told, untold = (containers.png_of_pixels(GREYS, cicp(9, 16), *more, wide=True) for more in ([levels], []))

    assert all(dim[0] >= 0.9 * bright[0] for bright, dim in zip(shown(untold), shown(told), strict=True))
    assert shown(told)[5][0] > shown(untold)[5][0] + 20


def test_narrow_range_is_stretched() -> None:
    data = containers.png_of_pixels([(16 / 255,) * 3, (235 / 255,) * 3, (0.0,) * 3], cicp(1, 13, full=0))

    assert shown(data) == [[0, 0, 0], [255, 255, 255], [0, 0, 0]]


@pytest.mark.parametrize("bands", [1, 2])
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("chunk", [gama(100_000), cicp(12, 8), cicp(9, 16)], ids=["gama", "cicp", "pq"])
def test_grey_pictures_are_converted_and_stay_grey(bands: int, chunk: tuple[bytes, bytes], *, wide: bool) -> None:
    grey = containers.png_of_pixels([pixel[:1] + (0.5,) * (bands - 1) for pixel in GREYS], chunk, wide=wide)
    colour = containers.png_of_pixels(GREYS, chunk, wide=wide)

    found = shown(grey)

    assert_close([pixel[:1] for pixel in found], [pixel[:1] for pixel in shown(colour)])
    assert all(127 <= pixel[1] <= 128 for pixel in found if bands > 1)


@pytest.mark.parametrize("wide", [False, True])
def test_alpha_is_no_light(*, wide: bool) -> None:
    data = containers.png_of_pixels([(0.5, 0.5, 0.5, alpha) for alpha in (0.0, 0.25, 1.0)], gama(100_000), wide=wide)

    assert [pixel[3] for pixel in shown(data)] == pytest.approx([0, 64, 255], abs=1)


@pytest.mark.parametrize("options", [{"palette": True}, {"interlace": True}, {"bitdepth": 8}])
def test_palettes_and_interlacing_make_no_difference(options: dict[str, Any]) -> None:
    picture = corpus.quarters()
    chunks = containers.png_chunks(corpus.png(picture, keep="none", **options))
    data = corpus.animations.png_of_chunks([chunks[0], gama(100_000), *chunks[1:]])

    for x, y in ((5, 5), (90, 5), (5, 60), (90, 60)):
        stored = [sample / 255 for sample in colour_at(picture, x, y)]
        assert colour_at(decoded(data), x, y)[:3] == pytest.approx([coded(sample) for sample in stored], abs=4)


def _p3_profile() -> tuple[bytes, bytes]:
    chunks = dict(containers.png_chunks(corpus.png(corpus.flat(4, 4, (9, 9, 9)), profile="p3")))
    return b"iCCP", chunks[b"iCCP"]


def _foreign_profile(space: bytes, tags: bytes | None = None) -> tuple[bytes, bytes]:
    """The profile of Display P3 in a sound chunk, but of another colour space or with nonsense for its tags."""
    _, body = _p3_profile()
    name, packed = body.split(b"\x00\x00", 1)
    profile = bytearray(zlib.decompress(packed))
    profile[16:20] = space
    if tags is not None:
        profile[128:] = (tags * len(profile))[: len(profile) - 128]
    return b"iCCP", name + b"\x00\x00" + zlib.compress(bytes(profile))


def test_each_declaration_gives_way_to_the_one_above_it() -> None:
    """cICP, then a profile, then sRGB, then gAMA and cHRM."""
    profile, srgb, gamma = _p3_profile(), (b"sRGB", b"\x00"), gama(100_000)
    p3 = shown(containers.png_of_pixels(MUTED, profile))
    plain = shown(containers.png_of_pixels(MUTED))

    assert shown(containers.png_of_pixels(MUTED, cicp(1, 8), profile, srgb)) == shown(
        containers.png_of_pixels(MUTED, gamma)
    )
    assert shown(containers.png_of_pixels(MUTED, profile, gamma)) == p3 != plain
    assert shown(containers.png_of_pixels(MUTED, srgb, gamma)) == plain


def _broken(png: bytes, kind: bytes) -> bytes:
    """The PNG with a wrong checksum on a chunk."""
    at = png.index(kind) + 4 + int.from_bytes(png[png.index(kind) - 4 : png.index(kind)], "big")
    return png[:at] + bytes([png[at] ^ 0xFF]) + png[at + 1 :]


@pytest.mark.parametrize(
    "broken",
    [
        lambda: _broken(containers.png_of_pixels(MUTED, cicp(12, 13), gama(100_000)), b"cICP"),
        lambda: containers.png_of_pixels(MUTED, cicp(12, 13, matrix=1), gama(100_000)),
        lambda: containers.png_of_pixels(MUTED, cicp(77, 13), gama(100_000)),
        lambda: containers.png_of_pixels(MUTED, cicp(1, 77), gama(100_000)),
        lambda: containers.png_of_pixels(MUTED, (b"cICP", b"\x0c\x0d\x00"), gama(100_000)),
        lambda: containers.png_of_pixels(MUTED, (b"iCCP", _p3_profile()[1][:-40]), gama(100_000)),
        lambda: containers.png_of_pixels(MUTED, (b"iCCP", b"nonsense"), gama(100_000)),
        lambda: containers.png_of_pixels(MUTED, _foreign_profile(b"GRAY"), gama(100_000)),
        lambda: containers.png_of_pixels(MUTED, _foreign_profile(b"RGB ", b"nonsense"), gama(100_000)),
        lambda: _broken(containers.png_of_pixels(MUTED, (b"sRGB", b"\x00"), gama(100_000)), b"sRGB"),
        lambda: containers.png_of_pixels(MUTED, (b"sRGB", b"\x04"), gama(100_000)),
        lambda: containers.png_of_pixels(MUTED, (b"sRGB", b"\x00\x00"), gama(100_000)),
        lambda: containers.png_of_pixels(MUTED, gama(100_000), chrm((0,) * 8)),
        lambda: containers.png_of_pixels(MUTED, gama(100_000), chrm((31270, 32900) * 4)),
        lambda: _broken(containers.png_of_pixels(MUTED, gama(100_000), chrm(P3_CHRM)), b"cHRM"),
    ],
    ids=[
        "cicp-checksum",
        "cicp-matrix",
        "cicp-primaries",
        "cicp-transfer",
        "cicp-short",
        "iccp-cut",
        "iccp-nonsense",
        "iccp-of-grey",
        "iccp-of-nothing",
        "srgb-checksum",
        "srgb-intent",
        "srgb-long",
        "chrm-zeros",
        "chrm-one-point",
        "chrm-checksum",
    ],
)
def test_what_is_broken_gives_way_to_the_next(broken: Callable[[], bytes]) -> None:
    assert shown(broken()) == shown(containers.png_of_pixels(MUTED, gama(100_000)))


def test_a_profile_whose_own_checksum_holds_is_used_whatever_its_chunk_says() -> None:
    assert shown(_broken(containers.png_of_pixels(MUTED, _p3_profile()), b"iCCP")) == shown(
        containers.png_of_pixels(MUTED, _p3_profile())
    )


def test_the_variants_show_declared_colours() -> None:
    picture = corpus.photo(160, 120)
    chunks = containers.png_chunks(corpus.png(picture.icc_transform("p3", input_profile="srgb"), keep="none"))
    data = corpus.animations.png_of_chunks([chunks[0], cicp(12, 13), *chunks[1:]])

    assert difference(opened(variant(data)), picture) < 2.0


def test_cameras_declare_adobe_rgb_by_a_name_in_their_exif_block() -> None:
    """DCF 2.0: the index of interoperability is "R03"."""
    stored = corpus.flat(32, 32, (150, 110, 90))
    light = [(sample / 255) ** (563 / 256) for sample in (150, 110, 90)]
    matrix = ((1.39836, -0.39836, 0.0), (0.0, 1.0, 0.0), (0.0, -0.04293, 1.04293))
    data = containers.jpeg_with_segment(
        corpus.jpeg(stored, quality=100, keep="none"), 0xE1, b"Exif\x00\x00" + containers.exif_of_adobe_rgb()
    )

    image = decoded(data)

    assert colour_at(image, 9, 9) == pytest.approx(
        [coded(sum(a * b for a, b in zip(row, light, strict=True))) for row in matrix], abs=2.5
    )
    assert colour_at(decoded(corpus.jpeg(stored, quality=100)), 9, 9) == pytest.approx([150, 110, 90], abs=2)


def _srgb_profile() -> bytes:
    converted = corpus.flat(4, 4, (9, 9, 9)).icc_transform("srgb", input_profile="srgb")
    return bytes(converted.get("icc-profile-data"))


def _with_profile(pixels: Sequence[Sequence[float]], profile: bytes, *, wide: bool = False) -> bytes:
    chunk = b"iCCP", b"its name\x00\x00" + zlib.compress(profile)
    return containers.png_of_pixels(pixels, chunk, wide=wide)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("alpha", [False, True])
def test_a_profile_of_srgb_changes_no_sample_and_is_left_behind(*, wide: bool, alpha: bool) -> None:
    pixels = [(*pixel, 0.6) if alpha else pixel for pixel in GREYS + MUTED]

    with_it = decoded(_with_profile(pixels, _srgb_profile(), wide=wide))
    assert samples_of(with_it) == samples_of(decoded(containers.png_of_pixels(pixels, wide=wide)))
    assert not with_it.get_typeof("icc-profile-data")


def test_a_profile_with_the_colours_of_srgb_and_another_curve_is_used() -> None:
    profile = bytearray(_srgb_profile())
    curve = b"para" + bytes(4)
    assert curve in profile
    for at in range(len(profile)):
        if profile.startswith(curve, at):  # ICC.1:2010, 10.16: function 0 has one parameter, gamma
            profile[at + 8 : at + 16] = struct.pack(">HHi", 0, 0, round(2.2 * 65_536))

    assert_close(
        shown(_with_profile(GREYS + MUTED, bytes(profile))), expected(GREYS + MUTED, lambda code: code**2.2, SAME)
    )


def test_a_profile_that_was_used_before_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    data = containers.png_of_pixels(MUTED, _p3_profile())
    once = shown(data)
    tried: list[bytes] = []
    monkeypatch.setattr(srgb, "_imported", lambda _, profile: tried.append(profile))

    assert shown(data) == once
    assert tried == []


def test_a_profile_counts_more_than_a_name_in_exif() -> None:
    picture = corpus.flat(32, 32, (150, 110, 90))
    data = containers.jpeg_with_segment(corpus.p3_jpeg(picture), 0xE1, b"Exif\x00\x00" + containers.exif_of_adobe_rgb())

    assert difference(opened(variant(data)), picture) < 2.0


@pytest.mark.parametrize("profile", [True, False])
def test_inks_are_inverted_with_and_without_adobe_s_mark(*, profile: bool) -> None:
    """As in browsers: nobody writes the other kind."""
    marked = corpus.cmyk_jpeg(corpus.flat(32, 32, (150, 110, 90)), profile=profile)
    at = marked.index(b"\xff\xee")
    unmarked = marked[:at] + marked[at + 2 + int.from_bytes(marked[at + 2 : at + 4], "big") :]

    assert (
        colour_at(decoded(unmarked), 9, 9) == colour_at(decoded(marked), 9, 9) == pytest.approx([150, 110, 90], abs=12)
    )


def test_adobe_s_mark_tells_plain_rgb_from_ycc() -> None:
    """Transform 0 and three components: the samples are red, green and blue themselves."""
    data = corpus.jpeg(corpus.flat(32, 32, (150, 110, 90)), quality=100, keep="none")
    rgb = containers.jpeg_with_segment(data, 0xEE, b"Adobe\x00\x64\x00\x00\x00\x00\x00")

    luma = 0.299 * 150 + 0.587 * 110 + 0.114 * 90
    blue, red = 128 + (90 - luma) / 1.772, 128 + (150 - luma) / 1.402
    assert colour_at(decoded(rgb), 9, 9) == pytest.approx([luma, blue, red], abs=2)
