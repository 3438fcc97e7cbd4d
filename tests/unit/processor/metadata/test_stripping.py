"""A file without its metadata shows the same picture, and says nothing of itself any more."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from processor.formats.blocks import Kind
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
}


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


@pytest.mark.parametrize("format_", ["tiff", "other"])
def test_what_cannot_be_stripped_is_not_said_to_be(format_: str) -> None:
    assert strip(corpus.tiff(PICTURE), format_) is None
    assert strip(b"GIF89a", "gif") is None


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
