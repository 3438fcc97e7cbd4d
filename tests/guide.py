"""The blocks of a Markdown page that a reader copies: commands, and programs that are saved under a name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[1] / "docs"

_BLOCK = re.compile(r"^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
_SAVE_AS = re.compile(r"[Ss]ave it\s+as\s+`([\w.]+)`")


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """`saved_as` is the name that the words before the block give it, if any; `section` its heading."""

    language: str
    text: str
    section: str
    saved_as: str | None


def blocks(page: str) -> list[Block]:
    """In their order."""
    text, found, before = (DOCS / page).read_text(), [], 0
    for block in _BLOCK.finditer(text):
        names = _SAVE_AS.findall(text, before, block.start())
        headings = re.findall(r"^## (.+)$", text[: block.start()], re.MULTILINE)
        found.append(
            Block(
                language=block["language"],
                text=block["text"],
                section=headings[-1] if headings else "",
                saved_as=names[-1] if names else None,
            )
        )
        before = block.end()
    return found


def save_programs(page: Sequence[Block], folder: Path) -> None:
    """Under the names that the page gives them."""
    for block in page:
        if block.language in ("python", "javascript"):
            assert block.saved_as is not None, block.text
            (folder / block.saved_as).write_text(block.text)


def script(page: Sequence[Block]) -> str:
    """Every command, as one shell gets them."""
    return "".join(block.text for block in page if block.language == "console")
