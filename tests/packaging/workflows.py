"""Reads the workflows, and runs a step of one as a runner does, over stand-ins for its commands."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from docs.generate import ROOT

FOLDER = ROOT / ".github" / "workflows"
#: Each call on one line, also one with line breaks in its arguments.
_NOTE_THE_CALL = '#!/usr/bin/env bash\n{ printf "%s " "${0##*/}" "$@" | tr "\\n" " "; echo; } >> "$CALLS"'


def load(name: str) -> Any:
    """A workflow. YAML 1.1 takes its `on` for a boolean."""
    document = yaml.load((FOLDER / name).read_text(), yaml.CSafeLoader)
    return document | {"on": document.pop(True)}


def steps() -> Iterator[tuple[str, Any]]:
    """Every step of every job of every workflow, and where it is."""
    for path in sorted(FOLDER.glob("*.yml")):
        for name, job in load(path.name)["jobs"].items():
            for step in job.get("steps", []):
                yield f"{path.name}: {name}: {step.get('name') or step.get('uses') or step['run']}", step


def step(job: str, name: str, *, workflow: str = "deploy.yml") -> Any:
    """One step by its name."""
    (found,) = (step for step in load(workflow)["jobs"][job]["steps"] if step.get("name") == name)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """What a step left behind: its exit code, outputs and summary, and the commands it called."""

    code: int
    shown: str
    outputs: dict[str, str]
    summary: str
    calls: list[str]


@dataclass(slots=True)
class Runner:
    """Runs a step's script in a folder. `commands` are shell scripts that stand in for the real ones."""

    folder: Path
    commands: dict[str, str] = field(default_factory=dict)
    #: Longest that a script may take.
    seconds: float = 180

    def run(self, script: str, **environment: str) -> Ran:
        """As `shell: bash` does."""
        programs = self.folder / "bin"
        programs.mkdir()
        for name, body in self.commands.items():
            program = programs / name
            program.write_text(f"{_NOTE_THE_CALL}\n{body}\n")
            program.chmod(program.stat().st_mode | stat.S_IXUSR)
        files = {name: self.folder / name.lower() for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY", "CALLS")}
        for path in files.values():
            path.touch()
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=self.folder,
            env=_environment(programs, files, self.folder) | environment,
            capture_output=True,
            text=True,
            timeout=self.seconds,
            check=False,
        )
        return Ran(
            code=done.returncode,
            shown=done.stdout + done.stderr,
            outputs=dict(line.split("=", 1) for line in files["GITHUB_OUTPUT"].read_text().splitlines()),
            summary=files["GITHUB_STEP_SUMMARY"].read_text(),
            calls=[line.strip() for line in files["CALLS"].read_text().splitlines()],
        )


def _environment(programs: Path, files: Mapping[str, Path], folder: Path) -> dict[str, str]:
    return {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "RUNNER_TEMP": str(folder),
        **{name: str(path) for name, path in files.items()},
    }
