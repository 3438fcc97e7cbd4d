"""Makes a picture of text: the letters in a colour, with a soft rim that shows them on any ground."""

from __future__ import annotations

import os
import tempfile
import unicodedata
from functools import cache
from pathlib import Path

import pyvips

from processor.assets import RECIPE
from processor.pipeline.encode import write_lossless
from processor.pipeline.lettering.characters import FONT, characters

#: Bounds of a text, in characters and lines.
MOST_CHARACTERS, MOST_LINES = 120, 4
#: The font, by the name in its file.
_FONT = "DejaVu Sans Bold"
#: Size of a trial in pixels, and the most that the picture of a text is wide and high.
_TRIAL, _WIDTH, _HEIGHT = 48, 1024, 512
#: Characters without a glyph that text needs: they join and part letters, and turn their direction.
_INVISIBLE = frozenset("\u200c\u200d\u200e\u200f")
#: The rim: its width in shares of the font's size, and how solid it is.
_RIM, _RIM_ALPHA = 1 / 10, 0.9
#: Letters above this are light, and get a dark rim. Rec. 709 luma.
_LUMA, _LIGHT = (0.2126, 0.7152, 0.0722), 128

#: Fonts of the machine are no part of a text's look. The cache is fontconfig's, which complains without one.
_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd">
<fontconfig><dir>{font}</dir><cachedir>{folder}</cachedir></fontconfig>
"""


def check_text(text: str) -> None:
    """Raises `ValueError` for what cannot be shown."""
    if not 0 < len(text) <= MOST_CHARACTERS or text.isspace():
        raise ValueError(f"text must have 1 to {MOST_CHARACTERS} characters")
    if text.count("\n") >= MOST_LINES:
        raise ValueError(f"text must have at most {MOST_LINES} lines")
    for character in text:
        known = ord(character) in characters() and unicodedata.category(character) not in {"Cf", "Zl", "Zp"}
        if not (known or character in _INVISIBLE or character == "\n"):
            raise ValueError(f"the font {_FONT} has no character U+{ord(character):04X}")


def lettered(text: str, colour: tuple[int, int, int] = (255, 255, 255)) -> bytes:
    """A WebP file without loss, in sRGB with alpha. Lines are centred, and read from left or right as Unicode says.

    Raises `ValueError` as `check_text` does.
    """
    check_text(text)
    _only_own_font()
    trial = _drawn(text, _TRIAL)
    # The font is no larger either: a lone dot would have letters, and a rim, of thousands of pixels.
    size = max(1, min(_HEIGHT, int(_TRIAL * min(_WIDTH / trial.width, _HEIGHT / trial.height))))
    rim = max(1, round(size * _RIM))
    letters = _drawn(text, size)
    letters = letters.embed(2 * rim, 2 * rim, letters.width + 4 * rim, letters.height + 4 * rim).copy_memory()
    around = (letters.gaussblur(rim) * 2 * _RIM_ALPHA).cast("uchar")  # twice: half of a blurred edge is outside
    dark = sum(share * part for share, part in zip(_LUMA, colour, strict=True)) >= _LIGHT
    rim_picture = _painted(around, (0, 0, 0) if dark else (255, 255, 255))
    whole = rim_picture.composite2(_painted(letters, colour), "over").cast("uchar")
    return write_lossless(whole.copy(interpretation="srgb"), RECIPE.specs[0])


@cache
def _only_own_font() -> tempfile.TemporaryDirectory[str]:
    """The folder must live as long as the process. Fontconfig reads the variable at the first text."""
    folder = tempfile.TemporaryDirectory(prefix="truss-fonts-")
    settings = Path(folder.name, "fonts.conf")
    settings.write_text(_FONTS.format(font=FONT.parent, folder=folder.name))
    os.environ["FONTCONFIG_FILE"] = str(settings)
    return folder


def _drawn(text: str, size: int) -> pyvips.Image:
    """The letters as alpha. Pango reads its markup, so that must not be in the text."""
    for sign, escaped in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        text = text.replace(sign, escaped)
    return pyvips.Image.text(text, font=f"{_FONT} {size}", dpi=72, align="centre")


def _painted(alpha: pyvips.Image, colour: tuple[int, int, int]) -> pyvips.Image:
    return alpha.new_from_image(list(colour)).bandjoin(alpha).cast("uchar").copy(interpretation="srgb")
