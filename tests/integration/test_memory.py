"""The estimate by which images are admitted is what they take, measured in processes of their own."""

from __future__ import annotations

import sys

import pytest

from benchmarks.memory_peak import cases, measure
from processor.pipeline.budget import BASE_BYTES

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell what a process held"),
    pytest.mark.slow,
]

#: Size of a picture. Below, what every image takes is most of it.
MEGAPIXELS = 12
#: By how much the estimate may be wrong.
TOLERANCE = 0.1
CASES = cases(MEGAPIXELS)
#: Where the estimate is the most that such a picture can take, and this one takes it.
EXACT = ("jpeg", "jpeg-progressive-444", "png", "png-16-interlaced", "png-alpha-noise", "webp", "gif")
#: Where more depends on the pixels than on the header.
AT_MOST = ("png-alpha-solid", "gif-flat", "gif-of-three", "webp-of-many", "webp-of-three-alpha")


@pytest.mark.parametrize("name", EXACT)
def test_the_estimate_is_what_a_picture_takes(name: str) -> None:
    measured = measure(CASES[name]())

    assert measured.peak * (1 - TOLERANCE) <= measured.estimate
    # What every image is said to take is more than a plain one does.
    assert measured.estimate <= measured.peak * (1 + TOLERANCE) + BASE_BYTES * 2 / 3


@pytest.mark.parametrize("name", AT_MOST)
def test_no_picture_takes_more_than_the_estimate(name: str) -> None:
    measured = measure(CASES[name]())

    assert measured.peak * (1 - TOLERANCE) <= measured.estimate
    assert measured.least <= measured.estimate


def test_alpha_that_hides_nothing_takes_the_least() -> None:
    measured = measure(CASES["png-alpha-solid"]())

    assert measured.peak * (1 - TOLERANCE) <= measured.least <= measured.peak * (1 + TOLERANCE) + BASE_BYTES / 2
