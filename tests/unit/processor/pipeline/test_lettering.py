"""Text as a picture: what it looks like, and what is no text."""

from __future__ import annotations

import hashlib
import os
from itertools import pairwise
from pathlib import Path

import pytest
import pyvips
from hypothesis import example, given
from hypothesis import strategies as st

from processor.pipeline.effects.given import Given
from processor.pipeline.effects.watermark import Watermark
from processor.pipeline.lettering import MOST_CHARACTERS, MOST_LINES, check_text, lettered
from processor.pipeline.lettering.characters import characters
from tests.searching import searching

WHITE, RED, BLACK = (255, 255, 255), (200, 0, 0), (0, 0, 0)


def seen(text: str, colour: tuple[int, int, int] = WHITE) -> pyvips.Image:
    return pyvips.Image.new_from_buffer(lettered(text, colour), "").copy_memory()


def solid_columns(text: str) -> list[bool]:
    """For each column, from left to right, whether a letter is there."""
    alpha = seen(text)[3]
    return [alpha.crop(x, 0, 1, alpha.height).max() > 250 for x in range(alpha.width)]


@pytest.mark.parametrize("colour", [WHITE, RED, BLACK], ids=str)
def test_letters_have_their_colour_and_a_rim_that_parts_them_from_any_ground(colour: tuple[int, int, int]) -> None:
    picture = seen("I", colour)
    middle = picture.getpoint(picture.width // 2, picture.height // 2)
    assert middle == [*colour, 255]

    for ground in (WHITE, (128, 128, 128), BLACK, colour):
        shown = picture.flatten(background=list(ground))
        least, most = shown[1].min(), shown[1].max()
        assert most - least > 60, f"nothing to be seen on {ground}"


@pytest.mark.parametrize("colour", [WHITE, BLACK], ids=str)
def test_a_small_mark_of_half_the_strength_can_be_read_on_its_own_colour(colour: tuple[int, int, int]) -> None:
    file = lettered("© Ada Söhne", colour)
    digest = hashlib.sha256(file).hexdigest()
    ground = pyvips.Image.black(320, 160, bands=3).copy(interpretation="srgb") + list(colour)
    ground = ground.cast("uchar")

    marked = Watermark(asset=digest, opacity=0.5)(ground, Given(assets={digest: file}))
    assert (marked - ground).abs().max() > 80


def test_signs_of_markup_are_letters() -> None:
    plain, tagged = seen("b"), seen("<b>b</b> & &amp;")

    assert tagged.width / tagged.height > 3 * plain.width / plain.height
    with_sign, without = seen("a<b"), seen("ab")
    assert with_sign.width / with_sign.height > without.width / without.height


def test_hebrew_is_read_from_right_to_left_beside_latin_letters() -> None:
    # The wide letter comes first in the text, so it is on the right; in Latin it is on the left.
    hebrew, latin = solid_columns("שו"), solid_columns("Wi")

    def share_on_the_left(columns: list[bool]) -> float:
        half = len(columns) // 2
        return sum(columns[:half]) / sum(columns)

    assert share_on_the_left(hebrew) < 0.5 < share_on_the_left(latin)


def test_arabic_letters_are_joined() -> None:
    def gaps(text: str) -> int:
        columns = solid_columns(text)
        within = columns[columns.index(True) : len(columns) - columns[::-1].index(True)]
        return sum(one and not other for one, other in pairwise(within))

    assert gaps("بيت") == 0
    assert gaps("hit") == 2


def test_the_same_text_is_the_same_file() -> None:
    assert lettered("© Ada Söhne\n2026") == lettered("© Ada Söhne\n2026")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "1 to"),
        (" \n ", "1 to"),
        ("x" * (MOST_CHARACTERS + 1), "1 to"),
        ("\n".join("x" * (MOST_LINES + 1)), "lines"),
        ("漢字", r"U\+6F22"),
        ("a\tb", r"U\+0009"),
        ("a\x00b", r"U\+0000"),
        ("price \u202e001", r"U\+202E"),
        ("한국", r"U\+D55C"),
        ("a\u2028b", r"U\+2028"),
    ],
)
def test_what_the_font_cannot_show_is_refused_with_its_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        lettered(text)


@searching(30)
@example("-")
@example(".")
@given(st.text(st.sampled_from(sorted(map(chr, characters()))), max_size=MOST_CHARACTERS))
def test_whatever_passes_the_check_is_a_bounded_picture(text: str) -> None:
    try:
        check_text(text)
    except ValueError:
        return
    picture = seen(text)

    assert 1 <= picture.width <= 1400
    assert 1 <= picture.height <= 900
    assert picture.bands == 4


def test_no_font_of_the_machine_is_used() -> None:
    lettered("x")

    settings_of_fonts = Path(os.environ["FONTCONFIG_FILE"]).read_text()
    assert settings_of_fonts.count("<dir>") == 1
    assert "lettering" in settings_of_fonts
