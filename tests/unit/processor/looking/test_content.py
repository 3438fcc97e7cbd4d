"""What a picture shows is named when the model is sure, and never for what is drawn."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvips

from processor.errors import LookingOff
from processor.looking import classifiers, models
from processor.looking.content import is_drawn, look_at_content, nsfw_score
from processor.looking.files import FILES, Model
from processor.looking.found import SQUARE
from processor.looking.models import Models, use
from processor.pipeline.analyses.content import LEAST_SIDE, embedding, nsfw, tags
from processor.pipeline.lettering import lettered
from processor.pipeline.view import View
from tests import corpus
from tests.corpus.faces import with_faces
from tests.models import MODELS, needs_models

NAMES = [f"thing {number}" for number in range(999)] + ["thing 3"]


@dataclass
class Told:
    """Stands in for the sessions."""

    scores: dict[int, float] = field(default_factory=dict)
    features: Any = field(default_factory=lambda: np.zeros((1, 1280), np.float32))
    unsafe: float = 0.0
    shown: list[Any] = field(default_factory=list)

    def run(self, _names: None, inputs: Mapping[str, Any]) -> list[Any]:
        ((name, picture),) = inputs.items()
        self.shown.append(picture)
        if name == "input:0":
            return [np.array([[1 - self.unsafe, self.unsafe]], np.float32)]
        scores = np.zeros((1, 1000), np.float32)
        for kind, score in self.scores.items():
            scores[0, kind] = score
        return [self.features, scores]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    session, there = Told(), Models(Path("nowhere"))
    there._sessions = {Model.CONTENT: session, Model.NSFW: session}
    monkeypatch.setattr(there, "read", lambda file: json.dumps(NAMES).encode() if file is FILES[Model.NAMES] else b"")
    monkeypatch.setattr(models, "_MODELS", there)
    classifiers._names.cache_clear()
    yield session
    classifiers._names.cache_clear()


WHITE = bytes([255]) * SQUARE * SQUARE * 3


def photo() -> pyvips.Image:
    return corpus.photo(640, 480)


def test_the_models_are_shown_the_samples_as_they_learned_them(told: Told) -> None:
    square = bytes((10, 100, 200)) * SQUARE * SQUARE
    look_at_content(square)
    nsfw_score(square)
    content, unsafe = told.shown
    assert content.shape == (1, 3, SQUARE, SQUARE)
    assert content[0, :, 7, 9] == pytest.approx([(10 - 127) / 128, (100 - 127) / 128, (200 - 127) / 128])
    assert unsafe.shape == (1, SQUARE, SQUARE, 3)
    assert unsafe[0, 7, 9] == pytest.approx([200 - 104, 100 - 117, 10 - 123])


def test_kinds_of_one_name_are_added_up(told: Told) -> None:
    told.scores = {3: 0.3, 999: 0.25, 5: 0.35}
    (first, second, *_) = look_at_content(WHITE).named
    assert (first[0], second[0]) == ("thing 3", "thing 5")
    assert (first[1], second[1]) == pytest.approx((0.55, 0.35))


def test_an_embedding_has_a_bit_for_each_feature_that_is_there(told: Told) -> None:
    told.features[0, 0], told.features[0, 9], told.features[0, 1279] = 0.31, 5, 0.29
    found = look_at_content(WHITE).embedding
    assert (len(found), found[:2], found[-1]) == (160, bytes((0b1000_0000, 0b0100_0000)), 0)
    assert len(embedding(View(photo()))) == 216


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ({1: 0.51, 2: 0.2, 4: 0.14}, [("thing 1", 0.51), ("thing 2", 0.2)]),
        ({1: 0.49, 2: 0.4}, []),
        ({1: 0.6, 2: 0.16, 4: 0.155, 6: 0.15}, [("thing 1", 0.6), ("thing 2", 0.16), ("thing 4", 0.155)]),
    ],
)
def test_what_the_model_is_sure_of_is_a_tag(
    scores: dict[int, float], expected: list[tuple[str, float]], told: Told
) -> None:
    told.scores = scores
    assert tags(View(photo())) == [{"name": name, "score": score} for name, score in expected]


@pytest.mark.parametrize(("size", "count"), [((LEAST_SIDE, 400), 1), ((LEAST_SIDE - 1, 400), 0), ((1, 1), 0)])
def test_what_is_too_small_has_no_tags_but_an_embedding_and_a_score(
    size: tuple[int, int], count: int, told: Told
) -> None:
    told.scores, told.unsafe = {1: 0.9}, 0.12345
    seen = View(corpus.photo(*size))
    assert (len(tags(seen)), len(embedding(seen)), nsfw(seen)) == (count, 216, 0.123)


def test_the_model_sees_the_middle_and_the_other_one_all_but_the_edge(told: Told) -> None:
    wide = corpus.flat(400, 200, (255, 0, 0)).insert(corpus.flat(200, 200, (0, 255, 0)), 100, 0)
    View(wide).content  # noqa: B018 - it looks when it is asked
    View(wide).nsfw  # noqa: B018 - likewise
    content, unsafe = told.shown
    assert content[0, 1].min() == pytest.approx(1)
    assert (unsafe[0, 5, 100], unsafe[0, 5, 5]) == (
        pytest.approx(np.array((0 - 104, 255 - 117, 0 - 123))),
        pytest.approx(np.array((0 - 104, 0 - 117, 255 - 123))),
    )


def test_each_model_looks_once_at_a_view(told: Told) -> None:
    told.scores = {1: 0.9}
    seen = View(photo())
    for analysis in (tags, embedding, nsfw) * 2:
        analysis(seen)
    assert len(told.shown) == 2


def _diagram() -> pyvips.Image:
    picture = corpus.flat(800, 600, (255, 255, 255))
    for number in range(12):
        picture = picture.draw_rect([30, 30 + 15 * number, 200], 40 + 60 * number, 100, 30, 40 * number + 9, fill=True)
        picture = picture.draw_line([0, 0, 0], 20, 40 * number, 780, 30 * number + 60)
    # With the font of watermarks: whoever draws with another one chooses the fonts of the whole process.
    letters = pyvips.Image.new_from_buffer(lettered("What is drawn has areas of one colour", (0, 0, 0)), "")
    shown = letters.resize(700 / letters.width).flatten(background=[255, 255, 255])
    return corpus.as_srgb(picture.insert(shown, 20, 500))


DRAWN: dict[str, Callable[[], pyvips.Image]] = {
    "a diagram": _diagram,
    "one colour": lambda: corpus.flat(640, 480, (9, 99, 199)),
}
PHOTOS: dict[str, Callable[[], pyvips.Image]] = {
    "a photograph": photo,
    "grey": lambda: photo().colourspace("b-w"),
    "blurred": lambda: photo().gaussblur(4),
    "on white": lambda: corpus.flat(640, 480, (255, 255, 255)).insert(corpus.photo(300, 300), 170, 90),
    "of few pixels": lambda: corpus.photo(7, 5),
}


@pytest.mark.parametrize("name", [*DRAWN, *PHOTOS])
@pytest.mark.parametrize("quality", [None, 90])
def test_what_is_drawn_is_told_from_photographs(name: str, quality: int | None) -> None:
    picture = {**DRAWN, **PHOTOS}[name]()
    if quality is not None:
        picture = pyvips.Image.new_from_buffer(corpus.jpeg(picture, quality=quality), "")
    seen = View(picture)
    assert is_drawn(seen.rgb, seen.width, seen.height) == (name in DRAWN)


def test_nothing_that_is_drawn_has_tags(told: Told) -> None:
    told.scores = {1: 0.99}
    assert tags(View(_diagram())) == []


def test_without_the_extra_there_is_no_content(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "processor.looking.classifiers")
    monkeypatch.setitem(sys.modules, "numpy", None)
    for look in (look_at_content, nsfw_score, lambda square: is_drawn(square, SQUARE, SQUARE)):
        with pytest.raises(LookingOff):
            look(WHITE)


@needs_models
def test_copies_and_crops_share_more_bits_than_other_pictures() -> None:
    use(MODELS)
    try:
        photo = corpus.photo(640, 480)
        pictures = [photo, photo.resize(0.5), photo.crop(40, 30, 560, 420), with_faces(640, 480, [(200, 200)], 90)]
        first, half, crop, other = (int.from_bytes(View(each).content.embedding, "big") for each in pictures)
        assert View(photo).nsfw < 0.5
    finally:
        use(None)

    def shared(one: int, two: int) -> float:
        return (one & two).bit_count() / math.sqrt(one.bit_count() * two.bit_count())

    assert shared(first, half) > shared(first, crop) > shared(first, other)
    assert shared(first, half) > 0.7
    assert shared(first, other) < 0.45
