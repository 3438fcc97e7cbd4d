"""A file without its metadata shows the same picture, and says nothing of itself any more."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.formats.anatomy import Pieces
from processor.formats.blocks import Kind
from processor.formats.tiff import Name, read_page
from processor.metadata.reading import read_metadata
from processor.metadata.stripping import strip
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.render import inspect, render
from processor.recipes import STANDARD
from tests import corpus
from tests.corpus import metadata as said
from tests.unit.processor.metadata.test_reading import PICTURE, PLAIN, camera

XMP = said.xmp({"dc:description": "secret caption", "dc:rights": "mine"})
TURNED = camera(picture=[(0x0112, 3, b"\0\6")], own=[said.text(0xA431, "SERIAL-1")])
FILES = {
    "jpeg": lambda: said.jpeg(PLAIN, exif=TURNED, xmp=XMP, iptc=said.iptc((2, 25, b"word")), comment=b"word"),
    "png": lambda: said.png(
        bytes(PICTURE.pngsave_buffer(keep="none")), exif=TURNED, xmp=XMP, texts={b"Author": b"somebody"}
    ),
    "webp": lambda: said.webp(bytes(PICTURE.webpsave_buffer(keep="none")), 64, 48, exif=TURNED, xmp=XMP),
    "avif": lambda: said.avif(PICTURE, exif=camera(), xmp=XMP),
    "gif": lambda: said.gif(corpus.animation(".gif"), xmp=XMP, comment=b"word"),
    "tiff": lambda: tagged(corpus.tiffs.with_orientation(PICTURE, 6)),
}


def tagged(file: bytes) -> bytes:
    """A TIFF that says much of itself, also where no tag leads."""
    words = [said.text(number, word) for number, word in ((0x010E, "word"), (0x010F, "EOS R6"), (0x013B, "somebody"))]
    blocks = [(700, said.BYTE, XMP), (33723, said.UNDEFINED, said.iptc((2, 25, b"word")))]
    return said.tiff(file, [*words, *blocks], [said.text(0xA431, "SERIAL-1")]) + b"MAKER-NOTE"


#: Of another size than the source: a variant of its size also depends on the bytes of the file (ADR 0067).
SMALLER = replace(STANDARD, specs=(replace(STANDARD.specs[0], box=(30, 30)),))


def variants(data: bytes) -> list[bytes]:
    limits = FileLimits()
    rendered = render(data, inspect(data, limits), SMALLER, Deadline(limits.timeout_seconds))
    return [each.data for each in rendered.variants]


@pytest.mark.parametrize("format_", FILES)
def test_what_is_shown_stays_and_what_is_said_goes(format_: str) -> None:
    file = FILES[format_]()
    bare = strip(file, format_)
    assert bare is not None
    found = read_metadata(bare, format_)
    assert (dict(found.told), found.position, found.given_away, found.rights) == ({}, None, (), "")
    for secret in (b"secret caption", b"SERIAL-1", b"EOS R6", b"word", b"somebody", b"MAKER-NOTE"):
        assert secret not in bare
    assert variants(bare) == variants(file)
    assert strip(bare, format_) == bare


def test_the_colours_of_adobe_rgb_and_of_a_profile_stay() -> None:
    marked = said.jpeg(PLAIN, exif=corpus.containers.exif_of_adobe_rgb(), xmp=XMP)
    bare = strip(marked, "jpeg")
    assert bare is not None
    assert variants(bare) == variants(marked) != variants(PLAIN)
    wide = said.jpeg(corpus.p3_jpeg(PICTURE), xmp=XMP)
    bare = strip(wide, "jpeg")
    assert bare is not None
    assert read_metadata(bare, "jpeg").given_away == (Kind.PROFILE.value,)
    assert variants(bare) == variants(wide)


def test_what_lies_behind_the_picture_goes_too() -> None:
    bare = strip(PLAIN + b"a film with a place in it", "jpeg")
    assert bare is not None
    assert bare.endswith(b"\xff\xd9")


def test_what_cannot_be_stripped_is_not_said_to_be() -> None:
    assert strip(corpus.tiff(PICTURE), "other") is None
    assert strip(b"GIF89a", "gif") is None


TIFFS = [name for name, sample in corpus.SAMPLES.items() if name.startswith("tiff") and sample.code is None]


@pytest.mark.parametrize("sample", TIFFS)
def test_a_tiff_of_any_kind_shows_the_same_without_its_metadata(sample: str) -> None:
    file = corpus.SAMPLES[sample].make()
    is_big = file[2:4] in (b"+\0", b"\0+")
    bare = strip(file if is_big else tagged(file), "tiff")
    assert bare is not None
    assert variants(bare) == variants(file)
    for secret in (b"secret caption", b"SERIAL-1", b"EOS R6", b"word", b"somebody", b"MAKER-NOTE"):
        assert secret not in bare
    assert strip(bare, "tiff") == bare


def test_another_page_of_a_tiff_goes() -> None:
    pages = [corpus.tiffs.Page(picture=corpus.flat(40, 30, colour)) for colour in ((1, 2, 3), (201, 202, 203))]
    bare = strip(corpus.tiffs.file(*pages), "tiff")
    assert bare is not None
    assert bytes((1, 2, 3)) * 40 in bare
    assert bytes((201, 202, 203)) not in bare


def test_what_a_jpeg_in_a_tiff_says_goes() -> None:
    file = corpus.tiff(PICTURE, compression="jpeg", Q=95)
    page = read_page(file, Pieces(100))
    (start,), (length,) = page.numbers(Name.STRIP_OFFSETS), page.numbers(Name.STRIP_BYTES)
    words = said.jpeg(file[start : start + length], exif=TURNED, comment=b"word")
    places = [(number, said.LONG, struct.pack("<I", value)) for number, value in ((273, len(file)), (279, len(words)))]
    grown = said.tiff(file + words, places)
    assert variants(grown) == variants(file)
    bare = strip(grown, "tiff")
    assert bare is not None
    assert b"SERIAL-1" not in bare
    assert b"word" not in bare
    assert variants(bare) == variants(file)


@given(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6), st.integers(0, 400))
def test_a_damaged_tiff_is_stripped_or_not_but_breaks_nothing(changes: list[tuple[int, int]], behind: int) -> None:
    file = bytearray(tagged(corpus.tiff(corpus.photo(16, 12), compression="jpeg")))
    for at, value in changes:
        file[-at - 1] = value
    bare = strip(bytes(file[: len(file) - behind]), "tiff")
    assert bare is None or len(bare) <= 2 * len(file)


@pytest.mark.parametrize("name", [corpus.tiffs.OFFSETS, corpus.tiffs.LENGTHS])
def test_a_tiff_that_does_not_say_where_its_pixels_are_is_not_stripped(name: int) -> None:
    page = corpus.tiffs.Page(picture=PICTURE, tags={name: None})
    assert strip(corpus.tiffs.file(page), "tiff") is None


def test_a_tiff_whose_strips_overlap_does_not_grow() -> None:
    places = {corpus.tiffs.OFFSETS: range(8, 1008), corpus.tiffs.LENGTHS: (5000,) * 1000}
    page = corpus.tiffs.Page(picture=PICTURE, tags=places)
    assert strip(corpus.tiffs.file(page), "tiff") is None


@pytest.mark.parametrize("before", [b"\xff\x01", b"\xff\xd8", b"\xff\x01\xff\xd8\xff\x01"])
def test_markers_without_a_length_hide_nothing(before: bytes) -> None:
    file = said.jpeg(PLAIN, exif=TURNED, xmp=XMP)
    bare = strip(file[:2] + before + file[2:], "jpeg")
    assert bare is not None
    assert b"SERIAL-1" not in bare
    assert b"secret caption" not in bare


@pytest.mark.parametrize("kind", [b"mpvd", b"uuid", b"moov", b"udta"])
@pytest.mark.parametrize("long", [False, True])
def test_a_film_beside_a_picture_is_metadata(kind: bytes, *, long: bool) -> None:
    film = b"+48.8577+002.2950"
    head = struct.pack(">I4sQ", 1, kind, 16 + len(film)) if long else struct.pack(">I4s", 8 + len(film), kind)
    file = FILES["avif"]()
    bare = strip(file + head + film, "avif")
    assert bare is not None
    assert film not in bare
    assert len(bare) == len(file + head + film)
    assert variants(bare) == variants(file)
