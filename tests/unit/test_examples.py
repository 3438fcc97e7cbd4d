"""The examples do what they say, as far as that goes without an AWS account; the rest is in `tests/clients`."""

from __future__ import annotations

import ast
import base64
import importlib.util
import json
import logging
from types import ModuleType
from typing import Any

import hcl2
import pytest
from cfnlint.decode import cfn_yaml

from docs.generate import ROOT
from processor import clock
from processor.webhooks.signing import new_secret, signed

EXAMPLES = ROOT / "examples"
EVENT: dict[str, Any] = {
    "specversion": "1.0",
    "id": "img_1-3",
    "source": "truss-image",
    "type": "image.completed",
    "time": "2026-01-02T03:04:05.678Z",
    "subject": "6f1f7a52-3a6e-4d0e-9a55-2f0c9b8c1d7e",
    "data": {"processedImages": {"webp": {}, "thumbnail": {}}},
}
READY = "6f1f7a52-3a6e-4d0e-9a55-2f0c9b8c1d7e is ready: ['thumbnail', 'webp']"


# -- the Lambda -------------------------------------------------------------------------------------------------------


@pytest.fixture
def handler(caplog: pytest.LogCaptureFixture) -> ModuleType:
    spec = importlib.util.spec_from_file_location("handler", EXAMPLES / "lambda" / "handler.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    level = logging.getLogger().level
    spec.loader.exec_module(module)
    logging.getLogger().setLevel(level)
    caplog.set_level(logging.INFO)
    return module


def _request(secret: str, *, encoded: bool, body: str = json.dumps(EVENT)) -> dict[str, Any]:
    headers = signed(EVENT["id"], json.dumps(EVENT).encode(), clock.now(), [secret])
    text = base64.b64encode(body.encode()).decode() if encoded else body
    return {"version": "2.0", "headers": headers, "body": text, "isBase64Encoded": encoded}


@pytest.mark.parametrize("encoded", [True, False])
def test_the_lambda_takes_a_delivery_that_the_service_signed(
    handler: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, *, encoded: bool
) -> None:
    secret = new_secret()
    monkeypatch.setenv("WEBHOOK_SECRET", secret)
    assert handler.handler(_request(secret, encoded=encoded), None) == {"statusCode": 204}
    assert READY in caplog.messages


def test_the_lambda_refuses_what_was_not_signed_so(
    handler: ModuleType, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secret = new_secret()
    monkeypatch.setenv("WEBHOOK_SECRET", secret)
    other = json.dumps({**EVENT, "type": "image.deleted"})
    for request in (
        _request(new_secret(), encoded=False),
        _request(secret, encoded=False, body=other),
        {"headers": {}, "body": json.dumps(EVENT)},
        {},
    ):
        assert handler.handler(request, None) == {"statusCode": 401}
    assert READY not in caplog.messages


def test_the_lambda_takes_an_event_of_the_bus(handler: ModuleType, caplog: pytest.LogCaptureFixture) -> None:
    bridged = {"version": "0", "source": "truss-image", "detail-type": EVENT["type"], "detail": EVENT}
    assert handler.handler(bridged, None) == {}
    assert READY in caplog.messages


# -- the stack --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def template() -> Any:
    return cfn_yaml.load(str(ROOT / "infra" / "cloudformation" / "image-service.yaml"))


def test_terraform_sets_parameters_and_reads_outputs_that_the_template_has(template: Any) -> None:
    text = (EXAMPLES / "terraform" / "main.tf").read_text()
    parsed = hcl2.loads(text)
    (stack,) = (each for block in parsed["resource"] for each in block.values())
    (given,) = stack.values()
    names = {name.strip('"') for name in given["parameters"]}
    assert len(names) > 4
    assert names <= set(template["Parameters"])
    assert "image-service.yaml" in str(given["template_body"])
    outputs = {name for name in template["Outputs"] if f'"{name}"' in text}
    assert len(outputs) == len(parsed["output"]) == 3
    variables = {name.strip('"') for block in parsed["variable"] for name in block}
    assert all(f"var.{name}" in text for name in variables)


def test_the_cdk_sets_parameters_that_the_template_has(template: Any) -> None:
    tree = ast.parse((EXAMPLES / "cdk" / "stack.py").read_text())
    (given,) = (
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "parameters"
    )
    assert isinstance(given, ast.Dict)
    names = {key.value for key in given.keys if isinstance(key, ast.Constant)}
    assert len(names) == len(given.keys) > 1
    assert names <= set(template["Parameters"])


def test_every_folder_is_in_the_list_and_the_list_names_what_exists() -> None:
    text = (EXAMPLES / "README.md").read_text()
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir()}
    assert {line.split("[")[1].split("]")[0] for line in text.splitlines() if line.startswith("| [")} == folders
