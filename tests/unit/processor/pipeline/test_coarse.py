"""Of a progressive JPEG, its first scans show the same as all of it, shrunk by 8."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest
import pyvips
from hypothesis import given
from hypothesis import strategies as st

from processor.errors import CorruptImage
from processor.pipeline import coarse, decode, jpeg
from tests import corpus
from tests.corpus import arithmetic, damage, progressive
from tests.corpus.progressive import Colour, Step
from tests.searching import searching

LAST = 63
WHOLE, HALF = Colour(2, 2), Colour(1, 1)


def shrunk(data: bytes) -> pyvips.Image | None:
    """None: a decoder has something to say against it."""
    try:
        opened = pyvips.Image.jpegload_buffer(data, shrink=coarse.SHRINK, fail_on="warning", access="sequential")
        return opened.copy_memory()
    except pyvips.Error:
        return None


def part_of(data: bytes) -> bytes:
    read = jpeg.read(data)
    assert read.has_all_scans
    part = coarse.part_of(data, read)
    assert part is not None
    return part


def assert_same(one: pyvips.Image | None, other: pyvips.Image | None) -> None:
    if one is None or other is None:
        assert one is other
        return
    assert (one.width, one.height, one.bands) == (other.width, other.height, other.bands)
    assert (one != other).max() == 0


def coded_bytes(data: bytes) -> int:
    """Without headers and profiles."""
    return sum(scan.end - scan.start for scan in jpeg.read(data).scans)


def script(colours: int, seed: int) -> list[Step]:
    """Any order of scans that T.81 allows: bands after the means, bits from high to low."""
    chance = random.Random(seed)
    everything = tuple(range(colours))
    low = chance.randint(0, 2)
    means = [everything] if chance.random() < 0.7 else [(number,) for number in everything]
    steps = [Step(group, 0, 0, low) for group in means]
    chains = [[Step(everything, 0, 0, bit, again=True) for bit in range(low - 1, -1, -1)]]
    for number in everything:
        cuts = sorted(chance.sample(range(2, LAST + 1), chance.randint(0, 2)))
        for first, end in zip([1, *cuts], [*cuts, LAST + 1], strict=True):
            low = chance.randint(0, 2)
            more = [Step((number,), first, end - 1, bit, again=True) for bit in range(low - 1, -1, -1)]
            chains.append([Step((number,), first, end - 1, low), *more])
    while chains := [chain for chain in chains if chain]:
        steps.append(chance.choice(chains).pop(0))
    return steps


@st.composite
def samplings(draw: st.DrawFn) -> list[Colour]:
    """Grey, three colours or four; what fits into a unit of ten blocks."""
    factors = st.builds(Colour, st.sampled_from([1, 2, 4, 3]), st.sampled_from([1, 2, 4, 3]))
    common = st.sampled_from([[WHOLE, HALF, HALF], [Colour(2, 1), HALF, HALF], [HALF, HALF, HALF]])
    any_number = st.sampled_from([1, 3, 4]).flatmap(lambda count: st.lists(factors, min_size=count, max_size=count))
    fits = any_number.filter(lambda colours: sum(each.across * each.down for each in colours) <= 10)
    return draw(st.one_of(common, fits))


@searching(150)
@given(
    size=st.tuples(st.integers(1, 70), st.integers(1, 70)),
    colours=samplings(),
    restart=st.sampled_from([0, 0, 1, 3, 7]),
    seed=st.integers(0, 2**32),
)
def test_first_scans_show_the_same_as_all_of_them(
    size: tuple[int, int], colours: Sequence[Colour], restart: int, seed: int
) -> None:
    data = progressive.jpeg(size, colours, script(len(colours), seed), restart=restart, seed=seed)
    part = part_of(data)

    assert_same(shrunk(part), shrunk(data))
    assert len(jpeg.read(part).scans) <= len(jpeg.read(data).scans) + len(colours)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"subsample_mode": "off"},
        {"optimize_scans": True},
        {"optimize_scans": True, "subsample_mode": "off"},
        {"restart_interval": 5},
        {"trellis_quant": True, "overshoot_deringing": True, "quality": 40},
    ],
)
@pytest.mark.parametrize("kind", ["colours", "grey", "cmyk"])
def test_what_encoders_write_is_the_same_of_a_part_of_its_bytes(kind: str, options: dict[str, Any]) -> None:
    picture = corpus.photo(1001, 667)
    if kind == "cmyk":
        picture = picture.colourspace("cmyk")
    data = corpus.jpeg(picture.colourspace("b-w") if kind == "grey" else picture, interlace=True, **options)
    part = part_of(data)

    assert shrunk(data) is not None
    assert_same(shrunk(part), shrunk(data))
    assert coded_bytes(part) < coded_bytes(data) / 2


def test_a_large_picture_is_the_same() -> None:
    """Of more blocks than are in a run."""
    data = corpus.jpeg(corpus.photo(350, 250).resize(4), interlace=True, subsample_mode="off")

    assert_same(shrunk(part_of(data)), shrunk(data))


def test_what_lacks_its_end_is_the_same_picture() -> None:
    data = corpus.jpeg(corpus.photo(300, 200), interlace=True)

    assert part_of(data[:-2]) == part_of(data)


SCRIPT = script(3, seed=1)


@pytest.mark.parametrize(
    "data",
    [
        corpus.jpeg(corpus.photo(60, 40)),
        arithmetic.jpeg(),
        progressive.jpeg((60, 40), [WHOLE, HALF, HALF], SCRIPT).replace(b"\x01\x22\0\x02", b"\x01\x22\0\x01"),
        progressive.jpeg((60, 40), [WHOLE, HALF, HALF], SCRIPT).replace(b"\xff\xc2", b"\xff\xca"),
    ],
    ids=["baseline", "arithmetic", "a name twice", "progressive, arithmetic"],
)
def test_files_of_other_kinds_have_no_such_part(data: bytes) -> None:
    assert coarse.part_of(data, jpeg.read(data)) is None
    with pytest.raises(CorruptImage):
        decode.load_coarse(data, lambda image: image)


@pytest.mark.parametrize("components", [b"\x01\x22\0\x02\x00", b"\x01\x20\0\x02"], ids=["odd bytes", "sampled never"])
def test_a_frame_without_valid_components_is_refused(components: bytes) -> None:
    data = progressive.jpeg((60, 40), [WHOLE, HALF, HALF], SCRIPT).replace(b"\x01\x22\0\x02", components)

    with pytest.raises(CorruptImage):
        jpeg.read(data)
    with pytest.raises(CorruptImage):
        decode.load_coarse(data, lambda image: image)


def test_damage_that_a_decoder_finds_among_the_first_scans_is_found() -> None:
    data = corpus.jpeg(corpus.photo(400, 300), interlace=True)

    assert shrunk(part_of(damage.with_stray_bytes(data))) is None
