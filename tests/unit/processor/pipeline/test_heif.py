"""AVIF and HEIC: the still that is meant is shown, upright, whole, and alone."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
import pyvips
from PIL import Image

from processor.errors import CorruptImage, ImageRejected, TooManyPixels, UnsupportedFormat
from processor.formats import AVIF, HEIC
from processor.pipeline import decode
from processor.pipeline.estimate import working_bytes
from processor.pipeline.limits import FileLimits
from tests import corpus
from tests.corpus import containers, heif
from tests.unit.processor.pipeline.compare import FINE, colour_at, difference, opened, rendered, variant
from tests.unit.processor.pipeline.test_colours import BT2020, P3, decoded, expected, linear, shown

Code = Callable[..., heif.Item]
#: Mean absolute difference that a lossy encoder may leave.
LOSSY = 3.0
#: Steps of 255 that coding one colour may cost.
CLOSE = 2.5

BOTH = pytest.mark.parametrize("code", [heif.av1, heif.hevc1], ids=["avif", "heic"])


def patches(colours: Sequence[Sequence[float]], *, wide: bool = False) -> pyvips.Image:
    """Squares side by side, their samples given as 0 to 1."""
    top = 65_535 if wide else 255
    squares = [pyvips.Image.black(16, 16, bands=3) + [top * sample for sample in colour] for colour in colours]
    joined = pyvips.Image.arrayjoin(squares, across=len(squares)).rint()
    kind, meaning = ("ushort", "rgb16") if wide else ("uchar", "srgb")
    return joined.cast(kind).copy(interpretation=meaning).copy_memory()


def middles(data: bytes) -> list[list[float]]:
    image = decoded(data)
    return [colour_at(image, x, 8) for x in range(8, image.width, 16)]


def grey_of(code: Code, shade: pyvips.Image) -> heif.Item:
    return code(corpus.as_srgb(shade.bandjoin([shade, shade])))


def tiles_of(code: Code) -> list[heif.Item]:
    return [code(corpus.flat(64, 64, colour)) for colour in ((200, 30, 30), (30, 200, 30), (30, 30, 200), (99, 99, 9))]


def gridded(tiles: Sequence[heif.Item], *turns: heif.Property, width: int = 120, height: int = 100) -> bytes:
    whole = heif.grid(2, 2, width, height).saying(heif.nclx(), *turns)
    return heif.file(whole, *tiles, references=[(b"dimg", 1, tuple(range(2, 2 + len(tiles))))])


@pytest.mark.parametrize("name", ["avif", "heic"])
@pytest.mark.parametrize("orientation", corpus.ORIENTATIONS)
def test_a_picture_is_turned_once_though_exif_asks_for_it_again(name: str, orientation: int) -> None:
    result = rendered(corpus.SAMPLES[f"{name}-orientation-{orientation}"].make(), specs=FINE)

    assert (result.source.width, result.source.height, result.source.orientation) == (96, 64, 1)
    assert difference(opened(result.variants[0]), corpus.quarters()) < LOSSY


@BOTH
def test_exif_alone_turns_nothing(code: Code) -> None:
    data = heif.file(code(corpus.quarters()).saying(heif.nclx()), heif.exif(6), references=[(b"cdsc", 2, (1,))])

    assert difference(opened(variant(data)), corpus.quarters()) < LOSSY


@BOTH
def test_a_crop_is_what_is_shown(code: Code) -> None:
    result = rendered(heif.file(code(corpus.quarters()).saying(heif.nclx(), heif.crop(48, 40))), specs=FINE)

    assert (result.source.width, result.source.height) == (48, 40)
    assert difference(opened(result.variants[0]), corpus.quarters().crop(24, 12, 48, 40)) < LOSSY


@BOTH
@pytest.mark.parametrize("turns", [(), (b"irot", b"\x01")])
def test_tiles_are_one_picture(code: Code, turns: tuple[bytes, bytes] | tuple[()]) -> None:
    result = rendered(gridded(tiles_of(code), *([turns] if turns else [])), specs=FINE)

    corners = [(5, 5), (110, 5), (5, 90), (110, 90)] if not turns else [(5, 110), (5, 5), (90, 110), (90, 5)]
    image = opened(result.variants[0])
    assert (image.width, image.height) == ((100, 120) if turns else (120, 100))
    for place, colour in zip(corners, ((200, 30, 30), (30, 200, 30), (30, 30, 200), (99, 99, 9)), strict=True):
        assert colour_at(image, *place) == pytest.approx(colour, abs=6)


@BOTH
@pytest.mark.parametrize("number", range(4))
def test_a_picture_with_one_damaged_tile_is_not_published(code: Code, number: int) -> None:
    tiles = tiles_of(code)
    data = gridded(tiles)
    at, length = data.index(tiles[number].data), len(tiles[number].data)

    with pytest.raises(CorruptImage):
        rendered(data[:at] + bytes(length) + data[at + length :])


@BOTH
def test_a_picture_that_lacks_a_tile_is_not_published(code: Code) -> None:
    with pytest.raises(CorruptImage):
        rendered(gridded(tiles_of(code)[:3]))


@BOTH
def test_a_damaged_alpha_is_not_left_out(code: Code) -> None:
    alpha = heif.alpha_of(grey_of(code, corpus.with_alpha(corpus.photo(96, 64))[3]))
    data = heif.file(code(corpus.quarters()), alpha, references=[(b"auxl", 2, (1,))])

    with pytest.raises(CorruptImage):
        rendered(data[: -len(alpha.data)] + bytes(len(alpha.data)))


@BOTH
@pytest.mark.parametrize("kind", [heif.DEPTH, heif.GAIN_MAP])
def test_companions_that_are_no_alpha_change_nothing(code: Code, kind: bytes) -> None:
    companion = heif.alpha_of(grey_of(code, corpus.with_alpha(corpus.photo(48, 32))[3]), kind)
    item = code(corpus.quarters()).saying(heif.nclx())

    accompanied = variant(heif.file(item, companion, references=[(b"auxl", 2, (1,))]))

    assert accompanied.data == variant(heif.file(item)).data


@BOTH
def test_the_primary_picture_is_shown_wherever_it_stands(code: Code) -> None:
    other, meant = code(corpus.flat(32, 32, (200, 0, 0))), code(corpus.quarters()).saying(heif.nclx())

    for items, primary in (((other, meant), 2), ((meant, other), 1)):
        assert difference(opened(variant(heif.file(*items, primary=primary))), corpus.quarters()) < LOSSY


@BOTH
def test_an_alpha_that_was_multiplied_in_leaves_no_dark_edge(code: Code) -> None:
    shade = pyvips.Image.xyz(160, 64)[0] * (255.0 / 159)
    faded = corpus.as_srgb(corpus.flat(160, 64, (240, 200, 40)) * (shade / 255))
    alpha = heif.alpha_of(grey_of(code, shade.rint().cast("uchar")))
    links = [(b"auxl", 2, (1,)), (b"prem", 1, (2,))]

    image = decoded(heif.file(code(faded).saying(heif.nclx()), alpha, references=links))

    for x in range(60, 160, 10):
        assert colour_at(image, x, 30)[:3] == pytest.approx((240, 200, 40), abs=9)


@BOTH
@pytest.mark.parametrize(("primaries", "matrix"), [(12, P3), (9, BT2020)], ids=["p3", "bt2020"])
def test_colours_by_number_are_computed(code: Code, primaries: int, matrix: Sequence[Sequence[float]]) -> None:
    colours = [(0.1, 0.1, 0.1), (0.5, 0.5, 0.5), (0.9, 0.9, 0.9), (0.5, 0.4, 0.3), (0.3, 0.5, 0.4), (0.4, 0.3, 0.5)]

    found = middles(heif.file(code(patches(colours)).saying(heif.nclx(primaries))))

    for have, want in zip(found, expected(colours, linear, matrix), strict=True):
        assert have == pytest.approx(want, abs=CLOSE)


@BOTH
@pytest.mark.parametrize("transfer", [16, 18], ids=["pq", "hlg"])
def test_hdr_is_toned_as_in_every_other_format(code: Code, transfer: int) -> None:
    colours = [(level,) * 3 for level in (0.1, 0.3, 0.5, 0.58, 0.7, 0.9)] + [(0.5, 0.4, 0.4), (0.4, 0.5, 0.4)]
    chunk = (b"cICP", bytes((9, transfer, 0, 1)))

    found = middles(heif.file(code(patches(colours, wide=True), bits=10).saying(heif.nclx(9, transfer, 9))))

    for have, want in zip(found, shown(containers.png_of_pixels(colours, chunk, wide=True)), strict=True):
        # The coder of the test tells light from colours by BT.601; of greys that is the same.
        assert have[:3] == pytest.approx(want[:3], abs=CLOSE if min(want) == max(want) else 40)


@BOTH
def test_the_brightest_light_that_is_told_is_heeded(code: Code) -> None:
    item = code(patches([(0.6,) * 3, (0.7,) * 3], wide=True), bits=10).saying(heif.nclx(9, 16, 9))

    dim = middles(heif.file(item.saying((b"clli", struct.pack(">HH", 600, 100)))))
    bright = middles(heif.file(item.saying((b"clli", struct.pack(">HH", 10_000, 100)))))

    assert all(one[0] > other[0] for one, other in zip(dim, bright, strict=True))


@BOTH
def test_an_embedded_profile_is_used(code: Code) -> None:
    picture = corpus.quarters()
    p3 = picture.icc_transform("p3", input_profile="srgb")
    item = code(p3.copy(interpretation="srgb")).saying(heif.nclx(), heif.profile(bytes(p3.get("icc-profile-data"))))

    assert difference(opened(variant(heif.file(item))), picture) < LOSSY


def test_ten_bits_are_no_worse_than_eight() -> None:
    for name in ("avif", "heic"):
        image = opened(variant(corpus.SAMPLES[f"{name}-ten-bit"].make()))
        assert difference(image, corpus.photo(160, 120)) < LOSSY


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: heif.file(heif.hevc1(corpus.quarters()), brand=b"avif"), "AVIF (hvc1)"),
        (lambda: heif.file(heif.av1(corpus.quarters()), brand=b"heic"), "HEIC (av01)"),
        (lambda: heif.file(heif.Item(kind=b"jpeg", data=corpus.jpeg()), brand=b"heic"), "HEIC (jpeg)"),
        (lambda: containers.box(b"ftyp", b"avis\0\0\0\0avis") + containers.box(b"moov", b""), "AVIF (without a still)"),
    ],
)
def test_a_kind_that_is_not_decoded_is_named(make: Callable[[], bytes], message: str) -> None:
    with pytest.raises(UnsupportedFormat) as refusal:
        rendered(make())

    assert refusal.value.message == f"This kind of {message} is not supported."


def test_of_moving_pictures_the_still_is_shown() -> None:
    first, second = (
        Image.frombytes("RGB", (96, 64), bytes(picture.write_to_memory()))
        for picture in (corpus.quarters(), corpus.flat(96, 64, (0, 0, 0)))
    )
    file = io.BytesIO()
    first.save(file, "AVIF", save_all=True, append_images=[second], quality=90, duration=100)
    assert file.getvalue()[8:12] == b"avis"

    result = rendered(file.getvalue(), specs=FINE)

    assert result.source.frames == 1
    assert difference(opened(result.variants[0]), corpus.quarters()) < LOSSY


@BOTH
@pytest.mark.parametrize("size", [(16, 16), (4096, 4096)])
def test_a_header_that_lies_about_its_picture_is_not_believed(code: Code, size: tuple[int, int]) -> None:
    data = heif.file(code(corpus.quarters()))
    at = data.index(b"ispe") + 8

    with pytest.raises(CorruptImage):
        rendered(data[:at] + struct.pack(">II", *size) + data[at + 8 :])


def told_to_be(item: heif.Item, width: int, height: int) -> heif.Item:
    """The same bitstream in an item of another size."""
    said = [(name, body) for name, body in item.properties if name != b"ispe"]
    return replace(item, properties=((b"ispe", bytes(4) + struct.pack(">II", width, height)), *said))


def with_small_alpha(alpha: heif.Item) -> bytes:
    return heif.file(heif.av1(corpus.quarters()), heif.alpha_of(alpha), references=[(b"auxl", 2, (1,))])


def of_one_tile(tile: heif.Item) -> bytes:
    return heif.file(heif.grid(1, 1, 96, 64), tile, references=[(b"dimg", 1, (2,))])


@pytest.mark.parametrize("wrapped", [heif.file, of_one_tile, with_small_alpha], ids=["picture", "tile", "alpha"])
def test_a_bitstream_that_is_larger_than_its_item_is_not_decoded(wrapped: Callable[[heif.Item], bytes]) -> None:
    """The decoder would take memory for the frames of the bitstream."""
    coded = heif.av1(corpus.flat(640, 480, (90, 120, 150)))

    assert decode.probe(wrapped(told_to_be(coded, 640, 480))).format == "avif"
    with pytest.raises(CorruptImage):
        decode.probe(wrapped(told_to_be(coded, 96, 64)))


def test_a_bitstream_that_is_finer_than_its_item_is_not_decoded() -> None:
    deep, plain = heif.av1(corpus.quarters(), bits=10), heif.av1(corpus.quarters())
    full, coarse = heif.av1(corpus.quarters(), quality=95), heif.av1(corpus.quarters(), quality=50)

    for one, other in ((deep, plain), (full, coarse)):
        assert decode.probe(heif.file(one)).format == "avif"
        with pytest.raises(CorruptImage):
            decode.probe(heif.file(replace(one, properties=other.properties)))


@BOTH
@pytest.mark.parametrize("name", ["tile", "alpha", "crop"])
def test_what_is_decoded_and_not_shown_counts_too(code: Code, name: str) -> None:
    """A tile, an alpha or a picture before its crop, each much larger than what is shown."""
    large, small = code(corpus.flat(640, 480, (90, 120, 150))), code(corpus.quarters())
    data = {
        "tile": of_one_tile(large),
        "alpha": heif.file(small, heif.alpha_of(large), references=[(b"auxl", 2, (1,))]),
        "crop": heif.file(large.saying(heif.crop(96, 64))),
    }[name]

    info = decode.probe(data)

    assert (info.width, info.height, info.decoded_pixels) == (96, 64, 640 * 480)
    assert working_bytes(info, len(data)) > working_bytes(decode.probe(heif.file(large)), len(data)) * 0.9
    with pytest.raises(TooManyPixels):
        FileLimits(max_pixels=640 * 480 - 1).check_header(info)


@BOTH
@pytest.mark.parametrize("references", [[(b"dimg", 1, (1, 1, 1, 1))], [(b"dimg", 1, (9, 9, 9, 9))], []])
def test_a_picture_that_is_made_of_itself_or_of_nothing_is_refused(
    code: Code, references: list[heif.Reference]
) -> None:
    data = heif.file(heif.grid(2, 2, 64, 64), code(corpus.quarters()), references=references)

    with pytest.raises(ImageRejected):
        rendered(data)


@BOTH
def test_every_byte_of_the_description_may_be_wrong(code: Code) -> None:
    """Whatever is made of it: an image or a refusal, and nothing else."""
    data = heif.file(code(corpus.quarters()).saying(heif.nclx(), heif.crop(50, 40)))
    for at in range(8, data.index(b"mdat")):
        for value in (0, 0xFF, data[at] ^ 1):
            changed = data[:at] + bytes([value]) + data[at + 1 :]
            try:
                decode.probe(changed)
            except ImageRejected:
                continue


def test_the_header_of_a_heic_is_read_without_libheif() -> None:
    program = (
        "import sys\n"
        "from processor.pipeline.decode import probe\n"
        "info = probe(sys.stdin.buffer.read())\n"
        "assert (info.width, info.height) == (160, 120)\n"
        "assert not {'pi_heif', '_pi_heif', 'PIL'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], input=corpus.SAMPLES["heic"].make(), check=True, timeout=180)


def test_what_libvips_does_not_decode_itself_is_a_suspect() -> None:
    for format_, suspect in ((AVIF, False), (HEIC, True)):
        assert format_.decoding is not None
        assert format_.decoding.is_suspect is suspect


def test_a_file_that_is_quoted_in_a_complaint_spoils_no_other_one() -> None:
    data = heif.file(heif.av1(corpus.quarters()).saying(heif.crop(50, 40)))
    odd = data.replace(b"clap", b"\xfflap")
    with pytest.raises(CorruptImage):
        rendered(odd)

    with pytest.raises(pyvips.Error):
        pyvips.Image.black(1, 1).crop(0, 0, 5, 5)
