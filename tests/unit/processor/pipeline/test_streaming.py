"""A large JPEG is decoded twice and never held: the same files, for less memory."""

from __future__ import annotations

from dataclasses import replace

import pytest
import pyvips

from processor.errors import CorruptImage, TimedOut
from processor.formats.info import ImageInfo
from processor.images import Rendered
from processor.pipeline import decode, encode, streaming
from processor.pipeline.estimate import least_bytes, working_bytes
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.render import inspect, render
from processor.recipes import STANDARD, Recipe, standard
from service.machine import OWN_BYTES
from tests import corpus

MIB = 1024 * 1024
LIMITS = FileLimits()
LARGE = ImageInfo(format="jpeg", width=12_500, height=8_000)


def rendered(data: bytes, recipe: Recipe = STANDARD) -> Rendered:
    return render(data, inspect(data, LIMITS), recipe, Deadline(60))


@pytest.fixture
def streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every JPEG is large enough."""
    monkeypatch.setattr(streaming, "MIN_PIXELS", 1)


FILES = {
    "even": corpus.jpeg(corpus.photo(2400, 1600)),
    "odd": corpus.jpeg(corpus.photo(2201, 1403)),
    "tall": corpus.jpeg(corpus.photo(1203, 2005), subsample_mode="off"),
    "grey": corpus.jpeg(corpus.photo(2000, 1500).colourspace("b-w")),
    "cmyk": corpus.cmyk_jpeg(corpus.photo(2000, 1500), profile=False),
    "another profile": corpus.p3_jpeg(corpus.photo(2000, 1500)),
    "without its end": corpus.jpeg(corpus.photo(2000, 1500))[:-2],
    "of one size": corpus.jpeg(corpus.photo(200, 150)),
    "turned": corpus.jpeg(corpus.photo(2000, 1500), orientation=6),
    "progressive": corpus.jpeg(corpus.photo(2000, 1500), interlace=True),
}


@pytest.mark.parametrize("name", FILES)
def test_the_files_are_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    held = rendered(FILES[name])

    monkeypatch.setattr(streaming, "MIN_PIXELS", 1)

    assert rendered(FILES[name]) == held


@pytest.mark.usefixtures("streamed")
def test_it_is_decoded_again_for_each_file_of_its_own_size_and_for_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    again, files = decode.load_again, []

    def load_again(data: bytes, watch: decode.Watch) -> pyvips.Image:
        files.append(data)
        return again(data, watch)

    monkeypatch.setattr(decode, "load_again", load_again)
    rendered(FILES["even"])
    rendered(FILES["turned"])

    assert files == [FILES["even"]]


@pytest.mark.usefixtures("streamed")
@pytest.mark.parametrize("part", [0.3, 0.9])
def test_lost_pixels_are_found_as_in_every_picture(part: float) -> None:
    with pytest.raises(CorruptImage):
        rendered(FILES["even"][: int(len(FILES["even"]) * part)])


@pytest.mark.usefixtures("streamed")
def test_the_deadline_holds_while_it_is_decoded_again(monkeypatch: pytest.MonkeyPatch) -> None:
    data, deadline = FILES["even"], Deadline(60)
    write = encode.write

    def late(image: object, spec: object) -> bytes:
        monkeypatch.setattr(deadline, "_at", 0.0)
        return write(image, spec)  # type: ignore[arg-type]

    monkeypatch.setattr(encode, "write", late)
    with pytest.raises(TimedOut):
        render(data, inspect(data, LIMITS), STANDARD, deadline)


@pytest.mark.parametrize(
    ("info", "recipe"),
    [
        (replace(LARGE, width=7_000), STANDARD),
        (replace(LARGE, format="png"), STANDARD),
        (replace(LARGE, scans=8), STANDARD),
        (replace(LARGE, orientation=6), STANDARD),
        (LARGE, standard(0)),
        (replace(LARGE, width=17_000), STANDARD),  # WebP cannot hold it, so that all sizes are smaller ones
    ],
)
def test_what_has_to_be_there_as_a_whole_is_held(info: ImageInfo, recipe: Recipe) -> None:
    assert streaming.first_size(LARGE, STANDARD) is not None
    assert streaming.first_size(info, recipe) is None


def test_a_jpeg_of_100_megapixels_works_in_a_pod_of_1_gib() -> None:
    budget = 1024 * MIB - OWN_BYTES - LIMITS.max_bytes

    assert working_bytes(LARGE, 40 * MIB) <= budget
    assert least_bytes(replace(LARGE, orientation=6), 40 * MIB) > budget
