"""The wheel has every file that the code reads beside itself."""

from __future__ import annotations

import tomllib
from fnmatch import fnmatch
from pathlib import Path

import pytest

from service.calls.console import FILES

ROOT = Path(__file__).parents[2]
PACKAGED = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]


@pytest.mark.parametrize("package", PACKAGED)
def test_every_file_of_a_package_is_packaged(package: str) -> None:
    folder = ROOT / package
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")]
    left_out = [
        path.relative_to(folder).as_posix()
        for path in files
        if not any(fnmatch(path.relative_to(folder).as_posix(), pattern) for pattern in PACKAGED[package])
    ]
    assert files
    assert left_out == []


def test_the_console_is_in_its_package() -> None:
    assert FILES.relative_to(ROOT / "service").as_posix() == "console"
    assert (FILES / "main.js").is_file()
