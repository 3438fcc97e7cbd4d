"""Faces are what the maps of the model say, as fractions of the picture, each once."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.errors import LookingFailed, LookingOff
from processor.faces import Face
from processor.looking import models
from processor.looking.faces import LEAST_SCORE, find_faces
from processor.looking.files import Model
from processor.looking.models import SIDE, Models
from processor.pipeline.view import View
from tests.corpus.faces import with_faces
from tests.models import MODELS, needs_models


@dataclass
class Told:
    """A session that says what it is told to, of a picture of a size, and notes what it is shown."""

    width: int
    height: int
    shown: list[Any] = field(default_factory=list)
    #: Heat, log of height and width, offset down and across, landmarks: by cell, down and across.
    cells: dict[tuple[int, int], tuple[float, ...]] = field(default_factory=dict)

    def say(self, left: float, top: float, *size_and_score: float, marks: tuple[float, ...] = ()) -> None:
        """A face in pixels; its landmarks as fractions of its box."""
        width, height, score = size_and_score
        down, across = (top + height / 2) / 4, (left + width / 2) / 4
        cell = int(down), int(across)
        offsets = down - cell[0] - 0.5, across - cell[1] - 0.5
        places = [each for x, y in zip(marks[0::2], marks[1::2], strict=True) for each in (y, x)] or [0.5] * 10
        self.cells[cell] = (score, np.log(height / 4), np.log(width / 4), *offsets, *places)

    def run(self, _names: None, inputs: Mapping[str, Any]) -> list[Any]:
        (picture,) = inputs.values()
        self.shown.append(picture)
        down, across = picture.shape[2] // 4, picture.shape[3] // 4
        maps = np.zeros((15, down, across), np.float32)
        for (y, x), values in self.cells.items():
            maps[:, y, x] = values
        return [maps[None, 0:1], maps[None, 1:3], maps[None, 3:5], maps[None, 5:15]]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    session, there = Told(100, 60), Models(Path("nowhere"))
    there._sessions[Model.FACES] = session
    monkeypatch.setattr(models, "_MODELS", there)
    return session


def found(told: Told, rgb: bytes | None = None) -> tuple[Face, ...]:
    return find_faces(rgb or bytes(told.width * told.height * 3), told.width, told.height)


def test_the_picture_is_shown_with_black_at_the_right_and_at_the_bottom(told: Told) -> None:
    rgb = bytes(range(256)) * 71
    found(told, rgb[: 100 * 60 * 3])
    (picture,) = told.shown
    assert (picture.shape, picture.dtype) == ((1, 3, 64, 128), np.float32)
    expected = np.frombuffer(rgb[: 100 * 60 * 3], np.uint8).reshape(60, 100, 3)
    assert (picture[0, :, :60, :100] == expected.transpose(2, 0, 1)).all()
    assert not picture[0, :, 60:].any()
    assert not picture[0, :, :, 100:].any()


def test_a_face_is_where_the_maps_say_as_fractions_of_the_picture(told: Told) -> None:
    told.say(20, 12, 30, 36, 0.9, marks=(0.25, 0.5, 0.75, 0.5, 0.5, 0.6, 0.3, 0.8, 0.7, 0.8))
    (face,) = found(told)
    assert (face.left, face.top, face.width, face.height) == pytest.approx((0.2, 0.2, 0.3, 0.6), abs=1e-5)
    assert face.score == pytest.approx(0.9)
    marks = [(0.275, 0.5), (0.425, 0.5), (0.35, 0.56), (0.29, 0.68), (0.41, 0.68)]
    assert [each for point in face.landmarks for each in point] == pytest.approx(
        [each for point in marks for each in point], abs=1e-5
    )


def test_of_boxes_that_share_a_face_the_surest_stays_and_neighbours_stay_both(told: Told) -> None:
    told.say(20, 12, 30, 36, 0.6)
    told.say(24, 14, 30, 36, 0.8)
    told.say(46, 12, 30, 36, 0.7)
    assert [round(face.left, 2) for face in found(told)] == [0.24, 0.46]


@pytest.mark.parametrize(("score", "count"), [(LEAST_SCORE - 0.01, 0), (LEAST_SCORE + 0.01, 1)])
def test_what_is_not_sure_enough_is_no_face(score: float, count: int, told: Told) -> None:
    told.say(20, 12, 30, 36, score)
    assert len(found(told)) == count


def test_a_box_ends_at_the_edge_of_the_picture_and_one_beside_it_is_none(told: Told) -> None:
    told.say(-10, -10, 30, 36, 0.9)
    told.say(105, 20, 20, 24, 0.9)
    (face,) = found(told)
    assert (face.left, face.top) == (0, 0)
    assert (face.width, face.height) == pytest.approx((0.2, 26 / 60), abs=1e-5)


box = st.tuples(
    st.floats(-20, 110), st.floats(-20, 70), st.floats(1, 200), st.floats(1, 200), st.floats(0, 1)
)  # left, top, width, height, score


@given(st.lists(box, max_size=30))
def test_whatever_the_maps_say_faces_lie_within_the_picture_and_apart(boxes: list[tuple[float, ...]]) -> None:
    session, there = Told(100, 60), Models(Path("nowhere"))
    there._sessions[Model.FACES] = session
    for each in boxes:
        if 0 <= each[0] + each[2] / 2 < 128 and 0 <= each[1] + each[3] / 2 < 64:
            session.say(*each)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(models, "_MODELS", there)
        faces = found(session)
    assert [face.score for face in faces] == sorted((face.score for face in faces), reverse=True)
    for face in faces:
        assert 0 <= face.left <= face.left + face.width <= 1 + 1e-6
        assert 0 <= face.top <= face.top + face.height <= 1 + 1e-6
        assert face.area > 0
        assert all(_shared(face, other) < 0.3 + 1e-4 for other in faces if other is not face)


def _shared(one: Face, other: Face) -> float:
    across = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    down = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    shared = max(0.0, across) * max(0.0, down)
    return shared / (one.area + other.area - shared)


def test_a_picture_that_is_all_faces_to_the_model_has_bounded_work_and_bounded_faces(told: Told) -> None:
    told.width = told.height = SIDE
    for y in range(SIDE // 4):
        for x in range(SIDE // 4):
            told.cells[y, x] = (0.5 + x / 1000, 1e30, 1e30, 1e30, -1e30, *[1e30] * 10)
    assert found(told) == ()
    for cell in told.cells:
        told.cells[cell] = (0.5, -1.0, -1.0, 0.0, 0.0, *[0.5] * 10)
    assert 0 < len(found(told)) <= 4096


@pytest.mark.parametrize(("size", "length"), [((10, 10), 299), ((10, 10), 301), ((SIDE + 1, 1), 1923), ((0, 0), 0)])
def test_what_is_no_picture_of_its_size_is_refused(size: tuple[int, int], length: int, told: Told) -> None:
    with pytest.raises(ValueError, match="sides of at most 640"):
        find_faces(bytes(length), *size)


def test_a_model_that_fails_is_told_from_one_that_is_not_there(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(told, "run", broken)
    with pytest.raises(LookingFailed, match="The model faces failed: RuntimeError"):
        found(told)
    monkeypatch.setattr(models, "_MODELS", Models())
    with pytest.raises(LookingOff):
        found(told)


@pytest.mark.parametrize("missing", ["numpy", "onnxruntime"])
def test_without_the_extra_looking_is_off(
    missing: str, tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("processor.looking.centerface", "processor.looking.pixels"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.setattr(models, "_MODELS", Models(MODELS if MODELS.exists() else tmp_path))
    with pytest.raises(LookingOff):
        found(told)


def test_a_file_that_vanished_meanwhile_turns_looking_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "_MODELS", Models(tmp_path))
    with pytest.raises(LookingOff, match=r"faces\.onnx cannot be read"):
        find_faces(bytes(300), 10, 10)


@needs_models
def test_drawn_faces_are_found_by_all_threads_with_one_session(monkeypatch: pytest.MonkeyPatch) -> None:
    there = Models(MODELS)
    monkeypatch.setattr(models, "_MODELS", there)
    picture = with_faces(640, 480, [(200, 200), (420, 260)], 20)

    def look(_: int) -> tuple[Face, ...]:
        return View(picture).faces

    with ThreadPoolExecutor(4) as threads:
        first, *others = threads.map(look, range(8))
    assert all(each == first for each in others)
    assert len(there._sessions) == 1
    middles = sorted((face.left + face.width / 2, face.top + face.height / 2) for face in first)
    assert middles == [pytest.approx((200 / 640, 0.42), abs=0.02), pytest.approx((420 / 640, 0.545), abs=0.02)]
    for face in first:
        left_eye, right_eye, nose, *mouth = face.landmarks
        assert left_eye[0] < nose[0] < right_eye[0]
        assert max(left_eye[1], right_eye[1]) < nose[1] < min(y for _, y in mouth)
