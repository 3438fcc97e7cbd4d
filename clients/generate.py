"""Writes the generated parts of the clients anew: `make docs`. A test fails while they are stale."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from clients import python_code, reference, typescript_code
from clients.schema import Api

ROOT = Path(__file__).parents[1]


def modules() -> Mapping[Path, str]:
    """The text of every generated file."""
    api = Api()
    code = {**python_code.modules(api), **typescript_code.modules(api)}
    return {**code, **reference.modules(code)}


def stale() -> Mapping[Path, str]:
    """Those that are not as they would be written now."""
    return {path: text for path, text in modules().items() if not path.exists() or path.read_text() != text}


def main(arguments: Sequence[str]) -> int:
    """Write what is stale; with `--check` only name it, and end with 1 when there is any."""
    found = stale()
    for path, text in found.items():
        sys.stdout.write(f"{path.relative_to(ROOT)}\n")
        if "--check" not in arguments:
            path.write_text(text)
    return int("--check" in arguments and bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
