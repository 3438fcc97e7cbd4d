"""When a picture was taken: the time on the camera's clock, with its zone where the file says it."""

from __future__ import annotations

import re
from datetime import datetime

from processor.metadata.exif import Exif
from processor.metadata.iptc import Iptc
from processor.metadata.xmp import Xmp

#: A time as EXIF, IPTC and XMP write it: a day, then perhaps a time, perhaps a fraction, perhaps a zone.
_TIME = re.compile(
    r"(?P<year>\d{4})[:-]?(?P<month>\d\d)[:-]?(?P<day>\d\d)"
    r"(?:[ T](?P<hour>\d\d):?(?P<minute>\d\d)(?::?(?P<second>\d\d)(?:\.(?P<part>\d{1,9}))?)?)?"
    r"(?P<zone>Z|[+-]\d\d:?\d\d)?"
)
#: Tags of the time, its fraction and its zone: when the picture was taken, when it was made digital.
_EXIF = ((0x9003, 0x9291, 0x9011), (0x9004, 0x9292, 0x9012))
_XMP = ("exif:DateTimeOriginal", "photoshop:DateCreated", "exif:DateTimeDigitized", "xmp:CreateDate")


def taken_at(camera: Exif, sets: Iptc, words: Xmp) -> str:
    """ISO 8601; without a zone if nothing says it, and only the day if that is all. Empty if nothing is known."""
    for time, part, zone in _EXIF:
        fraction = "".join(each for each in camera.text(part) if each.isdecimal())
        found = _iso(camera.text(time) + (f".{fraction}" if fraction else "") + camera.text(zone).strip())
        if found:
            return found
    said = [words.text(name) for name in _XMP]
    said.append(sets.text(55) + (f" {sets.text(60)}" if sets.text(60) else ""))
    return next((found for each in said if (found := _iso(each))), "")


def _iso(text: str) -> str:
    found = _TIME.match(text.strip()[:64])
    if found is None:
        return ""
    day = f"{found['year']}-{found['month']}-{found['day']}"
    zone = found["zone"] or ""
    if zone and zone != "Z":
        zone = f"{zone[:3]}:{zone[-2:]}"
    time = f"T{found['hour']}:{found['minute']}:{found['second'] or '00'}" if found["hour"] else ""
    fraction = f".{found['part'][:6]}" if found["part"] else ""
    try:
        datetime.fromisoformat(f"{day}{time}{zone if time else ''}")
    except ValueError:
        return ""
    return f"{day}{time}{fraction}{zone}" if time else day
