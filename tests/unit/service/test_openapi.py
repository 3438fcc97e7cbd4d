"""The OpenAPI document."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urljoin

import pytest
from aiohttp import web
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from processor.errors import ImageNotFound
from service import openapi
from service.auth.principal import Scope
from service.calls import docs, groups
from service.calls.names import UNIQUE_ID
from service.http.call import call, call_of, is_quiet, reply
from service.http.problems import known_problems
from service.http.wire import Answer
from service.openapi import document
from service.routes import ROUTES, Route

QUIET = {route.path for route in ROUTES if is_quiet(route.handler)}
METHODS = {"get", "post", "put", "patch", "delete"}


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, operation)
        for path, item in document()["paths"].items()
        for method, operation in item.items()
        if method in METHODS
    ]


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document()
    if "$ref" not in node:
        return node
    for step in node["$ref"].removeprefix("#/").split("/"):
        found = found[step]
    return found


@pytest.mark.slow
def test_the_document_is_valid_openapi() -> None:
    OpenAPIV31SpecValidator(document()).validate()


def test_the_document_and_the_routes_name_the_same_calls() -> None:
    described = {(method.upper(), path) for method, path, _ in operations()}
    routed = {(route.method, route.path) for route in ROUTES}
    shown = {(method, path) for method, path in routed if re.search(r"/(docs|console)\b|openapi\.json$", path)}
    shown |= {("GET", path) for path in docs.WAYS}  # they lead people to the page, and are no part of the API
    assert described == routed - shown
    assert shown == {(route.method, route.path) for route in ROUTES if call_of(route.handler) is None}


def test_a_new_call_is_a_handler_and_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    class Moon(Answer):
        """A moon."""

        phase: str = "full"

    @call("getMoon", groups.IMAGES, reply("The moon", Moon()), path=(UNIQUE_ID,), problems=(ImageNotFound,))
    async def moon(request: web.Request) -> web.Response:
        """See the moon."""
        raise NotImplementedError(request)

    row = Route("GET", "/images/moon/{uniqueId}", moon, Scope.READ)
    monkeypatch.setattr(openapi, "ROUTES", (*ROUTES, row))
    after = document.__wrapped__()
    OpenAPIV31SpecValidator(after).validate()
    operation = after["paths"].pop("/images/moon/{uniqueId}")["get"]
    assert (operation["summary"], operation["security"][0]) == ("See the moon", {"bearerJwt": ["images:read"]})
    assert set(operation["responses"]) == {"200", "401", "403", "404", "429", "500", "503"}
    assert after["components"]["schemas"].pop("Moon")["description"] == "A moon."
    assert after == document()


def test_every_operation_has_an_id_of_its_own_and_a_tag() -> None:
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(ids) == len(set(ids))
    assert all(operation["tags"] for _, _, operation in operations())


@pytest.mark.parametrize(("method", "path", "operation"), operations(), ids=lambda value: str(value)[:40])
def test_every_answer_carries_a_request_id_and_errors_are_problems(
    method: str, path: str, operation: dict[str, Any]
) -> None:
    for status, answer in operation["responses"].items():
        response = resolved(answer)
        assert "X-Request-Id" in response["headers"]
        good = "text/event-stream" if path == "/images/events" else "application/json"
        expected = good if status < "400" or path in QUIET else "application/problem+json"
        assert list(response.get("content", {})) == ([expected] if status != "304" else [])


def test_every_example_is_valid_against_its_own_schema() -> None:
    examples = 0
    for _, _, operation in operations():
        for answer in operation["responses"].values():
            for media in resolved(answer).get("content", {}).values():
                shown = [example["value"] for example in media.get("examples", {}).values()]
                for value in [*shown, *([media["example"]] if "example" in media else [])]:
                    OAS31Validator({**document(), **media["schema"]}).validate(value)
                    examples += 1
    assert examples > 20


def test_every_problem_that_is_shown_is_explained_on_the_page() -> None:
    explained = {problem.code for problem in known_problems()}
    shown = [
        media["example"]["code"]
        for _, _, operation in operations()
        for answer in operation["responses"].values()
        for media in resolved(answer).get("content", {}).values()
        if "code" in media.get("example", {})
    ]
    assert set(shown) >= {"forbidden", "image_not_found", "unavailable", "internal_error"}
    assert set(shown) <= explained


def test_what_answers_503_says_when_to_try_again() -> None:
    assert "Retry-After" in document()["components"]["responses"]["Unavailable"]["headers"]


def test_every_call_documents_the_scope_that_its_route_asks_for() -> None:
    assert set(document()["components"]["securitySchemes"]) == {"bearerJwt", "apiKey"}
    asked = {(route.method, route.path): route.scope for route in ROUTES}
    for method, path, operation in operations():
        scope = asked[method.upper(), path]
        expected = [] if scope is None else [{"bearerJwt": [scope.value]}, {"apiKey": [scope.value]}]
        assert operation["security"] == expected


def test_the_query_of_an_upload_has_the_fields_of_its_body() -> None:
    item = document()["paths"]["/images/upload-url"]
    fields = document()["components"]["schemas"]["UploadUrlRequest"]["properties"]
    assert {parameter["name"] for parameter in item["get"]["parameters"]} == set(fields)


def test_the_document_is_json() -> None:
    assert json.loads(json.dumps(document())) == document()


def test_typed_clients_know_the_four_variants_and_that_there_may_be_others() -> None:
    schemas = document()["components"]["schemas"]
    for model, field in (
        ("JobAnswer", "processedImages"),
        ("UploadUrlAnswer", "processedImageUrls"),
        ("MultipartAnswer", "processedImageUrls"),
    ):
        named = schemas[model]["properties"][field]
        assert list(named["properties"]) == ["thumbnail", "medium", "large", "webp"]
        assert set(map(str, named["properties"].values())) == {str(named["additionalProperties"])}
        assert "required" not in named


@pytest.mark.parametrize("address", ["https://api.example.com", "https://example.com/some/prefix"])
def test_the_server_is_where_the_document_came_from(address: str) -> None:
    (server,) = document()["servers"]
    assert urljoin(f"{address}/images/openapi.json", server["url"]).rstrip("/") == address


def test_the_codes_of_calls_and_of_jobs_are_kept_apart() -> None:
    schemas = document()["components"]["schemas"]
    calls, jobs = (schemas[name]["properties"]["code"]["examples"] for name in ("ProblemDocument", "FailureAnswer"))
    assert {"invalid_request", "file_too_large"} <= set(calls)
    assert {"corrupt_image", "file_too_large", "superseded"} <= set(jobs)
    assert "corrupt_image" not in calls
    assert "invalid_request" not in jobs
