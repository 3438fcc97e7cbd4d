"""How the suite runs."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import settings

from tests.conftest import LONGEST_FIRST, TESTS, pytest_xdist_auto_num_workers
from tests.searching import FUZZ, QUICK


def test_every_folder_that_begins_is_there() -> None:
    assert [folder for folder in LONGEST_FIRST if not any((TESTS / folder).rglob("test_*.py"))] == []


def test_property_tests_try_the_same_cases_every_time_unless_they_are_told_to_search() -> None:
    profile = settings()
    cases = math.ceil(100 * max(1, FUZZ) / QUICK)
    assert (profile.derandomize, profile.deadline, profile.max_examples) == (not FUZZ, None, cases)


def test_everything_that_continuous_integration_runs_is_searched_in_full() -> None:
    recipes = (TESTS.parent / "Makefile").read_text()
    assert re.findall(r"^([a-z ]+): export QUICK\b", recipes, re.MULTILINE) == ["test cover"]
    chosen = dict(re.findall(r'^(\w+): setup.*\n\t.*/pytest .*-m "(.+?)"', recipes, re.MULTILINE))
    assert chosen == {"test": "not slow", "cover": "not slow", "slow": "slow or hypothesis"}
    assert recipes.partition("\ncheck: ")[2].partition("\n\n")[0].endswith("--no-print-directory test slow")


def test_the_number_of_workers_may_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTEST_XDIST_AUTO_NUM_WORKERS", raising=False)
    assert (pytest_xdist_auto_num_workers() or 0) >= 2
    monkeypatch.setenv("PYTEST_XDIST_AUTO_NUM_WORKERS", "1")
    assert pytest_xdist_auto_num_workers() is None
