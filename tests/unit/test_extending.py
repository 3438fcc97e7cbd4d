"""The page on extending the service names the files that its examples are in."""

from __future__ import annotations

import re

import pytest

from docs.extending import EXAMPLES, PACKAGES, Example
from tests.guide import DOCS

PAGE = (DOCS / "extending.md").read_text()


def section(heading: str) -> str:
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def test_every_example_has_its_section_and_the_sections_are_in_the_order_of_the_table() -> None:
    assert re.findall(r"^## (.+)$", PAGE, re.MULTILINE) == [example.kind for example in EXAMPLES]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.kind)
def test_a_section_names_the_files_that_name_its_example_and_no_other(example: Example) -> None:
    named = re.findall(rf"`((?:{'|'.join(PACKAGES)})/[\w/]+\.(?:py|js))`", section(example.kind))
    assert set(named) == set(example.files)
    assert f"Example: {example.shown}." in section(example.kind)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.kind)
def test_every_name_of_an_example_is_in_use(example: Example) -> None:
    for name in example.names:
        assert Example(kind="", shown="", names=(name,)).files != ()
