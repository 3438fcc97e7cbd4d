"""What the header tells of memory: whether anything can be seen through, by how many degrees, and what effort takes."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import pyvips
from hypothesis import given
from hypothesis import strategies as st

from processor.formats.info import ImageInfo
from processor.pipeline import png
from processor.pipeline.decode import load, probe
from processor.pipeline.estimate import NOISE_WRITTEN, is_open, least_bytes, working_bytes
from processor.pipeline.roll import leaves_gaps
from processor.recipes import Recipe, VariantSpec, standard
from tests import corpus
from tests.corpus.animations import APNG_PREVIOUS, BACKGROUND, KEEP, PREVIOUS, Part, apng_of, gif_of
from tests.searching import searching

WIDTH, HEIGHT = 8, 6


@st.composite
def _parts(draw: st.DrawFn, *, apng: bool) -> Part:
    whole = draw(st.booleans())
    left, top = (0, 0) if whole else (draw(st.integers(0, WIDTH - 1)), draw(st.integers(0, HEIGHT - 1)))
    return Part(
        left=left,
        top=top,
        width=WIDTH - left,
        height=HEIGHT - top,
        colour=(*draw(st.sampled_from([(255, 0, 0), (0, 9, 0)])), 255) if apng else draw(st.integers(0, 3)),
        dispose=draw(st.integers(0, APNG_PREVIOUS if apng else PREVIOUS)),
        transparent=None if apng else draw(st.sampled_from([None, None, 0])),
    )


def _pixels(data: bytes) -> pyvips.Image:
    return load(data, probe(data), lambda image: image, lambda: None, strict=True).copy_memory()


@searching(50)
@given(st.lists(_parts(apng=False), min_size=1, max_size=5))
def test_a_gif_that_is_called_solid_is_solid(parts: list[Part]) -> None:
    data = gif_of(WIDTH, HEIGHT, parts)

    assert probe(data).has_alpha or not _pixels(data).hasalpha()


@searching(50)
@given(st.lists(_parts(apng=True), max_size=4), st.integers(0, APNG_PREVIOUS))
def test_an_apng_whose_frames_leave_no_gap_is_solid(parts: list[Part], dispose: int) -> None:
    first = Part(width=WIDTH, height=HEIGHT, colour=(1, 2, 3, 255), dispose=dispose)
    data = apng_of(WIDTH, HEIGHT, [first, *parts])
    read = png.read(data).animation
    assert read is not None

    assert leaves_gaps(WIDTH, HEIGHT, read.frames) or not _pixels(data).hasalpha()


@pytest.mark.parametrize(
    "disposals",
    [
        (KEEP, KEEP, KEEP),
        (KEEP, PREVIOUS, KEEP),
        (BACKGROUND, BACKGROUND, KEEP),  # each is cleared, and drawn over by the next
        (PREVIOUS, KEEP, KEEP),
        (KEEP, KEEP, BACKGROUND),  # what comes after the last frame is not shown
    ],
)
def test_whole_frames_leave_nothing_to_see_through(disposals: tuple[int, ...]) -> None:
    parts = [Part(width=WIDTH, height=HEIGHT, colour=1, dispose=dispose) for dispose in disposals]

    assert not probe(gif_of(WIDTH, HEIGHT, parts)).has_alpha


def test_a_part_that_is_cleared_leaves_a_hole() -> None:
    whole, patch = Part(width=WIDTH, height=HEIGHT, colour=1), Part(left=2, top=2, width=2, height=2, colour=2)

    assert not probe(gif_of(WIDTH, HEIGHT, [whole, patch, patch])).has_alpha
    assert not probe(gif_of(WIDTH, HEIGHT, [whole, replace(patch, dispose=BACKGROUND), patch])).has_alpha
    assert probe(gif_of(WIDTH, HEIGHT, [whole, replace(patch, dispose=BACKGROUND), replace(patch, left=3)])).has_alpha


def _masked(picture: pyvips.Image) -> pyvips.Image:
    half = (pyvips.Image.xyz(picture.width, picture.height)[0] > picture.width / 2).ifthenelse(255, 0).cast("uchar")
    return picture.bandjoin(half).copy(interpretation="srgb").copy_memory()


@pytest.mark.parametrize(
    ("data", "levels"),
    [
        (corpus.gif(_masked(corpus.photo(32, 24))), 2),
        (corpus.png(_masked(corpus.photo(32, 24)), palette=True), 2),
        (corpus.png(corpus.with_alpha(corpus.photo(32, 24))), 256),
        (corpus.png(_masked(corpus.photo(32, 24))), 256),
        (corpus.webp(_masked(corpus.photo(32, 24))), 256),
    ],
    ids=["gif", "palette", "soft", "mask", "webp"],
)
def test_degrees_of_alpha_are_told_where_the_header_bounds_them(data: bytes, levels: int) -> None:
    info = probe(data)
    alpha = _pixels(data)[-1]

    assert info.has_alpha
    assert info.alpha_levels == levels
    assert len(set(bytes(alpha.write_to_memory()))) <= levels


def test_fewer_degrees_of_alpha_take_less() -> None:
    infos = [
        ImageInfo(format="png", width=4000, height=3000, has_alpha=True, bands=4, alpha_levels=n) for n in (2, 9, 256)
    ]
    taken = [working_bytes(info, 0) for info in infos]

    assert taken == sorted(set(taken))
    assert len({least_bytes(info, 0) for info in infos}) == 1


@pytest.mark.parametrize("effort", range(7))
def test_from_effort_three_on_the_pixels_of_a_photograph_decide_over_much(effort: int) -> None:
    info, recipe = ImageInfo(format="jpeg", width=4000, height=3000), standard(effort)

    more = working_bytes(info, 0, recipe) - least_bytes(info, 0, recipe)
    smaller = sum(width * height for width, height in ((300, 225), (800, 600), (1440, 1080)))

    assert is_open(info, 0, recipe) is (effort >= 3)
    assert (more == pytest.approx(smaller * NOISE_WRITTEN, abs=1)) is (effort < 3)


def test_each_file_that_waits_for_the_others_is_reserved() -> None:
    info = ImageInfo(format="jpeg", width=2000, height=1500)
    specs = [VariantSpec(name=f"v{quality}", format="webp", quality=quality) for quality in range(50, 62)]
    taken = [
        working_bytes(info, 0, Recipe(name="own", version=1, specs=tuple(specs[:count])))
        for count in range(2, len(specs) + 1)
    ]

    more = {later - earlier for earlier, later in pairwise(taken)}

    assert max(more) - min(more) <= 1
    assert min(more) == pytest.approx(info.pixels * NOISE_WRITTEN, abs=1)
