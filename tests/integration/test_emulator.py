"""The emulator as a child: what goes wrong with it is told in words that help."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from service.cli import main
from service.local import LocalError, emulator
from service.local.emulator import bindable, run_emulator
from service.local.run import local_settings

pytestmark = pytest.mark.usefixtures("process_restored")

#: Answers the health call, and does not end when it is asked to.
STUBBORN = """
import http.server, os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
    def log_message(self, *_):
        pass
http.server.HTTPServer(("127.0.0.1", int(os.environ["GATEWAY_PORT"])), Handler).serve_forever()
"""
#: Tells its address, and answers the health call.
SHOWING = STUBBORN.replace(
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)", "os.write(2, os.environ['BIND_HOST'].encode())"
)


def _instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, program: str) -> None:
    """Have another program started in the emulator's place."""
    (tmp_path / "program.py").write_text(program)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{tmp_path}/program.py"\n')
    python.chmod(0o755)
    monkeypatch.setenv("LOCAL_AWS_PYTHON", str(python))


async def test_a_missing_environment_is_named_with_the_command_that_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_AWS_PYTHON", str(tmp_path / "nowhere"))
    with pytest.raises(LocalError, match=r"nowhere.*make setup"):
        async with run_emulator(tmp_path):
            pass


async def test_an_emulator_that_ends_at_once_points_to_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _instead(tmp_path, monkeypatch, "raise SystemExit('no licence for mondays')")
    with pytest.raises(LocalError, match=r"emulator\.log says why"):
        async with run_emulator(tmp_path):
            pass
    assert "no licence for mondays" in (tmp_path / "emulator.log").read_text()


async def test_an_emulator_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emulator, "STOP_SECONDS", 0.2)
    _instead(tmp_path, monkeypatch, STUBBORN)
    async with run_emulator(tmp_path) as running:
        port = int(running.endpoint_url.rpartition(":")[2])
    assert bindable(port) == port  # nobody listens there any more


async def test_a_folder_serves_one_emulator_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _instead(tmp_path, monkeypatch, STUBBORN)
    monkeypatch.setattr(emulator, "STOP_SECONDS", 0.2)
    async with run_emulator(tmp_path):
        with pytest.raises(LocalError, match="in use by another local service"):
            async with run_emulator(tmp_path):
                pass


async def test_the_port_is_kept_across_restarts_so_that_urls_stay_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _instead(tmp_path, monkeypatch, STUBBORN)
    monkeypatch.setattr(emulator, "STOP_SECONDS", 0.2)
    urls = []
    for _ in range(2):
        async with run_emulator(tmp_path) as running:
            urls.append(running.endpoint_url)
    assert urls[0] == urls[1]


async def test_the_emulator_gets_nothing_of_the_environment_that_it_does_not_need(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    _instead(tmp_path, monkeypatch, "import os, sys; print(sorted(os.environ), file=sys.stderr)")
    with pytest.raises(LocalError):
        async with run_emulator(tmp_path):
            pass
    seen = (tmp_path / "emulator.log").read_text()
    assert "GATEWAY_PORT" in seen
    assert "SECRET" not in seen


def test_a_port_that_is_taken_is_an_error_before_anything_is_started(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = CliRunner().invoke(main, ["local", "--port", str(port), "--data-dir", str(tmp_path / "data")])
    assert result.exit_code == 1
    assert f"Port {port} is taken by another program: choose another one with PORT=" in result.output
    assert list((tmp_path / "data").iterdir()) == []


def test_a_bad_setting_is_named_by_the_local_mode_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _instead(tmp_path, monkeypatch, STUBBORN)
    monkeypatch.setattr(emulator, "STOP_SECONDS", 0.2)
    arguments = ["local", "--port", "0", "--data-dir", str(tmp_path / "data")]
    result = CliRunner().invoke(main, arguments, env={"WEBP_EFFORT": "9"})
    assert result.exit_code == 1
    assert "WEBP_EFFORT: got '9'" in result.output


async def test_a_container_chooses_the_port_of_the_emulator_and_the_address_of_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCAL_AWS_PORT", str(bindable(0)))
    monkeypatch.setenv("LOCAL_ADDRESS", "0.0.0.0")
    _instead(tmp_path, monkeypatch, SHOWING)
    async with run_emulator(tmp_path) as running:
        shown = (tmp_path / "emulator.log").read_text()
        settings = local_settings(8080, running.endpoint_url, os.environ)
    assert running.endpoint_url == f"http://127.0.0.1:{os.environ['LOCAL_AWS_PORT']}"
    assert "0.0.0.0" in shown
    assert settings.host == "0.0.0.0"


async def test_nobody_else_reaches_the_local_mode_unless_it_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOST", "0.0.0.0")  # some shells export the machine's name as this
    _instead(tmp_path, monkeypatch, SHOWING)
    async with run_emulator(tmp_path) as running:
        shown = (tmp_path / "emulator.log").read_text()
        settings = local_settings(8080, running.endpoint_url, os.environ)
    assert "127.0.0.1" in shown
    assert settings.host == "127.0.0.1"
