"""Metadata that is made to cost much: it costs nothing, and the picture is converted all the same."""

from __future__ import annotations

import json
import random
import struct
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.formats.blocks import MOST_RESOURCES, photoshop_blocks
from processor.metadata import exif, iptc, xmp
from processor.metadata.reading import MAX_BLOCKS, read_metadata
from processor.metadata.stripping import strip
from processor.metadata.text import clean, decoded
from processor.pipeline.analyses.metadata import MAX_BYTES, metadata, position
from processor.pipeline.origin import Origin
from processor.recipes import STANDARD
from tests import corpus
from tests.corpus import metadata as said
from tests.unit.processor.metadata.test_reading import IN_EVERY_KIND

BOMB = (
    '<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">'
    '<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;">]>'
)
FOREIGN = '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize("before", [BOMB, FOREIGN, "<!DOCTYPE x>"])
def test_a_document_type_is_refused_whatever_it_declares(before: str) -> None:
    more = "<dc:description>&a;&c;</dc:description>" if "ENTITY" in before else ""
    found = xmp.read(said.xmp({"dc:title": "t"}, before=before, more=more))
    assert found.values == {}
    assert found.is_incomplete


def test_of_ten_megabytes_of_xmp_the_beginning_is_read() -> None:
    packet = said.xmp({"dc:title": "first", "dc:description": "x" * 10_000_000, "dc:creator": ["last"]})
    found = xmp.read(packet)
    assert found.values.keys() <= {"dc:title", "dc:description"}
    assert found.text("dc:title") == "first"
    assert found.is_incomplete


@pytest.mark.parametrize(
    "more",
    [
        "<dc:subject>" * 100 + "</dc:subject>" * 100,
        "<dc:subject><rdf:Bag>" + "<rdf:li>x</rdf:li>" * 6000 + "</rdf:Bag></dc:subject>",
        "".join(f"<dc:p{number}>x</dc:p{number}>" for number in range(6000)),
        "<dc:title>never closed",
    ],
)
def test_depth_and_number_of_elements_have_an_end(more: str) -> None:
    found = xmp.read(said.xmp(more=more))
    assert found.is_incomplete
    assert sum(map(len, found.values.values())) <= xmp.MAX_ELEMENTS
    assert len(found.values.get("dc:subject", [])) <= xmp.MAX_VALUES


def test_directories_that_lead_to_themselves_are_read_once() -> None:
    head = b"MM\0*" + struct.pack(">I", 8)
    entries = [struct.pack(">HHII", number, 4, 1, 8) for number in (0x8769, 0x8825)]
    looped = head + struct.pack(">H", 2) + b"".join(entries) + struct.pack(">I", 8)
    assert exif.read(looped).picture.keys() == {0x8769, 0x8825}


@pytest.mark.parametrize("offset", [0, 4, 2**31, 2**32 - 1])
def test_offsets_and_counts_out_of_the_block_lead_nowhere(offset: int) -> None:
    assert not exif.read(b"MM\0*" + struct.pack(">I", offset)).picture.keys() - {0x4D4D}
    lying = b"MM\0*" + struct.pack(">IH", 8, 1) + struct.pack(">HHII", 0x010E, 2, 2**32 - 1, offset) + bytes(4)
    found = exif.read(lying)
    assert found.text(0x010E) == ""
    assert found.is_incomplete


def test_sixty_thousand_tags_are_not_read() -> None:
    entry = struct.pack(">HHII", 0x010E, 2, 4, 0x61626300)
    many = b"MM\0*" + struct.pack(">IH", 8, 65_535) + entry * 65_535 + bytes(4)
    found = exif.read(many)
    assert found.text(0x010E) == "abc"
    assert found.is_incomplete


def test_a_value_of_a_megabyte_is_told_up_to_a_bound() -> None:
    long = "ž" * 500_000
    file = said.png(corpus.png(), exif=said.exif([said.text(0x010E, long), said.text(0x8298, long)]))
    told = read_metadata(file, "png").told
    assert len(told["caption"].encode()) <= 1024
    assert set(told["caption"] + told["copyright"]) == {"ž"}


def test_data_sets_that_run_over_their_end_are_left_out() -> None:
    assert iptc.read(said.iptc((2, 120, b"word")) + b"\x1c\x02\x19\x80\x04\x7f\xff\xff\xff").texts == {120: ["word"]}
    assert iptc.read(b"\x1c\x02\x78\x7f\xffshort").is_incomplete
    assert len(iptc.read(said.iptc(*[(2, 25, b"k")] * 5000)).texts[25]) <= iptc.MAX_SETS


def test_all_that_is_told_fits_into_its_bound_whatever_the_file_says() -> None:
    words = '\U0001f600"\\' * 2000
    names = ["dc:title", "photoshop:Credit", "xmp:CreatorTool", "tiff:Make", "tiff:Model", "aux:Lens"]
    lists = {name: [f"{number}{words}" for number in range(100)] for name in ("dc:subject", "dc:creator")}
    places = {"photoshop:City": words, "photoshop:State": words, "photoshop:Country": words}
    for long in ("dc:description", "dc:rights"):
        packet = said.xmp({**dict.fromkeys(names, words[:600]), **places, **lists, long: words})
        origin = Origin(said.png(corpus.png(), xmp=packet), "png", STANDARD)
        told = metadata(origin)
        assert len(json.dumps(told, ensure_ascii=False).encode()) <= MAX_BYTES
        assert told["privacy"]["found"]
        assert len(json.dumps(position(origin), ensure_ascii=False).encode()) < 2048


@given(st.binary(max_size=600))
def test_no_bytes_make_a_reader_fail(data: bytes) -> None:
    for head in (b"", b"MM\0*\0\0\0\x08", b"II*\0\x08\0\0\0", b"II+\0\x08\0\0\0\x10\0\0\0\0\0\0\0"):
        exif.read(head + data)
    iptc.read(b"\x1c\x02\x78" + data)
    xmp.read(b"<a>" + data)
    assert clean(decoded(data)).encode()[:1] != b"\0"


@pytest.mark.parametrize("name", IN_EVERY_KIND)
@given(seed=st.integers(0, 2**32))
def test_no_damage_to_a_file_makes_its_metadata_fail(name: str, seed: int) -> None:
    format_, make = IN_EVERY_KIND[name]
    damaged, chance = bytearray(_whole(name, make)), random.Random(seed)
    for _ in range(chance.randint(1, 40)):
        damaged[chance.randrange(min(len(damaged), 2000))] = chance.randrange(256)
    found = read_metadata(bytes(damaged[: chance.randrange(len(damaged))]), format_)
    json.dumps([dict(found.told), found.position], allow_nan=False).encode()


_FILES: dict[str, bytes] = {}


def _whole(name: str, make: Callable[[], bytes]) -> bytes:
    return _FILES.setdefault(name, make())


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("tag", [0x9209, 0x829A, 0x8827, 0x0112, 0x920A])
def test_a_number_that_is_none_is_left_out(tag: int, order: str) -> None:
    nowhere = said.rational(order, (1, 0))
    endless = struct.pack(f"{order}f", float("inf"))
    for kind, value in ((said.RATIONAL, nowhere), (said.FLOAT, endless)):
        block = said.exif(picture=[(0x0112, kind, value)], own=[(tag, kind, value)], order=order)
        file = said.jpeg(corpus.jpeg(), exif=block)
        assert "exposure" not in read_metadata(file, "jpeg").told
        assert strip(file, "jpeg") is not None


@pytest.mark.parametrize("charset", ["foo", "utf-7", "idna", "zlib", "\u00e9"])
def test_a_charset_that_nobody_knows_ends_the_reading(charset: str) -> None:
    packet = f'<?xml version="1.0" encoding="{charset}"?><x/>'.encode("latin-1")
    assert xmp.read(packet).values == {}
    read_metadata(said.jpeg(corpus.jpeg(), xmp=packet), "jpeg")


def test_what_lies_behind_too_many_blocks_is_not_read_and_the_report_says_so() -> None:
    file = said.jpeg(corpus.jpeg(), exif=said.exif(own=[said.text(0xA431, "A1")]))
    for _ in range(100):
        file = said.jpeg(file, comment=b"word")
    assert read_metadata(file, "jpeg").is_incomplete


def test_of_resources_without_end_the_first_are_looked_at() -> None:
    thumbnail = b"8BIM\x04\x0c\0\0\0\0\0\0"
    found = list(photoshop_blocks(thumbnail * MOST_RESOURCES))
    assert len(found) == MOST_RESOURCES // len(thumbnail)


def test_packed_texts_of_unknown_kinds_count_as_blocks() -> None:
    file = corpus.png()
    texts = {f"Raw profile type x{number}".encode(): b"no digits" for number in range(MAX_BLOCKS + 1)}
    assert read_metadata(said.png(file, texts=texts), "png").is_incomplete
