"""A field of a job or of a variant is one line: every store keeps it, and what is made of a record has it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from docs.generate import ROOT
from tests.contract.conftest import Backend
from tests.contract.grown import ADDED, TOLD

#: The line, the file that gets it, and what it stands behind.
LINE = f'    {ADDED}: str = ""\n'
LINES = {
    "processor/images.py": "    width: int\n    height: int\n",
    "processor/jobs.py": "uses its own recipe.\n    recipe: Recipe | None = None\n",
}


def grown(folder: Path) -> Path:
    """A copy of the core with a field more of each."""
    shutil.copytree(ROOT / "processor", folder / "processor", ignore=shutil.ignore_patterns("__pycache__"))
    for name, before in LINES.items():
        text = (folder / name).read_text()
        assert text.count(before) == 1
        (folder / name).write_text(text.replace(before, before + LINE))
    return folder


def place(backend: Backend) -> dict[str, str]:
    if backend.aws is None or backend.made is None:
        return {}
    config = backend.aws.config()
    assert config.credentials is not None
    return {
        "region": config.region,
        "endpoint": backend.aws.endpoint_url,
        "key": config.credentials.access_key_id,
        "secret": config.credentials.secret_access_key,
        "table": backend.made.names.table,
    }


@pytest.mark.timeout(400)
def test_a_field_more_of_a_job_and_of_a_variant_comes_back_from_wherever_they_are_kept(
    backend: Backend, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.contract.grown", json.dumps(place(backend))],
        cwd=grown(tmp_path),
        env=os.environ | {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == 6
    assert found == dict.fromkeys(found, TOLD)
