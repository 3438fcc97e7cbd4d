"""Which unknown names are taken for misspelled ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.http.near_misses import MAX_UNKNOWN, ONE_EDIT, near_misses

KNOWN = ("status", "limit", "lastKey", "from", "to", "order", "checksumSha256", "once", "contentType")
LETTERS = "abcdefghijklmnopqrstuvwxyz"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("last_key", "lastKey"),
        ("lastkey", "lastKey"),
        ("LASTKEY", "lastKey"),
        ("Last-Key", "lastKey"),
        ("lsatKey", "lastKey"),
        ("limits", "limit"),
        ("form", "from"),
        ("From", "from"),
        ("TO", "to"),
        ("_to", "to"),
        ("onces", "once"),
        ("checksumSha265", "checksumSha256"),
        ("checksum_sha_256", "checksumSha256"),
        ("checksumSha2", "checksumSha256"),
        ("ContentTypes", "contentType"),
    ],
)
def test_a_name_that_is_nearly_right_is_known_for_what_it_means(name: str, meant: str) -> None:
    assert near_misses([name], KNOWN) == {name: meant}


@pytest.mark.parametrize("name", ["", "_", "t", "ts", "v", "top", "page", "tags", "token", "utm_source", "ünder"])
def test_another_word_is_no_near_miss(name: str) -> None:
    assert near_misses([name], KNOWN) == {}


def test_what_is_known_is_right_however_close_it_is_to_another() -> None:
    assert near_misses(["type", "types"], ["type", "types"]) == {}


def test_another_word_for_a_name_counts_in_every_spelling() -> None:
    words = {"lastEvaluatedKey": "lastKey"}
    found = near_misses(["lastEvaluatedKey", "last_evaluated_key", "lastEvalutedKey", "evaluated"], KNOWN, words)
    assert found == {"lastEvaluatedKey": "lastKey", "last_evaluated_key": "lastKey", "lastEvalutedKey": "lastKey"}


@st.composite
def slips(draw: st.DrawFn) -> tuple[str, str]:
    """A known name, and the same with one slip of the finger."""
    name = draw(st.sampled_from([known for known in KNOWN if len(known) >= ONE_EDIT]))
    at = draw(st.integers(0, len(name) - 1))
    letter = draw(st.sampled_from(LETTERS))
    slip = draw(
        st.sampled_from(
            [
                name[:at] + name[at + 1 :],
                name[:at] + letter + name[at:],
                name[:at] + letter + name[at + 1 :],
                name[:at] + name[at : at + 2][::-1] + name[at + 2 :],
            ]
        )
    )
    return name, slip


@given(slips())
def test_no_slip_of_the_finger_goes_unseen(slip: tuple[str, str]) -> None:
    name, written = slip
    assert near_misses([written], KNOWN) == ({} if written in KNOWN else {written: name})


def test_only_so_many_unknown_names_are_looked_at() -> None:
    unknown = [f"unknown{number}" for number in range(MAX_UNKNOWN)]
    assert near_misses([*unknown[1:], "limits"], KNOWN) == {"limits": "limit"}
    assert near_misses([*unknown, "limits"], KNOWN) == {}
