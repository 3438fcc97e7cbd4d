"""JPEGs with arithmetic coding: few programs write them, and libjpeg reads them."""

from __future__ import annotations

import pytest

from processor.errors import CorruptImage, UnsupportedFormat
from processor.pipeline.limits import FileLimits
from processor.pipeline.render import inspect
from tests.corpus import arithmetic
from tests.unit.processor.pipeline.compare import opened, rendered


def test_an_arithmetic_jpeg_is_converted() -> None:
    info = inspect(arithmetic.jpeg(), FileLimits())
    assert (info.format, info.width, info.height, info.bands) == ("jpeg", 160, 96, 1)

    variants = rendered(arithmetic.jpeg()).variants

    shown = opened(variants[-1].data)
    assert [shown.getpoint(8 * column + 4, 50)[0] for column in range(4)] == [
        pytest.approx(grey, abs=2) for grey in arithmetic.STRIPES * 2
    ]


@pytest.mark.parametrize("kept", [0, 1, 2])
def test_an_arithmetic_jpeg_that_was_cut_is_damaged(kept: int) -> None:
    data = arithmetic.jpeg()
    start = data.index(b"\xff\xda") + 10

    with pytest.raises(CorruptImage):
        rendered(data[: start + kept] + b"\xff\xd9")


def test_an_arithmetic_jpeg_without_its_end_marker_is_whole() -> None:
    assert rendered(arithmetic.jpeg()[:-2]).variants == rendered(arithmetic.jpeg()).variants


@pytest.mark.parametrize("process", [0xCB, 0xCD, 0xCE])
def test_other_arithmetic_kinds_are_not_supported(process: int) -> None:
    """Lossless and hierarchical."""
    data = arithmetic.jpeg().replace(b"\xff\xc9", bytes((0xFF, process)))

    with pytest.raises(UnsupportedFormat):
        inspect(data, FileLimits())
