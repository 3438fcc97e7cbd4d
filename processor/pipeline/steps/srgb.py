"""Into 8 bits a sample of sRGB or grey."""

from __future__ import annotations

from contextlib import suppress

import pyvips

#: How colours outside sRGB are brought in: the intent for photographs, and the one of the earlier service.
_INTENT = "perceptual"
#: Bytes of one sample, by libvips' band format: only 16-bit PNG has more than one.
_WIDE = "ushort"


def to_srgb(image: pyvips.Image) -> pyvips.Image:
    """8 bits a sample, in sRGB or grey, whatever came: through the embedded profile, or else by the usual one."""
    image = _through_profile(image)
    if image.format == _WIDE:
        image = image.colourspace("b-w" if image.interpretation == "grey16" else "srgb")
    return image


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


def _through_profile(image: pyvips.Image) -> pyvips.Image:
    if has_usable_profile(image):
        return image.icc_transform("srgb", embedded=True, intent=_INTENT, depth=_depth(image))
    if image.interpretation == "cmyk":
        return image.icc_transform("srgb", input_profile="cmyk", intent=_INTENT, depth=_depth(image))
    return image


def _depth(image: pyvips.Image) -> int:
    return 16 if image.format == _WIDE else 8
