"""The settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from processor.looking.models import KEPT_BYTES, LOOK_BYTES
from service.auth.principal import Scope
from service.auth.settings import AuthMode
from service.config import Settings, SettingsError
from service.machine import OWN_BYTES
from tests.models import MODELS, needs_models

REQUIRED = {
    "SOURCE_BUCKET": "source",
    "PROCESSED_BUCKET": "processed",
    "PROCESSING_TABLE": "table",
    "QUEUE_URL": "https://sqs.eu-west-1.amazonaws.com/1/queue",
    "CLOUDFRONT_URL": "https://d1.cloudfront.net/",
}


def test_five_names_are_enough() -> None:
    settings = Settings.from_env(REQUIRED)
    assert settings.port == 8080
    assert settings.stage == "dev"
    assert settings.worker_threads >= 1


def test_every_bad_value_is_named_with_what_is_allowed_in_one_go() -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.from_env({**REQUIRED, "PORT": "http", "MAX_PIXELS": "-1", "QUEUE_URL": "", "STAGE": "Prod!"})
    complaints = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in complaints] == ["STAGE", "QUEUE_URL", "PORT", "MAX_PIXELS"]
    assert "QUEUE_URL: is required" in complaints
    assert "PORT: got 'http'; input should be a valid integer" in complaints[2]
    assert "greater than or equal to 1" in complaints[3]


def test_a_drain_shorter_than_one_conversion_is_refused() -> None:
    with pytest.raises(SettingsError, match="DRAIN_SECONDS: got 60; must exceed PROCESS_TIMEOUT_SECONDS"):
        Settings.from_env({**REQUIRED, "DRAIN_SECONDS": "60", "PROCESS_TIMEOUT_SECONDS": "60"})


def test_a_base_url_loses_its_last_slash() -> None:
    assert Settings.from_env(REQUIRED).cloudfront_url == "https://d1.cloudfront.net"


def test_origins_are_separated_by_commas() -> None:
    settings = Settings.from_env({**REQUIRED, "CORS_ORIGINS": "https://a.example, https://b.example,"})
    assert settings.cors_origins == ("https://a.example", "https://b.example")


@pytest.mark.parametrize(("slots", "expected"), [(None, 4), ("9", 9)])
def test_one_message_more_than_threads_is_in_work_unless_said_otherwise(slots: str | None, expected: int) -> None:
    given = {**REQUIRED, "WORKER_THREADS": "3"} | ({"WORKER_SLOTS": slots} if slots else {})
    assert Settings.from_env(given).slots == expected


def test_the_table_names_every_variable_with_its_default_and_meaning() -> None:
    table = Settings.table()
    assert "| `SOURCE_BUCKET` | required | Private bucket that clients upload to. |" in table
    assert "| `PORT` | `8080` |" in table
    assert "| `WORKER_THREADS` | processors |" in table
    assert table.count("\n") == len(Settings.model_fields) + 1


def test_api_keys_are_the_way_in_unless_said_otherwise() -> None:
    assert Settings.from_env(REQUIRED).auth_modes == {AuthMode.API_KEY}


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"AUTH_MODES": "none", "STAGE": "prod"}, "AUTH_MODES: `none` is not for the stage `prod`"),
        ({"AUTH_MODES": "none,api_key"}, "AUTH_MODES: `none` goes with no other mode"),
        ({"AUTH_MODES": "cognito"}, "AUTH_MODES: `cognito` needs COGNITO_ISSUER and COGNITO_CLIENT_IDS"),
        ({"AUTH_MODES": ","}, "AUTH_MODES"),
        ({"AUTH_MODES": "password"}, "AUTH_MODES"),
        ({"COGNITO_SCOPE_MAP": "editors=read"}, "COGNITO_SCOPE_MAP: got 'editors=read'; must be a JSON object"),
        ({"COGNITO_SCOPE_MAP": '{"editors": ["images:all"]}'}, "COGNITO_SCOPE_MAP"),
        ({"COGNITO_ISSUER": "https://issuer.example/"}, "COGNITO_ISSUER"),
        ({"CONSOLE_SIGN_IN_URL": "https://pool.example"}, "CONSOLE_SIGN_IN_URL: needs CONSOLE_CLIENT_ID"),
        ({"CONSOLE_CLIENT_ID": "web"}, "CONSOLE_CLIENT_ID: needs CONSOLE_SIGN_IN_URL"),
        (
            {"CONSOLE_SIGN_IN_URL": "https://pool.example", "CONSOLE_CLIENT_ID": "web", "COGNITO_CLIENT_IDS": "app"},
            "CONSOLE_CLIENT_ID: must be among COGNITO_CLIENT_IDS",
        ),
    ],
)
def test_ways_in_that_do_not_fit_together_are_refused(given: dict[str, str], complaint: str) -> None:
    with pytest.raises(SettingsError, match=complaint):
        Settings.from_env({**REQUIRED, **given})


def test_a_sign_in_of_the_console_that_fits_the_pool_is_taken() -> None:
    sign_in = {"CONSOLE_SIGN_IN_URL": "https://pool.example", "CONSOLE_CLIENT_ID": "web"}
    settings = Settings.from_env({**REQUIRED, **sign_in, "COGNITO_CLIENT_IDS": "app,web"})
    assert (settings.console_sign_in_url, settings.console_client_id) == ("https://pool.example", "web")


def test_scopes_are_mapped_by_json() -> None:
    settings = Settings.from_env({**REQUIRED, "COGNITO_SCOPE_MAP": '{"editors": ["images:read", "images:write"]}'})
    assert settings.cognito_scope_map == {"editors": {Scope.READ, Scope.WRITE}}


@pytest.mark.parametrize("name", ["faces.onnx", ""])
def test_a_folder_without_the_models_is_refused_with_the_name_of_a_file(name: str, tmp_path: Path) -> None:
    if name:
        (tmp_path / name).write_bytes(b"another file")
    with pytest.raises(SettingsError, match=r"^MODELS_DIR: got '.*'; .*faces\.onnx .*`make models` makes it$"):
        Settings.from_env({**REQUIRED, "MODELS_DIR": str(tmp_path)})


@needs_models
def test_the_models_and_every_thread_that_looks_leave_less_memory_for_pictures() -> None:
    def settings(**more: str) -> Settings:
        return Settings.from_env({**REQUIRED, "WORKER_THREADS": "2", "MEMORY_BUDGET_BYTES": str(2**31), **more})

    looking = settings(MODELS_DIR=str(MODELS))
    models = KEPT_BYTES + 2 * LOOK_BYTES
    without = settings().affordable(2**31).memory_budget_bytes
    assert without - looking.affordable(2**31).memory_budget_bytes == models
    with pytest.raises(SettingsError, match=f"the process itself takes {OWN_BYTES + models}"):
        looking.affordable(2**29)
