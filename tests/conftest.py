"""What tests of every kind share."""

from __future__ import annotations

import gc
import logging
import os
import re
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog
from xdist.scheduler import LoadScopeScheduling

import tests.searching  # noqa: F401 - sets how property tests search
from service.machine import processors
from tests.no_secrets import secret_in

#: What is imported and collected stays to the end: see `pytest_collection_finish`.
gc.disable()

TESTS = Path(__file__).parent
#: Tests that render pictures; how many cases of one of them are many; and the part of those that `make test` tries.
PICTURES, MANY, PART = TESTS / "unit/processor/pipeline", 8, 3
#: The test that renders every kind of picture.
WHOLE = PICTURES / "test_samples.py"
#: Folders whose tests start processes, in the order in which they begin.
LONGEST_FIRST = ("e2e", "faults", "infra", "integration", "contract")
#: A backend of the contracts, the models of the operators, an environment without packages, a service, the tool that
#: reads the OpenAPI document, a night's log, the template.
SHARED = re.compile(
    r"tests/contract/.+\[(?P<backend>moto|emulator)\b"
    r"|tests/chart/test_manifests\.py"
    r"|tests/packaging/test_set_up\.py"
    r"|tests/e2e/test_guide\.py"
    r"|tests/integration/http/test_schemathesis\.py"
    r"|tests/faults/test_logs\.py"
    r"|tests/infra/test_deployment\.py"
    r"|tests/(?P<template>infra/test_(template|delivery|values)\.py|chart/test_stack\.py)"
)


def _show_traces_plainly() -> None:
    """The tables of `rich`, with every variable, take half a second for each exception that is logged."""
    *before, _ = structlog.get_config()["processors"]
    structlog.configure([*before, structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)])


_show_traces_plainly()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that does not wait for ever."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=180)) as session:
        yield session


@pytest.fixture
def process_restored() -> Iterator[None]:
    """For tests that run a command within this process: it sets variables, and where log lines go."""
    variables, root = dict(os.environ), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    os.environ.clear()
    os.environ.update(variables)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    _show_traces_plainly()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int | None:
    """More than processors, because the longest tests wait for processes more than they compute."""
    asked = os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS")
    return None if asked else processors() + 1


class OneByOne(LoadScopeScheduling):  # type: ignore[misc]  # xdist has no types
    """Hands out the tests in their order, but to one worker those that share what takes seconds to start or import.

    `--dist loadgroup` would do it by marks; xdist 3.8 does not see them under pytest 9.2.
    """

    def _split_scope(self, nodeid: str) -> str:
        shared = SHARED.match(nodeid)
        if shared is None:
            return nodeid
        return "the template" if shared["template"] else shared["backend"] or shared[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> OneByOne:
    """The scheduler of every parallel run."""
    return OneByOne(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest tests begin, so that no worker is still busy with one when the others have ended."""
    _leave_cases_to_make_slow(items)
    items.sort(key=_place)


def _leave_cases_to_make_slow(items: list[pytest.Item]) -> None:
    """Of what is tried with many pictures, `make test` tries one in `PART`."""
    cases: dict[tuple[Path, str], list[pytest.Item]] = {}
    for item in items:
        some = item.path.is_relative_to(PICTURES) and item.path != WHOLE and not _is_slow(item)
        if some and isinstance(item, pytest.Function):
            cases.setdefault((item.path, item.originalname), []).append(item)
    for many in cases.values():
        for number, item in enumerate(many if len(many) >= MANY else ()):
            if number % PART:
                item.add_marker(pytest.mark.slow)


def _is_slow(item: pytest.Item) -> bool:
    return item.get_closest_marker("slow") is not None


def _place(item: pytest.Item) -> int:
    folder = item.path.relative_to(TESTS).parts[0]
    return LONGEST_FIRST.index(folder) if folder in LONGEST_FIRST else len(LONGEST_FIRST)


def pytest_collection_finish() -> None:
    """No collection of garbage need look through what was imported and collected, not even the last one of Python."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Whatever a test logs, in this process, is looked through for secrets; a leak fails the test."""
    report = yield
    for title, text in report.sections:
        of_this_phase = title.startswith("Captured") and title.endswith(report.when)
        secret = secret_in(text) if of_this_phase else None
        if secret is not None:
            report.outcome = "failed"
            report.longrepr = f"a secret was logged ({title}): {secret}"
    return report
