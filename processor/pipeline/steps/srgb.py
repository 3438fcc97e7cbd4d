"""Converts a picture to sRGB or grey, with 8 bits per sample."""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from itertools import chain, product

import pyvips

from processor.formats.anatomy import MAX_PROFILE_BYTES

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
#: So many profiles are remembered. Most cameras write one of a few, and to try one takes as long as a thumbnail.
_REMEMBERED = 32
#: What shows the meaning of a profile: all greys, and these levels of each colour with all of the others.
_LEVELS = range(0, 256, 17)
#: By how much samples may change because programs round the same colours differently: at most, and on the mean.
_ROUNDING, _ROUNDING_MEAN = 2, 0.05


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
    """Whether the image has an ICC profile that fits its colours and is not huge. Only the header is read."""
    if not image.get_typeof(PROFILE_FIELD):
        return False
    profile = bytes(image.get(PROFILE_FIELD))
    if len(profile) > MAX_PROFILE_BYTES:
        return False
    look = _try if len(profile) <= MAX_PROFILE else _try.__wrapped__
    with suppress(pyvips.Error):
        look(profile, image.bands, image.format, image.interpretation)
        return True
    return False


def _through_profile(image: pyvips.Image) -> pyvips.Image:
    if has_usable_profile(image):
        if _is_srgb_already(image):
            image = image.copy()
            image.remove(PROFILE_FIELD)
            return image
        return image.icc_transform("srgb", embedded=True, intent=_INTENT, depth=_depth(image))
    if image.interpretation == "cmyk":
        return image.icc_transform("srgb", input_profile="cmyk", intent=_INTENT, depth=_depth(image))
    return image


def _is_srgb_already(image: pyvips.Image) -> bool:
    """Whether its profile says sRGB. To convert would take as long as to decode, and change nothing."""
    if image.bands not in _RGB or image.interpretation not in ("srgb", "rgb", "rgb16"):
        return False
    profile = bytes(image.get(PROFILE_FIELD))
    with suppress(pyvips.Error):
        return len(profile) <= MAX_PROFILE and _changes_nothing(profile)
    return False


@lru_cache(maxsize=_REMEMBERED)
def _try(profile: bytes, bands: int, format_: str, interpretation: str) -> None:
    """Raises `pyvips.Error` if the profile cannot be used, which is not remembered: perhaps memory was short."""
    pixel = pyvips.Image.black(1, 1, bands=bands).cast(format_).copy(interpretation=interpretation)
    _imported(pixel, profile)


@lru_cache(maxsize=_REMEMBERED)
def _changes_nothing(profile: bytes) -> bool:
    """Whether every colour stays what it is, but for rounding. Raises `pyvips.Error`."""
    colours = [*product(_LEVELS, repeat=3), *((grey,) * 3 for grey in range(256))]
    samples = bytes(chain.from_iterable(colours))
    shown = pyvips.Image.new_from_memory(samples, len(colours), 1, 3, "uchar").copy(interpretation="srgb")
    converted = _imported(shown, profile).icc_export(output_profile="srgb", intent=_INTENT, depth=8)
    change = (converted - shown).abs()
    return bool(change.max() <= _ROUNDING and change.avg() <= _ROUNDING_MEAN)


def _imported(image: pyvips.Image, profile: bytes) -> pyvips.Image:
    image.set_type(pyvips.GValue.blob_type, PROFILE_FIELD, profile)
    imported = image.icc_import(embedded=True, intent=_INTENT)
    # If libvips cannot use a profile, it uses another and attaches that to the result.
    if bytes(imported.get(PROFILE_FIELD)) != profile:
        raise pyvips.Error("libvips took another profile")
    return imported


def _depth(image: pyvips.Image) -> int:
    return 16 if image.format == _WIDE else 8
