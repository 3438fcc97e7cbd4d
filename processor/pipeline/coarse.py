"""Of a progressive JPEG (T.81, annex G), a small file that libjpeg decodes to the same pixels when it shrinks by 8.

Each pixel is the mean of a block then, and the first scans bring those. Of colours with fewer samples in both
directions libjpeg decodes blocks to more than a pixel, and looks at all of their scans.
"""

from __future__ import annotations

from processor.pipeline.jpeg import Component, Jpeg, Scan

#: By what libjpeg is to shrink.
SHRINK = 8

#: A frame whose scans bring one band of coefficients each, by Huffman's codes; and how many samples it may have.
_PROGRESSIVE, _FACTORS = 0xC2, range(1, 5)
_BLOCK = 8
#: No restarts from here on; and a table of one code, the bit 0: a run of blocks that bring nothing (T.81, G.1.2.2), as
#: long as the 14 bits behind it say on top of 16,384.
_NO_RESTARTS, _RUN, _RUN_BITS = b"\xff\xdd\0\x04\0\0", 16_384, 15
_TABLE = b"\xff\xc4\0\x14\x10\x01" + bytes(15) + b"\xe0"
_END = b"\xff\xd9"


def part_of(data: bytes, jpeg: Jpeg) -> bytes | None:
    """The file, with a part of the scans; None: it is of another kind. All scans are there."""
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
    sampled = {factor for component in jpeg.components for factor in (component.across, component.down)}
    return jpeg.process == _PROGRESSIVE and len(names) == len(jpeg.components) and sampled <= set(_FACTORS)


def _is_detailed(component: Component, jpeg: Jpeg) -> bool:
    return component.across < jpeg.across and component.down < jpeg.down


def _is_needed(scan: Scan, detailed: set[int]) -> bool:
    return scan.first == 0 or not detailed.isdisjoint(scan.components)


def _flat(component: Component, jpeg: Jpeg) -> bytes:
    """A scan of nothing but runs. Without it libjpeg takes the file for one that is still being loaded, and smooths."""
    columns = -(-jpeg.width * component.across // (_BLOCK * jpeg.across))
    rows = -(-jpeg.height * component.down // (_BLOCK * jpeg.down))
    runs = -(-columns * rows // _RUN)
    header = b"\xff\xda\0\x08\x01" + bytes([component.name]) + b"\0\x01\x3f\0"
    return header + bytes(-(-runs * _RUN_BITS // 8))
