"""TIFF: the first whole page is shown, and libtiff sees nothing else of the file."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Mapping, Sequence

import pytest
import pyvips

from processor.errors import CorruptImage, ImageRejected, UnsupportedFormat
from processor.pipeline import decode, tiff
from processor.pipeline.estimate import working_bytes
from tests import corpus
from tests.corpus import tiffs
from tests.corpus.tiffs import Page
from tests.unit.processor.pipeline.compare import FINE, colour_at, difference, opened, rendered, variant

CLOSE = 2.0
RED, BLUE = (corpus.flat(32, 24, colour) for colour in ((200, 30, 30), (30, 30, 200)))


def page(picture: pyvips.Image = RED, **_: object) -> Page:
    return Page(picture=picture)


def tagged(tags: Mapping[int, Sequence[int] | None], picture: pyvips.Image = RED) -> bytes:
    return tiffs.file(Page(picture=picture, tags=tags))


@pytest.mark.parametrize("orientation", corpus.ORIENTATIONS)
def test_every_orientation_comes_out_upright(orientation: int) -> None:
    result = rendered(corpus.SAMPLES[f"tiff-orientation-{orientation}"].make(), specs=FINE)

    assert result.source.orientation == orientation
    assert difference(opened(result.variants[0]), corpus.quarters()) < CLOSE


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_both_orders_and_both_widths_of_numbers_are_read(order: str, big: bool) -> None:
    for picture in (corpus.photo(40, 30), corpus.photo(40, 30).colourspace("rgb16")):
        image = opened(variant(tiffs.file(page(picture), order=order, big=big)))
        assert difference(image, corpus.photo(40, 30)) < CLOSE


@pytest.mark.parametrize(
    "name",
    ["tiff", "tiff-lzw", "tiff-deflate", "tiff-packbits", "tiff-tiled", "tiff-big", "tiff-sixteen-bit", "tiff-p3"],
)
def test_how_it_is_packed_does_not_show(name: str) -> None:
    assert difference(opened(variant(corpus.SAMPLES[name].make())), corpus.photo(160, 120)) < CLOSE


@pytest.mark.parametrize("name", ["tiff-alpha", "tiff-premultiplied", "tiff-sixteen-bit-alpha"])
def test_alpha_is_kept_and_its_colours_are_not_dimmed(name: str) -> None:
    image = opened(variant(corpus.SAMPLES[name].make()))
    picture = corpus.photo(160, 120)

    assert [colour_at(image, x, 5)[3] for x in (0, 159)] == pytest.approx([0, 255], abs=8)
    assert difference(image.crop(80, 0, 80, 120), picture.crop(80, 0, 80, 120)) < 4


def test_a_further_sample_that_is_not_said_to_be_alpha_is_none() -> None:
    image = opened(variant(tagged({tiffs.EXTRA_SAMPLES: (0,)}, corpus.with_alpha(corpus.photo(160, 120)))))

    assert image.bands == 3
    assert difference(image, corpus.photo(160, 120)) < CLOSE


def test_of_several_pages_the_first_is_shown() -> None:
    result = rendered(tiffs.file(page(RED), page(BLUE)), specs=FINE)

    assert result.source.frames == 1
    assert colour_at(opened(result.variants[0]), 5, 5) == pytest.approx([200, 30, 30], abs=3)


@pytest.mark.parametrize("companion", [1, 4])
def test_a_preview_or_a_mask_in_front_is_passed_over(companion: int) -> None:
    preview = Page(picture=corpus.flat(8, 6, (0, 0, 0)), tags={tiffs.SUBFILE: (companion,)})

    assert difference(opened(variant(tiffs.file(preview, page(RED)))), RED) < CLOSE


@pytest.mark.parametrize("options", [{}, {"subifd": True}])
def test_of_several_sizes_the_full_one_is_shown(options: dict[str, bool]) -> None:
    picture = corpus.photo(600, 400)
    data = corpus.tiff(picture, tile=True, tile_width=128, tile_height=128, pyramid=True, **options)

    assert difference(opened(variant(data)), picture) < CLOSE


def test_pages_that_follow_each_other_for_ever_come_to_an_end() -> None:
    preview = Page(picture=RED, tags={tiffs.SUBFILE: (1,)})

    assert rendered(tiffs.file(preview, preview, loop=True)).source.width == 32
    assert rendered(tiffs.file(page(), page(), loop=True)).source.width == 32


def test_a_thousand_pages_are_none_too_many() -> None:
    one = page(corpus.flat(2, 2, (1, 2, 3)))

    assert rendered(tiffs.file(*[one] * 1000)).variants


def test_a_decoder_sees_one_page_and_the_tags_that_it_needs() -> None:
    unheard = {700: (1, 2), 34_665: (8,), 33_723: (3,), 65_000: (7, 7)}
    data = tiffs.file(Page(picture=RED, tags=unheard), page(BLUE))

    header = pyvips.Image.tiffload_buffer(tiff.single(tiff.read(data)), fail_on="warning")

    assert header.get_typeof("n-pages") == 0 or header.get("n-pages") == 1
    assert set(tiff.read(tiff.single(tiff.read(data))).page.tags) == set(tiff.read(tiffs.file(page())).page.tags)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (tiffs.camera_raw, "camera raw"),
        (lambda: tagged({tiffs.DNG_VERSION: (1,)}), "camera raw"),
        (lambda: tagged({tiffs.PHOTOMETRIC: (32_803,)}), "camera raw"),
        (lambda: tagged({tiffs.SAMPLE_FORMAT: (3, 3, 3)}), "samples that are no whole numbers"),
        (lambda: tagged({tiffs.BITS: (32, 32, 32)}), "32 bits a sample"),
        (lambda: tagged({tiffs.BITS: (5, 6, 5)}), "6 bits a sample"),
        (lambda: tagged({tiffs.BITS: (4, 4, 4)}), "4 bits a sample"),
        (lambda: tagged({tiffs.COMPRESSION: (6,)}), "old JPEG"),
        (lambda: tagged({tiffs.COMPRESSION: (34_712,)}), "compression 34712"),
        (lambda: tagged({tiffs.PHOTOMETRIC: (8,)}), "colours of kind 8"),
        (lambda: tagged({tiffs.PHOTOMETRIC: (32_845,)}), "colours of kind 32845"),
        (lambda: tagged({tiffs.PHOTOMETRIC: (5,), tiffs.INK_SET: (2,)}), "colours of kind 5"),
    ],
)
def test_a_kind_that_is_not_decoded_is_named(make: Callable[[], bytes], kind: str) -> None:
    with pytest.raises(UnsupportedFormat) as refusal:
        rendered(make())

    assert refusal.value.message == f"This kind of TIFF ({kind}) is not supported."


@pytest.mark.parametrize(
    "tags",
    [
        {tiffs.WIDTH: None},
        {tiffs.HEIGHT: (0,)},
        {tiffs.SAMPLES: (2,)},
        {tiffs.OFFSETS: None},
        {tiffs.OFFSETS: (10**9,)},
        {tiffs.LENGTHS: (0,)},
        {tiffs.LENGTHS: (32 * 24 * 3 - 1,)},
        {tiffs.LENGTHS: (10**9,)},
        {tiffs.LENGTHS: (1, 2)},
        {tiffs.ROWS_PER_STRIP: (0,)},
        {tiffs.ROWS_PER_STRIP: (1,)},
        {tiffs.HEIGHT: (240,)},
        {tiffs.TILE_WIDTH: (16,), tiffs.TILE_HEIGHT: (0,), tiffs.TILE_OFFSETS: (8,), tiffs.TILE_LENGTHS: (9,)},
        {tiffs.BITS: (8,) * 3, tiffs.COMPRESSION: (5,)},
        {tiffs.BITS: (8,) * 3, tiffs.COMPRESSION: (7,)},
        {tiffs.BITS: (8,) * 3, tiffs.COMPRESSION: (8,)},
    ],
)
def test_a_page_without_all_of_its_pixels_is_not_published(tags: dict[int, Sequence[int] | None]) -> None:
    with pytest.raises(CorruptImage):
        rendered(tagged(tags))


@pytest.mark.parametrize("name", ["tiff-lzw", "tiff-deflate", "tiff-packbits", "tiff-tiled", "tiff-fax"])
def test_half_a_strip_or_tile_is_not_published(name: str) -> None:
    data = corpus.SAMPLES[name].make()
    pieces = tiff.read(data).pieces
    start, length, _ = pieces[len(pieces) // 2]
    middle = start + length // 2

    with pytest.raises(CorruptImage):
        rendered(data[:middle] + bytes(start + length - middle) + data[start + length :])


def test_rows_of_huge_tiles_count_as_memory_before_a_decoder_asks_for_it() -> None:
    side = 1 << 20
    data = tagged(
        {tiffs.TILE_WIDTH: (side,), tiffs.TILE_HEIGHT: (side,), tiffs.TILE_OFFSETS: (8,), tiffs.TILE_LENGTHS: (99,)}
    )

    info = decode.probe(data)

    assert working_bytes(info, len(data)) > side * side * 3


def test_every_byte_of_the_tags_may_be_wrong() -> None:
    """Whatever is made of it: an image or a refusal, and nothing else."""
    data = tiffs.file(page())
    for at in (*range(8), *range(8 + 32 * 24 * 3, len(data))):
        for value in (0, 0xFF, data[at] ^ 1):
            try:
                decode.probe(data[:at] + bytes([value]) + data[at + 1 :])
            except ImageRejected:
                continue


def test_memory_is_reserved_for_samples_that_are_left_out() -> None:
    """A small file may have thousands of them in each pixel, all of which are decoded."""
    photo = corpus.photo(160, 120)
    plain, ample = (decode.probe(corpus.tiff(photo.bandjoin([0] * more))) for more in (1, 60))

    assert (ample.bands, ample.width) == (plain.bands, plain.width)
    assert ample.decoder_bytes - plain.decoder_bytes > 57 * 160 * 120


def test_a_packed_tile_of_fifty_megabytes_is_measured_without_holding_it() -> None:
    """It is a small file, and one tile that is far larger than the picture."""
    options = {"tile": True, "tile_width": 8192, "tile_height": 2048, "compression": "deflate"}
    read = tiff.read(corpus.tiff(corpus.photo(64, 48), **options))

    tracemalloc.start()
    try:
        tiff.check_pieces(read, lambda: None)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert read.piece_bytes > 50_000_000
    assert peak < 5_000_000
