"""Writes the generated parts of the documents anew: `make docs`. A test fails while they are stale."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel

from benchmarks.scaling.sections import SECTIONS
from docs import extending, metrics
from processor import errors
from service.calls import jobs, samples, uploads
from service.config import Settings
from service.http.problems import known_failures
from service.http.wire import as_plain

ROOT = Path(__file__).parents[1]
_PART = re.compile(r"(<!-- generated: (?P<name>[a-z-]+) -->\n).*?(<!-- /generated -->)", re.DOTALL)


def failure_codes() -> str:
    """The codes of failed jobs, as a table."""
    rows = [f"| `{code}` | {meaning} |" for code, meaning in known_failures()]
    return "\n".join(["| code | meaning |", "| --- | --- |", *rows])


def accepted() -> str:
    """How large an upload may be, and the code of what is larger, as a table."""
    rows: list[tuple[str, str, str, type[errors.TrussError]]] = [
        ("largest file", f"{_default('MAX_UPLOAD_BYTES') // 2**20} MiB", "MAX_UPLOAD_BYTES", errors.FileTooLarge),
        (
            "most pixels, over all frames, and before a crop",
            f"{_default('MAX_PIXELS'):,}",
            "MAX_PIXELS",
            errors.TooManyPixels,
        ),
        ("longest side in pixels", f"{_default('MAX_SIDE'):,}", "MAX_SIDE", errors.SideTooLong),
        ("most frames", f"{_default('MAX_FRAMES'):,}", "MAX_FRAMES", errors.TooManyFrames),
        ("longest conversion", f"{_default('PROCESS_TIMEOUT_SECONDS')} s", "PROCESS_TIMEOUT_SECONDS", errors.TimedOut),
    ]
    table = [f"| {what} | {value} | `{variable}` | `{error.code}` |" for what, value, variable, error in rows]
    return "\n".join(["| limit | by default | setting | beyond it |", "| --- | --- | --- | --- |", *table])


def _default(variable: str) -> int:
    return int(Settings.variables()[variable].default)


def shown(answer: BaseModel) -> str:
    """An example of an answer, as the service lays it out but for the line breaks."""
    return f"```json\n{json.dumps(as_plain(answer, samples.URL), indent=2)}\n```"


def parameters() -> str:
    """The parameters of the stack, as a table."""
    from cfnlint.decode import cfn_yaml  # noqa: PLC0415 - it brings sympy: seconds that no other part need pay

    template = cfn_yaml.load(str(ROOT / "infra" / "cloudformation" / "image-service.yaml"))
    rows = []
    for name, parameter in template["Parameters"].items():
        default = f"`{parameter['Default']}`" if parameter["Default"] != "" else ""
        rows.append(f"| `{name}` | {default} | {parameter['Description']} |")
    return "\n".join(["| parameter | default | meaning |", "| --- | --- | --- |", *rows])


PARTS: Mapping[str, Callable[[], str]] = {
    "settings": Settings.table,
    "required-settings": lambda: Settings.table(required=True),
    "failure-codes": failure_codes,
    "accepted": accepted,
    "answer-upload-url": lambda: shown(uploads.UPLOAD_URL),
    "answer-status": lambda: shown(jobs.JOBS["completed"].model_copy(update={"metadata": {}})),
    "parameters": parameters,
    "extending": extending.table,
    "metrics": metrics.table,
    **SECTIONS,
}


def generated(text: str, *, leave: Collection[str] = ()) -> str:
    """The document with every generated part written anew, but for those to leave as they are."""

    def anew(part: re.Match[str]) -> str:
        return part[0] if part["name"] in leave else f"{part[1]}\n{PARTS[part['name']]()}\n\n{part[3]}"

    return _PART.sub(anew, text)


def documents() -> list[Path]:
    """Every document that may have generated parts."""
    pages = [
        *(ROOT / folder / "README.md" for folder in ("", "examples", "infra")),
        *sorted((ROOT / "clients").glob("*/README.md")),
    ]
    return [*pages, *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "benchmarks").glob("*.md"))]


def main(arguments: Sequence[str]) -> int:
    """Write what is stale; with `--check` only name it, and end with 1 when there is any."""
    stale = False
    for document in documents():
        before = document.read_text()
        after = generated(before)
        if after == before:
            continue
        stale = True
        sys.stdout.write(f"{document.relative_to(ROOT)}\n")
        if "--check" not in arguments:
            document.write_text(after)
    return int("--check" in arguments and stale)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
