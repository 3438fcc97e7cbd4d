"""From the outputs of a stack to values of the chart."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from infra.values import OTHERS, main, unknown_among, values_of
from service.config import Settings
from tests.infra.template import Stack, load
from tests.infra.test_deployment import environment_of

ROOT = Path(__file__).parents[2]
EVERYTHING = {
    "CorsOrigins": "https://app.example",
    "OidcProvider": "oidc.eks.eu-west-1.amazonaws.com/id/ABC123",
    "CreateUserPool": "true",
    "CallbackUrls": "https://app.example/back",
}


def _description(outputs: dict[str, str]) -> str:
    listed = [{"OutputKey": name, "OutputValue": value} for name, value in outputs.items()]
    return json.dumps({"Stacks": [{"StackName": "truss-image-dev", "Outputs": listed}]})


def test_every_output_is_a_setting_or_known_to_be_none() -> None:
    aliases = {field.alias for field in Settings.model_fields.values()}
    outputs = Stack(EVERYTHING).outputs()
    config = values_of(outputs)["config"]
    assert len(config) == len(outputs) - len(OTHERS.keys() - {"PodIdentity"})
    assert set(environment_of({"config": config})) <= aliases


def test_the_outputs_are_all_that_the_service_must_be_told() -> None:
    required = {field.alias for field in Settings.model_fields.values() if field.is_required()}
    assert required <= set(environment_of(values_of(Stack().outputs())))


def test_the_service_accepts_what_the_stack_says() -> None:
    settings = Settings.from_env(environment_of(values_of(Stack(EVERYTHING).outputs())))
    assert settings.stage == "dev"
    assert settings.cors_origins == ("https://app.example",)
    assert {mode.value for mode in settings.auth_modes} == {"api_key", "cognito"}


def test_with_pod_identity_the_pods_may_ask_its_agent_and_have_no_role_of_their_own() -> None:
    outputs = Stack(EVERYTHING | {"PodIdentityCluster": "my-cluster"}).outputs()
    values = values_of(outputs)
    assert values["serviceAccount"] == {"podIdentity": True}
    assert "roleSessionSeconds" not in values["config"]


def test_the_role_goes_to_the_service_account() -> None:
    assert values_of({"Stage": "dev", "ServiceRoleArn": "arn:role"}) == {
        "config": {"stage": "dev"},
        "serviceAccount": {"roleArn": "arn:role"},
    }


@pytest.mark.parametrize(
    ("output", "text", "key", "value"),
    [
        ("RoleSessionSeconds", "43200", "roleSessionSeconds", 43200),
        ("LimitRequestsPerSecond", "0.5", "limitRequestsPerSecond", 0.5),
        ("LimitRequestsPerSecond", "5", "limitRequestsPerSecond", 5),
        ("CognitoScopeMap", '{"editors": ["images:read"]}', "cognitoScopeMap", {"editors": ["images:read"]}),
        ("AuthModes", "api_key,cognito", "authModes", "api_key,cognito"),
        # What looks like a number and is a name stays text.
        ("SourceBucket", "20261126", "sourceBucket", "20261126"),
        ("CognitoClientIds", "1e9", "cognitoClientIds", "1e9"),
    ],
)
def test_an_output_has_the_type_that_the_chart_asks_for(output: str, text: str, key: str, value: object) -> None:
    (found,) = values_of({output: text})["config"].items()
    assert found == (key, value)
    assert type(found[1]) is type(value)


@pytest.mark.parametrize(
    "text", ["twelve hours", "43200.5", "1e3", "true", "null", "[43200]", "NaN", "0x10", "9" * 5000]
)
def test_what_cannot_have_that_type_is_named_with_its_output_and_its_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    file = tmp_path / "stack.json"
    file.write_text(_description({"Stage": "dev", "RoleSessionSeconds": text}))
    assert main(["--outputs", str(file)]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert (
        f"RoleSessionSeconds is {text!r}; the chart's config.roleSessionSeconds must be of the type integer"
        in shown.err
    )


def test_an_output_that_the_chart_does_not_know_is_left_out_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "stack.json"
    file.write_text(_description({"Stage": "dev", "WebAclArn": "arn:x", "SignInUrl": "https://x", "": "?"}))
    assert main(["--outputs", str(file)]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == {"config": {"stage": "dev"}}
    assert shown.err == "infra.values: left out, for the chart has no such value: WebAclArn, \n"


def test_every_value_that_is_no_setting_is_one_of_the_chart() -> None:
    texts = {"ServiceRoleArn": "text", "PodIdentity": "true"}
    assert texts.keys() == {name for name, path in OTHERS.items() if path}
    assert values_of(texts) == {"serviceAccount": {"roleArn": "text", "podIdentity": True}}
    assert unknown_among(OTHERS) == []
    assert unknown_among(load()["Outputs"]) == []


def test_the_command_reads_what_the_aws_cli_printed_and_needs_python_alone(tmp_path: Path) -> None:
    file = tmp_path / "stack.json"
    file.write_text(_description({"SourceBucket": "b", "QueueUrl": "https://q"}))
    command = [
        sys.executable,
        "-I",
        "-S",
        "-c",
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); from infra.values import main; sys.exit(main())",
    ]
    done = subprocess.run([*command, "--outputs", str(file)], capture_output=True, text=True, timeout=180, check=True)
    assert json.loads(done.stdout) == {"config": {"sourceBucket": "b", "queueUrl": "https://q"}}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("no JSON", "Expecting value"),
        ("{}", "describe-stacks"),
        ("[]", "describe-stacks"),
        (_description({}), "no outputs"),
        ('{"Stacks": [{"StackName": "truss-image-dev", "Outputs": null}]}', "no outputs"),
    ],
)
def test_what_is_no_description_of_a_stack_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, complaint: str
) -> None:
    file = tmp_path / "stack.json"
    file.write_text(text)
    assert main(["--outputs", str(file)]) == 1
    assert complaint in capsys.readouterr().err


def _aws(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An AWS CLI that answers with `script`."""
    command = folder / "aws"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=":")


def test_the_stack_is_asked_for_by_the_aws_cli(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _aws(tmp_path, f"echo '{_description({'Stage': 'dev'})}'; echo \"$@\" > {tmp_path}/asked", monkeypatch)
    assert main(["--stack", "truss-image-dev", "--region", "eu-west-1"]) == 0
    assert json.loads(capsys.readouterr().out) == {"config": {"stage": "dev"}}
    assert (tmp_path / "asked").read_text().split()[-4:] == ["--stack-name", "truss-image-dev", "--region", "eu-west-1"]


def test_an_aws_cli_that_prints_no_json_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _aws(tmp_path, "echo Stacks: none", monkeypatch)
    assert main(["--stack", "truss-image-dev"]) == 1
    assert "The AWS CLI: Expecting value" in capsys.readouterr().err


def test_what_the_aws_cli_complains_of_is_passed_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _aws(tmp_path, "echo 'Stack with id x does not exist' >&2; exit 254", monkeypatch)
    assert main(["--stack", "x"]) == 1
    assert "Stack with id x does not exist" in capsys.readouterr().err


def test_without_the_aws_cli_a_file_is_proposed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["--stack", "x"]) == 1
    assert "--outputs" in capsys.readouterr().err
