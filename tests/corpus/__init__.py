"""Test images, made on the spot: every format, colour, orientation, animation and kind of damage, none of them stored.

`SAMPLES` names them all, each with what the pipeline has to say about it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import Any

import pyvips

from tests.corpus import animations, containers, damage, heif, hostile, tiffs
from tests.corpus.picture import SEED, as_srgb, flat, large, photo, quarters, with_alpha

__all__ = [
    "DELAYS_MS",
    "LOOP",
    "ORIENTATIONS",
    "SAMPLES",
    "SEED",
    "Sample",
    "animated",
    "animation",
    "animations",
    "as_orientation",
    "as_srgb",
    "cmyk_jpeg",
    "containers",
    "damage",
    "flat",
    "gif",
    "heif",
    "hostile",
    "jpeg",
    "large",
    "p3_jpeg",
    "photo",
    "png",
    "quarters",
    "tiff",
    "tiffs",
    "webp",
    "with_alpha",
]

#: Every EXIF orientation.
ORIENTATIONS = tuple(range(1, 9))
#: Delays of the frames of `animation`, in milliseconds; multiples of 10, the finest that GIF knows.
DELAYS_MS = (100, 200, 50, 300)
#: How often an animation plays: libvips counts as GIF does, 0 is for ever.
LOOP = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A file to be made, and the code that the pipeline refuses it with; None when variants have to come out."""

    make: Callable[[], bytes]
    code: str | None = None


def jpeg(picture: pyvips.Image | None = None, *, quality: int = 90, orientation: int = 1, **options: object) -> bytes:
    """A JPEG; the picture lies on disk in such a way that `orientation` sets it upright."""
    picture = photo(160, 120) if picture is None else picture
    lying = as_orientation(picture, orientation)
    data = bytes(lying.jpegsave_buffer(Q=quality, **_bare(orientation), **options))
    return data if orientation == 1 else containers.jpeg_with_exif(data, orientation)


def png(picture: pyvips.Image | None = None, *, orientation: int = 1, **options: object) -> bytes:
    """A PNG, likewise."""
    picture = photo(160, 120) if picture is None else picture
    data = bytes(as_orientation(picture, orientation).pngsave_buffer(**_bare(orientation), **options))
    return data if orientation == 1 else containers.png_with_exif(data, orientation)


def webp(picture: pyvips.Image | None = None, *, quality: int = 90, orientation: int = 1, **options: object) -> bytes:
    """A still WebP, likewise."""
    picture = photo(160, 120) if picture is None else picture
    lying = as_orientation(picture, orientation)
    data = bytes(lying.webpsave_buffer(Q=quality, **_bare(orientation), **options))
    if orientation == 1:
        return data
    return containers.webp_with_exif(data, lying.width, lying.height, orientation, alpha=bool(picture.hasalpha()))


def tiff(picture: pyvips.Image | None = None, **options: object) -> bytes:
    """A TIFF of one page, as libtiff writes it."""
    return bytes((photo(160, 120) if picture is None else picture).tiffsave_buffer(**options))


def gif(picture: pyvips.Image | None = None, **options: object) -> bytes:
    """A still GIF."""
    return bytes((photo(160, 120) if picture is None else picture).gifsave_buffer(**options))


def animation(
    suffix: str, *, width: int = 64, height: int = 48, delays: tuple[int, ...] = DELAYS_MS, **options: object
) -> bytes:
    """A GIF or WebP (`.gif`, `.webp`) with one frame per delay, each a grey of its own, played `LOOP` times."""
    frames = [flat(width, height, (40 + 10 * number,) * 3) for number in range(len(delays))]
    return animated(frames, suffix, delays=delays, **options)


def animated(
    frames: list[pyvips.Image], suffix: str, *, delays: tuple[int, ...] = DELAYS_MS, **options: object
) -> bytes:
    """A GIF or WebP of these frames."""
    roll = pyvips.Image.arrayjoin(frames, across=1).copy()
    roll.set_type(pyvips.GValue.gint_type, "page-height", frames[0].height)
    roll.set_type(pyvips.GValue.array_int_type, "delay", list(delays))
    roll.set_type(pyvips.GValue.gint_type, "loop", LOOP)
    return bytes(roll.write_to_buffer(suffix, **options))


def as_orientation(picture: pyvips.Image, orientation: int) -> pyvips.Image:
    """How a camera that notes `orientation` would have stored the upright picture."""
    undo: dict[int, Callable[[pyvips.Image], pyvips.Image]] = {
        1: lambda image: image,
        2: lambda image: image.fliphor(),
        3: lambda image: image.rot("d180"),
        4: lambda image: image.flipver(),
        5: lambda image: image.rot("d90").fliphor(),
        6: lambda image: image.rot("d270"),
        7: lambda image: image.rot("d270").fliphor(),
        8: lambda image: image.rot("d90"),
    }
    return undo[orientation](picture)


def p3_jpeg(picture: pyvips.Image) -> bytes:
    """The sRGB picture, stored in Display P3 with its profile."""
    return jpeg(picture.icc_transform("p3", input_profile="srgb"), quality=100, profile="p3", subsample_mode="off")


def cmyk_jpeg(picture: pyvips.Image, *, profile: bool) -> bytes:
    """The sRGB picture, stored in CMYK; inverted and marked by Adobe's segment, as libjpeg writes it."""
    inks = picture.icc_transform("cmyk", input_profile="srgb")
    options: dict[str, Any] = {"profile": "cmyk"} if profile else {"keep": "none"}
    return jpeg(inks, quality=100, **options)


def _bare(orientation: int) -> dict[str, Any]:
    """libvips would write an EXIF block of its own, beside the one by hand."""
    return {} if orientation == 1 else {"keep": "none"}


def _grey(width: int = 160, height: int = 120) -> pyvips.Image:
    return photo(width, height).colourspace("b-w")


def _wide(picture: pyvips.Image) -> pyvips.Image:
    """The same picture with 16 bits a sample."""
    return picture.colourspace("grey16" if picture.interpretation == "b-w" else "rgb16").copy_memory()


def _quarters_as(make: Callable[..., bytes], orientation: int) -> bytes:
    return make(quarters(), orientation=orientation)


def _tiff_turned(orientation: int) -> bytes:
    return tiffs.with_orientation(as_orientation(quarters(), orientation), orientation)


def _cut(name: str, part: float) -> bytes:
    return damage.cut(_GOOD[name](), part)


def _head(name: str) -> bytes:
    return _GOOD[name]()[:20]


def _stills(code: Callable[..., heif.Item]) -> dict[str, Callable[[], bytes]]:
    """Every kind of picture that AVIF and HEIC have in common, by the end of its name."""

    def coded(picture: pyvips.Image | None = None, **options: Any) -> heif.Item:
        return code(photo(160, 120) if picture is None else picture, **options).saying(heif.nclx())

    def grey(picture: pyvips.Image) -> heif.Item:
        return code(as_srgb(picture.bandjoin([picture, picture])))

    def with_companion(kind: bytes, shade: pyvips.Image) -> bytes:
        return heif.file(coded(), heif.alpha_of(grey(shade), kind), references=[(b"auxl", 2, (1,))])

    def tiled() -> bytes:
        tiles = [coded(photo(160, 128).crop(left, top, 80, 64)) for top in (0, 64) for left in (0, 80)]
        whole = heif.grid(2, 2, 160, 120).saying(heif.nclx())
        return heif.file(whole, *tiles, references=[(b"dimg", 1, (2, 3, 4, 5))])

    def turned(orientation: int) -> bytes:
        """As phones write it: EXIF tells the same once more."""
        lying = coded(as_orientation(quarters(), orientation)).saying(*heif.TURNS[orientation])
        return heif.file(lying, heif.exif(orientation), references=[(b"cdsc", 2, (1,))])

    return {
        "": lambda: heif.file(coded()),
        "-ten-bit": lambda: heif.file(coded(bits=10)),
        "-alpha": lambda: with_companion(heif.ALPHA, with_alpha(photo(160, 120))[3]),
        "-depth": lambda: with_companion(heif.DEPTH, with_alpha(photo(160, 120))[3]),
        "-gain-map": lambda: with_companion(heif.GAIN_MAP, with_alpha(photo(80, 60))[3]),
        "-grid": tiled,
        **{f"-orientation-{value}": partial(turned, value) for value in ORIENTATIONS},
    }


_GOOD: dict[str, Callable[[], bytes]] = {
    "jpeg": jpeg,
    "jpeg-progressive": lambda: jpeg(interlace=True),
    "jpeg-grey": lambda: jpeg(_grey()),
    "jpeg-p3": lambda: p3_jpeg(photo(160, 120)),
    "jpeg-srgb-profile": lambda: jpeg(profile="srgb"),
    "jpeg-cmyk": lambda: cmyk_jpeg(photo(160, 120), profile=False),
    "jpeg-cmyk-profile": lambda: cmyk_jpeg(photo(160, 120), profile=True),
    "jpeg-broken-profile": lambda: damage.with_broken_profile(jpeg()),
    "jpeg-stray-bytes": lambda: damage.with_stray_bytes(jpeg()),
    "png": png,
    "png-interlaced": lambda: png(interlace=True),
    "png-alpha": lambda: png(with_alpha(photo(160, 120))),
    "png-grey": lambda: png(_grey()),
    "png-grey-alpha": lambda: png(with_alpha(photo(160, 120)).colourspace("b-w")),
    "png-palette": lambda: png(palette=True),
    "png-one-bit": lambda: png((_grey() > 128).copy(interpretation="b-w"), bitdepth=1),
    "png-sixteen-bit": lambda: png(_wide(photo(160, 120))),
    "png-sixteen-bit-alpha": lambda: png(_wide(with_alpha(photo(160, 120)))),
    "png-sixteen-bit-grey": lambda: png(_wide(_grey())),
    "webp": webp,
    "webp-lossless": lambda: webp(lossless=True),
    "webp-alpha": lambda: webp(with_alpha(photo(160, 120))),
    "webp-animated": lambda: animation(".webp"),
    "gif": gif,
    "gif-alpha": lambda: gif(with_alpha(photo(160, 120))),
    "gif-animated": lambda: animation(".gif"),
    **{f"avif{name}": make for name, make in _stills(heif.av1).items()},
    **{f"heic{name}": make for name, make in _stills(heif.hevc1).items()},
    "tiff": tiff,
    "tiff-lzw": lambda: tiff(compression="lzw"),
    "tiff-deflate": lambda: tiff(compression="deflate", predictor="horizontal"),
    "tiff-packbits": lambda: tiff(compression="packbits"),
    "tiff-jpeg": lambda: tiff(compression="jpeg", Q=95),
    "tiff-fax": lambda: tiff(_grey() > 128, compression="ccittfax4", bitdepth=1),
    "tiff-tiled": lambda: tiff(tile=True, tile_width=64, tile_height=64, compression="deflate"),
    "tiff-big": lambda: tiff(bigtiff=True),
    "tiff-sixteen-bit": lambda: tiff(_wide(photo(160, 120)), compression="lzw"),
    "tiff-sixteen-bit-alpha": lambda: tiff(_wide(with_alpha(photo(160, 120)))),
    "tiff-sixteen-bit-grey": lambda: tiff(_wide(_grey())),
    "tiff-alpha": lambda: tiff(with_alpha(photo(160, 120))),
    "tiff-premultiplied": lambda: tiff(with_alpha(photo(160, 120)), premultiply=True),
    "tiff-grey": lambda: tiff(_grey()),
    "tiff-white-is-zero": lambda: tiff(_grey(), miniswhite=True),
    "tiff-one-bit": lambda: tiff(_grey() > 128, bitdepth=1),
    "tiff-p3": lambda: tiff(photo(160, 120).icc_transform("p3", input_profile="srgb"), profile="p3"),
    "tiff-cmyk": lambda: tiff(photo(160, 120).icc_transform("cmyk", input_profile="srgb"), keep="none"),
    "tiff-cmyk-profile": lambda: tiff(photo(160, 120).icc_transform("cmyk", input_profile="srgb")),
    "tiff-big-endian": lambda: tiffs.file(tiffs.Page(picture=photo(160, 120)), order=">"),
    **{f"tiff-orientation-{value}": partial(_tiff_turned, value) for value in ORIENTATIONS},
    "one-pixel": lambda: png(flat(1, 1, (10, 20, 30))),
    "very-wide": lambda: png(flat(5000, 1, (10, 20, 30))),
    "very-tall": lambda: jpeg(flat(1, 5000, (10, 20, 30))),
    "mislabelled": png,
    **{f"jpeg-orientation-{value}": partial(_quarters_as, jpeg, value) for value in ORIENTATIONS},
    **{f"png-orientation-{value}": partial(_quarters_as, png, value) for value in ORIENTATIONS},
    **{f"webp-orientation-{value}": partial(_quarters_as, webp, value) for value in ORIENTATIONS},
}

_SAMPLES: dict[str, Sample] = {
    **{name: Sample(make=make) for name, make in _GOOD.items()},
    "empty": Sample(make=lambda: b"", code="empty_file"),
    **{name: Sample(make=make, code="unsupported_format") for name, make in damage.FOREIGN.items()},
    **{f"{name}-cut": Sample(make=partial(_cut, name, 0.9), code="corrupt_image") for name in damage.CUTTABLE},
    **{
        f"{name}-header-only": Sample(make=partial(_head, name), code="corrupt_image")
        for name in ("jpeg", "png", "webp", "gif")
    },
    "png-bit-flipped": Sample(make=lambda: damage.flip_bits(png()), code="corrupt_image"),
    "png-65000-square": Sample(make=lambda: containers.png_claiming(65_000, 65_000), code="side_too_long"),
    "png-missing-rows": Sample(make=lambda: containers.png_claiming(500, 500), code="corrupt_image"),
    "png-of-zeros": Sample(make=lambda: containers.png_of_zeros(20_000, 20_000), code="too_many_pixels"),
    "jpeg-of-many-scans": Sample(make=lambda: hostile.jpeg_of_scans(64, 48, 2000), code="too_many_scans"),
    "heic-brand-alone": Sample(
        make=lambda: containers.box(b"ftyp", b"heic\0\0\0\0mif1heic") + bytes(64), code="corrupt_image"
    ),
    "heic-of-crumbs": Sample(
        make=lambda: heif.file(heif.hevc1(quarters()), ahead=containers.box(b"free", b"") * 20_000),
        code="too_many_pieces",
    ),
    "tiff-of-crumbs": Sample(make=lambda: tiffs.of_crumbs(20_000), code="too_many_pieces"),
    "jpeg-of-crumbs": Sample(make=lambda: hostile.jpeg_of_segments(jpeg(), 20_000), code="too_many_pieces"),
    "webp-of-crumbs": Sample(make=lambda: hostile.webp_of_chunks(webp(), 20_000), code="too_many_pieces"),
    "gif-of-crumbs": Sample(make=lambda: hostile.gif_of_comments(20_000), code="too_many_pieces"),
    "gif-of-many-frames": Sample(make=lambda: containers.gif_of_frames(501), code="too_many_frames"),
    "gif-of-many-pixels": Sample(make=lambda: containers.gif_of_frames(400, 1000, 1000), code="too_many_pixels"),
}
#: Name -> what to feed, and what to expect of it under the default limits. Each is made once in a process.
SAMPLES = {name: replace(sample, make=cache(sample.make)) for name, sample in _SAMPLES.items()}
