"""Only what a converter unpacks of a colour profile counts as its tables."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.formats.icc import table_bytes
from tests.corpus import hostile


def _profile(*tags: tuple[bytes, int], promised: int | None = None) -> bytes:
    listed = b"".join(struct.pack(">4sII", name, 200, length) for name, length in tags)
    return bytes(128) + struct.pack(">I", len(tags) if promised is None else promised) + listed + bytes(1000)


@pytest.mark.parametrize("name", [b"A2B0", b"A2B2", b"D2B0", b"rTRC", b"kTRC", b"ncl2", b"new!"])
def test_whatever_may_be_read_is_unpacked(name: bytes) -> None:
    assert table_bytes(_profile((b"desc", 300), (name, 100))) == 100


@pytest.mark.parametrize("name", [b"B2A0", b"B2D0", b"gamt", b"targ", b"cprt"])
def test_the_way_back_and_what_is_said_about_it_are_not(name: bytes) -> None:
    assert table_bytes(_profile((name, 900))) == 0


def test_tables_that_share_their_bytes_are_unpacked_one_by_one() -> None:
    assert table_bytes(_profile((b"rTRC", 500), (b"gTRC", 500), (b"bTRC", 500))) == 1500


def test_a_profile_of_one_table_is_that_table() -> None:
    profile = hostile.profile(30)

    assert table_bytes(profile) == pytest.approx(len(profile), abs=500)


@given(st.binary(max_size=400), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_no_list_of_tags_makes_it_more_than_a_hundred_times_the_profile(
    noise: bytes, promised: int, length: int
) -> None:
    for profile in (noise, bytes(128) + noise, _profile((b"A2B0", length), promised=promised)):
        assert 0 <= table_bytes(profile) <= len(profile) * 100
