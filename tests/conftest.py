"""What tests of every kind share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator

import aiohttp
import pytest

from tests.no_secrets import secret_in


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """A client that does not wait for ever."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        yield session


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
