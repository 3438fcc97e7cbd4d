"""The local mode before it runs: whatever is wrong is one sentence that says what to do; and how others find it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from service.cli import main
from service.config import Settings
from service.local import LocalError
from service.local.folder import RUNNING_FILE, Running, announce, find_running, held, refuse_second
from service.local.greeting import Addresses, greeting
from service.local.run import settings_of_running
from tests.in_part import one_in
from tests.ports import held_port

pytestmark = pytest.mark.usefixtures("process_restored")

#: What local mode reads besides the settings.
ITS_OWN = ("PORT", "DATA_DIR", "LOCAL_AWS_PORT", "LOCAL_ADDRESS", "LOCAL_AWS_PYTHON")
ODD = ("odd value", "-1", "99999999999999999999", "[]", "~nobody-of-this-name/x", "\u202e💥", "\udcff")


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield listening.getsockname()[1]


def complaint(folder: Path, **variables: str) -> str:
    """What `truss-image local` says when it does not start: one sentence, and no trace. No emulator is there."""
    variables = {"PORT": "0", "DATA_DIR": str(folder), "LOCAL_AWS_PYTHON": str(folder / "none"), **variables}
    result = CliRunner().invoke(main, ["local"], env=variables)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 1
    *before, said = result.output.splitlines()
    assert all(line.startswith("Starting over the data in ") for line in before)
    assert said.startswith("Error: ")
    return said


@pytest.mark.parametrize("variable", one_in(24, sorted({*ITS_OWN, *Settings.variables()})))
def test_no_value_of_any_variable_ends_in_a_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.chdir(tmp_path)  # where a folder with an odd name is made
    for value in ODD:
        said = complaint(tmp_path / "data", **{variable: value})
        named = f"{variable}:" in said or f"{variable}=" in said
        assert named or "The local AWS is not installed" in said, value


@pytest.mark.parametrize("variable", ["PORT", "LOCAL_AWS_PORT", "METRICS_PORT"])
def test_a_port_that_is_taken_is_named_with_the_variable_that_chooses_another(
    tmp_path: Path, taken: int, variable: str
) -> None:
    said = complaint(tmp_path, **{variable: str(taken)})
    assert (
        said
        == f"Error: Port {taken} is taken by another program: choose another one with {variable}=, or {variable}=0."
    )


def test_two_ports_that_are_one_are_named_both(tmp_path: Path) -> None:
    port = str(held_port())
    said = complaint(tmp_path, PORT=port, LOCAL_AWS_PORT=port)
    assert said.endswith(f"PORT and LOCAL_AWS_PORT are both {port}: choose different ports.")


@pytest.mark.parametrize("addresses", ["file", "file/below", "/proc/nowhere", "/dev/null", "x" * 300])
def test_a_folder_that_cannot_be_one_is_named_with_its_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, addresses: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    said = complaint(tmp_path, DATA_DIR=addresses)
    assert addresses in said
    assert said.endswith("choose another folder with DATA_DIR=.")


@pytest.mark.parametrize("inside", [RUNNING_FILE, "lock", "emulator.log", "port"])
def test_a_folder_in_which_something_cannot_be_written_is_named_too(tmp_path: Path, inside: str) -> None:
    (tmp_path / inside).mkdir()
    assert complaint(tmp_path, LOCAL_AWS_PYTHON="/bin/false").endswith("choose another folder with DATA_DIR=.")


def test_an_empty_variable_is_as_good_as_none_but_a_folder_without_a_name_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    complaint(tmp_path, DATA_DIR="", LOCAL_ADDRESS="", LOCAL_AWS_PORT="", METRICS_PORT="")
    assert (tmp_path / ".local" / RUNNING_FILE).exists()
    result = CliRunner().invoke(main, ["local", "--data-dir", ""])
    assert (result.exit_code, len(result.output.splitlines())) == (1, 1)


@pytest.mark.parametrize(("python", "why"), [("/bin/false", "did not start"), ("/etc/passwd", "cannot be run")])
def test_a_broken_environment_of_the_emulator_is_told_from_a_missing_one(tmp_path: Path, python: str, why: str) -> None:
    said = complaint(tmp_path, LOCAL_AWS_PYTHON=python)
    assert why in said
    assert "LOCAL_AWS_PYTHON=" in said


def test_a_second_start_over_the_same_folder_is_refused_at_once_and_told_where_the_first_is(tmp_path: Path) -> None:
    with held(tmp_path) as file:
        assert f"{tmp_path} is in use by another local mode: " in complaint(tmp_path)
        announce(file, Running(url="http://127.0.0.1:8080", endpoint_url="http://127.0.0.1:4566"))
        said = complaint(tmp_path)
    assert "in use by another local mode, at http://127.0.0.1:8080" in said
    assert "DATA_DIR=" in said


def test_what_a_killed_one_left_behind_is_no_obstacle_and_nobody_takes_it_for_a_running_one(tmp_path: Path) -> None:
    (tmp_path / RUNNING_FILE).write_text('{"url": "http://127.0.0.1:1", "endpoint_url": "http://127.0.0.1:2"}')
    refuse_second(tmp_path)
    with pytest.raises(LocalError, match=r"No local mode runs over .*make run.*DATA_DIR="):
        find_running({"DATA_DIR": str(tmp_path)})
    with held(tmp_path), pytest.raises(LocalError):  # it only starts
        find_running({"DATA_DIR": str(tmp_path)})


def test_commands_find_what_runs_over_the_folder(tmp_path: Path) -> None:
    with held(tmp_path) as file:
        announce(file, Running(url="http://127.0.0.1:8123", endpoint_url="http://127.0.0.1:4566"))
        settings, credentials = settings_of_running({"DATA_DIR": str(tmp_path)})
    assert (settings.cloudfront_url, settings.aws_endpoint_url) == ("http://127.0.0.1:8123", "http://127.0.0.1:4566")
    assert settings.processing_table.endswith("-local")
    assert credentials.access_key_id == "test"


@pytest.mark.parametrize("arguments", [["keys", "list"], ["reconcile"], ["verify"]], ids=" ".join)
def test_commands_that_find_nothing_say_so_in_one_sentence(tmp_path: Path, arguments: list[str]) -> None:
    result = CliRunner().invoke(main, arguments, env={"DATA_DIR": str(tmp_path / "nowhere")})
    assert result.exit_code == 1
    (said,) = result.output.splitlines()
    assert f"No local mode runs over {tmp_path / 'nowhere'}: start it with `make run`" in said


@pytest.mark.parametrize("arguments", [["keys", "list"], ["reconcile"], ["verify"]], ids=" ".join)
def test_who_described_half_a_service_is_told_what_is_missing_and_not_sent_to_the_local_mode(
    tmp_path: Path, arguments: list[str]
) -> None:
    with held(tmp_path) as file:
        announce(file, Running(url="http://127.0.0.1:8123", endpoint_url="http://127.0.0.1:4566"))
        environment = {"DATA_DIR": str(tmp_path), "SOURCE_BUCKET": "production"}
        result = CliRunner().invoke(main, arguments, env=environment)
    assert "PROCESSING_TABLE: is required" in result.output


def test_variables_for_an_account_at_aws_do_not_reach_the_local_one(tmp_path: Path) -> None:
    other = {
        "AWS_PROFILE": "production",
        "AWS_SECRET_ACCESS_KEY": "s",
        "HTTPS_PROXY": "http://127.0.0.1:1",
        "NO_PROXY": "intranet",
    }
    seen: dict[str, str] = {}
    runner = CliRunner()
    with runner.isolation(env=other):
        complaint(tmp_path)
        seen |= os.environ
    assert {name for name in seen if name.startswith("AWS_")} == {"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"}
    assert seen["NO_PROXY"] == "intranet,127.0.0.1"


def test_the_greeting_fits_a_terminal_of_80_columns_and_names_the_command_as_it_was_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    addresses = Addresses(url="http://127.0.0.1:8080", aws_url="http://127.0.0.1:4566", folder=Path("/data"))
    monkeypatch.setattr("sys.argv", ["/opt/it/bin/truss-image"])
    said = greeting(addresses, show_key=True)
    assert max(map(len, said.splitlines())) <= 80
    assert "\n    /opt/it/bin/truss-image submit --url http://127.0.0.1:8080 photo.png\n" in said
    monkeypatch.setattr("shutil.which", lambda name: f"/opt/it/bin/{name}")
    assert "\n    truss-image submit --url " in greeting(addresses, show_key=True)


def test_the_greeting_names_the_page_for_people_while_there_is_one() -> None:
    addresses = Addresses(url="http://127.0.0.1:8080", aws_url="http://127.0.0.1:4566", folder=Path("/data"))
    assert "    Console    http://127.0.0.1:8080/images/console\n" in greeting(addresses, show_key=True)
    assert "Console" not in greeting(replace(addresses, console=False), show_key=True)


def test_a_container_names_nothing_that_only_exists_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = Addresses(
        url="http://127.0.0.1:8080", aws_url="http://127.0.0.1:4566", folder=Path("/data"), contained=True
    )
    said = greeting(addresses, show_key=True)
    assert "truss-image submit" not in said
    assert ".venv" not in said
    assert 'curl -s -o photo.png "$TRUSS/sample.png"' in said


def test_whoever_needs_a_token_of_the_user_pool_is_told_so() -> None:
    addresses = Addresses(
        url="http://127.0.0.1:8080", aws_url="http://127.0.0.1:4566", folder=Path("/data"), locked=True
    )
    said = greeting(addresses, show_key=True)
    assert "Authorization: Bearer" in said
    assert "X-Api-Key" not in said
