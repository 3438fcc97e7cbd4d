"""Crops that keep faces."""

from __future__ import annotations

import pytest
import pyvips
from hypothesis import assume, given
from hypothesis import strategies as st

from processor.errors import LookingFailed, LookingOff
from processor.faces import Face
from processor.fits import read_fit
from processor.images import Variant
from processor.looking.models import use
from processor.pipeline import view
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.render import inspect, render
from processor.pipeline.roll import page_height
from processor.pipeline.steps.around_faces import EYE_LEVEL, SURE_SCORE, window
from processor.pipeline.steps.box import fit_into
from processor.recipes import Recipe, VariantSpec
from tests import corpus
from tests.corpus.faces import with_faces
from tests.models import MODELS, needs_models
from tests.unit.processor.pipeline.compare import opened

FACES = read_fit("cover:faces")
shares = st.floats(0.01, 0.5)
faces = st.builds(
    lambda left, top, width, height: Face(left * (1 - width), top * (1 - height), width, height, 0.9),
    st.floats(0, 1),
    st.floats(0, 1),
    shares,
    shares,
)
sides = st.integers(20, 2000)


def kept(face: Face, size: tuple[int, int], box: tuple[int, int], place: tuple[int, int]) -> float:
    """The share of a face that a crop keeps."""
    left, top = face.left * size[0], face.top * size[1]
    right, bottom = left + face.width * size[0], top + face.height * size[1]
    across = min(right, place[0] + box[0]) - max(left, place[0])
    down = min(bottom, place[1] + box[1]) - max(top, place[1])
    return max(0.0, across) * max(0.0, down) / ((right - left) * (bottom - top))


@given(sides, sides, st.lists(faces, min_size=1, max_size=6), st.data())
def test_a_crop_lies_in_the_picture_and_keeps_the_largest_face_if_that_fits(
    width: int, height: int, some: list[Face], data: st.DataObject
) -> None:
    box = data.draw(st.integers(10, width)), data.draw(st.integers(10, height))
    place = window(some, (width, height), box)
    assert place is not None
    assert 0 <= place[0] <= width - box[0]
    assert 0 <= place[1] <= height - box[1]
    largest = max(some, key=lambda face: face.area)
    assume(largest.width * width <= box[0] - 1)
    assume(largest.height * height <= box[1] - 1)
    slack = 1 / min(largest.width * width, largest.height * height)  # a crop begins at a whole pixel
    assert kept(largest, (width, height), box, place) >= 1 - 2 * slack


def test_all_faces_stay_that_fit_and_of_more_the_largest() -> None:
    near, far, small = (Face(left, 0.4, side, side, 0.9) for left, side in ((0.1, 0.1), (0.3, 0.1), (0.9, 0.05)))
    size, box = (1000, 500), (500, 500)
    place = window([small, far, near], size, box)
    assert place is not None
    assert [kept(face, size, box, place) for face in (near, far, small)] == [1, 1, 0]


def test_the_middle_of_the_faces_is_a_little_above_that_of_the_crop() -> None:
    place = window([Face(0.45, 0.45, 0.1, 0.1, 0.9)], (1000, 1000), (500, 500))
    assert place == (250, 500 - round(EYE_LEVEL * 500))


def test_what_is_hardly_a_face_moves_nothing() -> None:
    assert window([Face(0.0, 0.0, 0.2, 0.2, SURE_SCORE - 0.01)], (100, 100), (50, 50)) is None


def looking(monkeypatch: pytest.MonkeyPatch, *found: Face, error: Exception | None = None) -> None:
    def find(*_: object) -> tuple[Face, ...]:
        if error is not None:
            raise error
        return found

    monkeypatch.setattr(view, "find_faces", find)


def made(data: bytes, text: str = "cover:faces") -> Variant:
    spec = VariantSpec(name="avatar", format="webp", quality=90, effort=0, box=(60, 60), fit=read_fit(text))
    return render(
        data, inspect(data, FileLimits()), Recipe(name="test", version=1, specs=(spec,)), Deadline(60)
    ).variants[0]


WIDE = corpus.png(corpus.photo(300, 60))


@pytest.mark.parametrize(("left", "same"), [(0.0, "cover:west"), (0.8, "cover:east"), (0.4, "cover")])
def test_a_picture_is_cropped_around_its_faces(monkeypatch: pytest.MonkeyPatch, left: float, same: str) -> None:
    looking(monkeypatch, Face(left, 0.2, 0.2, 0.6, 0.9))
    assert made(WIDE).data == made(WIDE, same).data


def test_without_faces_it_is_cropped_to_what_people_look_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looking(monkeypatch)
    assert made(WIDE).data == made(WIDE, "cover:attention").data


@pytest.mark.parametrize("error", [LookingOff(), LookingFailed()])
def test_if_nobody_can_look_the_middle_stays(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    looking(monkeypatch, error=error)
    assert made(WIDE).data == made(WIDE, "cover").data


def test_all_frames_of_an_animation_are_cropped_at_the_place_of_the_first() -> None:
    frames = [corpus.flat(90, 30, colour) for colour in ((200, 0, 0), (0, 0, 200))]
    tall = pyvips.Image.arrayjoin(frames, across=1).copy()
    tall.set_type(pyvips.GValue.gint_type, "page-height", 30)
    ends = tall.draw_rect([0, 255, 0], 60, 0, 30, 30, fill=True).draw_rect([0, 255, 0], 60, 30, 30, 30, fill=True)
    assert FACES is not None
    cropped = fit_into(ends, (30, 30), FACES, [Face(0.7, 0.0, 0.3, 1.0, 0.9)])
    assert (cropped.width, page_height(cropped), cropped.height) == (30, 30, 60)
    assert (cropped - [0, 255, 0]).abs().max() == 0


@needs_models
def test_the_model_finds_the_face_that_stays() -> None:
    use(MODELS)
    try:
        picture = with_faces(900, 300, [(700, 130)], 40)
        variant = made(corpus.jpeg(picture, quality=95))
    finally:
        use(None)
    crop = opened(variant.data)
    around = picture.crop(550, 0, 300, 300).thumbnail_image(60)
    assert (crop - around).abs().avg() < 8
