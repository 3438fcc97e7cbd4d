"""Files that say much about themselves: EXIF, IPTC and XMP by hand, in every kind of file."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

import pyvips

from tests.corpus import containers, heif

#: A tag's number, its type and its content, packed in the byte order of the block.
Tag = tuple[int, int, bytes]
ASCII, SHORT, LONG, RATIONAL, UNDEFINED, SIGNED_RATIONAL, FLOAT, BYTE = 2, 3, 4, 5, 7, 10, 11, 1
_SIZES = {BYTE: 1, ASCII: 1, SHORT: 2, LONG: 4, RATIONAL: 8, UNDEFINED: 1, SIGNED_RATIONAL: 8, FLOAT: 4}


def text(number: int, said: str | bytes) -> Tag:
    return number, ASCII, (said.encode() if isinstance(said, str) else said) + b"\0"


def exif(
    picture: Sequence[Tag] = (),
    own: Sequence[Tag] = (),
    gps: Sequence[Tag] = (),
    *,
    thumbnail: bytes = b"",
    order: str = ">",
) -> bytes:
    """A TIFF structure with these tags in its first directory, in EXIF's own, and in that of GPS."""
    head = (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(order + "I", 8)
    pointers = [(number, LONG, b"\0\0\0\0") for number, tags in ((0x8769, own), (0x8825, gps)) if tags]
    first = sorted([*picture, *pointers])
    small = [(0x0201, LONG, bytes(4)), (0x0202, LONG, struct.pack(order + "I", len(thumbnail)))] if thumbnail else []
    at, places = 8, {}
    for name, tags in (("first", first), ("own", own), ("gps", gps), ("small", small)):
        places[name] = at
        at += _length(tags) if tags or name == "first" else 0
    lead = {0x8769: places["own"], 0x8825: places["gps"], 0x0201: at}
    pointed = [(n, k, struct.pack(order + "I", lead[n]) if n in lead else body) for n, k, body in first]
    last = [(n, k, struct.pack(order + "I", lead[n]) if n in lead else body) for n, k, body in small]
    parts = [_directory(pointed, places["first"], order, places["small"] if small else 0)]
    parts += [_directory(tags, places[name], order) for name, tags in (("own", own), ("gps", gps)) if tags]
    parts += [_directory(last, places["small"], order)] if small else []
    return head + b"".join(parts) + thumbnail


def rational(order: str, *pairs: tuple[int, int]) -> bytes:
    return b"".join(struct.pack(order + "II", *pair) for pair in pairs)


def _length(tags: Sequence[Tag]) -> int:
    return 2 + 12 * len(tags) + 4 + sum(len(body) + len(body) % 2 for _, _, body in tags if len(body) > 4)


def _directory(tags: Sequence[Tag], at: int, order: str, behind: int = 0) -> bytes:
    entries, values, place = [], b"", at + 2 + 12 * len(tags) + 4
    for number, kind, body in sorted(tags):
        count = len(body) // _SIZES[kind]
        inside = body.ljust(4, b"\0") if len(body) <= 4 else struct.pack(order + "I", place + len(values))
        values += (body + b"\0" * (len(body) % 2)) if len(body) > 4 else b""
        entries.append(struct.pack(order + "HHI", number, kind, count) + inside)
    return struct.pack(order + "H", len(tags)) + b"".join(entries) + struct.pack(order + "I", behind) + values


def iptc(*sets: tuple[int, int, bytes]) -> bytes:
    """Data sets: record, number, content."""
    return b"".join(struct.pack(">BBBH", 0x1C, record, number, len(said)) + said for record, number, said in sets)


def photoshop(iptc_: bytes) -> bytes:
    """The content of JPEG's APP13 with IPTC."""
    padded = iptc_ + b"\0" * (len(iptc_) % 2)
    return b"Photoshop 3.0\0" + b"8BIM" + struct.pack(">HHI", 0x0404, 0, len(iptc_)) + padded


def xmp(properties: Mapping[str, str | Sequence[str]] = {}, *, more: str = "", before: str = "") -> bytes:
    """A packet with these properties; a list of values is an `rdf:Seq`. `more` stands beside them as it is."""
    said = "".join(f"<{name}>{_values(value)}</{name}>" for name, value in properties.items())
    spaces = {
        "dc": "http://purl.org/dc/elements/1.1/",
        "exif": "http://ns.adobe.com/exif/1.0/",
        "aux": "http://ns.adobe.com/exif/1.0/aux/",
        "photoshop": "http://ns.adobe.com/photoshop/1.0/",
        "xmp": "http://ns.adobe.com/xap/1.0/",
        "tiff": "http://ns.adobe.com/tiff/1.0/",
        "Iptc4xmpExt": "http://iptc.org/std/Iptc4xmpExt/2008-02-29/",
        "mwg-rs": "http://www.metadataworkinggroup.com/schemas/regions/",
    }
    names = " ".join(f'xmlns:{prefix}="{space}"' for prefix, space in spaces.items())
    packet = (
        f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{before}<x:xmpmeta xmlns:x="adobe:ns:meta/">'
        f'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" {names}>'
        f'{said}{more}</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    )
    return packet.encode()


def _values(value: str | Sequence[str]) -> str:
    if isinstance(value, str):
        return escape(value)
    return "<rdf:Seq>" + "".join(f"<rdf:li>{escape(each)}</rdf:li>" for each in value) + "</rdf:Seq>"


def jpeg(file: bytes, *, exif: bytes = b"", iptc: bytes = b"", xmp: bytes = b"", comment: bytes = b"") -> bytes:
    """The JPEG with these blocks behind its start."""
    segments = [
        (0xE1, b"Exif\0\0" + exif if exif else b""),
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp if xmp else b""),
        (0xED, photoshop(iptc) if iptc else b""),
        (0xFE, comment),
    ]
    for marker, payload in reversed(segments):
        file = containers.jpeg_with_segment(file, marker, payload) if payload else file
    return file


def png(file: bytes, *, exif: bytes = b"", xmp: bytes = b"", texts: Mapping[bytes, bytes] = {}) -> bytes:
    """The PNG with these chunks behind its header."""
    chunks = [containers.chunk(b"tEXt", name + b"\0" + said) for name, said in texts.items()]
    if exif:
        chunks.append(containers.chunk(b"eXIf", exif))
    if xmp:
        chunks.append(containers.chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp))
    head = len(containers.PNG_SIGNATURE) + 25
    return file[:head] + b"".join(chunks) + file[head:]


def webp(file: bytes, width: int, height: int, *, exif: bytes = b"", xmp: bytes = b"") -> bytes:
    """The still WebP with these chunks at its end."""
    return containers.webp_with_metadata(file, width, height, exif=exif, xmp=xmp)


def avif(picture: pyvips.Image, *, exif: bytes = b"", xmp: bytes = b"") -> bytes:
    """An AVIF with items of these beside its picture."""
    items = [heif.av1(picture)]
    if exif:
        items.append(heif.Item(kind=b"Exif", data=bytes(4) + exif))
    if xmp:
        items.append(heif.Item(kind=b"mime", data=xmp))
    references = [(b"cdsc", number, (1,)) for number in range(2, len(items) + 1)]
    return heif.file(*items, references=references)


def gif(file: bytes, *, xmp: bytes = b"", comment: bytes = b"") -> bytes:
    """The GIF with extensions in front of its first frame."""
    table = 3 * 2 ** ((file[10] & 7) + 1) if file[10] & 0x80 else 0
    at = 13 + table
    trailer = b"\x01" + bytes(range(255, -1, -1)) + b"\0"
    more = b"\x21\xff\x0bXMP DataXMP" + xmp + trailer if xmp else b""
    more += b"\x21\xfe" + bytes([len(comment)]) + comment + b"\0" if comment else b""
    return b"GIF89a" + file[6:at] + more + file[at:]


def tiff(file: bytes, tags: Sequence[Tag], own: Sequence[Tag] = ()) -> bytes:
    """A TIFF of 32 bits with these tags in its first directory, and those of EXIF's own. What they replace stays."""
    order = ">" if file.startswith(b"MM") else "<"
    (old,) = struct.unpack_from(order + "I", file, 4)
    (count,) = struct.unpack_from(order + "H", file, old)
    behind = old + 2 + 12 * count
    entries = [file[at : at + 12] for at in range(old + 2, behind, 12)]
    grown = bytearray(file + b"\0" * (len(file) % 2))
    if own:
        tags = [*tags, (0x8769, LONG, struct.pack(order + "I", len(grown)))]
        grown += _directory(own, len(grown), order)
    for number, kind, body in tags:
        inside = body.ljust(4, b"\0") if len(body) <= 4 else struct.pack(order + "I", len(grown))
        grown += body + b"\0" * (len(body) % 2) if len(body) > 4 else b""
        entries = [entry for entry in entries if struct.unpack_from(order + "H", entry) != (number,)]
        entries.append(struct.pack(order + "HHI", number, kind, len(body) // _SIZES[kind]) + inside)
    entries.sort(key=lambda entry: struct.unpack_from(order + "H", entry))
    grown[4:8] = struct.pack(order + "I", len(grown))
    return bytes(grown) + struct.pack(order + "H", len(entries)) + b"".join(entries) + file[behind : behind + 4]
