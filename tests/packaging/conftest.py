"""What tests of the packaging share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.packaging.workflows import Runner


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    """Runs scripts of workflows, each in a folder of its own."""
    return Runner(tmp_path)
