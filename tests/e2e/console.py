"""Reads the commands of a Markdown page, runs them as a person would type them, and compares what they print."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

#: How a block begins that is shown and not run, with what it would take.
NEEDS = "# needs "
#: What every command begins with; what it prints does not.
PROMPT = "$ "
#: Stands on the page for what was left out.
LEFT_OUT = "..."
#: The page's id of a job.
JOB = "img_..."
#: Longest that one block may take, in seconds; each call of the AWS CLI takes about half of one.
SECONDS = 240
#: Printed between the outputs of two commands; no command prints it.
_BETWEEN = "\x1e"
#: What differs each time, in the order in which it is looked for: the page has examples of it.
EXAMPLES = (
    r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+Z)?",  # times
    r"\d{8}T\d{6}Z",  # times in URLs
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}",  # images and messages
    r"(?m:^[a-z2-7]{16}(?=  ))",  # API keys in a list; one in thirty has no digit
    r'(?<="totalMs": )\d+',
    r" *\b\d{4,}(\.\d+)?\b",  # bytes, aligned to the right, and seconds since the epoch
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A command, and what the page says that it prints."""

    command: str
    prints: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Commands that belong together. `needs` says why they are not run; empty: they are."""

    section: str
    needs: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The commands of a page, in their order."""

    blocks: tuple[Block, ...]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Raises `ValueError` for a fenced block that is neither commands nor marked."""
        section, blocks = "", []
        text = path.read_text()
        for found in re.finditer(
            r"^## (?P<section>[^\n]+)$|^```(?P<kind>\w*)\n(?P<body>.*?)^```$", text, re.MULTILINE | re.DOTALL
        ):
            section = found["section"] or section
            if found["body"] is not None:
                blocks.append(_block(section, found["kind"], found["body"]))
        return cls(blocks=tuple(blocks))

    def runnable(self, section: str) -> list[Block]:
        """The blocks of a section that are run."""
        return [block for block in self.blocks if block.section == section and not block.needs]

    @property
    def sections(self) -> list[str]:
        """Sections with something to run."""
        return list(dict.fromkeys(block.section for block in self.blocks if not block.needs))


@dataclass(slots=True, kw_only=True)
class Reader:
    """Follows a page in a folder of its own. `words` are put in the place of the page's; `functions` are defined."""

    page: Page
    folder: Path
    environment: Mapping[str, str]
    words: Mapping[str, str] = field(default_factory=dict)
    functions: Sequence[str] = ()
    _read: dict[str, int] = field(default_factory=dict)

    async def follow(self, section: str, values: Mapping[str, str] | None = None, *, blocks: int | None = None) -> None:
        """Run the next blocks of a section, all of them if not told how many, in one shell.

        Fails the test when a command prints what the page does not say.

        `values` are variables, but for `JOB`, which is put in the place of the page's.
        """
        begun = self._read.get(section, 0)
        chosen = self.page.runnable(section)[begun:][:blocks]
        assert chosen, f"{section} has no more blocks"
        self._read[section] = begun + len(chosen)
        variables = dict(values or {})
        typed = {**self.words, JOB: variables.pop(JOB, JOB)}
        steps = [step for block in chosen for step in block.steps]
        printed = await self._run([_with(typed, step.command) for step in steps], variables)
        for step, output in zip(steps, printed, strict=True):
            promised = _with(self.words, step.prints)
            assert matches(promised, output), f"{section}: {step.command}\n{output}\nand not\n{promised}"

    async def run(self, command: str) -> str:
        """What a command prints that is not on the page."""
        (printed,) = await self._run([command], {})
        return printed

    def assert_at_the_end(self) -> None:
        """Nothing was left out of the sections that were begun."""
        for section, read in self._read.items():
            assert read == len(self.page.runnable(section)), section

    async def _run(self, commands: Sequence[str], values: Mapping[str, str]) -> list[str]:
        script = [*self.functions, *(f"{command}\nprintf %s '{_BETWEEN}'" for command in commands)]
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", "\n".join(script)),
            cwd=self.folder,
            env={**self.environment, **values},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await asyncio.wait_for(process.communicate(), SECONDS)
        return output.decode().replace("\r\n", "\n").split(_BETWEEN)[:-1]


def matches(expected: str, actual: str) -> bool:
    """Whether a command printed what the page says, but for the `EXAMPLES`.

    `...` is anything on a line, and alone on one any lines.
    """
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == LEFT_OUT else ".*?".join(map(re.escape, line.split(LEFT_OUT))) + r"\n"
        for line in _alike(expected).splitlines()
    )
    return re.fullmatch(pattern, f"{_alike(actual).rstrip()}\n" if actual.strip() else "") is not None


def _alike(text: str) -> str:
    for number, example in enumerate(EXAMPLES):
        text = re.sub(example, f"<{number}>", text)
    return text


def _block(section: str, kind: str, body: str) -> Block:
    if kind != "console":
        raise ValueError(f"{section}: a block is no console block")
    needs, rest = "", body
    if body.startswith(NEEDS):
        needs, _, rest = body.removeprefix(NEEDS).partition("\n")
    if not rest.startswith(PROMPT):
        raise ValueError(f"{section}: a block begins with no command")
    return Block(section=section, needs=needs, steps=tuple(map(_step, re.split(r"^\$ ", rest, flags=re.MULTILINE)[1:])))


def _step(text: str) -> Step:
    """A command goes on while its lines end with a backslash, or a quotation is open."""
    lines = text.splitlines()
    end = 1
    while end < len(lines) and (lines[end - 1].endswith("\\") or "\n".join(lines[:end]).count("'") % 2):
        end += 1
    return Step(command="\n".join(lines[:end]), prints="\n".join(lines[end:]))


def _with(words: Mapping[str, str], command: str) -> str:
    for there, here in words.items():
        command = command.replace(there, here)
    return command
