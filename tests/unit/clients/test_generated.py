"""What is generated is as the API is now, and covers all of it."""

from __future__ import annotations

import inspect
import json
import re
from typing import Any, get_type_hints

import pytest

import truss_image_client
from clients.generate import ROOT, stale
from clients.python_code import snake
from clients.schema import BY_HAND, LEFT_OUT, readable
from service.openapi import document
from truss_image_client import AsyncClient, Client, models
from truss_image_client.wire import camel, plain, read

PATHS = document()["paths"]
OPERATIONS = {
    told["operationId"]: told
    for path, calls in PATHS.items()
    for told in calls.values()
    if not path.startswith(LEFT_OUT)
}


def test_generated_files_are_fresh() -> None:
    assert [str(path.relative_to(ROOT)) for path in stale()] == [], "run `make docs`"


def test_every_call_is_a_method_of_both_clients() -> None:
    named = {snake(name) for name in OPERATIONS} - {"create_upload_url_by_query", "get_events"}
    assert named - set(dir(AsyncClient)) == set()
    assert named - set(dir(Client)) == set()


def test_both_clients_have_the_same_methods_and_parameters() -> None:
    def public(client: type) -> dict[str, list[str]]:
        members = {name: each for name, each in inspect.getmembers(client) if callable(each) and name[0] != "_"}
        return {name: list(inspect.signature(each).parameters) for name, each in members.items()}

    waiting, blocking = public(AsyncClient), public(Client)
    assert {**waiting, "close": waiting["aclose"]} == {**blocking, "aclose": blocking["close"]}


def _examples() -> list[tuple[str, str, Any]]:
    found = []
    for name, told in OPERATIONS.items():
        for status, answer in told["responses"].items():
            content = answer.get("content", {}).get("application/json")
            if not status.startswith("2") or content is None:
                continue
            model = content["schema"]["$ref"].rpartition("/")[2]
            shown = content.get("examples", {"": {"value": content.get("example")}})
            found += [(f"{name}-{status}-{each}", model, shown[each]["value"]) for each in shown]
    return [each for each in found if each[2] is not None]


@pytest.mark.parametrize(("model", "example"), [pytest.param(*each[1:], id=each[0]) for each in _examples()])
def test_an_example_of_the_document_is_read_and_written_without_loss(model: str, example: Any) -> None:
    kind = getattr(models, readable(model))
    got = read(kind, example)
    assert _without_nulls(json.loads(json.dumps(plain(got)))) == _without_nulls(_with_defaults(example, plain(got)))


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nulls(each) for name, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_without_nulls(each) for each in value]
    return re.sub(r"(:\d\d)(\.\d*?)0*Z$", _shortest, value) if isinstance(value, str) else value


def _shortest(moment: re.Match[str]) -> str:
    """A time without the zeros at its end."""
    return f"{moment[1]}{moment[2].removesuffix('.')}Z"


def _with_defaults(example: Any, written: Any) -> Any:
    """The example, and what the document says of fields that are left out in it."""
    if isinstance(example, dict):
        more = {name: each for name, each in written.items() if name not in example and each in ({}, [], False)}
        return {**more, **{name: _with_defaults(each, (written or {}).get(name)) for name, each in example.items()}}
    if isinstance(example, list):
        return [_with_defaults(each, other) for each, other in zip(example, written, strict=True)]
    return example


@pytest.mark.parametrize("name", sorted(document()["components"]["schemas"]))
def test_names_of_fields_are_those_of_the_api_again(name: str) -> None:
    for each in document()["components"]["schemas"][name].get("properties", {}):
        if re.match("[a-z]", each):  # Uppy's have large letters, and no model
            assert camel(snake(each)) == each


def test_every_model_can_be_read() -> None:
    for name in models.__all__:
        kind = getattr(models, name)
        if inspect.isclass(kind):
            assert get_type_hints(kind)


def test_what_is_written_by_hand_exists_in_the_api() -> None:
    assert set(OPERATIONS) >= BY_HAND


def test_a_secret_is_not_in_the_words_of_what_has_it() -> None:
    """Reprs end in logs."""
    for operation in ("createWebhook", "createApiKey"):
        answer = next(iter(OPERATIONS[operation]["responses"].values()))["content"]["application/json"]
        example = answer.get("example") or next(iter(answer["examples"].values()))["value"]
        kind = models.NewSecret if operation == "createWebhook" else models.NewApiKey
        secret = example["secret" if operation == "createWebhook" else "key"]
        assert len(secret) > 20
        assert secret not in repr(read(kind, example))


def test_the_reference_for_python_has_every_public_name_and_the_words_of_its_code() -> None:
    reference = (ROOT / "clients" / "python" / "REFERENCE.md").read_text()
    for name, method in inspect.getmembers(Client, inspect.isfunction):
        if name[0] != "_":
            owner = method.__qualname__.partition(".")[0]
            assert f"#### {owner}.{name}\n" in reference
            assert (inspect.getdoc(method) or "nothing") in reference
    others = {"AsyncClient", "AsyncEventStream", "Progress", "Source", "models", "webhooks"}
    missing = {name for name in truss_image_client.__all__ if f"### {name}\n" not in reference}
    assert missing == others


def test_the_reference_for_typescript_has_every_method_of_the_client() -> None:
    folder = ROOT / "clients" / "typescript"
    reference = (folder / "REFERENCE.md").read_text()
    code = "".join((folder / "src" / f"{name}.ts").read_text() for name in ("calls", "client"))
    methods = re.findall(r"^  (?:async )?(\w+)\(", code, re.MULTILINE)
    assert len(methods) > len(PATHS) / 2
    assert {name for name in methods if f"#### {name}\n" not in reference} == {"constructor"}
    for name in re.findall(r"^export class (\w+) extends", (folder / "src" / "errors.ts").read_text(), re.MULTILINE):
        assert f"### {name}\n" in reference
