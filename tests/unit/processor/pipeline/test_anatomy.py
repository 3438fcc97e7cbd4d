"""What is counted in a file before a decoder sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.errors import TooManyPieces, TooManyScans
from processor.formats import anatomy, dissect, sniff
from processor.pipeline import decode
from processor.pipeline.limits import FileLimits
from tests import corpus
from tests.corpus import containers, hostile
from tests.unit.processor.pipeline.compare import rendered

GOOD = [name for name, sample in corpus.SAMPLES.items() if sample.code is None]


def scans(data: bytes) -> int:
    return decode.probe(data).scans


def test_the_scans_of_a_jpeg_are_those_that_it_was_written_in() -> None:
    assert scans(corpus.jpeg()) == 1
    assert scans(corpus.jpeg(interlace=True)) == 10  # libjpeg's own script for colours
    assert scans(hostile.jpeg_of_scans(64, 48, 57)) == 57


def test_scans_of_a_thumbnail_or_behind_the_end_are_not_the_picture_s() -> None:
    small = corpus.jpeg(interlace=True)

    assert scans(containers.jpeg_with_segment(corpus.jpeg(), 0xE1, b"Exif\0\0" + small)) == 1
    assert scans(corpus.jpeg() + small) == 1


def test_fill_bytes_and_stray_bytes_hide_no_scan() -> None:
    data = hostile.jpeg_of_scans(64, 48, 9)

    assert scans(data.replace(b"\xff\xda", b"\xff\xff\xff\xda")) == 9
    assert scans(data.replace(b"\xff\xda", b"\x00\x17\xff\xda")) == 9


def test_a_marker_across_the_border_of_two_searches_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    data = corpus.jpeg(interlace=True)
    for stride in (2, 3, 5, 17):
        monkeypatch.setattr(anatomy, "_STRIDE", stride)
        assert dissect(data, "jpeg").scans == 10


def test_as_many_scans_as_libjpeg_s_tools_write_are_accepted_and_one_more_is_refused_with_both_numbers() -> None:
    assert rendered(hostile.jpeg_of_scans(64, 48, 100)).source.scans == 100

    with pytest.raises(TooManyScans, match=r"has 101 scans; the service accepts 100\.") as refusal:
        rendered(hostile.jpeg_of_scans(64, 48, 101))
    assert (refusal.value.limit, refusal.value.actual) == (100, 101)


PIECES: dict[str, Callable[[int], bytes]] = {
    "jpeg": lambda count: hostile.jpeg_of_segments(corpus.jpeg(), count),
    "jpeg-behind": lambda count: hostile.jpeg_of_segments(corpus.jpeg(), count, behind=True),
    "png": lambda count: hostile.png_of_chunks(corpus.png(), count),
    "webp": lambda count: hostile.webp_of_chunks(corpus.webp(), count),
    "gif": hostile.gif_of_comments,
}


@pytest.mark.parametrize("name", PIECES)
def test_a_file_of_crumbs_is_refused_before_a_decoder_keeps_a_record_of_each(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(decode, "_open", lambda *_, **__: asked.append(name))

    with pytest.raises(TooManyPieces, match="more than"):
        rendered(PIECES[name](60_000))
    assert not asked


@pytest.mark.parametrize("name", PIECES)
def test_a_thousand_pieces_more_than_usual_are_none_too_many(name: str) -> None:
    assert len(rendered(PIECES[name](1000)).variants) == 4


@pytest.mark.parametrize("name", GOOD)
def test_nothing_is_held_against_a_good_file(name: str) -> None:
    data = corpus.SAMPLES[name].make()

    found = dissect(data, sniff(data).name)

    assert found.scans <= FileLimits().max_scans
    assert found.metadata_bytes <= len(data)


@pytest.mark.parametrize(
    ("options", "planes"), [({"subsample_mode": "off"}, 3.0), ({"subsample_mode": "on"}, 1.5)], ids=["444", "420"]
)
def test_what_libjpeg_keeps_between_scans_follows_from_the_sampling(options: dict[str, Any], planes: float) -> None:
    picture = corpus.photo(160, 96)  # whole blocks, however sampled

    assert dissect(corpus.jpeg(picture, interlace=True, **options), "jpeg").coefficient_bytes == 160 * 96 * 2 * planes
    assert dissect(corpus.jpeg(picture, **options), "jpeg").coefficient_bytes == 0


def test_a_cut_file_is_walked_as_far_as_it_goes() -> None:
    for name in corpus.damage.CUTTABLE:
        data = corpus.SAMPLES[name].make()
        for part in (0.01, 0.1, 0.5, 0.99):
            dissect(corpus.damage.cut(data, part), sniff(data).name)


@given(st.binary(max_size=400), st.sampled_from(["jpeg", "png", "webp", "gif"]))
def test_bytes_of_any_kind_are_walked_to_an_end(tail: bytes, format_: str) -> None:
    heads = {"jpeg": b"\xff\xd8\xff", "png": containers.PNG_SIGNATURE, "webp": b"RIFF....WEBP", "gif": b"GIF89a"}
    assert dissect(heads[format_] + tail, format_).scans >= 1
