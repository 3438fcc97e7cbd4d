"""Cases of which `make test` tries a part, and `make slow` the rest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest


def one_in(part: int, cases: Iterable[object]) -> list[Any]:
    """Parameters of a test: the first of so many cases, and the others as slow ones."""
    return [pytest.param(case, marks=[pytest.mark.slow] if number % part else []) for number, case in enumerate(cases)]
