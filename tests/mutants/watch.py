"""Watches the process that judges files: whether it lives, answers in time, keeps to its memory, says what is known."""

from __future__ import annotations

import contextlib
import json
import os
import re
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from processor.sandbox.confine import BASE_RESIDENT_BYTES
from processor.sandbox.messages import HEAD, opening
from tests.mutants.subject import Answer, Rules

COMMAND = (sys.executable, "-m", "tests.mutants.subject")
ROOT = Path(__file__).resolve().parents[2]
#: Where the codes are told that a job may fail with.
_DOCUMENT, _CODES = ROOT / "docs" / "api.md", re.compile(r"generated: failure-codes -->(.*?)<!-- /generated", re.DOTALL)
#: What a slow machine may say of any file.
_BY_CIRCUMSTANCE = frozenset({"timed_out"})
#: Verdicts on what a decoder reads, which do not depend on what is made of it.
_OF_THE_FILE = frozenset({"completed", "corrupt_image"})
#: By how much an estimate may be wrong, and what a process holds beside its pictures: its jitter.
TOLERANCE, JITTER_BYTES = 0.1, 16 * 1024 * 1024
#: How long after its time a file may take.
LATE_SECONDS = 1.0
#: How long a busy machine may take for the rest: headers that are read, the start of a process.
REST_SECONDS, START_SECONDS = 15.0, 60.0
#: Between two looks at what children hold.
_LOOK_SECONDS = 0.01
#: Most of what a process said that is told.
_LAST_WORDS = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What must not be. `kind` and `what` together are one fault, however many files show it."""

    kind: str
    what: str
    detail: str = field(default="", compare=False)


def documented_codes() -> frozenset[str]:
    """Those that the API's document lists."""
    found = _CODES.search(_DOCUMENT.read_text())
    assert found is not None
    return frozenset(re.findall(r"^\| `(\w+)` \|", found[1], re.MULTILINE))


class Gone(Exception):
    """The process has ended, or does not answer."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.what)
        self.finding = finding


@dataclass(slots=True, kw_only=True)
class Watched:
    """The process; started when it is first asked, and again when it was lost."""

    rules: Rules = field(default_factory=Rules)
    command: Sequence[str] = COMMAND
    _process: subprocess.Popen[bytes] | None = None
    _words: Path | None = None

    def ask(
        self, data: bytes, *, again: bool = False, suspect: bool = False, small: bool = False
    ) -> tuple[Answer, int]:
        """The answer, and the most that a child of it held, in bytes. Raises `Gone`."""
        process = self._process or self._started()
        allowed = self.rules.timeout_seconds + LATE_SECONDS + REST_SECONDS
        header, child = self._told(process, {"again": again, "suspect": suspect, "small": small}, data, allowed)
        return Answer(**header), child

    def end(self) -> None:
        """Kill it, if it is there."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
            self._process = None
        if self._words is not None:
            self._words.unlink(missing_ok=True)
            self._words = None

    def _started(self) -> subprocess.Popen[bytes]:
        """Once it is ready. Raises `Gone`."""
        handle, name = tempfile.mkstemp(prefix="mutants-", suffix=".log")
        self._words = Path(name)
        with os.fdopen(handle, "wb") as words:
            self._process = subprocess.Popen(
                self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=words, cwd=ROOT
            )
        self._told(self._process, asdict(self.rules), b"", START_SECONDS)
        return self._process

    def _told(
        self, process: subprocess.Popen[bytes], question: dict[str, Any], data: bytes, allowed: float
    ) -> tuple[dict[str, Any], int]:
        assert process.stdin is not None
        try:
            process.stdin.write(opening(question, len(data)) + data)
            process.stdin.flush()
        except BrokenPipeError:
            raise self._lost() from None
        head, child = self._heard(process, HEAD.size, allowed)
        text, more = self._heard(process, HEAD.unpack(head)[0], allowed)
        return json.loads(text), max(child, more)

    def _heard(self, process: subprocess.Popen[bytes], size: int, allowed: float) -> tuple[bytes, int]:
        assert process.stdout is not None
        heard, child, until = b"", 0, time.monotonic() + allowed
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while len(heard) < size:
                if selector.select(_LOOK_SECONDS):
                    piece = os.read(process.stdout.fileno(), size - len(heard))
                    if not piece:
                        raise self._lost()
                    heard += piece
                    continue
                child = max((child, *map(_peak, _children(process.pid))))
                if time.monotonic() > until:
                    self.end()
                    raise Gone(Finding(kind="hang", what="no answer", detail=f"for {allowed:.0f} seconds"))
        return heard, child

    def _lost(self) -> Gone:
        assert self._process is not None
        status = self._process.wait()
        told = self._words.read_text(errors="replace")[-_LAST_WORDS:] if self._words is not None else ""
        self.end()
        return Gone(Finding(kind="crash", what=f"the process ended with {status}", detail=told))


def _children(pid: int) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield int(each)


def _peak(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


@dataclass(slots=True, kw_only=True)
class Judge:
    """Asks twice, and a third time for small variants alone, and finds what must not be."""

    watched: Watched
    codes: frozenset[str] = field(default_factory=documented_codes)

    def findings(self, data: bytes, *, twice: bool, suspect: bool) -> tuple[str, list[Finding]]:
        """The verdict in a word, and what is wrong with it. `suspect`: the second time it is tried in a child."""
        try:
            answer, child = self.watched.ask(data)
        except Gone as gone:
            return gone.finding.kind, [gone.finding]
        found = [*self._of_one(answer, child, data)]
        if twice and not found:
            try:
                other, _ = self.watched.ask(data, again=True, suspect=suspect)
                small, child = self.watched.ask(data, small=True)
            except Gone as gone:
                return gone.finding.kind, [gone.finding]
            found += self._of_two(answer, other, suspect=suspect)
            found += [*self._of_one(small, child, data), *self._of_small(answer, small)]
        return _word(answer.verdict), found

    def confirmed(self, data: bytes, findings: Sequence[Finding], *, suspect: bool) -> list[Finding]:
        """Those that a new process shows too: a machine that is busy for a moment is no fault of the file's."""
        self.watched.end()
        _, again = self.findings(data, twice=True, suspect=suspect)
        kinds = {finding.kind for finding in again}
        return [finding for finding in findings if finding.kind in kinds]

    def _of_one(self, answer: Answer, child: int, data: bytes) -> Iterator[Finding]:
        word, rules = _word(answer.verdict), self.watched.rules
        if answer.trace:
            yield Finding(kind="raised", what=f"{word} at {_place(answer.trace)}", detail=answer.trace)
        elif word != "completed" and word not in self.codes:
            yield Finding(kind="code", what=word)
        if answer.seconds > rules.timeout_seconds + LATE_SECONDS:
            yield Finding(kind="late", what=word, detail=f"{answer.seconds:.1f} seconds")
        most = max(answer.reserved, len(data)) * (1 + TOLERANCE) + JITTER_BYTES
        if answer.peak > most:
            detail = f"{answer.peak:,} bytes; {answer.reserved:,} were reserved, {answer.estimate:,} estimated"
            yield Finding(kind="memory", what=word, detail=detail)
        if child > BASE_RESIDENT_BYTES + most:
            detail = f"{child:,} bytes; {answer.reserved:,} were reserved, {answer.estimate:,} estimated"
            yield Finding(kind="memory of a child", what=word, detail=detail)
        if word == "too_large_for_memory" and 0 < answer.estimate <= rules.memory_budget_bytes:
            yield Finding(kind="estimate", what=word, detail=f"{answer.estimate:,} were estimated, and are there")

    def _of_two(self, one: Answer, other: Answer, *, suspect: bool) -> Iterator[Finding]:
        if one.verdict != other.verdict and not _BY_CIRCUMSTANCE & {one.verdict, other.verdict}:
            way = "in a child" if suspect else "a second time"
            yield Finding(
                kind="differs",
                what=f"{_word(one.verdict)}, and {way} {_word(other.verdict)}",
                detail=f"{one.verdict}\n{other.verdict}\n{other.trace}",
            )

    def _of_small(self, one: Answer, small: Answer) -> Iterator[Finding]:
        words = _word(one.verdict), _word(small.verdict)
        if words[0] != words[1] and _OF_THE_FILE.issuperset(words):
            yield Finding(kind="differs if small", what=f"{words[0]}, and for small variants {words[1]}")


def _word(verdict: str) -> str:
    return "completed" if ";" in verdict else verdict


def _place(trace: str) -> str:
    """The last line of ours that an exception went through."""
    lines = re.findall(r'File ".*?/((?:processor|service)/[\w/]+\.py)", line \d+, in (\w+)', trace)
    return ":".join(lines[-1]) if lines else "?"
