"""Makes the pictures of `presets.md` and `watermarks.md`: `python -m docs.gallery`. The pipeline makes each of them,
with a variant as the API takes it, from scenes that are painted here."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyvips

from processor.pipeline.engine import Engine, EngineConfig
from processor.pipeline.lettering import lettered
from processor.ports.renderer import Ticket
from service.calls.preset_documents import PresetDocument

FOLDER = Path(__file__).with_name("pictures")
#: Width and height of the scenes, in pixels.
_WIDTH, _HEIGHT = 960, 640
#: The balloon: its middle and its radius.
_X, _Y, _RADIUS = 700, 250, 120
_STRIPES = ((226, 61, 40), (250, 214, 92))
_BASKET = (110, 70, 40)
#: Colours of the sky from top to bottom, and of the hills.
_DAY = ((120, 178, 232), (244, 236, 214), (96, 140, 92))
_NIGHT = ((8, 10, 26), (30, 32, 58), (12, 20, 20))


def _painted(colours: tuple[tuple[int, int, int], ...]) -> pyvips.Image:
    """A balloon above hills."""
    top, bottom, hills = colours
    down = pyvips.Image.xyz(_WIDTH, _HEIGHT)[1] / _HEIGHT
    sky = (1 - down) * list(top) + down * list(bottom)
    land = _skyline().ifthenelse(list(hills), sky)
    return _balloon().ifthenelse(_fabric(), land).cast("uchar").copy(interpretation="srgb")


def _skyline() -> pyvips.Image:
    grid = pyvips.Image.xyz(_WIDTH, _HEIGHT)
    return grid[1] > (grid[0] * 0.4).sin() * 50 + (grid[0] * 0.9 + 40).sin() * 24 + 0.78 * _HEIGHT


def _balloon() -> pyvips.Image:
    grid = pyvips.Image.xyz(_WIDTH, _HEIGHT)
    across, down = grid[0] - _X, grid[1] - _Y
    basket = (across.abs() < _RADIUS / 5) & ((down - 1.5 * _RADIUS).abs() < _RADIUS / 7)
    return (across**2 + down**2 < _RADIUS**2) | basket


def _fabric() -> pyvips.Image:
    grid = pyvips.Image.xyz(_WIDTH, _HEIGHT)
    striped = ((grid[0] - _X + _RADIUS) / (2 * _RADIUS / 7)).floor() % 2 == 0
    return (grid[1] > _Y + _RADIUS).ifthenelse(list(_BASKET), striped.ifthenelse(*map(list, _STRIPES)))


def _alone() -> pyvips.Image:
    """The balloon without anything around it."""
    return _fabric().cast("uchar").copy(interpretation="srgb").bandjoin(_balloon())


DAY, NIGHT, ALONE = (lambda: _painted(_DAY)), (lambda: _painted(_NIGHT)), _alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A picture of a document: a scene, and the variant that is made of it."""

    scene: Callable[[], pyvips.Image] = DAY
    variant: Mapping[str, Any] = field(default_factory=dict)
    #: The text of a watermark, and its parameters.
    text: str = ""
    mark: Mapping[str, Any] = field(default_factory=dict)


_SQUARE = {"width": 200, "height": 200}
_WIDE = {"width": 360}
PICTURES: Mapping[str, Shown] = {
    "source": Shown(variant={"width": 300}),
    "inside": Shown(variant=_SQUARE),
    "cover": Shown(variant={**_SQUARE, "fit": "cover"}),
    "attention": Shown(variant={**_SQUARE, "fit": "cover", "gravity": "attention"}),
    "contain": Shown(variant={**_SQUARE, "fit": "contain", "colour": "#dde6ee"}),
    "unmarked": Shown(variant=_WIDE),
    "marked": Shown(variant=_WIDE, text="© Ada Söhne"),
    "marked-night": Shown(scene=NIGHT, variant=_WIDE, text="© Ada Söhne"),
    "marked-alpha": Shown(scene=ALONE, variant=_WIDE, text="© Ada Söhne", mark={"position": "centre", "scale": 0.5}),
    "tiled": Shown(variant=_WIDE, text="© Ada Söhne", mark={"position": "tiled", "opacity": 0.35}),
    "scripts": Shown(
        variant=_WIDE,
        text="© עדה Ada\nجميع الحقوق محفوظة\nΆντα Ада",  # noqa: RUF001 - Greek and Cyrillic are meant
        mark={"position": "northwest", "scale": 0.5},
    ),
    "too-small": Shown(variant={"width": 180}, text="© Ada Söhne"),
}


async def made() -> Mapping[str, bytes]:
    """The files by name."""
    engine = Engine(EngineConfig(threads=1, memory_budget_bytes=512 * 1024 * 1024))
    try:
        return {f"{name}.webp": await _made(engine, name, shown) for name, shown in PICTURES.items()}
    finally:
        await engine.close()


async def _made(engine: Engine, name: str, shown: Shown) -> bytes:
    variant: dict[str, Any] = {"name": name, **shown.variant}
    assets = {}
    if shown.text:
        file = lettered(shown.text)
        digest = hashlib.sha256(file).hexdigest()
        assets[digest] = file
        variant["effects"] = [{"name": "watermark", "asset": digest, **shown.mark}]
    recipe = PresetDocument.model_validate({"variants": [variant], "analyses": []}).recipe("shown")
    source = shown.scene().pngsave_buffer(compression=1)
    (made,) = (await engine.render(source, recipe, Ticket(assets=assets))).variants
    return made.data


if __name__ == "__main__":
    for name, data in asyncio.run(made()).items():
        (FOLDER / name).write_bytes(data)
