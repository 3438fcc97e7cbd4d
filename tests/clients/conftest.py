"""The client for TypeScript, compiled; and a service for it."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from docs.generate import ROOT
from tests.e2e.conftest import one_for_all, service  # noqa: F401 - fixtures

TYPESCRIPT = ROOT / "clients" / "typescript"


def run(command: Sequence[str | Path], cwd: Path, **environment: str) -> str:
    """What a command says; fails the test where it fails."""
    done = subprocess.run(
        [str(each) for each in command],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def typescript() -> Path:
    """The folder of the client, compiled. `make clients` installs the compiler."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            pytest.skip(f"there is no {program}")
    if not (TYPESCRIPT / "node_modules").exists():
        pytest.skip("the compiler is not installed: run `make clients`")
    run(["npm", "run", "--silent", "build"], TYPESCRIPT)
    return TYPESCRIPT


@pytest.fixture(scope="session")
def tarball(typescript: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package, as npm would publish it."""
    folder = tmp_path_factory.mktemp("packed")
    run(["npm", "pack", "--silent", "--ignore-scripts", "--pack-destination", folder], typescript)
    (packed,) = folder.glob("*.tgz")
    return packed


@pytest.fixture
def project(tarball: Path, tmp_path: Path) -> Path:
    """A project that has installed the package."""
    (tmp_path / "package.json").write_text('{"type": "module", "private": true}')
    run(["npm", "install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund", tarball], tmp_path)
    return tmp_path
