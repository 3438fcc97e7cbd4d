"""What is shown of a run."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from service.client.display import Tally, json_row, printable, row
from service.client.result import Result
from truss_image_client.content import filename_of

ANY_NAME = st.text(st.characters(codec=None))


@given(ANY_NAME, ANY_NAME)
def test_a_row_is_one_line_and_cannot_reach_the_terminal_whatever_it_is_called(name: str, error: str) -> None:
    shown = row(Result(photo=name, status="failed", error=error))
    assert shown.isprintable()
    shown.encode()


@given(ANY_NAME)
def test_a_json_row_is_one_line_of_ascii_that_gives_the_name_back(name: str) -> None:
    line = json_row(Result(photo=name, status="completed", seconds=0.5))
    assert line.isascii()
    assert "\n" not in line
    assert json.loads(line)["photo"] == name


@given(ANY_NAME)
def test_the_service_is_told_a_name_that_it_accepts(name: str) -> None:
    told = filename_of(name)
    told.encode()
    assert not any(each < " " or "\x7f" <= each < "\xa0" for each in told)
    assert len(told) == len(name)


def test_what_people_can_read_is_shown_as_it_is() -> None:
    assert printable("Ferien am Meer 🏖.jpg") == "Ferien am Meer 🏖.jpg"
    assert printable("a\nb\x1b[31m\udcff\u202e") == "a\\nb\\x1b[31m\\udcff\\u202e"


def test_a_photo_is_counted_once_by_what_became_of_it() -> None:
    tally = Tally()
    for result in (
        Result(photo="a", status="completed", sent=3),
        Result(photo="b", status="completed", existing=True),
        Result(photo="c", status="failed", sent=4),
        Result(photo="d", status="interrupted"),
    ):
        tally.count(result)
    total = tally.document()["total"]
    total.pop("seconds")
    assert total == {"completed": 1, "alreadyThere": 1, "failed": 1, "interrupted": 1, "bytes": 7}
    assert not tally.all_ok


def test_colours_are_there_when_they_are_asked_for() -> None:
    assert row(Result(photo="a", status="failed"), colour=True).startswith("\x1b[31mfailed\x1b[0m a")
    assert "\x1b" not in row(Result(photo="a", status="failed"))
