"""A recipe's analyses look at one view of the source, the same whatever its file and whoever converts it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
import pyvips

from processor.errors import LookingFailed, LookingOff
from processor.faces import Face, faces_in
from processor.images import Rendered
from processor.looking.models import SIDE, use
from processor.pipeline import analyses, view
from processor.pipeline.engine import Engine, EngineConfig
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.needs import askers
from processor.pipeline.render import inspect, render
from processor.pipeline.view import MOST_PIXELS, View
from processor.recipes import STANDARD, Recipe
from processor.sandbox.renderer import ChildRenderer
from tests import corpus
from tests.corpus.faces import with_faces
from tests.models import MODELS, needs_models

LOOKING = replace(STANDARD, name="looking", analyses=("faces", "colour"))
LIMITS = FileLimits()
FACE = Face(0.1, 0.2, 0.3, 0.4, 0.9)
CONFIG = EngineConfig(threads=2, memory_budget_bytes=10**9, models=MODELS)


def rendered(data: bytes, recipe: Recipe = LOOKING) -> Rendered:
    return render(data, inspect(data, LIMITS), recipe, Deadline(60))


class Looks:
    """Stands in for the model, and notes what it is shown."""

    def __init__(self) -> None:
        self.seen: list[pyvips.Image] = []

    def __call__(self, rgb: bytes, width: int, height: int) -> tuple[Face, ...]:
        self.seen.append(pyvips.Image.new_from_memory(rgb, width, height, 3, "uchar").copy(interpretation="srgb"))
        return (FACE,)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    made = Looks()
    monkeypatch.setattr(view, "find_faces", made)
    return made


@pytest.fixture
def weights() -> Iterator[None]:
    use(MODELS)
    yield
    use(None)


def picture() -> pyvips.Image:
    return corpus.photo(1600, 1200)


#: Files of the same picture, for each way in which it is decoded.
FILES: Mapping[str, Any] = {
    "png": lambda: corpus.png(picture()),
    "webp": lambda: corpus.webp(picture(), quality=95),
    "jpeg": lambda: corpus.jpeg(picture(), quality=95),
    "progressive": lambda: corpus.jpeg(picture(), quality=95, interlace=True),
    "turned": lambda: corpus.jpeg(picture(), quality=95, orientation=6),
    "alpha": lambda: corpus.png(picture().bandjoin(255).copy(interpretation="srgb")),
}


@pytest.mark.parametrize("name", FILES)
def test_every_file_of_a_picture_is_looked_at_once_in_the_same_view(name: str, looks: Looks) -> None:
    made = rendered(FILES[name]())
    assert made.facts.found["faces"]["count"] == 1
    (seen,) = looks.seen
    assert (seen.width, seen.height) == (SIDE, 480)
    same = picture().thumbnail_image(seen.width, height=seen.height, size="force")
    assert (seen.cast("float") - same.cast("float")).abs().avg() < 4


@pytest.mark.parametrize("size", [(4000, 3000), (5000, 600)])
@pytest.mark.parametrize(
    "boxes",
    [
        ((300, 300), None),
        pytest.param(((64, 64),), marks=pytest.mark.slow),
        pytest.param((None,), marks=pytest.mark.slow),
        pytest.param(((300, 300), (800, 600), None), marks=pytest.mark.slow),
    ],
)
def test_the_view_has_its_full_size_whatever_variants_there_are(
    size: tuple[int, int], boxes: tuple[tuple[int, int] | None, ...], looks: Looks
) -> None:
    specs = tuple(replace(STANDARD.full_size, name=f"v{number}", box=box) for number, box in enumerate(boxes))
    for data in (corpus.jpeg(corpus.large(*size)), corpus.jpeg(corpus.large(*size), interlace=True)):
        rendered(data, replace(LOOKING, specs=specs))
    for seen in looks.seen:
        assert max(seen.width, seen.height) == SIDE
        assert seen.width / seen.height == pytest.approx(size[0] / size[1], rel=0.02)
    assert len(looks.seen) == 2


@pytest.mark.parametrize(
    ("width", "height"), [(1, 1), (3, 900), (900, 3), (20000, 1), (640, 640), (700, 690), (40, 30)]
)
def test_no_view_is_larger_than_a_model_takes_and_none_is_enlarged(width: int, height: int) -> None:
    made = View(corpus.flat(width, height, (9, 99, 199)))
    assert 1 <= made.width <= min(SIDE, width)
    assert 1 <= made.height <= min(SIDE, height)
    assert made.width * made.height <= MOST_PIXELS * 1.01
    assert made.rgb == bytes((9, 99, 199)) * made.width * made.height


def test_what_is_invisible_is_white_and_grey_has_three_bands() -> None:
    assert View(corpus.flat(4, 4, (9, 9, 9, 0))).rgb == b"\xff" * 48
    grey = corpus.flat(4, 4, (77,)).copy(interpretation="b-w")
    assert View(grey).rgb == bytes([77]) * 48


def test_of_an_animation_the_first_frame_is_looked_at(looks: Looks) -> None:
    made = rendered(corpus.animation(".gif"))
    assert made.source.frames > 1
    (seen,) = looks.seen
    assert (seen.width, seen.height) == (made.source.width, made.source.height)


@pytest.mark.parametrize("error", [LookingOff, LookingFailed])
def test_a_picture_is_converted_without_the_fact_when_nobody_can_look(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(view, "find_faces", fail)
    made = rendered(corpus.jpeg(corpus.photo(400, 300)))
    assert made.facts.everything.keys() == {"colour"}
    assert len(made.variants) == len(LOOKING.specs)


def test_a_recipe_that_asks_no_model_makes_no_view(looks: Looks, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("processor.pipeline.render.View", None)
    rendered(corpus.jpeg(corpus.photo(400, 300)), STANDARD)
    assert looks.seen == []
    assert askers(STANDARD) == ()
    assert askers(LOOKING) == ("faces",)


def test_every_analysis_that_asks_a_model_is_known_as_one() -> None:
    assert not analyses.LOOKS.keys() & (analyses.ANALYSES.keys() | analyses.READINGS.keys())
    assert analyses.LOOKS.keys() <= analyses.NAMES


@needs_models
@pytest.mark.usefixtures("weights")
def test_drawn_faces_are_found_in_every_format_turn_and_colour() -> None:
    picture = with_faces(960, 720, [(300, 300), (640, 400)], 30)
    turned = corpus.jpeg(picture, orientation=6, quality=95)
    for data in (corpus.png(picture), corpus.webp(picture, quality=95), turned):
        fact = rendered(data).facts.found["faces"]
        assert fact["count"] == 2
        middles = sorted((face.left + face.width / 2, face.top + face.height / 2) for face in faces_in(fact))
        assert middles == [pytest.approx((300 / 960, 0.42), abs=0.02), pytest.approx((640 / 960, 0.555), abs=0.02)]


@needs_models
async def test_a_thread_and_a_child_find_the_same() -> None:
    data = corpus.png(with_faces(640, 480, [(200, 200), (420, 260)], 20))
    engine, child = Engine(CONFIG), ChildRenderer(CONFIG)
    try:
        inside, outside = await asyncio.gather(engine.render(data, LOOKING), child.render(data, LOOKING))
    finally:
        await engine.close()
        await child.close()
        use(None)
    assert inside.facts.found["faces"]["count"] == 2
    assert outside.facts == inside.facts
    assert [each.data for each in outside.variants] == [each.data for each in inside.variants]
