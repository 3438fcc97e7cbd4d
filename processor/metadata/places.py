"""Where a picture was taken: coordinates, and the names of places."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from processor.metadata.exif import Exif, Value
from processor.metadata.iptc import Iptc
from processor.metadata.text import clean
from processor.metadata.xmp import Xmp

#: Tags of GPS (CIPA DC-008, 4.6.7): which half of the earth, and degrees, minutes, seconds; above the sea or below.
_LATITUDE, _LONGITUDE, _ALTITUDE = (1, 2), (3, 4), (5, 6)
#: Digits behind the point of a degree: a decimetre.
_DIGITS = 6
#: Coordinates in XMP: `48,51.5N`, `48,51,30N`.
_COORDINATE = re.compile(r"(\d{1,3}),(\d{1,2}(?:\.\d{1,12})?)(?:,(\d{1,2}(?:\.\d{1,12})?))?([NSEW])")
#: What names places: by the name in the answer, the number in IPTC and the properties in XMP.
_NAMES: Mapping[str, tuple[int, tuple[str, ...]]] = {
    "place": (92, ("Iptc4xmpCore:Location", "Iptc4xmpExt:Sublocation")),
    "city": (90, ("photoshop:City", "Iptc4xmpExt:City")),
    "region": (95, ("photoshop:State", "Iptc4xmpExt:ProvinceState")),
    "country": (101, ("photoshop:Country", "Iptc4xmpExt:CountryName")),
}
#: Every property of XMP that says where a picture was taken.
XMP = (
    *(name for _, names in _NAMES.values() for name in names),
    *("exif:GPSLatitude", "exif:GPSLongitude", "Iptc4xmpExt:LocationCreated", "Iptc4xmpExt:LocationShown"),
)


def position(camera: Exif, sets: Iptc, words: Xmp) -> Mapping[str, Any] | None:
    """`latitude` and `longitude` in degrees, `altitude` in metres, and names of places; None if nothing is known."""
    tags = camera.position
    latitude = _degrees(tags, _LATITUDE, "S", 90)
    longitude = _degrees(tags, _LONGITUDE, "W", 180)
    if latitude is None or longitude is None:
        latitude = _said(words.text("exif:GPSLatitude"), 90)
        longitude = _said(words.text("exif:GPSLongitude"), 180)
    found: dict[str, Any] = {}
    if latitude is not None and longitude is not None:
        found = {"latitude": latitude, "longitude": longitude}
        if (altitude := _altitude(camera)) is not None:
            found["altitude"] = altitude
    for name, (number, properties) in _NAMES.items():
        if text := clean(words.text(*properties) or sets.text(number)):
            found[name] = text
    return found or None


def _degrees(tags: Mapping[int, Value], of: tuple[int, int], negative: str, most: int) -> float | None:
    half, parts = (tags.get(name) for name in of)
    if not isinstance(half, bytes) or not isinstance(parts, tuple) or not parts:
        return None
    degrees = sum(part / 60**power for power, part in enumerate(parts[:3]))
    return _within(-degrees if half[:1].upper() == negative.encode() else degrees, most)


def _said(text: str, most: int) -> float | None:
    found = _COORDINATE.fullmatch(text.strip())
    if found is None:
        return None
    degrees = int(found[1]) + float(found[2]) / 60 + float(found[3] or 0) / 3600
    return _within(-degrees if found[4] in "SW" else degrees, most)


def _within(degrees: float, most: int) -> float | None:
    return round(degrees, _DIGITS) if math.isfinite(degrees) and abs(degrees) <= most else None


def _altitude(camera: Exif) -> float | None:
    below, metres = camera.position.get(_ALTITUDE[0]), camera.number(_ALTITUDE[1], of=camera.position)
    if metres is None or not math.isfinite(metres) or abs(metres) >= 1e5:  # noqa: PLR2004 - higher than any camera
        return None
    return round(-metres if below == b"\1" else metres, 1)
