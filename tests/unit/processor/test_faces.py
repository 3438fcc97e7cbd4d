"""Faces are fractions of the picture, and a fact tells of them in few bytes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.faces import MOST_TOLD, Face, faces_in, fact_of
from processor.facts import MAX_BYTES, Facts
from processor.pipeline.analyses.metadata import MAX_BYTES as METADATA_BYTES

fractions = st.floats(min_value=-0.2, max_value=1.2, allow_nan=False)
faces = st.builds(
    Face,
    *([st.floats(min_value=0, max_value=1)] * 5),
    landmarks=st.lists(st.tuples(fractions, fractions), min_size=5, max_size=5).map(tuple),
)


@given(st.lists(faces, max_size=MOST_TOLD))
def test_a_fact_tells_of_each_face_as_it_was_rounded(found: list[Face]) -> None:
    fact = Facts.from_text(Facts({"faces": fact_of(found)}).to_text()).found["faces"]
    assert fact["count"] == len(found)
    assert sorted(map(repr, faces_in(fact))) == sorted(repr(face.rounded()) for face in found)
    assert [face.area for face in faces_in(fact)] == pytest.approx(
        sorted((face.area for face in found), reverse=True), abs=1e-3
    )


def test_a_fact_counts_all_faces_of_a_crowd_and_tells_of_the_largest() -> None:
    crowd = [
        Face(0.123456, 0.123456, size / 1000, size / 1000, 0.98765, ((0.11111, 0.22222),) * 5) for size in range(9, 400)
    ]
    fact = fact_of(crowd)
    assert fact["count"] == len(crowd)
    assert [face.width for face in faces_in(fact)] == [size / 1000 for size in range(399, 399 - MOST_TOLD, -1)]


def test_the_largest_fact_of_faces_has_its_place_beside_the_largest_metadata() -> None:
    point = (-0.12345, -0.12345)
    fact = fact_of([Face(0.12345, 0.12345, 0.12345, 0.12345, 0.98765, (point,) * 5)] * 1000)
    taken = len(Facts({"faces": fact}).to_text()) + METADATA_BYTES
    assert taken < MAX_BYTES - 2048


@pytest.mark.parametrize(
    "fact", [None, 7, "faces", [], {}, {"largest": [{}]}, {"largest": [{"left": 1}]}, {"largest": 3}, {"largest": [3]}]
)
def test_anything_else_is_no_fact_of_faces(fact: Any) -> None:
    with pytest.raises(ValueError, match="no faces"):
        faces_in(fact)
