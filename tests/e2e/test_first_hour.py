"""What somebody meets who starts it for the first time: the greeting, the first key, the terminal, the end."""

from __future__ import annotations

import asyncio
import fcntl
import os
import re
import shutil
import signal
from pathlib import Path
from typing import Any, Self

import pytest

from tests.e2e.conftest import COMMAND, LOCAL_AWS, SHORT_POLLS, LocalService, MakeService
from tests.fleet import untraced
from tests.no_secrets import SECRETS
from tests.waiting import eventually

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is no requirement of this project")
#: What a machine may be set up with for other accounts and networks.
OTHERS = {
    "AWS_PROFILE": "production",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
    "S3_PUBLIC_ENDPOINT_URL": "http://127.0.0.1:1",
    "CLOUDFRONT_DISTRIBUTION_ID": "E123",
    "HTTP_PROXY": "http://127.0.0.1:1",
    "http_proxy": "http://127.0.0.1:1",
}


async def _run(*command: str | Path, cwd: Path, **environment: str) -> tuple[int | None, str]:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=cwd,
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await asyncio.wait_for(process.communicate(), 180)
    return process.returncode, output.decode()


def _commands(said: str) -> str:
    """The greeting's, as they stand: what is indented by four, but for the places at its beginning."""
    lines = re.findall(r"^    (.*)$", said, re.MULTILINE)
    return "\n".join(line for line in lines if not re.match(r"(API|Console|Reference|AWS)  ", line))


async def _greeting(service: LocalService) -> str:
    async def said() -> str:
        text = service.log_file.read_text()
        return text if "Ctrl-C stops it" in text else ""

    return await eventually(said, what="the greeting")


@needs_curl
@pytest.mark.parametrize("mode", [pytest.param("none", marks=pytest.mark.slow), "api_key"])
async def test_the_commands_of_the_greeting_run_as_they_stand_in_an_empty_folder(
    make_service: MakeService, tmp_path: Path, mode: str
) -> None:
    service = await make_service(AUTH_MODES=mode, **OTHERS)
    (elsewhere := tmp_path / "elsewhere").mkdir()
    commands = _commands(await _greeting(service)).replace("curl -s", "curl -sf")
    assert commands.count("\n") > 12
    code, output = await _run("bash", "-euo", "pipefail", "-c", commands, cwd=elsewhere)
    assert code == 0, output
    assert "completed photo.png" in output
    assert '"status":"completed"' in output
    assert '"message":"Image deleted"' in output


@pytest.mark.slow
@needs_curl
async def test_the_commands_of_the_greeting_end_for_whoever_is_refused(
    make_service: MakeService, tmp_path: Path
) -> None:
    service = await make_service(AUTH_MODES="api_key", **OTHERS)
    commands = re.sub("^export TRUSS_IMAGE_API_KEY=.*$", "", _commands(await _greeting(service)), flags=re.MULTILINE)
    _, output = await _run("sh", "-c", commands, cwd=tmp_path, TRUSS_IMAGE_API_KEY="")
    assert '"code":"not_found"' in output, "the answer about the job"
    assert '"code":"unauthenticated"' in output, "the list"


@pytest.mark.slow
async def test_whoever_asks_for_keys_is_given_a_first_one_that_opens_the_next_start_too(
    make_service: MakeService, tmp_path: Path
) -> None:
    service = await make_service(AUTH_MODES="api_key", **OTHERS)
    key = (service.data_dir / "admin-key").read_text().strip()
    await service.call("GET", "/images/list", expect=401)
    await service.call("GET", "/images/keys", headers={"X-Api-Key": key})
    assert await service.stop() == 0
    await service.start()
    await service.call("GET", "/images/keys", headers={"X-Api-Key": key})
    assert (service.data_dir / "admin-key").stat().st_mode & 0o777 == 0o600
    assert str(service.data_dir / "admin-key") in service.log_file.read_text()


@pytest.mark.slow  # a process for each of them
async def test_other_commands_work_on_the_running_local_mode_without_any_variable_of_aws(
    make_service: MakeService, tmp_path: Path
) -> None:
    service = await make_service(AUTH_MODES="api_key")
    place = {"DATA_DIR": str(service.data_dir), **OTHERS}
    made = await _run(COMMAND, "keys", "create", "--name", "n", "--scope", "images:read", cwd=tmp_path, **place)
    assert made[0] == 0, made[1]
    key = next(found[0] for found in SECRETS.finditer(made[1]))
    await service.call("GET", "/images/list", headers={"X-Api-Key": key})
    assert (await _run(COMMAND, "keys", "list", cwd=tmp_path, **place))[1].count("good") == 2
    assert (await _run(COMMAND, "reconcile", cwd=tmp_path, **place))[1].endswith("nothing out of order\n")
    assert (await _run(COMMAND, "verify", cwd=tmp_path, **place))[1].endswith("0 images, 0 differences\n")
    second = await _run(COMMAND, "local", cwd=tmp_path, **place, PORT="0")
    assert second[0] == 1
    assert f"in use by another local mode, at {service.url}" in second[1]
    await service.stop()
    code, said = await _run(COMMAND, "keys", "list", cwd=tmp_path, **place)
    assert code == 1
    assert "start it with `make run`" in said


class _Terminal:
    """A process on a terminal of its own, and what it shows."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.shown = ""
        self._folder = folder
        own = {"PORT": "0", "DATA_DIR": str(folder), "TERM": "xterm"}
        self._environment = untraced() | own | SHORT_POLLS | environment

    async def __aenter__(self) -> Self:
        self._master, slave = os.openpty()
        self.process = await asyncio.create_subprocess_exec(
            *(COMMAND, "local"), stdin=slave, stdout=slave, stderr=slave, env=self._environment, start_new_session=True
        )
        os.close(slave)
        self._reading = asyncio.create_task(asyncio.to_thread(self._read))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self._reading
        os.close(self._master)

    def _read(self) -> None:
        try:
            while data := os.read(self._master, 65536):
                self.shown += data.decode(errors="replace").replace("\r\n", "\n")
        except OSError:  # nobody writes any more
            return

    async def shows(self, text: str) -> str:
        async def look() -> str:
            return self.shown if text in self.shown else ""

        return await eventually(look, what=f"{text!r} on the terminal")

    async def emulator_ended(self) -> Any:
        """Whether nobody holds the emulator's lock any more."""

        async def look() -> bool:
            with (self._folder / "lock").open() as lock:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return False
            return True

        return await eventually(look, what="the end of the emulator")


needs_emulator = pytest.mark.skipif(not LOCAL_AWS.exists(), reason="the local AWS is not installed: run `make setup`")


@pytest.mark.slow
@needs_emulator
async def test_a_terminal_shows_the_first_key_once_and_a_request_on_one_line(tmp_path: Path, session: Any) -> None:
    async with _Terminal(tmp_path, AUTH_MODES="api_key", NO_COLOR="1") as first:
        said = await first.shows("Ctrl-C stops it")
        (key,) = (found[0] for found in SECRETS.finditer(said))
        (url,) = re.findall(r"API +(http://\S+)", said)
        async with session.get(f"{url}/images/list", headers={"X-Api-Key": key}) as answer:
            assert answer.status == 200
        said = await first.shows("/images/list 200")
        assert re.search(r"^\d\d:\d\d:\d\d GET /images/list 200 \d+ ms #\w{6}$", said, re.MULTILINE)
        first.process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(first.process.wait(), 180) == 0
    async with _Terminal(tmp_path, AUTH_MODES="api_key") as second:
        said = await second.shows("Ctrl-C stops it")
        assert SECRETS.search(said) is None
        assert f'export TRUSS_IMAGE_API_KEY="$(cat {tmp_path}/admin-key)"' in said
        second.process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(second.process.wait(), 180) == 0


@needs_emulator
@pytest.mark.parametrize(
    ("number", "times"),
    [
        pytest.param(signal.SIGINT, 1, id="Ctrl-C"),
        pytest.param(signal.SIGINT, 2, id="Ctrl-C twice", marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 1, id="SIGTERM", marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, 2, id="SIGTERM twice"),
    ],
)
@pytest.mark.slow
async def test_an_end_while_it_starts_leaves_no_trace_and_no_emulator(
    tmp_path: Path, number: signal.Signals, times: int
) -> None:
    folder, slow, go = tmp_path / "data", tmp_path / "python", tmp_path / "go"
    # Or all might be up before the signal comes.
    slow.write_text(f'#!/bin/sh\nuntil [ -e "{go}" ]; do sleep 0.05; done\nexec "{LOCAL_AWS}" "$@"\n')
    slow.chmod(0o755)
    async with _Terminal(folder, LOCAL_AWS_PYTHON=str(slow)) as terminal:
        await terminal.shows("Starting over the data")

        async def emulator_starts() -> bool:
            return (folder / "emulator.log").exists()

        try:
            await eventually(emulator_starts, what="the start of the emulator")
            for _ in range(times):
                terminal.process.send_signal(number)
            assert await asyncio.wait_for(terminal.process.wait(), 180) == 128 + number
        finally:
            go.touch()
        await terminal.emulator_ended()
        assert "Traceback" not in terminal.shown
        assert "Exception" not in terminal.shown


@pytest.mark.slow
@needs_emulator
async def test_a_second_ctrl_c_ends_it_at_once_and_the_data_is_still_saved_whatever_the_folder_is_called(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "für zwei \udcff"
    async with _Terminal(folder, PYTHONIOENCODING="ascii") as terminal:
        await terminal.shows("Ctrl-C stops it")
        for _ in range(2):
            terminal.process.send_signal(signal.SIGINT)
        code = await asyncio.wait_for(terminal.process.wait(), 180)
        assert code in (0, 128 + signal.SIGINT)  # two that come together are one for the kernel
        await terminal.emulator_ended()
        assert (folder / "saved").exists()
        assert "Traceback" not in terminal.shown
