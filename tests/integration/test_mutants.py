"""Hostile files: whatever is changed in a picture, the worker lives, keeps to its time and memory, and says why."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import corpus
from tests.fleet import untraced
from tests.mutants.subject import Rules
from tests.mutants.watch import Judge, Watched

pytestmark = pytest.mark.slow  # each starts processes that render

SUBJECT = Path(__file__).with_name("faulty_subject.py")
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell what a process held")
FAULTS = [
    *("crash", "hang", "raised", "code", "late", "memory", "estimate", "differs", "differs if small"),
    pytest.param("memory of a child", marks=LINUX),
]
#: How long the search takes, in seconds.
SECONDS = os.environ.get("MUTANTS_SECONDS", "120")


@pytest.fixture
def watched() -> Iterator[Watched]:
    watched = Watched(rules=Rules(timeout_seconds=0.5))
    yield watched
    watched.end()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_found(fault: str, watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.mutants.watch.REST_SECONDS", 4.0 if fault == "hang" else 60.0)
    watched.command = (sys.executable, "-m", f"tests.integration.{SUBJECT.stem}", fault)
    judge = Judge(watched=watched)

    _, nothing = judge.findings(b"sound", twice=True, suspect=False)
    _, found = judge.findings(b"hostile", twice=True, suspect=False)
    again = judge.confirmed(b"hostile", found, suspect=False)
    _, after = judge.findings(b"sound", twice=True, suspect=False)

    assert (nothing, after) == ([], [])
    assert [finding.kind for finding in found] == [finding.kind for finding in again] == [fault]


def test_a_sound_picture_and_a_damaged_one_are_judged_as_the_worker_does(watched: Watched) -> None:
    judge = Judge(watched=watched)
    watched.rules = Rules()

    assert judge.findings(corpus.png(), twice=True, suspect=True) == ("completed", [])
    assert judge.findings(corpus.png()[:200], twice=True, suspect=True) == ("corrupt_image", [])
    assert judge.findings(b"no picture", twice=True, suspect=False) == ("unsupported_format", [])


def test_a_mutant_is_tried_again_by_its_number_and_by_its_file(tmp_path: Path) -> None:
    file = tmp_path / "cut.png"
    file.write_bytes(corpus.png()[:200])
    searched = _run("--seed", "3", "--first", "5", "--count", "2", "--keep", str(tmp_path / "kept"))
    tried = _run(str(file))

    assert (searched.returncode, tried.returncode) == (0, 0), searched.stdout + tried.stdout
    assert "2 mutants" in searched.stdout
    assert "cut.png: corrupt_image" in tried.stdout
    assert not (tmp_path / "kept").exists()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_mutant_brings_the_worker_down(tmp_path: Path) -> None:
    """The same mutants each time, so that nobody's change fails by chance; `make mutants` searches among others."""
    told = _run("--seed", "1", "--seconds", SECONDS, "--keep", str(tmp_path))

    assert told.returncode == 0, told.stdout


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.mutants", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=untraced())
