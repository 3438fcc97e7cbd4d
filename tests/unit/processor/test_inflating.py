"""What a stream unpacks to is measured in pieces, whatever the stream says."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.formats.inflating import inflated_lengths


@given(st.binary(max_size=2000), st.integers(0, 1000))
def test_the_length_is_that_of_the_content(content: bytes, repeated: int) -> None:
    whole = content * repeated

    assert sum(inflated_lengths(memoryview(zlib.compress(whole)), len(whole) + 1)) == len(whole)


@given(st.integers(0, 5_000_000))
def test_it_is_measured_no_further_than_is_asked_and_never_held(most: int) -> None:
    lengths = list(inflated_lengths(zlib.compress(bytes(4_000_000), 9), most))

    assert sum(lengths) == min(most, 4_000_000)
    assert all(length <= 256 * 1024 for length in lengths)


@given(st.integers(1, 200))
def test_a_stream_that_is_cut_off_has_the_length_that_arrived(kept: int) -> None:
    packed = zlib.compress(bytes(range(256)), 9)[:kept]

    assert sum(inflated_lengths(packed, 1000)) == len(zlib.decompressobj().decompress(packed))


def test_what_is_no_stream_is_an_error() -> None:
    with pytest.raises(zlib.error):
        list(inflated_lengths(b"nonsense", 10))
