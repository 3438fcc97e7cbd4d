"""The documents tell the truth."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from docs.generate import ROOT, documents, generated
from processor.errors import JobNotFound
from service.problems import problem_of

CHART = ROOT / "helm" / "image-service"
PROSE = [*documents(), *(ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md")), CHART / "README.md"]


def _name(document: Path) -> str:
    return str(document.relative_to(ROOT))


@pytest.mark.parametrize("document", documents(), ids=_name)
def test_generated_parts_are_fresh(document: Path) -> None:
    assert generated(document.read_text()) == document.read_text(), "run `make docs`"


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
