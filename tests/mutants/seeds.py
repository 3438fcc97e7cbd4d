"""The files that mutants are made of: small, sound, and of every kind that the pipeline reads in a way of its own."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from functools import cache

import pyvips

from tests import corpus
from tests.corpus import animations, arithmetic, containers, heif

#: Sides that are no multiples of what codecs work in.
WIDTH, HEIGHT = 43, 30
#: Samples of the corpus that are small, and that add a kind. Each turn is one of many; one will do.
_SAMPLES = (
    *("tiff-orientation-6", "tiff-orientation-7"),
    *(
        "avif-grid",
        "avif-alpha",
        "avif-gain-map",
        "avif-orientation-6",
        "heic-grid",
        "heic-alpha",
        "heic-orientation-8",
    ),
)


def _small() -> pyvips.Image:
    return corpus.photo(WIDTH, HEIGHT)


def _grey() -> pyvips.Image:
    return _small().colourspace("b-w")


def _wide(image: pyvips.Image) -> pyvips.Image:
    return image.colourspace("grey16" if image.interpretation == "b-w" else "rgb16").copy_memory()


def _clear() -> pyvips.Image:
    return corpus.with_alpha(_small())


def _gain_mapped() -> bytes:
    """Ultra HDR: a JPEG, behind it the gain map, and in its segments where that is and what it means."""
    gain = corpus.jpeg(_grey())
    text = b'<x:xmpmeta xmlns:x="adobe:ns:meta/" hdrgm:Version="1.0" Item:Semantic="GainMap" Item:Length="%d"/>'
    base = corpus.jpeg(_small())
    entries = struct.pack(">IIIHH", 0x030000, len(base), 0, 0, 0) + struct.pack(">IIIHH", 0, len(gain), len(base), 0, 0)
    directory = b"MM\0\x2a" + struct.pack(">IH", 8, 2) + struct.pack(">HHII", 0xB001, 4, 1, 2)
    directory += struct.pack(">HHII", 0xB002, 7, len(entries), 38) + bytes(4) + entries
    base = containers.jpeg_with_segment(base, 0xE2, b"MPF\0" + directory)
    return containers.jpeg_with_segment(base, 0xE1, b"http://ns.adobe.com/xap/1.0/\0" + text % len(gain)) + gain


def _apng(*, blend: int = animations.SOURCE, dispose: int = animations.APNG_KEEP) -> bytes:
    stills = [animations.Still(data=corpus.png(_clear()))]
    patch = corpus.png(corpus.with_alpha(corpus.photo(17, 11)))
    stills += [animations.Still(data=patch, left=5 + at, top=3, blend=blend, dispose=dispose) for at in range(3)]
    return animations.apng_of_stills(WIDTH, HEIGHT, stills)


def _gif_of_parts() -> bytes:
    parts = [
        animations.Part(width=20, height=16, colour=0),
        animations.Part(left=4, top=3, width=9, height=7, colour=1, dispose=2, transparent=0),
        animations.Part(left=11, top=9, width=9, height=7, colour=2, dispose=3),
    ]
    return animations.gif_of(20, 16, parts, repeats=2)


def _frames() -> list[pyvips.Image]:
    return [corpus.photo(WIDTH, HEIGHT, seed=number) for number in range(3)]


def _clear_frames() -> list[pyvips.Image]:
    return [corpus.with_alpha(frame) for frame in _frames()]


def _lossless(frames: list[pyvips.Image]) -> bytes:
    return corpus.animated(frames, ".webp", delays=(30, 40, 50), lossless=True)


def _png_of_colours() -> bytes:
    """With every chunk that says something of colours."""
    chunks = containers.png_chunks(corpus.png(_small()))
    told = [
        (b"cICP", b"\x09\x10\x00\x01"),
        (b"gAMA", struct.pack(">I", 45455)),
        (b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)),
        (b"mDCV", struct.pack(">8H2I", *(15000,) * 8, 10_000_000, 50)),
        (b"cLLI", struct.pack(">2I", 10_000_000, 4_000_000)),
    ]
    return animations.png_of_chunks([chunks[0], *told, *chunks[1:]])


_MADE: Mapping[str, Callable[[], bytes]] = {
    "jpeg": lambda: corpus.jpeg(_small()),
    "jpeg-progressive": lambda: corpus.jpeg(_small(), interlace=True),
    "jpeg-444": lambda: corpus.jpeg(_small(), subsample_mode="off"),
    "jpeg-grey": lambda: corpus.jpeg(_grey()),
    "jpeg-cmyk": lambda: corpus.cmyk_jpeg(_small(), profile=False),
    "jpeg-restarts": lambda: corpus.jpeg(_small(), restart_interval=2),
    "jpeg-turned": lambda: corpus.jpeg(_small(), orientation=6),
    "jpeg-profile": lambda: corpus.jpeg(_small(), profile="srgb"),
    "jpeg-arithmetic": lambda: arithmetic.jpeg(6, 4),
    "jpeg-gain-map": _gain_mapped,
    "jpeg-of-scans": lambda: corpus.hostile.jpeg_of_scans(WIDTH, HEIGHT, 9),
    "png": lambda: corpus.png(_small()),
    "png-interlaced": lambda: corpus.png(_small(), interlace=True),
    "png-16-alpha": lambda: corpus.png(_wide(_clear())),
    "png-16-interlaced": lambda: corpus.png(_wide(_small()), interlace=True),
    "png-alpha": lambda: corpus.png(_clear()),
    "png-palette": lambda: corpus.png(_clear(), palette=True),
    "png-one-bit": lambda: corpus.png((_grey() > 128).copy(interpretation="b-w"), bitdepth=1),
    "png-profile": lambda: corpus.png(_small(), profile="p3"),
    "png-colours": _png_of_colours,
    "apng": _apng,
    "apng-over": lambda: _apng(blend=animations.OVER, dispose=animations.APNG_BACKGROUND),
    "apng-restored": lambda: _apng(blend=animations.OVER, dispose=animations.APNG_PREVIOUS),
    "webp": lambda: corpus.webp(_small()),
    "webp-lossless": lambda: corpus.webp(_small(), lossless=True),
    "webp-lossless-alpha": lambda: corpus.webp(_clear(), lossless=True),
    "webp-alpha": lambda: corpus.webp(_clear()),
    "webp-turned": lambda: corpus.webp(_small(), orientation=6),
    "webp-animated": lambda: corpus.animated(_frames(), ".webp", delays=(30, 40, 50)),
    "webp-animated-alpha": lambda: corpus.animated(_clear_frames(), ".webp", delays=(30, 40, 50)),
    "webp-animated-lossless": lambda: _lossless(_clear_frames()),
    "gif": lambda: corpus.gif(_small()),
    "gif-alpha": lambda: corpus.gif(_clear()),
    "gif-interlaced": lambda: corpus.gif(_small(), interlace=True),
    "gif-animated": lambda: corpus.animated(_frames(), ".gif", delays=(30, 40, 50)),
    "gif-of-parts": _gif_of_parts,
    "avif": lambda: heif.file(heif.av1(_small()).saying(heif.nclx())),
    "avif-ten-bit": lambda: heif.file(heif.av1(_small(), bits=10).saying(heif.nclx(9, 16, 9))),
    "avif-by-libheif": lambda: bytes(_clear().heifsave_buffer(compression="av1", effort=0)),
    "heic": lambda: heif.file(heif.hevc1(corpus.photo(48, 32)).saying(heif.nclx())),
    "heic-ten-bit": lambda: heif.file(heif.hevc1(corpus.photo(48, 32), bits=10).saying(heif.nclx())),
    "tiff": lambda: corpus.tiff(_small()),
    "tiff-lzw": lambda: corpus.tiff(_small(), compression="lzw"),
    "tiff-deflate": lambda: corpus.tiff(_small(), compression="deflate", predictor="horizontal"),
    "tiff-packbits": lambda: corpus.tiff(_small(), compression="packbits"),
    "tiff-jpeg": lambda: corpus.tiff(_small(), compression="jpeg"),
    "tiff-fax": lambda: corpus.tiff(_grey() > 128, compression="ccittfax4", bitdepth=1),
    "tiff-tiled": lambda: corpus.tiff(_small(), tile=True, tile_width=16, tile_height=16, compression="deflate"),
    "tiff-big": lambda: corpus.tiff(_small(), bigtiff=True),
    "tiff-one-bit": lambda: corpus.tiff(_grey() > 128, bitdepth=1),
    "tiff-premultiplied": lambda: corpus.tiff(_clear(), premultiply=True),
    "tiff-white-is-zero": lambda: corpus.tiff(_grey(), miniswhite=True),
    "tiff-cmyk": lambda: corpus.tiff(_small().icc_transform("cmyk", input_profile="srgb"), keep="none"),
    "tiff-16-alpha": lambda: corpus.tiff(_wide(_clear()), compression="lzw", predictor="horizontal"),
    "tiff-profile": lambda: corpus.tiff(_small(), profile="p3"),
    "tiff-big-endian": lambda: corpus.tiffs.file(corpus.tiffs.Page(picture=_small()), order=">"),
    "tiff-of-pages": lambda: corpus.tiffs.file(*(corpus.tiffs.Page(picture=frame) for frame in _frames())),
}


#: The names of all seeds. The format is the first word.
NAMES = (*_MADE, *_SAMPLES)


@cache
def seeds() -> Mapping[str, bytes]:
    """The seeds by name."""
    made = {name: make() for name, make in _MADE.items()}
    return made | {name: corpus.SAMPLES[name].make() for name in _SAMPLES}
