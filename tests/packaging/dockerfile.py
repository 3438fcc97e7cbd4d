"""Reads the Dockerfile: its stages, and what each says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from docs.generate import ROOT

PATH = ROOT / "Dockerfile"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One stage: what it starts from, and its instructions in order, each with its argument on one line."""

    name: str
    base: str
    instructions: list[tuple[str, str]]

    def last(self, instruction: str) -> str | None:
        """The argument that holds, or None."""
        return next((argument for name, argument in reversed(self.instructions) if name == instruction), None)


def stages() -> dict[str, Stage]:
    """Every stage by its name, in order; the last is what a build without a target makes."""
    found: dict[str, Stage] = {}
    stage: Stage | None = None
    for instruction, argument in _instructions():
        if instruction == "FROM":
            base, _, name = argument.partition(" AS ")
            found[name] = stage = Stage(name=name, base=base, instructions=[])
        else:
            assert stage is not None, "an instruction before the first FROM"
            stage.instructions.append((instruction, argument))
    return found


def effective(name: str, instruction: str) -> str | None:
    """What holds in a stage, its own or inherited."""
    all_stages = stages()
    stage = all_stages.get(name)
    while stage is not None:
        own = stage.last(instruction)
        if own is not None:
            return own
        stage = all_stages.get(stage.base)
    return None


def commands() -> list[str]:
    """Every shell command of every RUN."""
    runs = [argument for stage in stages().values() for name, argument in stage.instructions if name == "RUN"]
    return [command.strip() for run in runs for command in run.split("&&")]


def _instructions() -> Iterator[tuple[str, str]]:
    lines = [line for line in PATH.read_text().splitlines() if not line.lstrip().startswith("#")]
    whole = "\n".join(lines).replace("\\\n", " ")
    for line in filter(None, (re.sub(r"\s+", " ", line).strip() for line in whole.splitlines())):
        instruction, _, argument = line.partition(" ")
        yield instruction, argument
