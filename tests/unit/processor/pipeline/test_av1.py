"""The headers of AV1 bitstreams, as libaom writes them and as others may."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from processor.errors import CorruptImage, TooManyPieces
from processor.formats.anatomy import MAX_PIECES, Pieces
from processor.pipeline.av1 import Sequence, sequences
from tests import corpus
from tests.corpus import heif

#: A temporal delimiter, and the header of a unit with a sequence header whose length follows.
DELIMITER, HEADER = b"\x12\x00", b"\x0a"


def found(*pieces: bytes) -> list[Sequence]:
    return list(sequences(map(memoryview, pieces), Pieces(MAX_PIECES)))


def coded(**options: int) -> heif.Item:
    return heif.av1(corpus.flat(72, 40, (90, 120, 150)), **options)


def packed(text: str) -> bytes:
    """Bits, closed by a one and zeros."""
    text = text.replace(" ", "") + "1"
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


def unit(body: bytes) -> bytes:
    return HEADER + bytes((len(body),)) + body


#: 72 x 40 in seven bits each; no frame ids, tools or order hints; 8 bits, with coarse chroma and no colours by number.
SIDES, TOOLS, COLOURS = "0110 0110 1000111 0100111", "0 000 0000 0 1 1 000", "0 0 0 0 00 0"
#: Timing with an exponential number, a model of the decoder, delays, and two operating points, one of them with a tier.
TIMED = f"1 {1:032b} {2:032b} 1 00101 1 00011 {3:032b} 00001 00001 1 00001"
POINTS = f"{0:012b} 00100 1 {0:04b} {0:04b} 0 1 0011 {1:012b} 01000 1 0 0"


@pytest.mark.parametrize("bits", [8, 10, 12])
@pytest.mark.parametrize(("quality", "is_coarse"), [(50, True), (95, False)])
def test_what_libaom_writes_is_read(bits: int, quality: int, *, is_coarse: bool) -> None:
    item = coded(bits=bits, quality=quality)

    assert set(found(item.data)) == {Sequence(width=72, height=40, bits=bits, is_coarse=is_coarse)}


@pytest.mark.parametrize(
    "body",
    [
        f"000 1 1 00100 {SIDES} 000 000 {COLOURS}",
        f"000 1 0 0 0 00000 {0:012b} 00100 {SIDES} {TOOLS} {COLOURS}",
        f"000 0 0 {TIMED} {POINTS} {SIDES} 1 0010 001 000 0000 1 00 0 1 0 1 110 000 {COLOURS}",
    ],
    ids=["reduced", "plain", "timed"],
)
def test_every_part_of_a_header_is_passed_over(body: str) -> None:
    assert found(DELIMITER + unit(packed(body))) == [Sequence(width=72, height=40, bits=8, is_coarse=True)]


@pytest.mark.parametrize(
    ("profile", "colours", "bits", "is_coarse"),
    [
        ("000", "1 1 0 0 00", 10, True),
        ("001", "0 0 0", 8, False),
        ("010", "0 0 0 0", 8, True),
        ("010", "1 0 0 0 0 00", 10, True),
        ("010", "1 1 0 0 0 0 0", 12, False),
        ("010", "1 1 0 0 0 1 1", 12, True),
        ("010", f"1 1 0 1 {1:08b} {13:08b} {0:08b}", 12, False),
    ],
    ids=["grey", "high", "half", "half-of-10-bits", "full-of-12-bits", "coarse-of-12-bits", "srgb"],
)
def test_depth_and_chroma_are_those_of_the_profile(profile: str, colours: str, bits: int, *, is_coarse: bool) -> None:
    told = found(unit(packed(f"{profile} 1 1 00100 {SIDES} 000 000 {colours}")))

    assert told == [Sequence(width=72, height=40, bits=bits, is_coarse=is_coarse)]


def _cuts(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    return ((data[:at], data[at:]) for at in range(len(data)))


def test_it_may_lie_in_pieces() -> None:
    data = coded().data

    assert all(found(*pieces) == found(data) for pieces in _cuts(data))


def test_every_header_is_found_and_not_only_the_first() -> None:
    small, large = coded(), heif.av1(corpus.flat(200, 100, (90, 120, 150)))

    assert {each.width for each in found(small.data + large.data)} == {72, 200}


def test_a_unit_without_a_length_ends_with_the_bitstream() -> None:
    body = unit(packed(f"000 1 1 00100 {SIDES} 000 000 {COLOURS}"))[2:]

    assert [each.width for each in found(bytes((HEADER[0] & ~2,)) + body)] == [72]


def test_a_header_that_is_cut_off_is_damage() -> None:
    body = packed(f"000 1 1 00100 {SIDES} 000 000 {COLOURS}")

    for length in range(len(body) - 1):
        with pytest.raises(CorruptImage):
            found(unit(body[:length]))


def test_units_without_content_are_counted_over_all_items_that_share_them() -> None:
    units = Pieces(10)
    assert list(sequences([memoryview(DELIMITER * 6)], units)) == []

    with pytest.raises(TooManyPieces):
        list(sequences([memoryview(DELIMITER * 6)], units))
