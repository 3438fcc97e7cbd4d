"""Where in the code each kind of extension has its example, counted: for `extending.md`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
#: The service's own code: tests and documents follow from it.
PACKAGES = ("processor", "service")


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """Something of its kind that is there already: who adds another changes the files that name it."""

    kind: str
    shown: str
    #: What it is called in the code, wherever it is meant, as regular expressions of whole words.
    names: tuple[str, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """All files of the code that name it, by their path."""
        word = re.compile(rf"\b(?:{'|'.join(self.names)})\b")
        return tuple(path for path, text in _code().items() if word.search(text))


EXAMPLES = (
    Example(kind="An input format", shown="GIF", names=("GIF", "gif")),
    Example(kind="An output format", shown="WebP", names=("webpsave_buffer", r"format=WEBP\.name")),
    Example(kind="An effect", shown="`sharpen`", names=("Sharpen", r'(?<=")sharpen(?=")')),
    Example(kind="An analysis", shown="`blurhash`", names=("blurhash",)),
    Example(kind="A listener", shown="`EndCounter`", names=("EndCounter",)),
    Example(kind="A kind of event", shown="`image.processing`", names=(r"Kind\.PROCESSING", r"image\.processing")),
    Example(
        kind="A bulk operation",
        shown="`process`",
        names=(r"DELETE, PROCESS", r'_many\("process', r'(?<=")process": "processing'),
    ),
    Example(kind="A probe", shown="`LogLines`", names=("LogLines",)),
    Example(kind="A route", shown="`GET /images/failed`", names=("list_failed_images",)),
    Example(
        kind="A view of the console",
        shown="`usage`",
        names=(r"export async function usage", r"view\.usage", r"usage\.js"),
    ),
    Example(kind="A setting", shown="`HTTP_TIMEOUT_SECONDS`", names=("HTTP_TIMEOUT_SECONDS", "http_timeout_seconds")),
    Example(kind="A field of a variant", shown="`stored_at`", names=("stored_at", "storedAt")),
    Example(kind="A field of a job", shown="`previous_job`", names=("previous_job",)),
)


def table() -> str:
    """The examples, with the files that name each, and how many these are."""
    rows = ["| to add | example | files in the code | number |", "| --- | --- | --- | --- |"]
    for each in EXAMPLES:
        heading = each.kind.lower()
        link = f"[{heading}](#{heading.replace(' ', '-')})"
        files = ", ".join(f"`{path}`" for path in each.files)
        rows.append(f"| {link} | {each.shown} | {files} | {len(each.files)} |")
    return "\n".join(rows)


@lru_cache(maxsize=1)
def _code() -> Mapping[str, str]:
    sources = (path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
    paths = sorted([*sources, *(ROOT / "service" / "console").glob("*.js")])
    return {path.relative_to(ROOT).as_posix(): path.read_text() for path in paths}
