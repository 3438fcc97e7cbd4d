"""From bytes to an image: what the header says, and the pixels behind it."""

from __future__ import annotations

import pyvips

from processor.errors import CorruptImage, EmptyFile, UnsupportedFormat
from processor.images import ImageInfo
from processor.pipeline.anatomy import Anatomy, dissect
from processor.pipeline.endings import is_whole

#: How files of each format begin, byte by byte; None stands for any byte (RIFF keeps its length there).
_SIGNATURES: tuple[tuple[str, tuple[int | None, ...]], ...] = (
    ("jpeg", (0xFF, 0xD8, 0xFF)),
    ("png", tuple(b"\x89PNG\r\n\x1a\n")),
    ("webp", (*b"RIFF", None, None, None, None, *b"WEBP")),
    ("gif", tuple(b"GIF87a")),
    ("gif", tuple(b"GIF89a")),
)
#: The loader of each format. They are called by name: libvips' own sniffing would also find loaders for RAW, text...
_LOADERS = {"jpeg": "jpegload_source", "png": "pngload_source", "webp": "webpload_source", "gif": "gifload_source"}
#: Their classes; every other loader is blocked (see `engine`).
LOADER_CLASSES = ("VipsForeignLoadJpeg", "VipsForeignLoadPng", "VipsForeignLoadWebp", "VipsForeignLoadNsgif")
#: Formats whose loader takes the number of frames (`n`, -1 for all).
_ANIMATED = frozenset({"webp", "gif"})
#: Bytes of a sample, by libvips' band format.
_SAMPLE_BYTES = {"uchar": 1, "ushort": 2}
#: EXIF's "upright".
_UPRIGHT = 1


def sniff(data: bytes) -> str:
    """The format, by the file's first bytes and never by its name. Raises `EmptyFile`, `UnsupportedFormat`."""
    if not data:
        raise EmptyFile
    for name, signature in _SIGNATURES:
        if _begins(data, signature):
            return name
    raise UnsupportedFormat


def probe(data: bytes) -> ImageInfo:
    """What the header says; no pixel is decoded.

    Raises `EmptyFile`, `UnsupportedFormat`, `TooManyPieces`; `CorruptImage` when the header is damaged.
    """
    format_ = sniff(data)
    anatomy = dissect(data, format_)
    try:
        header = _open(data, format_)
        return ImageInfo(
            format=format_,
            width=header.width,
            height=page_height(header),
            frames=_int_field(header, "n-pages", 1),
            has_alpha=bool(header.hasalpha()),
            orientation=_orientation(header),
            bands=header.bands,
            scans=anatomy.scans,
            decoder_bytes=_decoder_bytes(header, anatomy),
        )
    except pyvips.Error:
        raise CorruptImage from None


def load(data: bytes, info: ImageInfo) -> pyvips.Image:
    """A lazy image of all frames, one below the other, to be read once from top to bottom.

    Only that reading finds damage in the pixels, and it then fails with `pyvips.Error`. `data` has to outlive it.
    Raises `CorruptImage` when the file was cut off.
    """
    if not is_whole(data, info.format):
        raise CorruptImage
    frames: dict[str, object] = {"n": -1} if info.format in _ANIMATED else {}
    if info.format == "webp":
        # It is decoded at once and not line by line; above 100 MB libvips would do that in a temporary file.
        frames["memory"] = True
    return _open(data, info.format, access="sequential", **frames)


def page_height(image: pyvips.Image) -> int:
    """The height of one frame."""
    height = _int_field(image, "page-height", image.height)
    # As libvips has it: a page height that does not divide the image is no page height.
    return height if 0 < height < image.height and image.height % height == 0 else int(image.height)


def _open(data: bytes, format_: str, **options: object) -> pyvips.Image:
    # `error`: a JPEG with a stray byte between its segments, as phones write them, passes; one that was cut does not.
    # A source reads the bytes where they are; of a buffer, pyvips makes a copy first.
    source = pyvips.Source.new_from_memory(data)
    return pyvips.Operation.call(_LOADERS[format_], source, fail_on="error", **options)


def _decoder_bytes(header: pyvips.Image, anatomy: Anatomy) -> int:
    """Coefficients of a JPEG of several scans; the whole of an interlaced PNG. Metadata is kept by both libraries."""
    interlaced = _int_field(header, "interlaced", 0) and not anatomy.coefficient_bytes
    whole = header.width * header.height * header.bands * _SAMPLE_BYTES[header.format] if interlaced else 0
    return 2 * anatomy.metadata_bytes + anatomy.coefficient_bytes + whole


def _begins(data: bytes, signature: tuple[int | None, ...]) -> bool:
    head = data[: len(signature)]
    return len(head) == len(signature) and all(want in (None, got) for want, got in zip(signature, head, strict=True))


def _orientation(image: pyvips.Image) -> int:
    value = _int_field(image, "orientation", _UPRIGHT)
    return value if value in range(1, 9) else _UPRIGHT


def _int_field(image: pyvips.Image, name: str, default: int) -> int:
    return int(image.get(name)) if image.get_typeof(name) else default
