"""TIFF written tag by tag (TIFF 6.0), so that every tag can be set, and set wrong."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyvips

#: Tags, by their names in the standard.
SUBFILE, WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC = 254, 256, 257, 258, 259, 262
OFFSETS, ORIENTATION, SAMPLES, ROWS_PER_STRIP, LENGTHS, PLANAR = 273, 274, 277, 278, 279, 284
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_LENGTHS, SUB_PAGES = 322, 323, 324, 325, 330
INK_SET, EXTRA_SAMPLES, SAMPLE_FORMAT, DNG_VERSION = 332, 338, 339, 50706


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One picture, not packed, in one strip. `tags`: more of them, or others than its own; None: it is not there."""

    picture: pyvips.Image
    tags: Mapping[int, Sequence[int] | None] = field(default_factory=dict)


def file(*pages: Page, order: str = "<", big: bool = False, loop: bool = False) -> bytes:
    """The pages one behind the other; with a `loop`, the first one follows the last."""
    wide = "Q" if big else "I"
    mark = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}H", 43 if big else 42)
    head = len(mark) + (12 if big else 4)
    body, first, pointer = b"", 0, b""
    for page in pages:
        samples = bytes(page.picture.write_to_memory())
        if order == ">" and page.picture.format == "ushort":
            samples = struct.pack(f">{len(samples) // 2}H", *memoryview(samples).cast("H"))
        at = head + len(body)
        body += samples + bytes(len(samples) % 2)
        tags = _tags(page.picture, at, len(samples)) | dict(page.tags)
        known = {name: values for name, values in tags.items() if values is not None}
        listed, values = b"", b""
        start = head + len(body)
        behind = start + len(known) * (20 if big else 12) + (16 if big else 6)
        for name, numbers in sorted(known.items()):
            told = struct.pack(f"{order}{len(numbers)}I", *numbers)
            if len(told) > (8 if big else 4):
                values, told = values + told, struct.pack(f"{order}{wide}", behind + len(values))
            listed += struct.pack(f"{order}HH{wide}", name, 4, len(numbers)) + told.ljust(8 if big else 4, b"\0")
        following = 0 if page is pages[-1] else behind + len(values)
        first = first or start
        count = struct.pack(f"{order}{'Q' if big else 'H'}", len(known))
        # A page's samples stand in front of its tags, and so do those of the next one.
        following += 0 if page is pages[-1] else _padded(pages[pages.index(page) + 1].picture)
        pointer = struct.pack(f"{order}{wide}", first if loop and page is pages[-1] else following)
        body += count + listed + pointer + values
    start_of_all = struct.pack(f"{order}HHQ", 8, 0, first) if big else struct.pack(f"{order}I", first)
    return mark + start_of_all + body


def with_orientation(picture: pyvips.Image, orientation: int) -> bytes:
    """As a camera that notes `orientation` would have stored it, if the picture lies so."""
    return file(Page(picture=picture, tags={ORIENTATION: (orientation,)}))


def of_crumbs(count: int) -> bytes:
    """A page of so many tags that nobody knows."""
    tag = struct.pack("<HHII", 40_000, 4, 1, 0)
    return b"II*\0" + struct.pack("<IH", 8, count) + tag * count + bytes(4)


def camera_raw() -> bytes:
    """As cameras begin: a preview, and the sensor's light where nobody looks who does not know the camera."""
    preview = Page(picture=_small(), tags={SUBFILE: (1,), SUB_PAGES: (8,)})
    return file(preview)


def _small() -> pyvips.Image:
    return pyvips.Image.black(16, 12, bands=3).copy(interpretation="srgb")


def _tags(picture: pyvips.Image, at: int, length: int) -> dict[int, Sequence[int] | None]:
    bits = 16 if picture.format == "ushort" else 8
    colours = {"cmyk": 4, "b-w": 1, "grey16": 1}.get(picture.interpretation, 3)
    return {
        WIDTH: (picture.width,),
        HEIGHT: (picture.height,),
        BITS: (bits,) * picture.bands,
        COMPRESSION: (1,),
        PHOTOMETRIC: ({1: 1, 3: 2, 4: 5}[colours],),
        OFFSETS: (at,),
        SAMPLES: (picture.bands,),
        ROWS_PER_STRIP: (picture.height,),
        LENGTHS: (length,),
        EXTRA_SAMPLES: (2,) if picture.bands > colours else None,
    }


def _padded(picture: pyvips.Image) -> int:
    length = picture.width * picture.height * picture.bands * (2 if picture.format == "ushort" else 1)
    return int(length + length % 2)
