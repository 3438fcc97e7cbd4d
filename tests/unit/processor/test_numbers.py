"""Whoever is refused over a number is told both: what is accepted, and what was given."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

import pytest

import processor
import service
from processor.errors import TooManyJobs, TrussError, leaves
from processor.jobs import failure_of
from service.http.problems import TooManyRequests, problem_of

#: Errors that are about a number.
NUMBERED = [kind for kind in leaves() if "limit" in inspect.signature(kind.__init__).parameters]
PACKAGES = [Path(package.__file__ or "").parent for package in (processor, service)]


def raised() -> Iterator[tuple[str, str, set[str | None]]]:
    """Where the code makes one of these errors, which, and the names of what it is told. Examples in the reference are
    none that anybody meets."""
    names = {kind.__name__ for kind in NUMBERED}
    for file in (file for package in PACKAGES for file in package.rglob("*.py") if "openapi" not in file.parts):
        for node in ast.walk(ast.parse(file.read_text())):
            made = node.exc if isinstance(node, ast.Raise) else node
            if isinstance(made, ast.Name) and isinstance(node, ast.Raise) and made.id in names:
                yield f"{file.name}:{node.lineno}", made.id, set()
            elif isinstance(made, ast.Call) and isinstance(made.func, ast.Name) and made.func.id in names:
                yield f"{file.name}:{made.lineno}", made.func.id, {word.arg for word in made.keywords}


#: Raised where the number is not known, and told it by whoever called.
TOLD_LATER = {("process.py", "TimedOut"), ("process.py", "TooLargeForMemory")}
#: There is no number of pixels from which on an encoder gives up.
WITHOUT_LIMIT = {"NotConvertible"}


def test_nobody_is_refused_over_a_number_without_the_number() -> None:
    found = list(raised())
    assert len(found) > 20
    bare = [each for each in found if "limit" not in each[2] and each[1] not in WITHOUT_LIMIT]
    assert [each for each in bare if (each[0].partition(":")[0], each[1]) not in TOLD_LATER] == []


@pytest.mark.parametrize("kind", NUMBERED, ids=lambda kind: kind.__name__)
def test_both_numbers_are_in_every_answer_and_every_failed_job(kind: type[TrussError]) -> None:
    """Where nobody counted beyond the limit, there is one more than that at least."""
    error = kind()
    error.limit = 5
    assert problem_of(error).further == {"limit": 5, "actual": 6}
    error.actual = 3
    assert problem_of(error).further == {"limit": 5, "actual": 3}
    assert (failure_of(error).limit, failure_of(error).actual) == (5, 3)


def test_the_sentences_name_the_numbers() -> None:
    assert "200 requests may come at once" in TooManyRequests(3, limit=200).message
    assert TooManyRequests(1, limit=1).message == (
        "1 request may come at once, and this was one more; the next may come in 1 second."
    )
    assert "1,000 jobs at most, and this would be number 1,001" in TooManyJobs(limit=1000, actual=1001).message
