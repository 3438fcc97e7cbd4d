"""HEIC and HEIF (ISO/IEC 23008-12), the format of photos from many phones."""

from __future__ import annotations

from processor.formats.format import Decoding, Format
from processor.formats.items import blocks, dissect
from processor.formats.signatures import has_brand

HEIC = Format(
    name="heic",
    title="HEIC",
    extensions=("heic", "heif", "heics", "heifs", "hif"),
    content_types=("image/heic", "image/heif", "image/heic-sequence", "image/heif-sequence"),
    begins=has_brand(b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"),
    decoding=Decoding(dissect=dissect, blocks=blocks),
)
