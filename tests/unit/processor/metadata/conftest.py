"""libvips as the service sets it up."""

from __future__ import annotations

import pytest

from processor.pipeline.engine import set_up_libvips


@pytest.fixture(autouse=True, scope="session")
def _libvips() -> None:
    set_up_libvips()
