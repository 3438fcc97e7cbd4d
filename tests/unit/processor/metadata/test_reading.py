"""What files say about themselves, in the characters in which they say it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest
import pyvips

from processor.metadata.reading import Metadata, read_metadata
from tests import corpus
from tests.corpus import metadata as said
from tests.corpus.metadata import RATIONAL, SHORT, SIGNED_RATIONAL, UNDEFINED, rational, text

GREETING = "Grüße aus Žilina — 日本"


PICTURE = corpus.photo(64, 48)
PLAIN = bytes(PICTURE.jpegsave_buffer(keep="none"))


def camera(order: str = ">", **more: Any) -> bytes:
    """What a camera writes, in a byte order."""
    short = struct.Struct(order + "H").pack
    own = [
        (0x829A, RATIONAL, rational(order, (1, 250))),
        (0x829D, RATIONAL, rational(order, (28, 10))),
        (0x8827, SHORT, short(200)),
        text(0x9003, "2026:01:01 16:20:05"),
        text(0x9011, "+01:00"),
        (0x9204, SIGNED_RATIONAL, struct.pack(order + "ii", -1, 3)),
        (0x9209, SHORT, short(0x10)),
        (0x920A, RATIONAL, rational(order, (35, 1))),
        text(0x9291, "12 "),
        text(0xA431, "A123456"),
        text(0xA434, "RF24-70mm"),
        (0x927C, UNDEFINED, b"MAKER-NOTE"),
    ]
    gps = [
        text(1, "N"),
        (2, RATIONAL, rational(order, (48, 1), (51, 1), (2959, 100))),
        text(3, "W"),
        (4, RATIONAL, rational(order, (2, 1), (17, 1), (402, 10))),
        (5, 1, b"\1"),
        (6, RATIONAL, rational(order, (355, 10))),
    ]
    picture = [text(0x010F, "Canon"), text(0x0110, "EOS R6"), text(0x013B, "Ateliér Říp"), text(0x8298, "© Ateliér")]
    picture += more.pop("picture", [])
    return said.exif(picture, own + more.pop("own", []), gps, order=order, **more)


def read(exif: bytes = b"", **blocks: bytes) -> Metadata:
    return read_metadata(said.jpeg(PLAIN, exif=exif, **blocks), "jpeg")


@pytest.mark.parametrize("order", "<>")
def test_what_a_camera_writes_is_told_in_both_byte_orders(order: str) -> None:
    found = read(camera(order, thumbnail=b"\xff\xd8\xff\xd9"))
    assert found.told == {
        "camera": {"make": "Canon", "model": "EOS R6"},
        "lens": {"model": "RF24-70mm"},
        "exposure": {
            "seconds": 0.004,
            "aperture": 2.8,
            "iso": 200,
            "focalLength": 35,
            "bias": -0.333333,
            "flash": False,
        },
        "takenAt": "2026-01-01T16:20:05.12+01:00",
        "creator": ["Ateliér Říp"],
        "copyright": "© Ateliér",
    }
    assert found.position == {"latitude": 48.858219, "longitude": -2.2945, "altitude": -35.5}
    assert found.given_away == ("position", "serialNumbers", "names", "thumbnail", "makerNote", "copyright")
    assert found.blocks == ("exif",)
    assert not found.is_incomplete


def test_a_file_that_says_nothing_gives_nothing_away() -> None:
    found = read_metadata(corpus.png(), "png")
    assert (dict(found.told), found.position, found.given_away, found.rights) == ({}, None, (), "")


EXIF = camera()
XMP = said.xmp({"dc:description": GREETING})
IN_EVERY_KIND: dict[str, tuple[str, Callable[[], bytes]]] = {
    "JPEG": ("jpeg", lambda: said.jpeg(PLAIN, exif=EXIF, xmp=XMP)),
    "PNG": ("png", lambda: said.png(corpus.png(PICTURE), exif=EXIF, xmp=XMP)),
    "WebP": ("webp", lambda: said.webp(bytes(PICTURE.webpsave_buffer(keep="none")), 64, 48, exif=EXIF, xmp=XMP)),
    "AVIF": ("avif", lambda: said.avif(PICTURE, exif=EXIF, xmp=XMP)),
}


@pytest.mark.parametrize("name", IN_EVERY_KIND)
def test_every_kind_of_file_is_read(name: str) -> None:
    format_, make = IN_EVERY_KIND[name]
    found = read_metadata(make(), format_)
    assert found.told["caption"] == GREETING
    assert found.told["camera"] == {"make": "Canon", "model": "EOS R6"}
    assert found.position is not None
    assert not found.is_incomplete


def test_a_tiff_and_a_gif_are_read_too() -> None:
    tagged = PICTURE.copy()
    tagged.set_type(pyvips.GValue.blob_type, "xmp-data", XMP)
    assert read_metadata(corpus.tiff(tagged), "tiff").told["caption"] == GREETING
    file = said.gif(corpus.gif(PICTURE), xmp=XMP, comment=b"a word")
    found = read_metadata(file, "gif")
    assert found.told["caption"] == GREETING
    assert found.given_away == ("comment",)


def test_texts_of_a_png_are_read() -> None:
    texts = {b"Author": "Café".encode("latin-1"), b"Description": "Été".encode("latin-1"), b"Copyright": b"mine"}
    found = read_metadata(said.png(corpus.png(), texts=texts), "png")
    assert found.told == {"creator": ["Café"], "caption": "Été", "copyright": "mine"}
    assert found.given_away == ("names", "copyright")


# -- characters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (GREETING.encode(), GREETING),
        ("Grüße".encode("latin-1"), "Grüße"),
        ("“Grüße” €5".encode("cp1252"), "“Grüße” €5"),
        (b"  padded \x00 behind", "padded"),
        (b"a\x07bell", "abell"),
        (b"two\nlines", "two\nlines"),
    ],
)
def test_a_text_of_exif_keeps_its_characters(written: bytes, told: str) -> None:
    assert read(said.exif([text(0x010E, written)])).told.get("caption") == told


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("charset", "encoding"),
    [
        (b"ASCII\0\0\0", "ascii"),
        (b"UNICODE\0", "own"),
        (b"UNICODE\0", "utf-16"),
        (b"JIS\0\0\0\0\0", "iso2022_jp"),
        (bytes(8), "utf-8"),
    ],
)
def test_a_comment_is_in_the_charset_that_it_names(order: str, charset: bytes, encoding: str) -> None:
    words = {"ascii": "Hello", "iso2022_jp": "日本語"}.get(encoding, "Grüße")
    encoding = {"own": "utf-16-le" if order == "<" else "utf-16-be"}.get(encoding, encoding)
    comment = (0x9286, UNDEFINED, charset + words.encode(encoding))
    found = read(said.exif(own=[comment], order=order))
    assert found.told["caption"] == words
    assert "comment" in found.given_away


def test_a_comment_in_the_other_byte_order_than_its_block_is_read_as_its_writer_meant_it() -> None:
    comment = (0x9286, UNDEFINED, b"UNICODE\0" + "Hello there".encode("utf-16-le"))
    assert read(said.exif(own=[comment], order=">")).told["caption"] == "Hello there"


@pytest.mark.parametrize(
    ("charset", "written"),
    [
        (b"\x1b%G", "Grüße".encode()),
        (b"\x1b.A", "Grüße".encode("latin-1")),
        (b"\x1b-B", "Grüße".encode("iso8859-2")),
        (None, "Grüße".encode()),
        (None, "Grüße".encode("cp1252")),
    ],
)
def test_iptc_is_in_the_charset_of_its_envelope(charset: bytes | None, written: bytes) -> None:
    envelope = [(1, 90, charset)] if charset else []
    sets = said.iptc(*envelope, (2, 120, written), (2, 25, b"one"), (2, 25, b"two"), (2, 116, written))
    found = read(iptc=sets)
    assert found.told == {"caption": "Grüße", "keywords": ["one", "two"], "copyright": "Grüße"}
    assert found.blocks == ("iptc",)


def test_of_a_text_in_several_languages_the_default_one_is_told() -> None:
    item = '<rdf:li xml:lang="{}">{}</rdf:li>'
    both = item.format("de-DE", "Haus") + item.format("x-default", "House")
    found = read(xmp=said.xmp(more=f"<dc:description><rdf:Alt>{both}</rdf:Alt></dc:description>"))
    assert found.told["caption"] == "House"


def test_xmp_goes_before_iptc_and_that_before_exif() -> None:
    exif, sets = said.exif([text(0x010E, "exif")]), said.iptc((2, 120, b"iptc"))
    assert read(exif).told["caption"] == "exif"
    assert read(exif, iptc=sets).told["caption"] == "iptc"
    assert read(exif, iptc=sets, xmp=said.xmp({"dc:description": "xmp"})).told["caption"] == "xmp"


# -- times and places -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tags", "told"),
    [
        ({0x9003: "2026:01:02 03:04:05"}, "2026-01-02T03:04:05"),
        ({0x9003: "2026:01:02 03:04:05", 0x9011: "-05:30"}, "2026-01-02T03:04:05-05:30"),
        ({0x9003: "2026:01:02 03:04:05", 0x9011: "Z"}, "2026-01-02T03:04:05Z"),
        ({0x9003: "0000:00:00 00:00:00"}, None),
        ({0x9003: "2026:13:40 99:99:99"}, None),
        ({0x9003: "    :  :     :  :  ", 0x9004: "2026:01:02 03:04:05"}, "2026-01-02T03:04:05"),
    ],
)
def test_the_time_has_the_zone_that_the_camera_wrote_and_no_other(tags: dict[int, str], told: str | None) -> None:
    assert read(said.exif(own=[text(*each) for each in tags.items()])).told.get("takenAt") == told


def test_iptc_and_xmp_tell_the_time_where_exif_does_not() -> None:
    sets = said.iptc((2, 55, b"20260102"), (2, 60, b"030405+0100"))
    assert read(iptc=sets).told["takenAt"] == "2026-01-02T03:04:05+01:00"
    assert read(iptc=said.iptc((2, 55, b"20260102"))).told["takenAt"] == "2026-01-02"
    found = read(xmp=said.xmp({"photoshop:DateCreated": "2026-01-02T03:04:05.5+02:00"}))
    assert found.told["takenAt"] == "2026-01-02T03:04:05.5+02:00"


def test_xmp_tells_a_position_and_iptc_the_names_of_places() -> None:
    found = read(xmp=said.xmp({"exif:GPSLatitude": "48,51.5S", "exif:GPSLongitude": "2,17,40W"}))
    assert found.position == {"latitude": -48.858333, "longitude": -2.294444}
    found = read(iptc=said.iptc((2, 90, b"Praha"), (2, 101, b"Czechia")))
    assert found.position == {"city": "Praha", "country": "Czechia"}
    assert found.given_away == ("position",)
    assert "Praha" not in str(found.told)


@pytest.mark.parametrize("pairs", [[(91, 1), (0, 1), (0, 1)], [(1, 0), (0, 1), (0, 1)], [(2**32 - 1, 1)]])
def test_an_impossible_position_is_none_but_is_told_to_be_there(pairs: list[tuple[int, int]]) -> None:
    gps = [text(1, "N"), (2, RATIONAL, rational(">", *pairs)), text(3, "E"), (4, RATIONAL, rational(">", (2, 1)))]
    found = read(said.exif(gps=gps))
    assert found.position is None
    assert found.given_away == ("position",)


@pytest.mark.parametrize(
    "xmp",
    [
        {"aux:SerialNumber": "1234"},
        {"mwg-rs:Name": "somebody"},
        {"Iptc4xmpExt:PersonInImage": ["somebody"]},
        {"dc:creator": ["somebody"]},
    ],
)
def test_what_only_xmp_gives_away_is_told(xmp: dict[str, str]) -> None:
    assert read(xmp=said.xmp(xmp)).given_away in (("serialNumbers",), ("names",))


def test_names_of_people_in_regions_are_found_wherever_they_are_nested() -> None:
    more = (
        '<mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:RegionList><rdf:Bag><rdf:li><rdf:Description '
        'mwg-rs:Name="somebody" mwg-rs:Type="Face"/></rdf:li></rdf:Bag></mwg-rs:RegionList></mwg-rs:Regions>'
    )
    assert "names" in read(xmp=said.xmp(more=more)).given_away
