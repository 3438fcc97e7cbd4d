"""Which files may be uploaded, by extension and content type; the content decides later."""

from __future__ import annotations

from dataclasses import dataclass

from processor.formats import DECODED, FORMATS, in_words
from processor.formats.format import Format


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """A format that the service recognizes but does not convert."""

    title: str
    extensions: tuple[str, ...] = ()
    content_types: tuple[str, ...] = ()


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _images(text: str) -> tuple[str, ...]:
    return tuple(f"image/{name}" for name in text.split())


#: What people try to upload, and what is never converted.
NEVER = (
    Foreign(title="SVG", extensions=("svg", "svgz"), content_types=("image/svg+xml", "image/svg")),
    Foreign(
        title="Photoshop",
        extensions=("psd", "psb"),
        content_types=("image/vnd.adobe.photoshop", "image/x-photoshop", "image/photoshop", "image/psd"),
    ),
    Foreign(title="PDF", extensions=("pdf",), content_types=("image/pdf",)),
    Foreign(title="PostScript", extensions=("ps", "eps", "ai"), content_types=("image/x-eps", "image/eps")),
    Foreign(
        title="BMP",
        extensions=("bmp", "dib"),
        content_types=("image/bmp", "image/x-bmp", "image/x-ms-bmp", "image/x-windows-bmp"),
    ),
    Foreign(
        title="Icon",
        extensions=("ico", "cur", "ani", "icns"),
        content_types=_images("x-icon vnd.microsoft.icon ico icon x-icns icns"),
    ),
    Foreign(title="JPEG XL", extensions=("jxl",), content_types=("image/jxl",)),
    Foreign(
        title="JPEG 2000",
        extensions=("jp2", "j2k", "j2c", "jpc", "jpf", "jpx", "jpm", "mj2", "jph", "jhc"),
        content_types=(
            "image/jp2",
            "image/jpx",
            "image/jpm",
            "image/j2k",
            "image/j2c",
            "image/jpeg2000",
            "image/x-jp2",
            "image/jph",
            "image/jphc",
        ),
    ),
    Foreign(
        title="Such",
        extensions=_words(
            "jxr wdp hdp jls jxs jng mng pbm pgm ppm pnm pam pfm tga exr hdr rgbe dds ktx ktx2 xcf kra ora clip "
            "procreate sketch fig xd indd cdr afphoto afdesign emf wmf dwg dxf djvu djv fits fit fts dcm dicom "
            "nii svs ndpi czi pcx xbm xpm xwd wbmp pict pct sgi ras lbm iff pic ief rgb qoi bpg flif"
        ),
        content_types=_images(
            "jxr vnd.ms-photo jls jxs jxsc jng x-jng x-mng x-portable-anymap x-portable-bitmap x-portable-graymap "
            "x-portable-pixmap tga x-tga targa x-targa x-exr aces vnd.radiance vnd.ms-dds vnd-ms.dds x-dds ktx "
            "ktx2 x-xcf openraster emf x-emf wmf x-wmf vnd.dwg x-dwg vnd.dxf x-dxf vnd.djvu x-djvu fits x-fits "
            "dicom-rle x-dicom x-pcx vnd.zbrush.pcx x-xbitmap x-xbm x-xpixmap x-xpm x-xwindowdump vnd.wap.wbmp "
            "pict x-pict ief x-rgb x-sgi x-cmu-raster qoi x-qoi bpg flif"
        ),
    ),
    Foreign(
        title="Camera raw",
        extensions=_words(
            "3fr arw cr2 cr3 crw dcr dng erf fff gpr iiq k25 kdc mef mos mrw nef nrw orf pef raf raw rw2 rwl sr2 "
            "srf srw x3f"
        ),
        content_types=_images(
            "x-adobe-dng dng x-dcraw x-raw x-canon-cr2 x-canon-cr3 x-canon-crw x-epson-erf x-fuji-raf "
            "x-hasselblad-3fr x-kodak-dcr x-kodak-k25 x-kodak-kdc x-minolta-mrw x-nikon-nef x-nikon-nrw "
            "x-olympus-orf x-panasonic-raw x-panasonic-rw2 x-pentax-pef x-samsung-srw x-sigma-x3f x-sony-arw "
            "x-sony-sr2 x-sony-srf"
        ),
    ),
    Foreign(
        title="Video",
        extensions=_words(
            "mp4 m4v mov qt avi mkv webm wmv asf flv f4v mpg mpeg mpe 3gp 3g2 ogv mts m2ts ts vob insv lrv"
        ),
    ),
    Foreign(
        title="Audio",
        extensions=_words("mp3 m4a m4b wav ogg oga opus flac aac aiff aif aifc wma amr mid midi caf"),
    ),
    Foreign(
        title="Document",
        extensions=_words(
            "doc docx docm dotx xls xlsx xlsm ppt pptx pps ppsx odt ods odp odg rtf txt csv tsv md log html htm "
            "xhtml mht xml json yaml yml tex epub mobi azw3 pages numbers key eml msg ics vcf vsd vsdx"
        ),
    ),
    Foreign(
        title="Archive",
        extensions=_words("zip rar 7z tar gz tgz bz2 xz zst lz4 cab iso dmg jar apk ipa deb rpm"),
    ),
    Foreign(
        title="Program",
        extensions=_words("exe msi dll so bat cmd ps1 sh js mjs wasm py rb php class swf css ttf otf woff woff2"),
    ),
    Foreign(title="Database", extensions=("db", "sqlite", "sqlite3", "mdb", "accdb", "parquet", "sql")),
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


def extension_for(content_type: str) -> str | None:
    """The extension for an accepted content type; None for any other."""
    kind = _BY_CONTENT_TYPE.get(content_type.lower())
    return kind.extension if isinstance(kind, Format) else None


def refusal_of(content_type: str, extension: str | None) -> str | None:
    """Why a file with this name and content type can never be converted; None: it may be.

    An accepted content type wins over the extension: phones convert HEIC to JPEG and keep the name. For an unknown
    content type, the extension counts.
    """
    kind = _BY_CONTENT_TYPE.get(content_type.lower()) or _BY_EXTENSION.get(extension or "")
    if kind is None or kind in DECODED:
        return None
    return f"{kind.title} files cannot be converted; {ACCEPTED_NAMES} can."
