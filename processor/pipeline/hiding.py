"""Finds the faces that a picture must not show, and looks again when they are hidden."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyvips

from processor.errors import LookingOff
from processor.faces import Face
from processor.hiding import EVERYTHING, MOST_BOXES, Doubt, Hiding
from processor.looking.files import FILES, Model
from processor.looks import TALLY, Looks, Result
from processor.pipeline.effects.blur_faces import GROWTH
from processor.pipeline.limits import Deadline
from processor.pipeline.roll import page_height
from processor.pipeline.steps.fit import fit
from processor.pipeline.view import View
from processor.recipes import Effect, style_of

#: The name of the model that looks; its version is how the digest of its file begins.
MODEL = "CenterFace"
#: The least score of what is hidden, and of what is surely a face. In between, a reviewer decides.
LEAST_SCORE, SURE_SCORE = 0.3, 0.4
#: The longest side of the finer look, in pixels. It is looked at in tiles that overlap, so that a face of which the
#: first look sees too little is whole in one of them.
FINE_SIDE, TILE, OVERLAP = 1088, 592, 96
#: A face whose longer side has fewer pixels in the finest look is too small to be sure of others.
LEAST_FACE = 14
#: Boxes that share so much of the smaller one are of one face.
SAME_FACE = 0.7
#: The longest that all looks at a picture may take, in seconds: about 400 of them.
LOOK_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """A part of a frame to look at, as fractions of the frame."""

    left: float
    top: float
    width: float
    height: float
    picture: pyvips.Image

    def whole(self, face: Face) -> Face:
        """The face as fractions of the frame."""
        return Face(
            left=self.left + face.left * self.width,
            top=self.top + face.top * self.height,
            width=face.width * self.width,
            height=face.height * self.height,
            score=face.score,
        )


class Looker:
    """Looks at the pictures of one render. Not safe for two threads at once."""

    def __init__(self, deadline: Deadline, clock: Callable[[], float] = time.monotonic) -> None:
        self._deadline, self._clock = deadline, clock
        self._until = clock() + LOOK_SECONDS

    def find(self, picture: pyvips.Image) -> Hiding:
        """What must be hidden in every frame: each place where a face is in any of them."""
        frames = picture.height // page_height(picture)
        found, doubt = self._look(picture)
        faces = [face.rounded() for face in _merged(found)]
        if doubt is None and len(faces) > MOST_BOXES:
            doubt = Doubt.MANY
        if doubt is not None:
            return Hiding(faces=(EVERYTHING,), doubts=(doubt,), frames=frames)
        doubts = {Doubt.UNSURE for face in faces if face.score < SURE_SCORE}
        doubts |= {Doubt.SMALL for face in faces if _pixels(face, picture) < LEAST_FACE}
        return Hiding(faces=tuple(faces), doubts=_in_order(doubts), frames=frames)

    def look_again(self, picture: pyvips.Image, hiding: Hiding) -> Hiding:
        """The same with what a look at the result tells."""
        if not hiding.faces or hiding.is_blind:
            return hiding
        found, doubt = self._look(picture)
        doubts = {Doubt.AGAIN if _is_at(face, hiding.faces) else Doubt.UNSURE for face in found}
        doubts |= {doubt} if doubt else set()
        return replace(hiding, doubts=_in_order(doubts | set(hiding.doubts)))

    def _look(self, picture: pyvips.Image) -> tuple[list[Face], Doubt | None]:
        """All faces in all frames, and why some may be missing."""
        found: list[Face] = []
        for part in _parts(picture):
            self._deadline.check()
            if self._clock() > self._until:
                TALLY.add(Looks(model=Model.FACES, result=Result.LATE, cause=f"{LOOK_SECONDS:.0f} s are over"))
                return found, Doubt.LATE
            view = View(part.picture)
            try:
                seen = view.faces_from(LEAST_SCORE)
            except LookingOff:
                return found, Doubt.MISSING
            except MemoryError:
                raise
            except Exception:  # the look itself has told of it
                return found, Doubt.FAILED
            found += [part.whole(face) for face in seen]
        return found, None


def told(hiding: Hiding, effect: Effect) -> dict[str, Any]:
    """The fact of what was hidden."""
    return hiding.fact(style=style_of(effect) or "", model=MODEL, version=FILES[Model.FACES].sha256[:16])


def _parts(picture: pyvips.Image) -> Iterator[_Part]:
    """Each frame as a whole, then in tiles if it is larger than a view.

    What alpha makes invisible counts as well: whoever has the file can show it.
    """
    height = page_height(picture)
    for top in range(0, picture.height, height):
        frame = picture.crop(0, top, picture.width, height)
        for shown in (frame, _opaque(frame)) if frame.hasalpha() else (frame,):
            small = _shrunk(shown)
            yield _Part(left=0.0, top=0.0, width=1.0, height=1.0, picture=small)
            if max(small.width, small.height) > TILE + OVERLAP:
                yield from _tiles(small)


def _opaque(frame: pyvips.Image) -> pyvips.Image:
    return frame.extract_band(0, n=frame.bands - 1)


def _shrunk(frame: pyvips.Image) -> pyvips.Image:
    shrink = max(1.0, max(frame.width, frame.height) / FINE_SIDE)
    return fit(frame, max(1, round(frame.width / shrink)), max(1, round(frame.height / shrink))).copy_memory()


def _tiles(frame: pyvips.Image) -> Iterator[_Part]:
    for top in _starts(frame.height):
        for left in _starts(frame.width):
            width, height = min(TILE, frame.width - left), min(TILE, frame.height - top)
            yield _Part(
                left=left / frame.width,
                top=top / frame.height,
                width=width / frame.width,
                height=height / frame.height,
                picture=frame.crop(left, top, width, height),
            )


def _starts(side: int) -> Sequence[int]:
    """Where tiles begin that cover a side."""
    return range(0, max(1, side - OVERLAP), TILE - OVERLAP)


def _pixels(face: Face, picture: pyvips.Image) -> float:
    """The longer side of a face in the finest look."""
    width, height = picture.width, page_height(picture)
    scale: float = min(1.0, FINE_SIDE / max(width, height))
    return scale * float(max(face.width * width, face.height * height))


def _merged(found: Sequence[Face]) -> list[Face]:
    """One box for each face, the surest first; it covers all boxes of the face."""
    kept: list[Face] = []
    for face in sorted(found, key=lambda face: -face.score):
        same = next((number for number, other in enumerate(kept) if _shared(face, other) >= SAME_FACE), None)
        if same is None:
            kept.append(face)
        else:
            kept[same] = _around(kept[same], face)
    return kept


def _shared(one: Face, other: Face) -> float:
    """The part of the smaller one of two boxes that both share."""
    across = min(one.left + one.width, other.left + other.width) - max(one.left, other.left)
    down = min(one.top + one.height, other.top + other.height) - max(one.top, other.top)
    return max(0.0, across) * max(0.0, down) / min(one.area, other.area)


def _around(one: Face, other: Face) -> Face:
    left, top = min(one.left, other.left), min(one.top, other.top)
    right = max(one.left + one.width, other.left + other.width)
    bottom = max(one.top + one.height, other.top + other.height)
    score = max(one.score, other.score)
    return Face(left=left, top=top, width=right - left, height=bottom - top, score=score)


def _is_at(face: Face, hidden: Sequence[Face]) -> bool:
    """Whether its middle is where something was hidden."""
    x, y = face.left + face.width / 2, face.top + face.height / 2
    return any(
        abs(x - (each.left + each.width / 2)) <= (0.5 + GROWTH) * each.width
        and abs(y - (each.top + each.height / 2)) <= (0.5 + GROWTH) * each.height
        for each in hidden
    )


def _in_order(doubts: set[Doubt]) -> tuple[Doubt, ...]:
    return tuple(doubt for doubt in Doubt if doubt in doubts)
