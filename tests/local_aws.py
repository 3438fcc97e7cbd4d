"""Stand-ins for AWS, for tests: the local emulator as the product runs it, and moto."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from processor.stores.clients import AwsClients, open_clients
from processor.stores.config import AwsConfig, AwsCredentials
from processor.stores.provision import Names, Provisioned, provision, provision_identity
from service.local import LocalError
from service.local.emulator import ACCOUNT_ID, REGION, run_emulator
from tests.ports import held_port
from tests.waiting import eventually

#: Opens the emulator, and nothing else.
ADMINISTRATOR = AwsCredentials(access_key_id="test", secret_access_key="test")
#: moto's account.
MOTO_ACCOUNT_ID = "123456789012"
#: The origin that the source bucket lets upload.
ORIGIN = "https://app.example"


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalAws:
    """A running stand-in. `kind` says which, for the checks that one of them is known to fail."""

    kind: str
    endpoint_url: str
    account_id: str

    def config(self, credentials: AwsCredentials = ADMINISTRATOR, **options: float) -> AwsConfig:
        """How to reach it."""
        return AwsConfig(region=REGION, endpoint_url=self.endpoint_url, credentials=credentials, **options)  # type: ignore[arg-type]

    async def provision(self, stage: str, **options: int) -> tuple[Provisioned, AwsCredentials]:
        """Everything of a stage, and the key of its service's user."""
        async with open_clients(self.config()) as administrator:
            names = Names.of_stage(stage, self.account_id)
            made = await provision(administrator, names, cors_origins=[ORIGIN], **options)
            # moto knows users and policies, but neither asks for keys nor decides rightly when told to.
            return made, ADMINISTRATOR if self.kind == "moto" else await provision_identity(administrator, made)


@asynccontextmanager
async def run_local_emulator(data_dir: Path) -> AsyncIterator[LocalAws]:
    """The emulator of the local mode. Without it the tests are skipped on a laptop and fail in CI."""
    starting = run_emulator(data_dir, held_port())
    try:
        emulator = await starting.__aenter__()
    except LocalError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    try:
        yield LocalAws(kind="emulator", endpoint_url=emulator.endpoint_url, account_id=ACCOUNT_ID)
    finally:
        await starting.__aexit__(None, None, None)


@asynccontextmanager
async def run_moto(log_file: Path) -> AsyncIterator[LocalAws]:
    """moto's server as a child process: fast to ask, and faithful in what touches a single item."""
    url = f"http://127.0.0.1:{held_port()}"
    with log_file.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", url.rpartition(":")[2]),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        async with aiohttp.ClientSession() as session:
            await eventually(lambda: _answers(session, f"{url}/moto-api/"), what="moto's answer")
        yield LocalAws(kind="moto", endpoint_url=url, account_id=MOTO_ACCOUNT_ID)
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def fresh_stage(aws: LocalAws, **options: int) -> AsyncIterator[tuple[AwsClients, Provisioned]]:
    """A stage of its own, and the clients of its service."""
    made, credentials = await aws.provision(f"t{uuid.uuid4().hex[:8]}", **options)
    async with open_clients(aws.config(credentials)) as clients:
        yield clients, made


async def _answers(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(url) as answer:
            return answer.ok
    except aiohttp.ClientError:
        return False
