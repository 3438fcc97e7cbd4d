"""Converts a picture to sRGB or grey, with 8 bits per sample."""

from __future__ import annotations

from contextlib import suppress

import pyvips

#: Rendering intent for colours outside sRGB: the usual one for photographs, as in the earlier service.
_INTENT = "perceptual"
#: libvips' band format of 16-bit samples.
_WIDE = "ushort"


def to_srgb(image: pyvips.Image) -> pyvips.Image:
    """8 bits per sample in sRGB or grey. It uses the embedded profile, or else the usual one for CMYK."""
    image = _through_profile(image)
    if image.format == _WIDE:
        image = image.colourspace("b-w" if image.interpretation == "grey16" else "srgb")
    return image


def has_usable_profile(image: pyvips.Image) -> bool:
    """Whether the image has an ICC profile that fits its colours. Only the header is read."""
    if not image.get_typeof("icc-profile-data"):
        return False
    profile = bytes(image.get("icc-profile-data"))
    pixel = pyvips.Image.black(1, 1, bands=image.bands).cast(image.format).copy(interpretation=image.interpretation)
    pixel.set_type(pyvips.GValue.blob_type, "icc-profile-data", profile)
    with suppress(pyvips.Error):
        # If libvips cannot use a profile, it uses another and attaches that to the result.
        return bytes(pixel.icc_import(embedded=True, intent=_INTENT).get("icc-profile-data")) == profile
    return False


def _through_profile(image: pyvips.Image) -> pyvips.Image:
    if has_usable_profile(image):
        return image.icc_transform("srgb", embedded=True, intent=_INTENT, depth=_depth(image))
    if image.interpretation == "cmyk":
        return image.icc_transform("srgb", input_profile="cmyk", intent=_INTENT, depth=_depth(image))
    return image


def _depth(image: pyvips.Image) -> int:
    return 16 if image.format == _WIDE else 8
