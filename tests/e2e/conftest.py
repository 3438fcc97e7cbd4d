"""A real process of the real command, over its own emulator, in a folder of its own."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from service.local.emulator import bindable
from tests.waiting import eventually

COMMAND = Path(sys.executable).with_name("truss-image")
LOCAL_AWS = Path(__file__).parents[2] / ".venv-aws" / "bin" / "python"


@dataclass
class LocalService:
    """`truss-image local` over one data folder; can be ended and started again."""

    data_dir: Path
    session: aiohttp.ClientSession
    environment: dict[str, str] = field(default_factory=dict)
    port: int = field(default_factory=lambda: bindable(0))
    command: tuple[str, ...] = (str(COMMAND),)
    process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log_file(self) -> Path:
        return self.data_dir.with_suffix(".log")

    async def start(self) -> None:
        with self.log_file.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.command,
                "local",
                "--port",
                str(self.port),
                "--data-dir",
                str(self.data_dir),
                env={**os.environ, "LOG_FORMAT": "json", **self.environment},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        await eventually(self._healthy, what="a healthy service")

    async def _healthy(self) -> bool:
        assert self.process is not None
        assert self.process.returncode is None, self.log_file.read_text()
        try:
            async with self.session.get(f"{self.url}/images/health") as answer:
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    async def ended(self, within: float = 90) -> int:
        """The exit code, once the process has ended."""
        assert self.process is not None
        return await asyncio.wait_for(self.process.wait(), within)

    async def stop(self) -> int:
        if self.process is None or self.process.returncode is not None:
            return 0
        self.signal(signal.SIGTERM)
        return await self.ended()

    async def call(self, method: str, path: str, *, expect: int = 200, **options: Any) -> Any:
        async with self.session.request(method, self.url + path, **options) as answer:
            body = await answer.json(content_type=None)
            assert answer.status == expect, body
            return body

    async def put(self, data: bytes, filename: str = "photo.jpg", **asked: Any) -> Any:
        """Ask for a URL and upload through the presigned PUT; what the API answered."""
        issued = await self.call("POST", "/images/upload-url", json={"filename": filename, **asked})
        async with self.session.put(issued["uploadUrl"], data=io.BytesIO(data), headers=issued["headers"]) as answer:
            assert answer.status == 200, await answer.text()
        return issued

    async def job(self, processing_id: str) -> Any:
        return await self.call("GET", f"/images/status/{processing_id}")

    async def settled(self, processing_id: str, within: float = 90) -> Any:
        """The job, once it is `completed` or `failed`."""

        async def look() -> Any:
            job = await self.job(processing_id)
            return job if job["status"] in ("completed", "failed") else None

        return await eventually(look, within=within, what=f"the end of {processing_id}")

    async def fetch(self, url: str) -> bytes:
        async with self.session.get(url) as answer:
            assert answer.status == 200, url
            return await answer.read()


MakeService = Callable[..., Awaitable[LocalService]]


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60)) as session:
        yield session


@pytest.fixture
async def make_service(tmp_path: Path, session: aiohttp.ClientSession) -> AsyncIterator[MakeService]:
    """Start a service; every one that was started is stopped at the end."""
    if not LOCAL_AWS.exists():
        if os.environ.get("CI"):
            pytest.fail("the local AWS is not installed: run `make setup`")
        pytest.skip("the local AWS is not installed: run `make setup`")
    made: list[LocalService] = []

    async def make(command: tuple[str, ...] = (str(COMMAND),), **environment: str) -> LocalService:
        service = LocalService(tmp_path / f"data-{len(made)}", session, environment, command=command)
        made.append(service)
        await service.start()
        return service

    yield make
    for service in made:
        await service.stop()
