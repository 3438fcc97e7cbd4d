"""AVIF (AOM, "AV1 Image File Format")."""

from __future__ import annotations

from processor.formats.format import Format
from processor.formats.signatures import has_brand

AVIF = Format(
    name="avif",
    title="AVIF",
    extensions=("avif", "avifs"),
    content_types=("image/avif", "image/avif-sequence"),
    begins=has_brand(b"avif", b"avis"),
)
