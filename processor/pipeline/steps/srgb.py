"""Converts a picture to sRGB or grey, with 8 bits per sample."""

from __future__ import annotations

from contextlib import suppress

import pyvips

#: Rendering intent for colours outside sRGB: the usual one for photographs, as in the earlier service.
_INTENT = "perceptual"
#: libvips' band format of 16-bit samples.
_WIDE = "ushort"
#: libvips' name for the profile of an image.
PROFILE_FIELD = "icc-profile-data"
#: The largest profile that variants keep, in bytes: every variant has it. Those of displays have a few thousand.
MAX_PROFILE = 64 * 1024
#: Bands of a picture in red, green and blue, without and with alpha.
_RGB = (3, 4)


def to_srgb(image: pyvips.Image) -> pyvips.Image:
    """8 bits per sample in sRGB or grey. It uses the embedded profile, or else the usual one for CMYK."""
    image = _through_profile(image)
    if image.format == _WIDE:
        image = image.colourspace("b-w" if image.interpretation == "grey16" else "srgb")
    return image


def profile_to_keep(image: pyvips.Image) -> bytes | None:
    """The profile that variants can have: usable, of red, green and blue, and not too large. None: there is none."""
    if image.bands not in _RGB or image.interpretation not in ("srgb", "rgb", "rgb16") or not has_usable_profile(image):
        return None
    profile = bytes(image.get(PROFILE_FIELD))
    return profile if len(profile) <= MAX_PROFILE else None


def has_usable_profile(image: pyvips.Image) -> bool:
    """Whether the image has an ICC profile that fits its colours. Only the header is read."""
    if not image.get_typeof(PROFILE_FIELD):
        return False
    profile = bytes(image.get(PROFILE_FIELD))
    pixel = pyvips.Image.black(1, 1, bands=image.bands).cast(image.format).copy(interpretation=image.interpretation)
    pixel.set_type(pyvips.GValue.blob_type, PROFILE_FIELD, profile)
    with suppress(pyvips.Error):
        # If libvips cannot use a profile, it uses another and attaches that to the result.
        return bytes(pixel.icc_import(embedded=True, intent=_INTENT).get(PROFILE_FIELD)) == profile
    return False


def _through_profile(image: pyvips.Image) -> pyvips.Image:
    if has_usable_profile(image):
        return image.icc_transform("srgb", embedded=True, intent=_INTENT, depth=_depth(image))
    if image.interpretation == "cmyk":
        return image.icc_transform("srgb", input_profile="cmyk", intent=_INTENT, depth=_depth(image))
    return image


def _depth(image: pyvips.Image) -> int:
    return 16 if image.format == _WIDE else 8
