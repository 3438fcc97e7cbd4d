"""Which files may be uploaded, by their extensions and content types; the content itself decides later."""

from __future__ import annotations

from dataclasses import dataclass

from processor.formats import DECODED, FORMATS, in_words
from processor.formats.format import Format


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """One that the service knows by name alone."""

    title: str
    extensions: tuple[str, ...] = ()
    content_types: tuple[str, ...] = ()


#: What people try to upload, and what is never converted.
NEVER = (
    Foreign(title="SVG", extensions=("svg", "svgz"), content_types=("image/svg+xml", "image/svg")),
    Foreign(
        title="Photoshop",
        extensions=("psd", "psb"),
        content_types=("image/vnd.adobe.photoshop", "image/x-photoshop", "image/photoshop", "image/psd"),
    ),
    Foreign(title="PDF", extensions=("pdf",)),
    Foreign(title="PostScript", extensions=("ps", "eps", "ai")),
    Foreign(
        title="BMP",
        extensions=("bmp", "dib"),
        content_types=("image/bmp", "image/x-bmp", "image/x-ms-bmp", "image/x-windows-bmp"),
    ),
    Foreign(
        title="Icon", extensions=("ico", "cur"), content_types=("image/x-icon", "image/vnd.microsoft.icon", "image/ico")
    ),
    Foreign(title="JPEG XL", extensions=("jxl",), content_types=("image/jxl",)),
    Foreign(
        title="JPEG 2000",
        extensions=("jp2", "j2k", "jpf", "jpx", "jpm"),
        content_types=("image/jp2", "image/jpx", "image/jpm", "image/j2k"),
    ),
    Foreign(
        title="Camera raw",
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
    Foreign(
        title="Video",
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
    Foreign(title="Audio", extensions=("mp3", "m4a", "wav", "ogg", "flac", "aac")),
    Foreign(
        title="Document",
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
    Foreign(title="Archive", extensions=("zip", "rar", "7z", "tar", "gz", "tgz", "bz2", "xz")),
)

_ALL: tuple[Format | Foreign, ...] = (*FORMATS, *NEVER)
_BY_EXTENSION = {name: kind for kind in _ALL for name in kind.extensions}
_BY_CONTENT_TYPE = {name: kind for kind in _ALL for name in kind.content_types}
#: What a `contentType` that was left out is, by the extension of the file.
CONTENT_TYPES = {extension: kind.content_type for kind in DECODED for extension in kind.extensions}
#: The content types that stand for the accepted formats.
ACCEPTED_CONTENT_TYPES = tuple(kind.content_type for kind in DECODED)
#: The accepted formats in a sentence.
ACCEPTED_NAMES = in_words("and")


def refusal_of(content_type: str, extension: str | None) -> str | None:
    """Why a file of which this is said can never be converted; None: it may be.

    A content type that is accepted is believed, whatever the file is called: phones turn HEIC into JPEG and keep the
    name. One that nobody knows says nothing, and then the extension counts.
    """
    kind = _BY_CONTENT_TYPE.get(content_type.lower()) or _BY_EXTENSION.get(extension or "")
    if kind is None or kind in DECODED:
        return None
    yet = " yet" if kind in FORMATS else ""
    return f"{kind.title} files cannot be converted{yet}; {ACCEPTED_NAMES} can."
