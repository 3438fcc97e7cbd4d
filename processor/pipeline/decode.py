"""Reads the header of a file, and decodes its pixels to a libvips image."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol, TypeVar

import pyvips

from processor.errors import CorruptImage
from processor.formats import AVIF, GIF, HEIC, JPEG, PNG, TIFF, WEBP, decoding_of, dissect, icc, sniff
from processor.formats.anatomy import MAX_PROFILE_BYTES, Anatomy
from processor.formats.info import ImageInfo
from processor.formats.jpeg import FACTORS
from processor.pipeline import coarse, colour, gif, heif, hevc, jpeg, png, tiff, webp
from processor.pipeline.allocator import give_back
from processor.pipeline.roll import Blend, Cel, compose, leaves_gaps, page_height
from processor.pipeline.steps.srgb import PROFILE_FIELD, has_usable_profile, to_srgb

#: Bytes of a sample, by libvips' band format.
_SAMPLE_BYTES = {"uchar": 1, "ushort": 2}
#: The highest sample, by the same.
_TOPS = {"uchar": 255, "ushort": 65_535}
#: The EXIF orientation of an upright picture.
_UPRIGHT = 1
#: EXIF's mark for Adobe RGB. Cameras write it if they embed no profile (DCF 2.0, "optional file").
_ADOBE_RGB, _ADOBE_RGB_FIELD = "R03", "exif-ifd4-InteroperabilityIndex"
_RGB, _OPAQUE = 3, 255
#: The longest side that libjpeg decodes, in pixels. libvips' loader for PNG accepts longer sides.
_LONGEST_SIDE = 65_500
#: Bands of the result of `compose`: RGB and alpha.
_ROLL_BANDS = 4

#: How often metadata is in memory besides the file: with libvips, and with the codec or whoever looks at it. How often
#: the tables of a profile are there in addition, with 16 bits, while LittleCMS computes with them.
_METADATA_COPIES, _PROFILE_COPIES = 2, 9
#: Wraps an image so that its decoding can be stopped: see `watch`.
Watch = Callable[[pyvips.Image], pyvips.Image]
#: Raises if the work must stop.
Check = Callable[[], None]


class _Load(Protocol):
    def __call__(self, data: bytes, info: ImageInfo, watch: Watch, check: Check, *, strict: bool) -> pyvips.Image: ...


Frame = TypeVar("Frame", png.Frame, gif.Frame)


def probe(data: bytes) -> ImageInfo:
    """Reads the header; no pixel is decoded.

    Raises `EmptyFile`, `UnsupportedFormat`, `TooManyPieces`; `CorruptImage` if the header is damaged.
    """
    name = sniff(data).name
    return _PROBES.get(name, _probe)(data, name, dissect(data, name))


def load(data: bytes, info: ImageInfo, watch: Watch, check: Check, *, strict: bool = False) -> pyvips.Image:
    """An image of all frames, one below the other. It can be read once, from top to bottom.

    It is lazy, except for animations that are composed of parts. Damage in the pixels is found only while they are
    read. Then reading fails with `pyvips.Error`; if `strict`, also for damage that lost no pixels.
    Raises `CorruptImage` if the file was cut off, and what `check` raises.
    """
    return _LOADS.get(info.format, _load)(data, info, watch, check, strict=strict)


def load_shrunk(data: bytes, shrink: int, watch: Watch, *, strict: bool = False, alone: bool = False) -> pyvips.Image:
    """Like `load`, for a JPEG. Its sides are divided by 2, 4 or 8.

    Damage to the last lines may stay unseen, even if `strict`, unless the file is read `alone`, so that nobody else
    will see it. Raises `CorruptImage`.
    """
    file, read = _undamaged(data, watch, strict=strict)
    if strict and alone:
        return watch(_as_declared(_strictly(file, read, shrink), None))
    options: Mapping[str, object] = {"fail_on": "warning"} if strict else {"unlimited": True}
    return watch(_as_declared(_open(file, JPEG.name, access="sequential", shrink=shrink, **options), None))


def load_coarse(data: bytes, watch: Watch) -> pyvips.Image:
    """Like `load`, for a progressive JPEG. Its sides are divided by `coarse.SHRINK`; damage to details stays unseen.

    Raises `CorruptImage`, also for another kind of JPEG.
    """
    read = jpeg.read(data)
    part = coarse.part_of(data, read) if read.has_all_scans else None
    if part is None:
        raise CorruptImage
    means = _open(part, JPEG.name, access="sequential", shrink=coarse.SHRINK, fail_on="warning")
    return watch(_as_declared(means, None))


def _probe(data: bytes, name: str, anatomy: Anatomy, read: jpeg.Jpeg | png.Png | None = None) -> ImageInfo:
    """For a file whose header libvips reads; `read` is the result of our own parser. Raises `CorruptImage`."""
    chunks = read if isinstance(read, png.Png) else None
    animation = chunks.animation if chunks else None
    try:
        header = _open(data, name)
        return ImageInfo(
            format=name,
            width=header.width,
            height=page_height(header),
            frames=max(animation.promised, len(animation.frames)) if animation else _int_field(header, "n-pages", 1),
            has_alpha=bool(header.hasalpha()) or (animation is not None and _leaves_gaps(header, animation)),
            alpha_levels=png.alpha_levels(data, chunks) if chunks else 256,
            orientation=_orientation(header),
            bands=_ROLL_BANDS if animation else header.bands,
            scans=anatomy.scans,
            decoder_bytes=_decoder_bytes(header, anatomy),
            metadata_bytes=_kept_bytes(anatomy, _profile(header)),
        )
    except pyvips.Error:
        if read is not None and max(read.width, read.height) > _LONGEST_SIDE:  # the file limits give a clearer error
            return ImageInfo(format=name, width=read.width, height=read.height, frames=1, has_alpha=False)
        raise CorruptImage from None


def _leaves_gaps(header: pyvips.Image, animation: png.Animation) -> bool:
    return not animation.frames or leaves_gaps(header.width, header.height, animation.frames)


def _probe_jpeg(data: bytes, name: str, anatomy: Anatomy) -> ImageInfo:
    read = jpeg.read(data)
    jpeg.check_decodable(read)
    info = _probe(data, name, anatomy, read)
    shrinks = tuple(factor for factor in FACTORS if read.lines_for_warnings(factor) is not None)
    return replace(info, copied_bytes=jpeg.copied_bytes(data, read), shrinks=shrinks)


def _probe_png(data: bytes, name: str, anatomy: Anatomy) -> ImageInfo:
    read = png.read(data)
    copied_bytes = len(data) if read.foreign or not read.ended else 0
    return replace(_probe(_openable(data, read), name, anatomy, read), copied_bytes=copied_bytes)


def _openable(data: bytes, read: png.Png) -> bytes:
    """The file, changed if needed so that libvips reads its header."""
    return png.mended(data, read) if read.foreign else data


def _probe_webp(data: bytes, name: str, anatomy: Anatomy) -> ImageInfo:
    file = webp.mended(data)
    return replace(_probe(file, name, anatomy), copied_bytes=0 if file is data else len(file))


def _load_webp(data: bytes, info: ImageInfo, watch: Watch, check: Check, *, strict: bool) -> pyvips.Image:
    return _load(webp.mended(data), info, watch, check, strict=strict)


def _load(data: bytes, info: ImageInfo, watch: Watch, check: Check, *, strict: bool) -> pyvips.Image:
    del check, strict
    # It is not decoded line by line. Without `memory`, libvips uses a temporary file above 100 MB.
    return watch(_open(data, info.format, access="sequential", n=-1, memory=True))


def forgives(info: ImageInfo) -> bool:
    """Whether to try strict decoding first, because lenient decoding costs more."""
    return decoding_of(info.format).forgives


def _load_jpeg(data: bytes, info: ImageInfo, watch: Watch, check: Check, *, strict: bool) -> pyvips.Image:
    del info, check
    data, read = _undamaged(data, watch, strict=strict)
    if not strict:
        return watch(_as_declared(_open(data, JPEG.name, access="sequential", unlimited=True), None))
    return watch(_as_declared(_strictly(data, read), None))


def _strictly(data: bytes, read: jpeg.Jpeg, shrink: int = 1) -> pyvips.Image:
    """The picture, with its sides divided by `shrink`. Reading it fails at any warning of libjpeg.

    Raises `CorruptImage` where libvips cannot be made to look for all of them.
    """
    height, lines = read.height // shrink, read.lines_for_warnings(shrink)
    if lines is None and shrink > 1:
        raise CorruptImage
    open_ = partial(_open, format_=JPEG.name, access="sequential", shrink=shrink, fail_on="warning")
    if lines is None or lines <= height:
        return open_(data)
    return _read_to_its_end(open_(jpeg.with_height(data, read, lines * shrink)), height)


def _read_to_its_end(longer: pyvips.Image, height: int) -> pyvips.Image:
    """Without the surplus lines. But reading the last line reads those too, so their warnings count."""
    last = height - 1
    nothing = longer.crop(0, longer.height - 1, longer.width, 1) * 0
    line = (longer.crop(0, last, longer.width, 1) + nothing).cast(longer.format)
    line = line.copy(interpretation=longer.interpretation)
    return longer.crop(0, 0, longer.width, last).join(line, "vertical") if last else line


def _undamaged(data: bytes, watch: Watch, *, strict: bool) -> tuple[bytes, jpeg.Jpeg]:
    """A JPEG to be decoded, and its markers.

    Raises `CorruptImage` for damage that a strict decoder would not report; without `strict`, for any lost pixels.
    """
    read = jpeg.read(data)
    data = jpeg.mended(data, read)
    if not read.has_all_scans or ((read.is_arithmetic or not strict) and _lost_pixels(data, read, watch)):
        raise CorruptImage
    return data, read


def _lost_pixels(data: bytes, read: jpeg.Jpeg, watch: Watch) -> bool:
    """Whether a decoder runs out of data. Then it fills in grey, with the same warning as for stray bytes."""
    if not jpeg.has_all_restarts(data, read):
        return True
    one = _open(data, JPEG.name, access="sequential", unlimited=True)
    if read.is_read_ahead:  # one after the other, because each decoder holds a whole picture of its own
        one = watch(one).copy_memory()
    other = _open(jpeg.filled(data, read), JPEG.name, access="sequential", unlimited=True)
    differs = bool(watch(one != other).max())
    del one, other
    give_back()  # some twenty megabytes lie between used blocks, beside which the picture is decoded next
    return differs


def _load_png(data: bytes, info: ImageInfo, watch: Watch, check: Check, *, strict: bool) -> pyvips.Image:
    del info
    read = png.read(data)
    if read.foreign:
        data = png.mended(data, read)
        read = png.read(data)
    if read.animation is None:
        file = png.mended(data, read) if strict else png.completed(data, read, check)
        return watch(_png_colours(_open(file, PNG.name, access="sequential"), data, read))
    if len(read.animation.frames) < read.animation.promised or not strict:  # each frame was tried leniently already
        raise CorruptImage
    first = _open(data, PNG.name)

    def draw(frame: png.Frame) -> pyvips.Image:
        file = png.still(data, read, frame)
        try:
            return drawn(file)
        except pyvips.Error:
            return drawn(png.completed(file, png.read(file), check))

    def drawn(file: bytes | bytearray) -> pyvips.Image:
        image = _open(file, PNG.name, access="sequential")
        if has_usable_profile(first):
            image = image.copy()
            image.set_type(pyvips.GValue.blob_type, PROFILE_FIELD, first.get(PROFILE_FIELD))
        return watch(_with_alpha(to_srgb(_png_colours(image, data, read)))).copy_memory()

    cels = _cels(read.animation.frames, draw, lambda frame: Blend.OVER if frame.over else Blend.REPLACE)
    roll = compose(first.width, first.height, cels, loop=read.animation.loop)
    roll.set_type(pyvips.GValue.gint_type, "orientation", _orientation(first))
    return watch(roll)


def _cels(frames: Sequence[Frame], draw: Callable[[Frame], pyvips.Image], blend: Callable[[Frame], Blend]) -> list[Cel]:
    return [
        Cel(
            left=frame.left,
            top=frame.top,
            width=frame.width,
            height=frame.height,
            delay_ms=frame.delay_ms,
            dispose=frame.dispose,
            blend=blend(frame),
            draw=partial(draw, frame),
        )
        for frame in frames
    ]


def _png_colours(image: pyvips.Image, data: bytes, read: png.Png) -> pyvips.Image:
    """Priorities by the PNG specification, third edition, 4.3: cICP, a profile, sRGB, gAMA and cHRM."""
    coded = png.coded_colour(data, read)
    if coded:
        return colour.to_srgb(image, coded)
    return _as_declared(image, png.measured_colour(data, read))


def _as_declared(image: pyvips.Image, declared: colour.Colour | None) -> pyvips.Image:
    """Converts the declared colours to sRGB, unless a usable profile has priority."""
    if has_usable_profile(image):
        return image
    if declared is None and _field(image, _ADOBE_RGB_FIELD).startswith(_ADOBE_RGB) and image.bands >= _RGB:
        declared = colour.ADOBE_RGB
    return colour.to_srgb(image, declared) if declared and image.interpretation != "cmyk" else image


def _probe_gif(data: bytes, name: str, anatomy: Anatomy) -> ImageInfo:
    del anatomy
    read = gif.read(data)
    if not read.width or not read.height:
        raise CorruptImage
    return ImageInfo(
        format=name,
        width=read.width,
        height=read.height,
        frames=len(read.frames),
        has_alpha=read.see_through,
        alpha_levels=2,
        bands=_ROLL_BANDS,
    )


def _load_gif(data: bytes, info: ImageInfo, watch: Watch, check: Check, *, strict: bool) -> pyvips.Image:
    del info, check, strict
    read = gif.read(data)
    if read.cut:
        raise CorruptImage

    def draw(frame: gif.Frame) -> pyvips.Image:
        width, height = min(frame.width, read.width - frame.left), min(frame.height, read.height - frame.top)

        def decoded(*, transparent: bool) -> pyvips.Image:
            file = gif.single(data, frame, width, height, transparent=transparent)
            return watch(_open(file, GIF.name, page=1)).copy_memory()

        solid = decoded(transparent=False)
        if solid.extract_band(3).min() < _OPAQUE:
            raise CorruptImage  # some pixels are missing
        return solid if frame.transparent is None else decoded(transparent=True)

    cels = _cels(read.frames, draw, lambda frame: Blend.REPLACE if frame.transparent is None else Blend.MASK)
    return watch(compose(read.width, read.height, cels, loop=read.loop))


def _probe_avif(data: bytes, name: str, anatomy: Anatomy) -> ImageInfo:
    still = heif.read(data, AVIF, heif.AV1)
    info = _probe(data, name, anatomy)  # libheif knows the size of a crop best
    decoder_bytes = info.decoder_bytes + still.decoding_bytes + anatomy.metadata_bytes  # libheif has two copies
    return replace(
        info,
        frames=1,
        orientation=_UPRIGHT,
        coded_pixels=still.decoded_pixels,
        decoder_bytes=decoder_bytes,
        copied_bytes=len(data) if still.tiles else 0,
    )


def _load_avif(data: bytes, info: ImageInfo, watch: Watch, check: Check, *, strict: bool) -> pyvips.Image:
    del info, strict
    still = heif.read(data, AVIF, heif.AV1)
    for tile in heif.each_tile(data, still):
        check()
        watched = watch(_open(tile, AVIF.name))
        watched.copy_memory()
    return watch(_as_still(_open(data, AVIF.name, access="sequential"), still))


def _probe_heic(data: bytes, name: str, anatomy: Anatomy) -> ImageInfo:
    """Without libheif: it must not run in this process."""
    still = heif.read(data, HEIC, heif.HEVC)
    return ImageInfo(
        format=name,
        width=still.width,
        height=still.height,
        has_alpha=still.has_alpha,
        bands=_RGB + still.has_alpha,
        coded_pixels=still.decoded_pixels,
        decoder_bytes=still.decoding_bytes + anatomy.metadata_bytes,
        metadata_bytes=_kept_bytes(anatomy, still.profile),
    )


def _load_heic(data: bytes, info: ImageInfo, watch: Watch, check: Check, *, strict: bool) -> pyvips.Image:
    del strict
    still = heif.read(data, HEIC, heif.HEVC)
    hevc.check_coded(data, still, check)
    image = hevc.decode(data)
    if (image.width, image.height) != (info.width, info.height):
        raise CorruptImage
    if still.profile:
        image.set_type(pyvips.GValue.blob_type, PROFILE_FIELD, still.profile)
    return watch(_as_still(image, still))


def _probe_tiff(data: bytes, name: str, anatomy: Anatomy) -> ImageInfo:
    read = tiff.read(data)
    return ImageInfo(
        format=name,
        width=read.width,
        height=read.height,
        has_alpha=read.has_alpha,
        orientation=read.orientation,
        bands=read.bands,
        decoder_bytes=len(data) + read.piece_bytes + read.surplus_bytes,
        metadata_bytes=_kept_bytes(anatomy),
    )


def _load_tiff(data: bytes, info: ImageInfo, watch: Watch, check: Check, *, strict: bool) -> pyvips.Image:
    del strict
    read = tiff.read(data)
    tiff.check_pieces(read, check)
    file = tiff.single(read)
    try:  # if no warning concerns the tags, later ones concern the pixels
        image = _open(file, TIFF.name, access="sequential", fail_on="warning")
    except pyvips.Error:
        image = _open(file, TIFF.name, access="sequential")
    if image.bands > info.bands:
        image = image.extract_band(0, n=info.bands).copy(interpretation=image.interpretation)
    return watch(image)


def _as_still(image: pyvips.Image, still: heif.Still) -> pyvips.Image:
    """libheif's result is upright already, so the EXIF orientation is removed."""
    if still.is_premultiplied and image.hasalpha():
        image = image.unpremultiply(max_alpha=_TOPS[image.format]).cast(image.format)
    image = image.copy()
    image.remove("orientation")
    return image if still.colour is None or has_usable_profile(image) else colour.to_srgb(image, still.colour)


def _with_alpha(image: pyvips.Image) -> pyvips.Image:
    image = image if image.bands >= _RGB else image.colourspace("srgb")
    return image if image.hasalpha() else image.bandjoin(_OPAQUE).copy(interpretation="srgb")


def _open(data: bytes | bytearray, format_: str, **options: object) -> pyvips.Image:
    # `error`: a warning, such as for a damaged comment, is no reason to refuse a file.
    # A source reads the bytes where they are. pyvips would copy a buffer first.
    source = pyvips.Source.new_from_memory(data)
    image = pyvips.Operation.call(decoding_of(format_).loader, source, **{"fail_on": "error", **options})
    # `Image.new_from_source` does the same: the bytes must live as long as anything is computed from them.
    image._references.append(source)  # noqa: SLF001
    return image


def _decoder_bytes(header: pyvips.Image, anatomy: Anatomy) -> int:
    """Bytes that the decoder keeps: the coefficients of a JPEG with several scans, or all of an interlaced PNG."""
    interlaced = _int_field(header, "interlaced", 0) and not anatomy.coefficient_bytes
    whole = header.width * header.height * header.bands * _SAMPLE_BYTES[header.format] if interlaced else 0
    return anatomy.coefficient_bytes + whole


def _profile(header: pyvips.Image) -> bytes | None:
    return bytes(header.get(PROFILE_FIELD)) if header.get_typeof(PROFILE_FIELD) else None


def _kept_bytes(anatomy: Anatomy, profile: bytes | None = None) -> int:
    """What metadata takes: libvips and the codec keep it, and a profile is used or only read.

    Without the `profile` itself, all of it counts as tables.
    """
    tables = anatomy.profile_bytes if profile is None else icc.table_bytes(profile)
    used = tables * _PROFILE_COPIES if anatomy.profile_bytes <= MAX_PROFILE_BYTES else 0
    return _METADATA_COPIES * anatomy.metadata_bytes + used


def _orientation(image: pyvips.Image) -> int:
    value = _int_field(image, "orientation", _UPRIGHT)
    return value if value in range(1, 9) else _UPRIGHT


def _int_field(image: pyvips.Image, name: str, default: int) -> int:
    return int(image.get(name)) if image.get_typeof(name) else default


def _field(image: pyvips.Image, name: str) -> str:
    return str(image.get(name)) if image.get_typeof(name) else ""


#: Formats whose libvips loader reports or decodes something differently from browsers.
_PROBES: Mapping[str, Callable[[bytes, str, Anatomy], ImageInfo]] = {
    JPEG.name: _probe_jpeg,
    PNG.name: _probe_png,
    WEBP.name: _probe_webp,
    GIF.name: _probe_gif,
    AVIF.name: _probe_avif,
    HEIC.name: _probe_heic,
    TIFF.name: _probe_tiff,
}
_LOADS: Mapping[str, _Load] = {
    JPEG.name: _load_jpeg,
    PNG.name: _load_png,
    WEBP.name: _load_webp,
    GIF.name: _load_gif,
    AVIF.name: _load_avif,
    HEIC.name: _load_heic,
    TIFF.name: _load_tiff,
}
