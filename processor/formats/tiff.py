"""TIFF (revision 6.0) and BigTIFF."""

from __future__ import annotations

from processor.formats.format import Format
from processor.formats.signatures import begins_with

TIFF = Format(
    name="tiff",
    title="TIFF",
    extensions=("tif", "tiff"),
    content_types=("image/tiff", "image/x-tiff", "image/tiff-fx"),
    begins=begins_with(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
)
