"""Decodes the pictures of a HEIC. Only this module loads libheif and libde265, which `pi-heif` contains.

libheif does not report damaged data. So libde265 decodes each coded picture once more by itself, and reports damage.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from functools import lru_cache
from importlib.metadata import files
from typing import Any

import pyvips

from processor.errors import CorruptImage
from processor.formats.items import Item
from processor.pipeline.heif import Still

#: Samples per pixel, by pi-heif's mode. A semicolon and the number of bits may follow the mode.
_BANDS = {"L": 1, "LA": 2, "La": 2, "RGB": 3, "RGBA": 4, "RGBa": 4}
_WIDE = {1: "grey16", 2: "grey16", 3: "rgb16", 4: "rgb16"}
_NARROW = {1: "b-w", 2: "b-w", 3: "srgb", 4: "srgb"}
#: What pi-heif raises for a file that it refuses; for lack of memory, `OSError`.
_REFUSALS = (ValueError, EOFError, SyntaxError, RuntimeError, OSError)
#: Offsets in `hvcC` (ISO/IEC 14496-15, 8.3.3.1): size of a NAL unit's length field, number of arrays, first array.
_LENGTH_SIZE, _ARRAYS, _FIRST_ARRAY = 21, 22, 23
#: libde265's parameter that suppresses pictures with errors.
_SUPPRESS_FAULTY = 6
#: The most calls to decode one picture. With some damage, libde265 never finishes.
_MOST_STEPS = 10_000


def decode(data: bytes) -> pyvips.Image:
    """The primary picture, upright, in memory, with 8 or 16 bits per sample. Raises `CorruptImage`."""
    import pi_heif  # noqa: PLC0415 - loaded only in a process that decodes a HEIC

    pi_heif.options.DECODE_THREADS = 0
    try:
        file = pi_heif.open_heif(data, convert_hdr_to_8bit=False)
        picture = file[file.primary_index]
        mode, _, bits = picture.mode.partition(";")
        samples, (width, height) = picture.data, picture.size
    except _REFUSALS:
        raise CorruptImage from None
    bands = _BANDS.get(mode)
    if bands is None:
        raise CorruptImage
    kind, meaning = ("ushort", _WIDE[bands]) if bits else ("uchar", _NARROW[bands])
    image = pyvips.Image.new_from_memory(samples, width, height, bands, kind).copy(interpretation=meaning)
    return image.copy_memory()  # the samples belong to pi-heif's file, which is freed


def check_coded(data: bytes, still: Still, check: Callable[[], None]) -> None:
    """Raises `CorruptImage` if a coded picture lost pixels. Calls `check` before each, and raises what that raises."""
    for item in still.coded.values():
        check()
        if not _is_whole(_units(data, item)):
            raise CorruptImage


def _units(data: bytes, item: Item) -> Iterator[bytes]:
    """The NAL units of an item, its parameter sets first. Raises `CorruptImage` if they cannot be read."""
    told = item.said(b"hvcC") or b""
    try:
        at = _FIRST_ARRAY
        for _ in range(told[_ARRAYS]):
            count, at = int.from_bytes(told[at + 1 : at + 3], "big"), at + 3
            for _ in range(count):
                length, at = int.from_bytes(told[at : at + 2], "big"), at + 2
                yield told[at : at + length]
                at += length
        wide = (told[_LENGTH_SIZE] & 0b11) + 1
    except IndexError:
        raise CorruptImage from None
    body, at = b"".join(data[start:end] for start, end in item.extents), 0
    while at < len(body):
        length, at = int.from_bytes(body[at : at + wide], "big"), at + wide
        if at + length > len(body):
            raise CorruptImage
        yield body[at : at + length]
        at += length


def _is_whole(units: Iterator[bytes]) -> bool:
    library = _libde265()
    decoder = library.de265_new_decoder()
    try:
        library.de265_set_parameter_bool(decoder, _SUPPRESS_FAULTY, 1)
        for unit in units:
            library.de265_push_NAL(decoder, unit, len(unit), 0, None)
        library.de265_flush_data(decoder)
        more = ctypes.c_int(1)
        for _ in range(_MOST_STEPS):
            failed = library.de265_decode(decoder, ctypes.byref(more)) or library.de265_get_warning(decoder)
            if failed or library.de265_get_next_picture(decoder):
                return not failed
            if not more.value:
                break
        return False
    finally:
        library.de265_free_decoder(decoder)


@lru_cache(maxsize=1)
def _libde265() -> Any:
    """The library in pi-heif's wheel. pi-heif gives no access to it."""
    path = next(each for each in files("pi-heif") or () if each.name.startswith("libde265"))
    library = ctypes.CDLL(str(path.locate()))
    pointer, number = ctypes.c_void_p, ctypes.c_int
    library.de265_new_decoder.restype = library.de265_get_next_picture.restype = pointer
    library.de265_set_parameter_bool.argtypes = (pointer, number, number)
    library.de265_push_NAL.argtypes = (pointer, ctypes.c_char_p, number, ctypes.c_int64, pointer)
    library.de265_decode.argtypes = (pointer, ctypes.POINTER(number))
    for name in ("flush_data", "get_next_picture", "get_warning", "free_decoder"):
        getattr(library, f"de265_{name}").argtypes = (pointer,)
    return library
