"""EfficientNet-Lite0 (Tan and Le, 2019), Open NSFW (Mahadeokar and Pesavento, 2016), and a test for what is drawn."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from processor.looking.files import FILES, Model
from processor.looking.found import SQUARE, Content
from processor.looking.models import models
from processor.looking.pixels import pixels

#: The most names of a picture.
_MOST_NAMES = 5
#: The model takes (sample - 127) / 128.
_MIDDLE, _RANGE = 127.0, 128.0
#: A feature is there if it is above this, as about a third are. Then the bits tell copies and crops from other pictures
#: as well as the numbers do: `benchmarks/analysis.py`.
_THERE = 0.3
#: What Open NSFW subtracts from blue, green and red.
_MEANS = (104.0, 117.0, 123.0)
#: A drawing has so many blocks of 8 x 8 pixels of a single colour; and in the others, so many pixels are exactly like
#: their neighbour. Photographs on white have the first, and noise and JPEG take the second from them.
_BLOCK, _FLAT, _EQUAL = 8, 0.2, 0.2
#: From this range of samples on, a block counts among the others.
_BUSY = 8


def content(square: bytes) -> Content:
    """See `processor.looking.content`."""
    picture = (_square(square).astype(np.float32) - _MIDDLE) / _RANGE
    features, scores = models().run(Model.CONTENT, {"picture": picture.transpose(2, 0, 1)[None]})
    return Content(named=_named(scores[0]), embedding=np.packbits(features[0] > _THERE).tobytes())


def nsfw(square: bytes) -> float:
    """See `processor.looking.content`."""
    blue_first = _square(square)[:, :, ::-1].astype(np.float32) - np.array(_MEANS, np.float32)
    (scores,) = models().run(Model.NSFW, {"input:0": blue_first[None]})
    return float(scores[0, 1])


def drawn(rgb: bytes, width: int, height: int) -> bool:
    """See `processor.looking.content`."""
    picture = pixels(rgb, width, height)
    down, across = height // _BLOCK, width // _BLOCK
    if not down or not across:
        return False
    whole = picture[: down * _BLOCK, : across * _BLOCK]
    ranges = _ranges(whole, down, across)
    if np.mean(ranges == 0) <= _FLAT:
        return False
    blocks = whole.reshape(down, _BLOCK, across, _BLOCK, 3).swapaxes(1, 2)
    busy = blocks[ranges > _BUSY]
    return not len(busy) or bool(np.mean((busy[:, :, 1:] == busy[:, :, :-1]).all(axis=3)) > _EQUAL)


def _ranges(whole: Any, down: int, across: int) -> Any:
    """The range of samples in each block. Rows are joined first: they lie one behind the other, which is quick."""
    rows = whole.reshape(down, _BLOCK, -1)
    highest, lowest = (joined.reshape(down, across, _BLOCK, 3) for joined in (rows.max(axis=1), rows.min(axis=1)))
    return (highest.max(axis=2) - lowest.min(axis=2)).max(axis=2)


def _square(rgb: bytes) -> Any:
    return pixels(rgb, SQUARE, SQUARE)


def _named(scores: Any) -> tuple[tuple[str, float], ...]:
    """Some names stand for several kinds; their scores are added up."""
    names, added = _names(str(models().folder)), dict[str, float]()
    for kind in np.argsort(-scores)[: 4 * _MOST_NAMES]:
        added[names[kind]] = added.get(names[kind], 0.0) + float(scores[kind])
    return tuple(sorted(added.items(), key=lambda named: -named[1])[:_MOST_NAMES])


@lru_cache(maxsize=1)
def _names(_folder: str) -> Sequence[str]:
    names: list[str] = json.loads(models().read(FILES[Model.NAMES]))
    return names
