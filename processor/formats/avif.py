"""AVIF (AOM, "AV1 Image File Format")."""

from __future__ import annotations

from processor.formats.format import Decoding, Format
from processor.formats.info import ImageInfo
from processor.formats.items import dissect
from processor.formats.signatures import has_brand

#: Nanoseconds a pixel in which libaom hears of no deadline; see `pipeline.silence`.
_DECODING_NS = 150


def _silent_seconds(info: ImageInfo) -> float:
    return info.pixels * _DECODING_NS / 1e9


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
        silent_seconds=_silent_seconds,
    ),
)
