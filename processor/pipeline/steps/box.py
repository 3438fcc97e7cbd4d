"""Makes a picture fill a box of another shape: crops it, or surrounds it with a colour."""

from __future__ import annotations

from collections.abc import Sequence

import pyvips

from processor.faces import Face
from processor.fits import TRANSPARENT, Contain, Cover, Fit, Gravity
from processor.pipeline.roll import page_height
from processor.pipeline.steps.around_faces import window
from processor.pipeline.steps.frames import map_frames

#: Solid alpha, in 8 bits.
_SOLID = 255


def fit_into(image: pyvips.Image, box: tuple[int, int], fit: Fit, faces: Sequence[Face] | None = None) -> pyvips.Image:
    """Crops or surrounds every frame at the same place. The picture must have the size that the fit asks for.

    `faces` are for the gravity `faces`. None: nobody has looked.
    """
    return _cropped(image, box, fit, faces) if isinstance(fit, Cover) else _contained(image, box, fit)


def _cropped(image: pyvips.Image, box: tuple[int, int], fit: Cover, faces: Sequence[Face] | None) -> pyvips.Image:
    height = page_height(image)
    across, down = min(box[0], image.width), min(box[1], height)
    looks = fit.gravity is Gravity.FACES and faces is not None
    around = window(faces or (), (image.width, height), (across, down)) if looks else None
    if around is not None:
        left, top = around
    elif looks or fit.gravity is Gravity.ATTENTION:
        left, top = _attention(image.crop(0, 0, image.width, height), across, down)
    else:
        left, top = _placed(image.width - across, height - down, fit.gravity)
    return map_frames(image, lambda frame: frame.crop(left, top, across, down))


def _attention(frame: pyvips.Image, across: int, down: int) -> tuple[int, int]:
    """Left and top of a crop around the point of attention. For an animation, the first frame decides for all."""
    _, found = frame.smartcrop(across, down, interesting="attention", attention_x=True, attention_y=True)
    left, top = found["attention_x"] - across // 2, found["attention_y"] - down // 2
    return _within(left, frame.width - across), _within(top, frame.height - down)


def _contained(image: pyvips.Image, box: tuple[int, int], fit: Contain) -> pyvips.Image:
    height = page_height(image)
    left, top = _placed(box[0] - image.width, box[1] - height, fit.gravity)
    image, background = _on_colour(image, fit.colour)
    return map_frames(image, lambda frame: frame.embed(left, top, *box, extend="background", background=background))


def _on_colour(image: pyvips.Image, colour: str) -> tuple[pyvips.Image, list[int]]:
    """The image with bands that can show the colour, and the colour in those bands."""
    if colour == TRANSPARENT:
        image = image if image.hasalpha() else image.bandjoin(_SOLID)
        return image, [0] * image.bands
    red, green, blue = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    if image.interpretation == "b-w" and not red == green == blue:
        image = image.colourspace("srgb")
    shown = [red] if image.interpretation == "b-w" else [red, green, blue]
    return image, shown + [_SOLID] * image.hasalpha()


def _placed(free_across: int, free_down: int, gravity: Gravity) -> tuple[int, int]:
    """Left and top of the smaller picture in the larger one, from the free pixels beside it."""
    left = {Gravity.WEST: 0, Gravity.EAST: free_across}.get(gravity, free_across // 2)
    top = {Gravity.NORTH: 0, Gravity.SOUTH: free_down}.get(gravity, free_down // 2)
    return left, top


def _within(start: int, last: int) -> int:
    return max(0, min(start, last))
