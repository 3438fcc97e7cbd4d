"""AVIF (AOM, "AV1 Image File Format")."""

from __future__ import annotations

from collections.abc import Mapping

from processor.formats.format import Decoding, Encoding, Format, sizes_at
from processor.formats.info import ImageInfo
from processor.formats.items import blocks, dissect
from processor.formats.signatures import has_brand

#: Nanoseconds per pixel for which libaom decodes without checking a deadline; see `pipeline.silence`.
_DECODING_NS = 150
#: The same for encoding, which is one call. It is for noise at the highest effort; photographs at effort 2 need 1/40.
_ENCODING_NS = 20_000
#: Longest side in pixels. libvips could write one more, but a variant has the same size as in WebP.
_LONGEST_SIDE = 16_383
#: Most pixels of the AVIF Advanced Profile (AOM, "AV1 Image File Format", section 8.3: level 6.0).
_MOST_PIXELS = 35_651_584
#: Relative size of files, by quality (`docs/performance.md`). The lowest quality that `pipeline.guard` tries.
_SIZES = {30: 0.53, 40: 0.62, 50: 0.75, 60: 1.0, 70: 1.33, 80: 1.9, 90: 3.2, 100: 8.0}
_LEAST_QUALITY = 35
#: Bytes per pixel that libheif and libaom need: for a single colour, for noise, and in addition for alpha. Photographs
#: need nine tenths of noise.
_FLAT_BYTES, _NOISE_BYTES, _ALPHA_BYTES = 14.3, 23.0, 18.0
#: For each step of quality above this one: further bytes per pixel for noise, and for its alpha.
_FINE_QUALITY, _FINE_BYTES, _FINE_ALPHA_BYTES = 85, 1.75, 1.3
#: From this effort on: further bytes per pixel. They do not apply to 4K pictures and larger, which libaom treats
#: differently.
_THOROUGH_EFFORT, _THOROUGH_BYTES, _LARGE_PIXELS = 4, 15.0, 3840 * 2160
#: Bytes that libaom needs for every picture, even the smallest.
_OWN_BYTES = 3 * 1024 * 1024


def _silent_seconds(info: ImageInfo) -> float:
    return info.decoded_pixels * _DECODING_NS / 1e9


def _silent_encoding(info: ImageInfo) -> float:
    return info.pixels * _ENCODING_NS / 1e9


def _options(quality: int, effort: int) -> Mapping[str, object]:
    # 8 bits with chroma subsampling, which every viewer shows. libaom is the only encoder in libvips' wheels.
    return {"compression": "av1", "bitdepth": 8, "subsample_mode": "on", "Q": quality, "effort": effort}


def _still_bytes(pixels: int, info: ImageInfo, quality: int, effort: int) -> tuple[int, int]:
    fine = max(0, quality - _FINE_QUALITY)
    most = _NOISE_BYTES + fine * _FINE_BYTES
    if info.has_alpha:
        most += _ALPHA_BYTES + fine * _FINE_ALPHA_BYTES
    if effort >= _THOROUGH_EFFORT and pixels < _LARGE_PIXELS:
        most += _THOROUGH_BYTES
    return round(pixels * _FLAT_BYTES), round(pixels * most) + _OWN_BYTES


AVIF = Format(
    name="avif",
    title="AVIF",
    extensions=("avif", "avifs"),
    content_types=("image/avif", "image/avif-sequence"),
    begins=has_brand(b"avif", b"avis"),
    decoding=Decoding(
        loader="heifload_source",
        loader_class="VipsForeignLoadHeif",
        dissect=dissect,
        blocks=blocks,
        silent_seconds=_silent_seconds,
    ),
    encoding=Encoding(
        saver="heifsave_buffer",
        longest_side=_LONGEST_SIDE,
        options=_options,
        size_at=sizes_at(_SIZES),
        least_quality=_LEAST_QUALITY,
        lossless={"lossless": True},
        lossless_pixels=0,
        most_pixels=_MOST_PIXELS,
        animates=False,
        still_bytes=_still_bytes,
        silent_seconds=_silent_encoding,
    ),
)
