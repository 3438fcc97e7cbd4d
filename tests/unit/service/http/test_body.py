"""Bodies that are packed."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.http import body
from service.http.body import decoded
from service.http.problems import InvalidBody, PayloadTooLarge

MOST = 1000
GZIP, ZLIB = body._GZIP, body._ZLIB


def bare(data: bytes) -> bytes:
    packing = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packing.compress(data) + packing.flush()


@given(st.binary(max_size=MOST))
def test_what_was_packed_comes_out_as_it_was(data: bytes) -> None:
    assert decoded(gzip.compress(data), GZIP, MOST) == data
    assert decoded(zlib.compress(data), ZLIB, MOST) == data
    assert decoded(bare(data), ZLIB, MOST) == data
    assert decoded(gzip.compress(data[:300]) + gzip.compress(data[300:]), GZIP, MOST) == data


@pytest.mark.parametrize(("pack", "encoding"), [(gzip.compress, GZIP), (zlib.compress, ZLIB), (bare, ZLIB)])
def test_nobody_unpacks_more_than_may_be(monkeypatch: pytest.MonkeyPatch, pack: Any, encoding: int) -> None:
    unpacked: list[int] = []

    class Counting:
        def __init__(self, bits: int) -> None:
            self.real = unpacking(bits)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

        def decompress(self, data: bytes, most: int) -> bytes:
            found: bytes = self.real.decompress(data, most)
            unpacked.append(len(found))
            return found

    unpacking = zlib.decompressobj
    monkeypatch.setattr(zlib, "decompressobj", Counting)
    with pytest.raises(PayloadTooLarge):
        decoded(pack(bytes(10_000_000)), encoding, MOST)
    with pytest.raises(PayloadTooLarge):
        decoded(pack(bytes(600)) + pack(bytes(600)) if encoding == GZIP else pack(bytes(1001)), encoding, MOST)
    assert max(unpacked) <= MOST + 1


@pytest.mark.parametrize("encoding", [GZIP, ZLIB])
@pytest.mark.parametrize("cut", [1, 5, -1])
def test_what_is_cut_or_is_not_packed_is_refused(encoding: int, cut: int) -> None:
    whole = gzip.compress(b"some words") if encoding == GZIP else zlib.compress(b"some words")
    for data in (whole[:cut], b"no such thing", whole + b"more"):
        with pytest.raises(InvalidBody):
            decoded(data, encoding, MOST)
