"""A real process of the real command, over its own emulator, in a folder of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from tests.fleet import ServiceProcess
from tests.no_secrets import secret_in

COMMAND = Path(sys.executable).with_name("truss-image")
#: Each end waits for the long poll under way.
SHORT_POLLS = {"QUEUE_WAIT_SECONDS": "1"}
LOCAL_AWS = Path(__file__).parents[2] / ".venv-aws" / "bin" / "python"


@dataclass
class LocalService(ServiceProcess):
    """`truss-image local` over one data folder; can be ended and started again."""

    @property
    def data_dir(self) -> Path:
        return self.log_file.with_suffix("")

    async def launch(self) -> None:
        # The local mode chooses its own address; the port and the folder are arguments, as a person would give them.
        self.arguments = ("local", "--port", str(self.port), "--data-dir", str(self.data_dir))
        await super().launch()

    async def job(self, processing_id: str) -> Any:
        return await self.call("GET", f"/images/status/{processing_id}")

    async def fetch(self, url: str) -> bytes:
        async with self.session.get(url) as answer:
            assert answer.status == 200, url
            return await answer.read()


MakeService = Callable[..., Awaitable[LocalService]]


@pytest.fixture
async def make_service(tmp_path: Path, session: aiohttp.ClientSession) -> AsyncIterator[MakeService]:
    """Start a service; every one that was started is stopped at the end."""
    _need_the_local_aws()
    made: list[LocalService] = []

    async def make(
        command: tuple[str, ...] = (str(COMMAND),), *, traced: bool = False, **environment: str
    ) -> LocalService:
        log_file = tmp_path / f"data-{len(made)}.log"
        service = LocalService(SHORT_POLLS | environment, session, log_file, command, traced=traced)
        made.append(service)
        await service.start()
        return service

    yield make
    for service in made:
        await service.stop()
        assert secret_in(service.log_file.read_text()) is None


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def one_for_all(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[LocalService]:
    """One service for tests that neither stop it nor ask what else it has."""
    _need_the_local_aws()
    log_file = tmp_path_factory.mktemp("one") / "data.log"
    async with aiohttp.ClientSession() as session:
        service = LocalService(SHORT_POLLS, session, log_file, (str(COMMAND),))
        try:
            await service.start()
            yield service
            assert await service.stop() == 0
        finally:
            await service.kill()
    assert secret_in(log_file.read_text()) is None


@pytest.fixture
def service(one_for_all: LocalService, session: aiohttp.ClientSession) -> LocalService:
    """The same for all of them, asked by a client of this test."""
    return replace(one_for_all, session=session)


def _need_the_local_aws() -> None:
    if not LOCAL_AWS.exists():
        if os.environ.get("CI"):
            pytest.fail("the local AWS is not installed: run `make setup`")
        pytest.skip("the local AWS is not installed: run `make setup`")
