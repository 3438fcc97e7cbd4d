"""Drawn faces, which a detector takes for faces while they are small."""

from __future__ import annotations

from collections.abc import Sequence

import pyvips

Colour = tuple[int, int, int]

_BACKGROUND: Colour = (127, 159, 181)
_HAIR: Colour = (59, 42, 32)
_LIPS: Colour = (160, 72, 72)
#: From light to dark.
SKINS: Sequence[Colour] = ((228, 188, 160), (198, 146, 110), (141, 92, 66), (92, 60, 44))
#: Ellipses of a face from back to front: middle, half sides, in hundredths of the face's half height; colour, None for
#: skin, and by how much that is lighter.
_SHAPES: Sequence[tuple[float, float, float, float, Colour | None, float]] = (
    (0, 260, 190, 120, (51, 51, 68), 1),
    (0, 110, 38, 60, None, 0.85),
    (0, -24, 98, 126, _HAIR, 1),
    (0, 0, 80, 110, None, 1),
    (-18, -15, 55, 80, None, 1.07),
    (0, -98, 74, 36, _HAIR, 1),
    (-34, -40, 22, 4, _HAIR, 1),
    (34, -40, 22, 4, _HAIR, 1),
    (-34, -18, 17, 9, (250, 250, 250), 1),
    (34, -18, 17, 9, (250, 250, 250), 1),
    (-34, -18, 8, 8, (40, 26, 16), 1),
    (34, -18, 8, 8, (40, 26, 16), 1),
    (2, 8, 9, 26, None, 0.9),
    (-9, 33, 5, 3, None, 0.5),
    (9, 33, 5, 3, None, 0.5),
    (0, 64, 32, 11, _LIPS, 1),
    (0, 60, 32, 2, (112, 40, 40), 1),
)


def with_faces(
    width: int, height: int, places: Sequence[tuple[int, int]], half: int, *, skin: Colour = SKINS[0]
) -> pyvips.Image:
    """A picture with a face around each of the places, `half` pixels from its middle to the chin."""
    picture = pyvips.Image.black(width, height, bands=3) + list(_BACKGROUND)
    across, down = pyvips.Image.xyz(width, height).bandsplit()
    for left, top in places:
        for x, y, wide, high, colour, light in _SHAPES:
            unit = half / 110
            inside = ((across - left - x * unit) / (wide * unit)) ** 2 + (
                (down - top - y * unit) / (high * unit)
            ) ** 2 < 1
            shade = colour or tuple(min(255, round(each * light)) for each in skin)
            picture = inside.ifthenelse(list(shade), picture)
    return picture.gaussblur(0.7).cast("uchar").copy(interpretation="srgb").copy_memory()
