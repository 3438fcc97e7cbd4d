"""What is found out about pictures, as a viewer would say it."""

from __future__ import annotations

import base64
import math
from dataclasses import replace

import pytest
import pyvips
from hypothesis import given
from hypothesis import strategies as st

from processor.facts import Facts
from processor.pipeline.analyses import ANALYSES
from processor.pipeline.analyses.blurhash import _DIGITS, _hash, blurhash
from processor.pipeline.analyses.colour import average_colour
from processor.pipeline.analyses.colours import dominant_colours
from processor.pipeline.analyses.light import LIGHT, coded
from processor.pipeline.analyses.likeness import likeness
from processor.pipeline.analyses.placeholder import placeholder
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.render import inspect, render
from processor.pipeline.steps.glance import SIDE, TINY_SIDE, glance
from processor.recipes import STANDARD
from tests import corpus


def flat(*samples: int, width: int = 24, height: int = 18) -> pyvips.Image:
    interpretation = "srgb" if len(samples) >= 3 else "b-w"
    return (pyvips.Image.black(width, height) + list(samples)).cast("uchar").copy(interpretation=interpretation)


def facts(data: bytes, *names: str) -> Facts:
    limits = FileLimits()
    recipe = replace(STANDARD, analyses=names)
    return render(data, inspect(data, limits), recipe, Deadline(limits.timeout_seconds)).facts


@pytest.mark.parametrize(
    ("picture", "colour"),
    [
        (flat(255, 128, 0), "#ff8000"),
        (flat(0, 0, 0), "#000000"),
        (flat(200), "#c8c8c8"),
        (flat(255, 0, 0).join(flat(0, 0, 255), "horizontal"), "#800080"),
        (flat(255, 128, 0, 255), "#ff8000"),
        (flat(255, 128, 0, 3), "#ff8000"),
        (flat(255, 0, 0, 255).join(flat(0, 255, 0, 0), "horizontal"), "#ff0000"),
        (flat(255, 0, 0, 255).join(flat(0, 0, 255, 85), "horizontal"), "#bf0040"),
        (flat(200, 40), "#c8c8c8"),
        (flat(255, 255, 255, 0), None),
        (flat(7, 0), None),
    ],
)
def test_the_colour_is_the_average_of_what_is_seen(picture: pyvips.Image, colour: str | None) -> None:
    assert average_colour(glance(picture)) == colour


def test_the_colour_of_an_animation_is_that_of_its_first_frame() -> None:
    roll = flat(255, 0, 0).join(flat(0, 0, 255), "vertical").copy()
    roll.set_type(pyvips.GValue.gint_type, "page-height", 18)
    assert average_colour(glance(roll)) == "#ff0000"


@pytest.mark.parametrize("width", [5, 40, 1000])
def test_a_rendered_file_has_the_colour_of_its_picture(width: int) -> None:
    data = corpus.png(flat(18, 52, 86, width=width, height=width))
    assert facts(data, "colour") == Facts({"colour": "#123456"})


def test_nothing_is_found_that_was_not_asked_for_or_that_another_release_knows() -> None:
    data = corpus.jpeg()
    assert facts(data) == Facts()
    assert facts(data, "faces-of-a-later-release") == Facts()
    assert facts(data, "faces-of-a-later-release", "colour").found.keys() == {"colour"}


@pytest.mark.slow  # all of them together are asked of every kind of picture below
@pytest.mark.parametrize("name", ANALYSES)
@pytest.mark.parametrize("sample", [name for name, sample in corpus.SAMPLES.items() if sample.code is None])
def test_every_analysis_finds_something_in_every_kind_of_picture(sample: str, name: str) -> None:
    assert facts(corpus.SAMPLES[sample].make(), name).found.keys() == {name}


# -- placeholder ------------------------------------------------------------------------------------------------------


def shown(placeholder: str) -> pyvips.Image:
    head, _, data = placeholder.partition(",")
    assert head == "data:image/webp;base64"
    return pyvips.Image.new_from_buffer(base64.b64decode(data, validate=True), "")


@pytest.mark.parametrize(
    ("width", "height", "size"),
    [(300, 200, (13, 9)), (200, 300, (9, 13)), (300, 1, (13, 1)), (7, 5, (7, 5)), (1, 1, (1, 1))],
)
def test_a_placeholder_has_the_shape_and_the_colours_of_the_picture(
    width: int, height: int, size: tuple[int, int]
) -> None:
    small = shown(placeholder(glance(flat(200, 40, 40, width=width, height=height))))
    assert (small.width, small.height) == size
    assert [band.avg() for band in small.bandsplit()] == pytest.approx([200, 40, 40], abs=12)


def test_a_placeholder_of_a_photograph_takes_no_more_than_a_few_hundred_characters() -> None:
    assert len(placeholder(glance(corpus.photo(300, 225)))) < 400


def test_a_placeholder_is_of_the_first_frame_and_lets_through_what_is_transparent() -> None:
    roll = flat(255, 0, 0, 0).join(flat(0, 0, 255, 255), "vertical").copy()
    roll.set_type(pyvips.GValue.gint_type, "page-height", 18)
    small = shown(placeholder(glance(roll)))
    assert (small.width, small.height) == (12, 9)
    assert small[3].max() == 0


@given(st.integers(1, 400), st.integers(1, 400), st.sampled_from([(200,), (200, 90), (200, 40, 40), (200, 40, 40, 90)]))
def test_a_glance_is_small_and_what_is_tiny_is_smaller(width: int, height: int, samples: tuple[int, ...]) -> None:
    seen = glance(flat(*samples, width=width, height=height))
    tiny = seen.tiny
    assert max(seen.width, seen.height) < 2 * SIDE
    assert max(seen.width, seen.height) >= min(SIDE, width, height)
    assert min(TINY_SIDE, max(seen.width, seen.height)) // 2 < max(tiny.width, tiny.height) <= TINY_SIDE
    for each in (seen, tiny):
        planes = [*each.colours, *(() if each.alpha is None else (each.alpha,))]
        for plane, sample in zip(planes, samples, strict=True):
            assert sample - 1 <= min(plane) <= max(plane) <= sample
        assert {len(plane) for plane in planes} == {each.width * each.height}


def test_what_is_invisible_has_no_part_in_what_is_tiny() -> None:
    half = flat(250, 0, 0, 255).join(flat(0, 250, 0, 0), "horizontal").join(flat(250, 0, 0, 255), "horizontal")
    tiny = glance(half).tiny
    assert tiny.alpha is not None
    assert all(red == 250 and green == 0 for red, green, a in zip(*tiny.colours[:2], tiny.alpha, strict=True) if a)


# -- likeness ---------------------------------------------------------------------------------------------------------


def bits_apart(one: str, other: str) -> int:
    return (int(one, 16) ^ int(other, 16)).bit_count()


@pytest.mark.parametrize("quality", [30, 60, 95])
def test_copies_of_a_picture_in_other_sizes_and_qualities_look_alike(quality: int) -> None:
    original, copy = corpus.photo(400, 300), corpus.jpeg(corpus.photo(400, 300), quality=quality)
    of_copy = facts(copy, "likeness").found["likeness"]
    assert bits_apart(likeness(glance(original)), of_copy) <= 6
    assert bits_apart(likeness(glance(original)), likeness(glance(original.resize(0.4)))) <= 6


def test_a_mirrored_picture_looks_otherwise() -> None:
    assert bits_apart(likeness(glance(corpus.photo(400, 300))), likeness(glance(corpus.photo(400, 300).fliphor()))) > 20


@pytest.mark.parametrize(
    "picture", [flat(9, 9, 9), flat(200), flat(200, 40), flat(7, 7, 7, 0), flat(1, 2, 3, width=1, height=1)]
)
def test_what_shows_nothing_has_a_likeness_of_nothing(picture: pyvips.Image) -> None:
    assert likeness(glance(picture)) == "0" * 16


@pytest.mark.parametrize("sample", [name for name, each in corpus.SAMPLES.items() if each.code is None])
def test_every_kind_of_picture_has_all_facts(sample: str) -> None:
    found = facts(corpus.SAMPLES[sample].make(), *STANDARD.analyses)
    assert found.everything.keys() == set(STANDARD.analyses)
    assert len(found.to_text()) < 1000


# -- colours ----------------------------------------------------------------------------------------------------------


def test_the_colours_are_those_of_the_areas_with_their_shares_the_largest_first() -> None:
    thirds = flat(200, 30, 30).join(flat(200, 30, 30), "horizontal").join(flat(20, 20, 160), "horizontal")
    found = dominant_colours(glance(thirds))
    assert [each["share"] for each in found] == pytest.approx([2 / 3, 1 / 3], abs=0.04)
    named = [bytes.fromhex(str(each["rgb"])[1:]) for each in found]
    assert [list(each) for each in named] == [pytest.approx(side, abs=12) for side in ((200, 30, 30), (20, 20, 160))]


@pytest.mark.parametrize(
    ("picture", "colours"),
    [
        (flat(18, 52, 86), ["#123456"]),
        (flat(200), ["#c8c8c8"]),
        (flat(7, 7, 7, 0), []),
        (flat(255, 0, 0, 255).join(flat(0, 255, 0, 0), "horizontal"), ["#ff0000"]),
        (flat(1, 2, 3, width=1, height=1), ["#010203"]),
    ],
)
def test_only_what_is_seen_has_colours(picture: pyvips.Image, colours: list[str]) -> None:
    assert [each["rgb"] for each in dominant_colours(glance(picture))] == colours


def test_a_photograph_has_a_few_colours_that_make_up_most_of_it() -> None:
    found = dominant_colours(glance(corpus.photo(300, 225)))
    assert 1 <= len(found) <= 5
    assert sum(float(each["share"]) for each in found) > 0.7


# -- BlurHash ---------------------------------------------------------------------------------------------------------


def unblurred(code: str, width: int, height: int) -> list[list[tuple[float, ...]]]:
    """The picture that a BlurHash stands for, by its published algorithm, in code values."""

    def number(text: str) -> int:
        value = 0
        for each in text:
            value = value * 83 + _DIGITS.index(each)
        return value

    across, down = number(code[0]) % 9 + 1, number(code[0]) // 9 + 1
    assert len(code) == 4 + 2 * across * down
    most, mean = (number(code[1]) + 1) / 166, number(code[2:6])
    waves: list[tuple[float, ...]] = [tuple(LIGHT[mean >> shift & 255] for shift in (16, 8, 0))]
    for start in range(6, len(code), 2):
        packed = number(code[start : start + 2])
        parts = [(packed // 19**place % 19 - 9) / 9 for place in (2, 1, 0)]
        waves.append(tuple(math.copysign(part * part, part) * most for part in parts))

    def at(x: int, y: int) -> tuple[float, ...]:
        weights = [
            math.cos(math.pi * x * i / width) * math.cos(math.pi * y * j / height)
            for j in range(down)
            for i in range(across)
        ]
        return tuple(coded(sum(w * wave[band] for w, wave in zip(weights, waves, strict=True))) for band in range(3))

    return [[at(x, y) for x in range(width)] for y in range(height)]


@pytest.mark.parametrize("samples", [(200, 40, 40), (0, 0, 0), (255, 255, 255), (18, 52, 86)])
def test_a_blurhash_of_one_colour_is_that_colour(samples: tuple[int, ...]) -> None:
    shown = unblurred(blurhash(glance(flat(*samples))), 8, 6)
    # The published waves do not sum up to nothing, so that even one colour has faint ones.
    assert [sum(row[x][band] for row in shown for x in range(8)) / 48 for band in range(3)] == pytest.approx(
        samples, abs=12
    )


def test_a_blurhash_shows_where_a_picture_is_light_and_where_it_is_dark() -> None:
    shown = unblurred(blurhash(glance(flat(250, 250, 250).join(flat(5, 5, 60), "horizontal"))), 8, 6)
    assert min(row[0][0] for row in shown) > 200
    assert max(row[7][0] for row in shown) < 120
    large = blurhash(glance(flat(250, 250, 250, width=500).join(flat(5, 5, 60, width=500), "horizontal")))
    assert max(row[7][0] for row in unblurred(large, 8, 6)) < 120
    upright = blurhash(glance(flat(9, 9, 9, width=30, height=60)))
    assert _DIGITS.index(upright[0]) == (3 - 1) + (4 - 1) * 9


def test_a_blurhash_is_the_one_of_the_published_encoder() -> None:
    """Worked out by the algorithm as it is published, without any shortcut."""
    small = corpus.photo(16, 12)
    samples = bytes(small.write_to_memory())
    waves = []
    for j in range(3):
        for i in range(4):
            total = [0.0, 0.0, 0.0]
            for y in range(12):
                for x in range(16):
                    basis = math.cos(math.pi * i * x / 16) * math.cos(math.pi * j * y / 12)
                    for band in range(3):
                        total[band] += basis * LIGHT[samples[(y * 16 + x) * 3 + band]]
            waves.append(tuple(each * (2 if i or j else 1) / (16 * 12) for each in total))
    assert blurhash(glance(small)) == _hash(waves, 4, 3)


def test_a_blurhash_is_of_what_is_seen_on_white() -> None:
    assert blurhash(glance(flat(0, 0, 0, 0))) == blurhash(glance(flat(255, 255, 255)))
    assert blurhash(glance(flat(200, 255))) == blurhash(glance(flat(200, 200, 200)))
