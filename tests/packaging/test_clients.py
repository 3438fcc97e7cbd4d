"""The client for Python is a package that works wherever it is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from docs.generate import ROOT

PYTHON = ROOT / "clients" / "python"


@pytest.mark.slow
def test_the_python_client_is_a_wheel_with_all_that_it_needs(tmp_path: Path) -> None:
    sources = tmp_path / "sources"
    shutil.copytree(PYTHON, sources, ignore=shutil.ignore_patterns("__pycache__"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    options = ["--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*pip, "wheel", *options, "--wheel-dir", str(tmp_path), str(sources)], check=True, timeout=300)
    (wheel,) = tmp_path.glob("truss_image_client-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        named = set(archive.namelist())
        (metadata,) = (archive.read(name).decode() for name in named if name.endswith("/METADATA"))
    written = {str(path.relative_to(PYTHON)) for path in PYTHON.rglob("truss_image_client/**/*.py")}
    assert written | {"truss_image_client/py.typed"} <= named
    assert any(name.endswith("/licenses/LICENSE") for name in named)
    assert "Requires-Dist: httpx" in metadata

    place = tmp_path / "place"
    subprocess.run([*pip, "install", *options, "--target", str(place), str(wheel)], check=True, timeout=300)
    program = "import truss_image_client as t; t.Client('http://127.0.0.1:1').close(); print(t.__file__)"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=tmp_path,
        env={"PYTHONPATH": str(place)},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert done.stdout.strip() == str(place / "truss_image_client" / "__init__.py")


def test_its_licence_is_that_of_the_project() -> None:
    assert (PYTHON / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
