"""Text of metadata: in the right characters, without control characters, and bounded."""

from __future__ import annotations

import unicodedata

#: The most bytes of a text, in UTF-8; of a long one, such as a caption.
SHORT, LONG = 160, 1024
#: Control characters that a caption may have.
_ALLOWED = "\n\t"


def decoded(data: bytes) -> str:
    """Text of an unnamed charset: UTF-8 where it is that, or else Windows-1252, which has all of Latin-1's letters."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        # A character that a bound cut in two is no sign of another charset.
        if error.end == len(data) and error.start >= len(data) - 3 and error.start > 0:
            return data.decode(errors="ignore")
        return data.decode("cp1252", errors="replace")


def clean(text: str, most: int = SHORT) -> str:
    """At most so many bytes, in whole characters, without padding and what no page can show."""
    shown = text.split("\0", 1)[0][:most]
    if not shown.isprintable():  # nearly every text is
        shown = "".join(each for each in shown if each in _ALLOWED or unicodedata.category(each) not in ("Cc", "Cs"))
    return shown.encode()[:most].decode(errors="ignore").strip()
