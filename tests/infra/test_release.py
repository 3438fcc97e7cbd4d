"""What runs of the release is known, and is as Helm can change it, before anything is installed."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra import release

RUNS = [
    {"revision": 6, "status": "superseded"},
    {"revision": 7, "status": "deployed"},
    {"revision": 8, "status": "failed"},
]
PENDING = [*RUNS, {"revision": 9, "status": "pending-upgrade"}]

Helm = Callable[..., None]


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """Each call of Helm on a line."""
    found = tmp_path / "calls"
    found.touch()
    return found


@pytest.fixture
def helm(tmp_path: Path, calls: Path, monkeypatch: pytest.MonkeyPatch) -> Helm:
    """A stand-in for Helm, which prints what is said of its commands."""
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    def says(otherwise: str = "true", **printed: Any) -> None:
        answers = "".join(f"  *{command}*) echo '{json.dumps(answer)}' ;;\n" for command, answer in printed.items())
        script = f'#!/bin/sh\necho "$@" >> {calls}\ncase "$1 $2" in\n{answers}  *) {otherwise} ;;\nesac\n'
        (tmp_path / "helm").write_text(script)
        (tmp_path / "helm").chmod(0o700)

    return says


def _changes(calls: Path) -> list[str]:
    return [call for call in calls.read_text().splitlines() if not re.match("list|history|get", call)]


def test_what_runs_is_the_newest_that_was_deployed_and_not_one_that_failed(
    helm: Helm, calls: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    helm(list=[{"status": "failed"}], history=RUNS)
    release.main([])
    assert capsys.readouterr().out == "revision=7\n"
    assert _changes(calls) == []


def test_there_may_be_no_release(helm: Helm, calls: Path, capsys: pytest.CaptureFixture[str]) -> None:
    helm(list=[])
    release.main(["--take-over", "12"])
    assert capsys.readouterr().out == "revision=\n"
    assert _changes(calls) == []


def test_what_a_job_could_not_end_is_undone(helm: Helm, calls: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Helm says of it that another operation is in progress, whatever becomes of it."""
    helm(list=[{"status": "pending-upgrade"}], history=PENDING, metadata={"labels": {}})
    release.main(["--take-over", "12"])
    assert capsys.readouterr().out == "revision=7\n"
    (undone,) = _changes(calls)
    assert undone.startswith("rollback image-service 7 --wait=legacy")


def test_a_first_installation_that_did_not_end_is_removed(helm: Helm, calls: Path) -> None:
    helm(list=[{"status": "pending-install"}], history=[{"revision": 1, "status": "pending-install"}])
    release.main(["--take-over", "12"])
    (removed,) = _changes(calls)
    assert removed.startswith("uninstall image-service --wait")


def test_only_looking_undoes_nothing(helm: Helm, calls: Path) -> None:
    helm(list=[{"status": "pending-upgrade"}], history=PENDING)
    release.main(["--namespace", "elsewhere"])
    assert _changes(calls) == []
    assert all(call.endswith("--namespace elsewhere") for call in calls.read_text().splitlines())


@pytest.mark.parametrize("labels", [{"run": "12"}, {"run": "2"}, {}, None])
def test_an_earlier_run_is_replaced_and_so_is_one_that_is_run_again(helm: Helm, labels: Any) -> None:
    helm(list=[{"status": "deployed"}], history=RUNS, metadata={"labels": labels})
    release.main(["--take-over", "12"])


def test_a_run_that_was_approved_late_does_not_replace_a_later_one(helm: Helm) -> None:
    helm(list=[{"status": "deployed"}], history=RUNS, metadata={"labels": {"run": "13"}})
    with pytest.raises(SystemExit, match=r"Run 13 of the workflow has deployed already, and this is run 12"):
        release.main(["--take-over", "12"])


def test_a_cluster_that_cannot_be_asked_is_not_taken_for_an_empty_one(
    helm: Helm, capfd: pytest.CaptureFixture[str]
) -> None:
    helm("echo 'Error: Kubernetes cluster unreachable' >&2; exit 3")
    with pytest.raises(SystemExit) as ended:
        release.main(["--take-over", "12"])
    assert ended.value.code == 3
    assert capfd.readouterr() == ("", "Error: Kubernetes cluster unreachable\n")
