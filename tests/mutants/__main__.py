"""Bring mutants of pictures of every format to their verdict, as the worker does, and find what must not be.

    python -m tests.mutants [--seconds 120] [--seed 1] [--keep build/mutants]
    python -m tests.mutants FILE ...

A mutant is a small sound picture, changed in its parts (lengths, offsets, sides, counts; checksums are made anew) or
in its bytes. Found is a process that ends or hangs, an exception, a code that `docs/api.md` does not list, memory
beyond the reservation, and a verdict that is another one the second time, when memory is filled with other bytes, in a
child process, or for small variants alone. What is found is kept, with the command that tries it again. Exits with 1
when anything was found, with 2 for wrong options.
"""

from __future__ import annotations

import itertools
import random
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from tests.mutants.mutate import Mutant, Nursery
from tests.mutants.seeds import seeds
from tests.mutants.subject import Rules
from tests.mutants.watch import Finding, Judge, Watched

#: One mutant of so many is judged twice, and one of so many in a child process the second time.
TWICE, SUSPECT = 4, 40
#: Seconds between two lines that tell how far it is.
_TOLD_EVERY = 10.0
#: Files of one fault that are kept.
_KEPT = 3


@click.command(context_settings={"help_option_names": ["-h", "--help"]}, help=__doc__)
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--seconds", type=click.FloatRange(0), default=120.0, show_default=True, help="How long to search.")
@click.option("--seed", type=int, help="Makes the same mutants again; by default another one each time.")
@click.option("--first", type=click.IntRange(0), default=0, show_default=True, help="Number of the first mutant.")
@click.option("--count", type=click.IntRange(1), help="How many mutants, however long they take.")
@click.option(
    "--keep",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("build/mutants"),
    show_default=True,
    help="Where what is found is kept.",
)
@click.option("--megapixels", type=click.FloatRange(0.01), default=4.0, show_default=True, help="Largest picture.")
def main(files: Sequence[Path], megapixels: float, seed: int | None, keep: Path, **span: Any) -> None:
    judge = Judge(watched=Watched(rules=Rules(max_pixels=round(megapixels * 1e6))))
    try:
        if files:
            found = sum(_tried(judge, file) for file in files)
        else:
            seed = random.randrange(1 << 31) if seed is None else seed
            found = Search(judge=judge, seed=seed, keep=keep).run(Span(**span))
    finally:
        judge.watched.end()
    sys.exit(1 if found else 0)


def _tried(judge: Judge, file: Path) -> int:
    """How much there is to find in it."""
    data = file.read_bytes()
    verdict, here = judge.findings(data, twice=True, suspect=False)
    _, outside = judge.findings(data, twice=True, suspect=True)
    click.echo(f"{file}: {verdict}")
    found = dict.fromkeys((*here, *outside))
    for finding in found:
        click.echo(f"  {finding.kind}: {finding.what}\n{finding.detail}")
    return len(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Which mutants: from the first on, so many, or for so long."""

    first: int
    count: int | None
    seconds: float

    def numbers(self) -> Iterator[int]:
        if self.count is not None:
            yield from range(self.first, self.first + self.count)
            return
        until = time.monotonic() + self.seconds
        yield from itertools.takewhile(lambda _: time.monotonic() < until, itertools.count(self.first))


@dataclass(slots=True, kw_only=True)
class Search:
    """One run, and what came of it."""

    judge: Judge
    seed: int
    keep: Path
    verdicts: Counter[str] = field(default_factory=Counter)
    found: Counter[Finding] = field(default_factory=Counter)
    _started: float = field(default_factory=time.monotonic)
    _told: float = 0.0

    def run(self, span: Span) -> int:
        """How many faults were found."""
        nursery = Nursery(seeds=seeds())
        click.echo(f"Mutants of {len(nursery.seeds)} pictures, --seed {self.seed}")
        for data in nursery.seeds.values():  # so that code and tables are there before memory is looked at
            self.judge.findings(data, twice=False, suspect=False)
        self._started = time.monotonic()
        for number in span.numbers():
            self._one(number, nursery.mutant(self.seed, number))
            self._progress()
        self._tell()
        for finding, times in self.found.most_common():
            click.echo(f"{finding.kind}, {times} times: {finding.what}")
        return len(self.found)

    def _one(self, number: int, mutant: Mutant) -> None:
        suspect = number % SUSPECT == 0
        verdict, findings = self.judge.findings(mutant.data, twice=suspect or number % TWICE == 0, suspect=suspect)
        self.verdicts[verdict] += 1
        if findings:
            for finding in self.judge.confirmed(mutant.data, findings, suspect=suspect):
                self.found[finding] += 1
                self._keep(number, mutant, finding)

    def _keep(self, number: int, mutant: Mutant, finding: Finding) -> None:
        if self.found[finding] > _KEPT:
            return
        self.keep.mkdir(parents=True, exist_ok=True)
        file = self.keep / f"{finding.kind.replace(' ', '-')}-{self.seed}-{number}.{mutant.seed_name.split('-')[0]}"
        file.write_bytes(mutant.data)
        again = f"python -m tests.mutants {file}"
        made = f"{mutant.seed_name}: {', '.join(mutant.changes)}"
        file.with_name(file.name + ".txt").write_text(
            f"{finding.kind}: {finding.what}\n{made}\n{again}\n"
            f"python -m tests.mutants --seed {self.seed} --first {number} --count 1\n\n{finding.detail}\n"
        )
        click.echo(f"{finding.kind}: {finding.what} ({made})\n  {again}")

    def _progress(self) -> None:
        if time.monotonic() - self._told >= _TOLD_EVERY:
            self._told = time.monotonic()
            self._tell()

    def _tell(self) -> None:
        elapsed, count = time.monotonic() - self._started, self.verdicts.total()
        common = ", ".join(f"{word} {times}" for word, times in self.verdicts.most_common(12))
        speed = count / elapsed if elapsed else 0.0
        click.echo(f"{elapsed:5.0f} s, {count:,} mutants, {speed:.0f} a second, {len(self.found)} found: {common}")


if __name__ == "__main__":
    main()
