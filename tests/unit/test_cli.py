"""The command line: help everywhere, bad values named."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from service.cli import main


@pytest.mark.parametrize("arguments", [["--help"], ["serve", "--help"], ["local", "-h"], ["submit", "--help"]])
def test_help_is_everywhere(arguments: list[str]) -> None:
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0
    assert "Usage:" in result.output


def test_the_version_is_told() -> None:
    assert "truss-image" in CliRunner().invoke(main, ["--version"]).output


def test_serve_without_its_configuration_names_everything_that_is_missing() -> None:
    result = CliRunner().invoke(main, ["serve"], env={"SOURCE_BUCKET": "source", "PORT": "http"})
    assert result.exit_code == 1
    for complaint in ("PROCESSED_BUCKET: is required", "QUEUE_URL: is required", "PORT: got 'http'"):
        assert complaint in result.output
    assert "SOURCE_BUCKET" not in result.output


def test_submit_wants_files_that_exist() -> None:
    result = CliRunner().invoke(main, ["submit", "nowhere.jpg"])
    assert result.exit_code == 2
    assert "nowhere.jpg" in result.output


def test_submit_wants_at_least_one_photo() -> None:
    assert CliRunner().invoke(main, ["submit"]).exit_code == 2
