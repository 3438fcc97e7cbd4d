"""What is found out about pictures, as a viewer would say it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import pyvips

from processor.facts import Facts
from processor.pipeline.analyses import ANALYSES
from processor.pipeline.analyses.colour import average_colour
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.render import inspect, render
from processor.recipes import STANDARD
from tests import corpus


def flat(*samples: int, width: int = 40, height: int = 30) -> pyvips.Image:
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
    assert average_colour(picture) == colour


def test_the_colour_of_an_animation_is_that_of_its_first_frame() -> None:
    roll = flat(255, 0, 0).join(flat(0, 0, 255), "vertical").copy()
    roll.set_type(pyvips.GValue.gint_type, "page-height", 30)
    assert average_colour(roll) == "#ff0000"


@pytest.mark.parametrize("width", [5, 40, 1000])
def test_a_rendered_file_has_the_colour_of_its_picture(width: int) -> None:
    data = corpus.png(flat(18, 52, 86, width=width, height=width))
    assert facts(data, "colour") == Facts({"colour": "#123456"})


def test_nothing_is_found_that_was_not_asked_for_or_that_another_release_knows() -> None:
    data = corpus.jpeg()
    assert facts(data) == Facts()
    assert facts(data, "faces-of-a-later-release") == Facts()
    assert facts(data, "faces-of-a-later-release", "colour").found.keys() == {"colour"}


@pytest.mark.parametrize("name", ANALYSES)
@pytest.mark.parametrize("sample", [name for name, sample in corpus.SAMPLES.items() if sample.code is None])
def test_every_analysis_finds_something_in_every_kind_of_picture(sample: str, name: str) -> None:
    assert facts(corpus.SAMPLES[sample].make(), name).found.keys() == {name}
