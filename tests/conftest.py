"""What tests of every kind share."""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import AsyncIterator, Generator, Iterator

import aiohttp
import pytest
import structlog

import tests.searching  # noqa: F401 - sets how property tests search
from tests.no_secrets import secret_in


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that does not wait for ever."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
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


def pytest_collection_finish() -> None:
    """What was imported and collected stays to the end: no collection of garbage need look through it again."""
    gc.collect()
    gc.freeze()


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
