"""How large variants get."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.formats import encoding_of
from processor.formats.info import ImageInfo
from processor.pipeline.geometry import fit_size, target_size
from processor.recipes import STANDARD_VARIANTS, VariantSpec
from tests import corpus
from tests.unit.processor.pipeline.compare import opened, rendered, variant

sides = st.integers(min_value=1, max_value=20_000)
boxes = st.tuples(st.integers(min_value=1, max_value=4_000), st.integers(min_value=1, max_value=4_000))

LONGEST = encoding_of("webp").longest_side

#: Measured: what sharp 0.35 makes of a source with `fit: inside, withoutEnlargement`.
SHARP = [
    ("png", (4000, 3000), (300, 300), (300, 225)),
    ("png", (1001, 667), (300, 300), (300, 200)),
    ("png", (5000, 1), (300, 300), (300, 1)),
    ("jpeg", (1866, 226), (300, 300), (300, 36)),
    ("jpeg", (441, 1252), (300, 300), (105, 300)),
    ("jpeg", (810, 1409), (300, 300), (173, 300)),
    ("jpeg", (1366, 1843), (800, 600), (445, 600)),
    ("jpeg", (2078, 2433), (800, 600), (513, 600)),
    ("webp", (1600, 717), (800, 600), (800, 358)),
]


@given(width=sides, height=sides, box=boxes)
def test_a_variant_fits_its_box_touches_it_and_is_never_enlarged(width: int, height: int, box: tuple[int, int]) -> None:
    got_width, got_height = fit_size(width, height, box)

    assert 1 <= got_width <= min(width, box[0])
    assert 1 <= got_height <= min(height, box[1])
    assert got_width in {width, box[0]} or got_height in {height, box[1]}


@given(width=sides, height=sides, box=boxes)
def test_a_variant_has_the_shape_of_its_source_to_the_nearest_pixel(
    width: int, height: int, box: tuple[int, int]
) -> None:
    got_width, got_height = fit_size(width, height, box)
    shrink = max(width / box[0], height / box[1], 1.0)

    assert abs(got_width - max(1, width / shrink)) <= 0.5 + 1e-6
    assert abs(got_height - max(1, height / shrink)) <= 0.5 + 1e-6


@given(
    width=sides, height=sides, orientation=st.integers(min_value=1, max_value=8), kind=st.sampled_from(["jpeg", "png"])
)
def test_every_standard_variant_of_every_size_fits(width: int, height: int, orientation: int, kind: str) -> None:
    info = ImageInfo(format=kind, width=width, height=height, orientation=orientation)
    for spec in STANDARD_VARIANTS:
        got = target_size(info, spec)
        box = spec.box or (LONGEST, LONGEST)
        upright = (height, width) if orientation >= 5 else (width, height)
        assert all(1 <= side <= most for side, most in zip(got, box, strict=True))
        assert all(side <= most for side, most in zip(got, upright, strict=True))


@pytest.mark.parametrize(("kind", "source", "box", "expected"), SHARP)
def test_sizes_are_those_of_the_earlier_service(
    kind: str, source: tuple[int, int], box: tuple[int, int], expected: tuple[int, int]
) -> None:
    info = ImageInfo(format=kind, width=source[0], height=source[1])

    assert target_size(info, VariantSpec(name="any", format="webp", quality=80, box=box)) == expected


def test_an_image_within_all_boxes_keeps_its_size_everywhere() -> None:
    result = rendered(corpus.png(corpus.photo(120, 80)))

    assert {(output.width, output.height) for output in result.variants} == {(120, 80)}


def test_the_same_pixels_at_the_same_quality_are_encoded_once() -> None:
    specs = (*STANDARD_VARIANTS[:3], replace(STANDARD_VARIANTS[3], quality=STANDARD_VARIANTS[1].quality))
    result = rendered(corpus.png(corpus.photo(120, 80)), specs=specs)
    files = {output.name: output.data for output in result.variants}

    assert files["medium"] is files["webp"]
    assert files["medium"] != files["large"]


@pytest.mark.parametrize(("width", "height"), [(20_000, 10), (10, 20_000)])
def test_a_side_too_long_for_webp_is_shrunk_to_what_it_holds(width: int, height: int) -> None:
    output = variant(corpus.png(corpus.flat(width, height, (90, 90, 90))), STANDARD_VARIANTS[-1])

    assert max(output.width, output.height) == LONGEST
    assert min(output.width, output.height) == 8
    assert (opened(output).width, opened(output).height) == (output.width, output.height)
