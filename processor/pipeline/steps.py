"""What happens to pixels between decoder and encoder: small steps, each from image to image.

An animation is one tall image, frame below frame; `page-height` says where to cut.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import pyvips

from processor.pipeline.roll import page_height

#: One thing done to an image. Lazy: pixels are computed when somebody reads them.
Step = Callable[[pyvips.Image], pyvips.Image]

#: EXIF orientation (CIPA DC-008, tag 0x0112) -> turn clockwise, then mirror left to right.
_TURNS: dict[int, tuple[str, bool]] = {
    2: ("d0", True),
    3: ("d180", False),
    4: ("d180", True),
    5: ("d90", True),
    6: ("d90", False),
    7: ("d270", True),
    8: ("d270", False),
}
#: How colours outside sRGB are brought in: the intent for photographs, and the one of the earlier service.
_INTENT = "perceptual"
#: Alpha, in 8 bits, that lets nothing through.
_SOLID = 255
#: Bytes of one sample, by libvips' band format: only 16-bit PNG has more than one.
_WIDE = "ushort"


def to_srgb(image: pyvips.Image) -> pyvips.Image:
    """8 bits a sample, in sRGB or grey, whatever came: through the embedded profile, or else by the usual one."""
    image = _through_profile(image)
    if image.format == _WIDE:
        image = image.colourspace("b-w" if image.interpretation == "grey16" else "srgb")
    return image


def hold(image: pyvips.Image) -> pyvips.Image:
    """Decode, here and only once: the pixels are in memory from now on."""
    return image.copy_memory()


def drop_solid_alpha(image: pyvips.Image) -> pyvips.Image:
    """Without the alpha of a picture in memory that is solid everywhere: the same files, for a third of the memory."""
    if not image.hasalpha() or image[image.bands - 1].min() < _SOLID:
        return image
    return image.extract_band(0, n=image.bands - 1)


def orient(image: pyvips.Image) -> pyvips.Image:
    """As the photographer saw it: EXIF orientation is applied and forgotten, to every frame by itself."""
    turn = _TURNS.get(int(image.get("orientation"))) if image.get_typeof("orientation") else None
    if turn is None:
        return image
    return map_frames(image, lambda frame: _turned(frame, *turn))


def fit(image: pyvips.Image, width: int, height: int) -> pyvips.Image:
    """Every frame at `width` x `height`, which is no larger than it was.

    Alpha is multiplied in around the filter: what is invisible must not bleed into what is seen.
    """
    if (width, height) == (image.width, page_height(image)):
        return image
    if not image.hasalpha():
        return map_frames(image, lambda frame: _scaled(frame, width, height))
    premultiplied = image.premultiply().cast(image.format)
    scaled = map_frames(premultiplied, lambda frame: _scaled(frame, width, height))
    return scaled.unpremultiply().cast(image.format)


def map_frames(image: pyvips.Image, step: Step) -> pyvips.Image:
    """Do the step to each frame by itself, so that no frame runs into its neighbour."""
    height = page_height(image)
    if height == image.height:
        return step(image)
    tops = range(0, image.height, height)
    # Each is held before the next begins: hundreds of steps that wait for each other would hold gigabytes.
    frames = [hold(step(image.crop(0, top, image.width, height))) for top in tops]
    joined = pyvips.Image.arrayjoin(frames, across=1).copy()
    joined.set_type(pyvips.GValue.gint_type, "page-height", frames[0].height)
    return joined


def has_usable_profile(image: pyvips.Image) -> bool:
    """Whether its colours come with a profile that fits them. Nothing but the header is read."""
    if not image.get_typeof("icc-profile-data"):
        return False
    profile = bytes(image.get("icc-profile-data"))
    pixel = pyvips.Image.black(1, 1, bands=image.bands).cast(image.format).copy(interpretation=image.interpretation)
    pixel.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    with suppress(pyvips.Error):
        # libvips takes another profile in the place of one that it cannot use, and then leaves that one with the image.
        return bytes(pixel.icc_import(embedded=True, intent=_INTENT).get("icc-profile-data")) == profile
    return False


def _depth(image: pyvips.Image) -> int:
    return 16 if image.format == _WIDE else 8


def _through_profile(image: pyvips.Image) -> pyvips.Image:
    if has_usable_profile(image):
        return image.icc_transform("srgb", embedded=True, intent=_INTENT, depth=_depth(image))
    if image.interpretation == "cmyk":
        return image.icc_transform("srgb", input_profile="cmyk", intent=_INTENT, depth=_depth(image))
    return image


def _turned(frame: pyvips.Image, angle: str, mirrored: bool) -> pyvips.Image:  # noqa: FBT001 - a column of the table
    turned = frame.rot(angle)
    return turned.fliphor() if mirrored else turned


def _scaled(frame: pyvips.Image, width: int, height: int) -> pyvips.Image:
    return frame.resize(width / frame.width, vscale=height / frame.height, kernel="lanczos3")
