"""The documents tell the truth."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.generate import ROOT, documents
from processor.errors import JobNotFound
from service.problems import problem_of

CHART = ROOT / "helm" / "image-service"
PROSE = [*documents(), *(ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md")), CHART / "README.md"]


def _name(document: Path) -> str:
    return str(document.relative_to(ROOT))


@pytest.mark.timeout(300)
def test_generated_parts_are_fresh() -> None:
    """In a process of its own without the coverage's tracer, which slows the simulation down."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    done = subprocess.run(
        [sys.executable, "-m", "docs.generate", "--check"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, ""), f"run `make docs`: {done.stdout}{done.stderr}"


@pytest.mark.parametrize("document", PROSE, ids=_name)
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


def test_every_make_target_that_the_documents_name_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {target for document in PROSE for target in re.findall(r"`make ([a-z-]+)", document.read_text())}
    assert named <= targets


def test_the_guides_example_of_a_problem_is_what_the_service_answers() -> None:
    (shown,) = re.findall(r"```json\n(.*?)```", (ROOT / "docs" / "api.md").read_text(), re.DOTALL)
    example = json.loads(shown)
    answered = problem_of(JobNotFound()).document(example["requestId"])
    assert example == json.loads(answered.model_dump_json(by_alias=True, exclude_none=True))


def test_every_test_that_the_threat_model_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "security.md").read_text())
    assert len(named) > 30
    missing = [f"{file}::{test}" for file, test in named if f"def {test}(" not in (ROOT / file).read_text()]
    assert missing == []
