"""Makes a small file of a progressive JPEG (T.81, annex G). If libjpeg shrinks by 8, both give the same pixels.

Then each pixel is the mean of a block, and the first scans have the means. A component that is subsampled in both
directions needs all of its scans: libjpeg decodes its blocks to more than one pixel.
"""

from __future__ import annotations

from processor.pipeline.jpeg import Component, Jpeg, Scan

#: The factor by which libjpeg shrinks.
SHRINK = 8

#: A progressive frame with Huffman coding (T.81, SOF2).
_PROGRESSIVE, _BLOCK = 0xC2, 8
#: A marker that ends restarts. Then a Huffman table with one code, the bit 0: a run of blocks without coefficients
#: (T.81, G.1.2.2). The run has 16,384 blocks plus the number in the 14 bits behind the code.
_NO_RESTARTS, _RUN, _RUN_BITS = b"\xff\xdd\0\x04\0\0", 16_384, 15
_TABLE = b"\xff\xc4\0\x14\x10\x01" + bytes(15) + b"\xe0"
_END = b"\xff\xd9"


def part_of(data: bytes, jpeg: Jpeg) -> bytes | None:
    """The file with the scans that are needed; None: it is another kind of JPEG. The original must have all scans."""
    if not _is_plain(jpeg):
        return None
    detailed = {component.name for component in jpeg.components if _is_detailed(component, jpeg)}
    parts, at = [], 0
    for scan in jpeg.scans:
        if not _is_needed(scan, detailed):
            parts.append(data[at : scan.marker])
            at = scan.end
    parts.append(data[at : jpeg.scans[-1].end])
    flat = [_flat(component, jpeg) for component in jpeg.components if component.name not in detailed]
    return b"".join((*parts, _NO_RESTARTS, _TABLE, *flat, _END))


def _is_plain(jpeg: Jpeg) -> bool:
    names = {component.name for component in jpeg.components}
    return jpeg.process == _PROGRESSIVE and len(names) == len(jpeg.components)


def _is_detailed(component: Component, jpeg: Jpeg) -> bool:
    return component.across < jpeg.across and component.down < jpeg.down


def _is_needed(scan: Scan, detailed: set[int]) -> bool:
    return scan.first == 0 or not detailed.isdisjoint(scan.components)


def _flat(component: Component, jpeg: Jpeg) -> bytes:
    """A scan that consists of empty runs. Without it, libjpeg takes the file for incomplete, and smooths the blocks."""
    columns = -(-jpeg.width * component.across // (_BLOCK * jpeg.across))
    rows = -(-jpeg.height * component.down // (_BLOCK * jpeg.down))
    runs = -(-columns * rows // _RUN)
    header = b"\xff\xda\0\x08\x01" + bytes([component.name]) + b"\0\x01\x3f\0"
    return header + bytes(-(-runs * _RUN_BITS // 8))
