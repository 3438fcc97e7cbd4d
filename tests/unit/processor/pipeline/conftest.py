"""libvips is set up as the engine sets it up."""

from __future__ import annotations

import pytest

from processor.pipeline.engine import set_up_libvips


@pytest.fixture(autouse=True, scope="session")
def libvips() -> None:
    """The blocks are on while samples are made, too: nothing here may need a foreign loader."""
    set_up_libvips()
