"""Which files may be uploaded, by their extensions and content types; the content itself decides later."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A kind of file: what people call it, and by what its files are known."""

    name: str
    extensions: tuple[str, ...] = ()
    content_types: tuple[str, ...] = ()


#: What is converted; the first content type of each is the one that stands for its extensions.
ACCEPTED = (
    Format(name="JPEG", extensions=("jpg", "jpeg"), content_types=("image/jpeg", "image/jpg", "image/pjpeg")),
    Format(name="PNG", extensions=("png",), content_types=("image/png", "image/x-png", "image/apng")),
    Format(name="WebP", extensions=("webp",), content_types=("image/webp",)),
    Format(name="GIF", extensions=("gif",), content_types=("image/gif",)),
)
#: What cannot be converted yet.
NOT_YET = (
    Format(
        name="HEIC",
        extensions=("heic", "heif", "heics", "heifs", "hif"),
        content_types=("image/heic", "image/heif", "image/heic-sequence", "image/heif-sequence"),
    ),
    Format(name="AVIF", extensions=("avif", "avifs"), content_types=("image/avif", "image/avif-sequence")),
    Format(name="TIFF", extensions=("tif", "tiff"), content_types=("image/tiff", "image/x-tiff", "image/tiff-fx")),
)
#: What people try to upload, and what is never converted.
NEVER = (
    Format(name="SVG", extensions=("svg", "svgz"), content_types=("image/svg+xml", "image/svg")),
    Format(
        name="Photoshop",
        extensions=("psd", "psb"),
        content_types=("image/vnd.adobe.photoshop", "image/x-photoshop", "image/photoshop", "image/psd"),
    ),
    Format(name="PDF", extensions=("pdf",)),
    Format(name="PostScript", extensions=("ps", "eps", "ai")),
    Format(
        name="BMP",
        extensions=("bmp", "dib"),
        content_types=("image/bmp", "image/x-bmp", "image/x-ms-bmp", "image/x-windows-bmp"),
    ),
    Format(
        name="Icon", extensions=("ico", "cur"), content_types=("image/x-icon", "image/vnd.microsoft.icon", "image/ico")
    ),
    Format(name="JPEG XL", extensions=("jxl",), content_types=("image/jxl",)),
    Format(
        name="JPEG 2000",
        extensions=("jp2", "j2k", "jpf", "jpx", "jpm"),
        content_types=("image/jp2", "image/jpx", "image/jpm", "image/j2k"),
    ),
    Format(
        name="Camera raw",
        extensions=("dng", "cr2", "cr3", "crw", "nef", "nrw", "arw", "sr2", "raf", "orf", "rw2", "pef", "srw", "raw"),
        content_types=(
            "image/x-adobe-dng",
            "image/dng",
            "image/x-dcraw",
            "image/x-raw",
            "image/x-canon-cr2",
            "image/x-canon-cr3",
            "image/x-canon-crw",
            "image/x-nikon-nef",
            "image/x-nikon-nrw",
            "image/x-sony-arw",
            "image/x-sony-sr2",
            "image/x-fuji-raf",
            "image/x-olympus-orf",
            "image/x-panasonic-rw2",
            "image/x-pentax-pef",
            "image/x-samsung-srw",
        ),
    ),
    Format(
        name="Video",
        extensions=(
            "mp4",
            "m4v",
            "mov",
            "avi",
            "mkv",
            "webm",
            "wmv",
            "flv",
            "mpg",
            "mpeg",
            "3gp",
            "ogv",
            "mts",
            "m2ts",
        ),
    ),
    Format(name="Audio", extensions=("mp3", "m4a", "wav", "ogg", "flac", "aac")),
    Format(
        name="Document",
        extensions=(
            "doc",
            "docx",
            "xls",
            "xlsx",
            "ppt",
            "pptx",
            "odt",
            "ods",
            "odp",
            "rtf",
            "txt",
            "csv",
            "html",
            "htm",
        ),
    ),
    Format(name="Archive", extensions=("zip", "rar", "7z", "tar", "gz", "tgz", "bz2", "xz")),
)

_ALL = ACCEPTED + NOT_YET + NEVER


def _by(names: Iterable[tuple[Format, Iterable[str]]]) -> Mapping[str, Format]:
    return {name: kind for kind, each in names for name in each}


_BY_EXTENSION = _by((kind, kind.extensions) for kind in _ALL)
_BY_CONTENT_TYPE = _by((kind, kind.content_types) for kind in _ALL)
#: What a `contentType` that was left out is, by the extension of the file.
CONTENT_TYPES = {extension: kind.content_types[0] for kind in ACCEPTED for extension in kind.extensions}
#: The content types that stand for the accepted formats.
ACCEPTED_CONTENT_TYPES = tuple(dict.fromkeys(CONTENT_TYPES.values()))
#: The accepted formats in a sentence.
ACCEPTED_NAMES = ", ".join(kind.name for kind in ACCEPTED[:-1]) + f" and {ACCEPTED[-1].name}"


def refusal_of(content_type: str, extension: str | None) -> str | None:
    """Why a file of which this is said can never be converted; None: it may be.

    A content type that is accepted is believed, whatever the file is called: phones turn HEIC into JPEG and keep the
    name. One that nobody knows says nothing, and then the extension counts.
    """
    kind = _BY_CONTENT_TYPE.get(content_type.lower()) or _BY_EXTENSION.get(extension or "")
    if kind is None or kind in ACCEPTED:
        return None
    yet = " yet" if kind in NOT_YET else ""
    return f"{kind.name} files cannot be converted{yet}; {ACCEPTED_NAMES} can."
