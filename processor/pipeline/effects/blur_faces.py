"""Hides faces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyvips

from processor.faces import Face
from processor.pipeline.effects.given import Given
from processor.pipeline.steps.frames import map_frames

#: A face box grows by this share of its width and height on each side: then an oval in it covers the whole face.
GROWTH = 0.25
#: By style, the most cells across and down that are left of a face.
CELLS: Mapping[str, int] = {"pixels": 6, "soft": 5}
#: The least side of a cell, in pixels. Fewer cells are left of a small face, so that they are not the face itself.
LEAST_CELL = 4
_MOST_BANDS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class _Area:
    """Where a picture changes, in pixels. It may reach beyond the picture."""

    left: int
    top: int
    width: int
    height: int

    @classmethod
    def around(cls, face: Face, width: int, height: int) -> _Area:
        """The grown box of a face, rounded outwards."""
        left = int((face.left - GROWTH * face.width) * width // 1)
        top = int((face.top - GROWTH * face.height) * height // 1)
        right = -int(-(face.left + (1 + GROWTH) * face.width) * width // 1)
        bottom = -int(-(face.top + (1 + GROWTH) * face.height) * height // 1)
        return cls(left=left, top=top, width=right - left, height=bottom - top)

    def within(self, width: int, height: int) -> _Area:
        """The part that is in the picture, at least a pixel."""
        left, top = min(max(0, self.left), width - 1), min(max(0, self.top), height - 1)
        right, bottom = min(self.left + self.width, width), min(self.top + self.height, height)
        return _Area(left=left, top=top, width=max(1, right - left), height=max(1, bottom - top))


@dataclass(frozen=True, slots=True, kw_only=True)
class BlurFaces:
    """Leaves a few cells of each face: large pixels, or a soft oval.

    It is not applied with the other effects of a variant, but to the picture of each size as soon as that is made,
    before anything else is made of it. Every frame changes at the same places.
    """

    style: str

    def __post_init__(self) -> None:
        """Raises `ValueError`."""
        if self.style not in CELLS:
            raise ValueError(f"style must be {' or '.join(CELLS)}")

    def __call__(self, picture: pyvips.Image, given: Given) -> pyvips.Image:
        if not given.hidden:
            return picture
        return map_frames(picture, lambda frame: self._hidden(frame, given.hidden))

    def held_bytes(self, size: tuple[int, int]) -> int:
        """What becomes of areas that cover the picture. One picture at a time changes."""
        return size[0] * size[1] * _MOST_BANDS // 2

    def _hidden(self, frame: pyvips.Image, faces: tuple[Face, ...]) -> pyvips.Image:
        """One face after the other: what is left of a face may be in the area of the next."""
        for face in faces:
            area = _Area.around(face, frame.width, frame.height)
            seen = area.within(frame.width, frame.height)
            before = frame.crop(seen.left, seen.top, seen.width, seen.height)
            after = self._coarse(before)
            if self.style == "soft":
                after = _oval(area, seen).ifthenelse(after, before)
            frame = frame.insert(after.copy_memory(), seen.left, seen.top)
        return frame

    def _coarse(self, part: pyvips.Image) -> pyvips.Image:
        """Colours are premultiplied with alpha meanwhile, so that invisible pixels do not show."""
        if not part.hasalpha():
            return self._of_cells(part).copy(interpretation=part.interpretation)
        premultiplied = part.premultiply()
        coarse = self._of_cells(premultiplied).copy(interpretation=premultiplied.interpretation)
        return coarse.unpremultiply().cast(part.format).copy(interpretation=part.interpretation)

    def _of_cells(self, part: pyvips.Image) -> pyvips.Image:
        across, down = (max(1, min(CELLS[self.style], side // LEAST_CELL)) for side in (part.width, part.height))
        # Each cell is a mean. It is held: nothing behind this line knows the picture.
        cells = part.resize(across / part.width, vscale=down / part.height, kernel="linear").copy_memory()
        kernel = "nearest" if self.style == "pixels" else "cubic"
        large = cells.resize(part.width / across, vscale=part.height / down, kernel=kernel)
        return large.crop(0, 0, part.width, part.height) if large.width > part.width else large


def _oval(area: _Area, seen: _Area) -> pyvips.Image:
    """Where the oval in an area covers the part that is in the picture."""
    places = pyvips.Image.xyz(seen.width, seen.height)
    middle = [area.left + area.width / 2 - seen.left - 0.5, area.top + area.height / 2 - seen.top - 0.5]
    distances = (places - middle) / [area.width / 2, area.height / 2]
    squared = distances * distances
    return squared[0] + squared[1] <= 1
