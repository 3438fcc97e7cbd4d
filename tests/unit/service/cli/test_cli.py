"""The command line: help everywhere, for a small price; bad values named."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from service.cli import main
from tests.in_part import one_in

#: What `--help` must not pay for: the server, the SDK, libvips, and whatever else only some commands need.
EXPENSIVE = frozenset(
    {
        *(
            "aioboto3",
            "aiobotocore",
            "aiohttp",
            "asyncio",
            "boto3",
            "botocore",
            "http.client",
            "jwt",
            "prometheus_client",
        ),
        *("pydantic", "pyvips", "rich", "structlog", "tenacity"),
        *(
            "processor.pipeline",
            "processor.stores.clients",
            "service.app",
            "service.config",
            "service.lifespan",
            "service.wiring",
        ),
        *("service.server", "service.client.submit"),
    }
)


def commands(group: click.Group = main, *names: str) -> Iterator[tuple[str, ...]]:
    yield names
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from commands(command, *names, name)
        else:
            yield (*names, name)


@pytest.mark.parametrize("option", ["--help", "-h"])
@pytest.mark.parametrize("command", list(commands()))
def test_help_is_everywhere(command: tuple[str, ...], option: str) -> None:
    result = CliRunner().invoke(main, [*command, option])
    assert result.exit_code == 0
    assert "Usage:" in result.output


@pytest.mark.parametrize("command", one_in(4, commands()))
def test_help_imports_nothing_that_it_does_not_need(command: tuple[str, ...]) -> None:
    script = (
        "import json, sys; from service.cli import main\n"
        "try: main([*sys.argv[1:], '--help'])\n"
        "except SystemExit: print(json.dumps(sorted(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", script, *command], capture_output=True, text=True, check=True)
    imported = json.loads(shown.stdout.splitlines()[-1])
    assert "click" in imported
    assert EXPENSIVE & set(imported) == set()


def test_the_help_of_submit_tells_examples_variables_fields_and_exit_codes() -> None:
    shown = CliRunner().invoke(main, ["submit", "--help"]).output
    for words in ("Examples:", "TRUSS_IMAGE_URL", "TRUSS_IMAGE_API_KEY", "alreadyThere", "processedImages", "  130  "):
        assert words in shown


def test_the_version_is_told() -> None:
    assert "truss-image" in CliRunner().invoke(main, ["--version"]).output


def test_serve_without_its_configuration_names_everything_that_is_missing() -> None:
    result = CliRunner().invoke(main, ["serve"], env={"SOURCE_BUCKET": "source", "PORT": "http"})
    assert result.exit_code == 1
    for complaint in ("PROCESSED_BUCKET: is required", "QUEUE_URL: is required", "PORT: got 'http'"):
        assert complaint in result.output
    assert "SOURCE_BUCKET" not in result.output


def test_submit_wants_at_least_one_photo() -> None:
    assert CliRunner().invoke(main, ["submit"]).exit_code == 2


@pytest.mark.parametrize("command", ["submit", "status"])
def test_a_bad_address_is_a_wrong_command_line(command: str) -> None:
    result = CliRunner().invoke(main, [command, "--url", "http://user:secret@local host", "a"])
    assert result.exit_code == 2
    assert "must not contain spaces" in result.output
    assert "secret" not in result.output


@pytest.mark.parametrize("key", ["a b-secret", "a\nb-secret", "ä-secret"])
def test_a_key_that_cannot_be_one_is_named_and_never_shown(key: str) -> None:
    result = CliRunner().invoke(main, ["submit", "a.jpg"], env={"TRUSS_IMAGE_API_KEY": key})
    assert result.exit_code == 2
    assert "TRUSS_IMAGE_API_KEY" in result.output
    assert "secret" not in result.output


def test_a_name_is_for_the_standard_input() -> None:
    result = CliRunner().invoke(main, ["submit", "--name", "a.png", "b.png"])
    assert result.exit_code == 2
    assert "standard input" in result.output
