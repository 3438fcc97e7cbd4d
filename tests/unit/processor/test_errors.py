"""The error tree."""

from __future__ import annotations

import re

import pytest

from processor import errors


@pytest.mark.parametrize("leaf", errors.leaves(), ids=lambda leaf: leaf.__name__)
def test_every_error_has_a_stable_code_of_its_own_and_a_sentence_for_people(leaf: type[errors.TrussError]) -> None:
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", leaf.code)
    assert [other for other in errors.leaves() if other.code == leaf.code] == [leaf]
    assert re.fullmatch(r"[A-Z].+\.", leaf().message)


def test_a_message_of_ones_own_replaces_the_default() -> None:
    assert str(errors.NotUploaded("Gone.")) == "Gone."


def test_every_leaf_says_what_its_catcher_must_do() -> None:
    branches = (errors.Rejected, errors.NotFound, errors.Conflict, errors.Unavailable)
    assert all(issubclass(leaf, branches) for leaf in errors.leaves())
