"""What the reference page fills in, sent as it stands: whoever presses Execute may go on with a file of their own."""

from __future__ import annotations

from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator

from service.openapi import document
from tests.integration.http.conftest import Ask, World


def body_examples() -> dict[str, list[Any]]:
    """Those of every call that takes a body, by method and path."""
    found = {}
    for path, item in document()["paths"].items():
        for method, operation in item.items():
            if "requestBody" in operation:
                name = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
                found[f"{method.upper()} {path}"] = document()["components"]["schemas"][name].get("examples", [])
    return found


EXAMPLES = body_examples()


def filled_in(path: str) -> dict[str, Any]:
    """The query that the page sends when nobody touches it: defaults, and the parameters' own examples."""
    query = {}
    for parameter in document()["paths"][path]["get"]["parameters"]:
        schema = parameter.get("schema") or parameter["content"]["application/json"]["schema"]
        value = parameter.get("example", schema.get("default"))
        if value is not None and parameter["in"] == "query" and "schema" in parameter:
            query[parameter["name"]] = str(value).lower() if isinstance(value, bool) else value
    return query


@pytest.mark.parametrize("path", ["/images/upload-url", "/images/s3/params"])
async def test_a_call_that_names_a_file_in_its_query_can_be_sent_as_the_page_fills_it_in(path: str, ask: Ask) -> None:
    assert "filename" in filled_in(path)
    status, _, _ = await ask("GET", path, params=filled_in(path))
    assert status == 200


@pytest.mark.parametrize("call", EXAMPLES)
def test_every_body_has_examples_and_all_are_valid(call: str) -> None:
    method, path = call.split()
    schema = document()["paths"][path][method.lower()]["requestBody"]["content"]["application/json"]["schema"]
    assert EXAMPLES[call] != []
    for example in EXAMPLES[call]:
        OAS31Validator({**document(), **schema}).validate(example)


async def test_an_upload_url_is_good_for_any_photo(ask: Ask, world: World) -> None:
    status, _, _ = await ask("POST", "/images/upload-url", json=EXAMPLES["POST /images/upload-url"][0])
    assert status == 200
    status, _, _ = await ask("GET", "/images/upload-url", params=filled_in("/images/upload-url"))
    assert status == 200
    bound = [(terms.size, terms.checksum_sha256, terms.once) for terms in world.source.presigned]
    assert bound == [(None, None, False)] * 2


async def test_a_refreshed_one_is_as_good(ask: Ask, submit: Any, world: World) -> None:
    image = (await submit())["uniqueId"]
    example = EXAMPLES["POST /images/upload-url/{uniqueId}/refresh"][0]
    status, _, _ = await ask("POST", f"/images/upload-url/{image}/refresh", json=example)
    assert (status, world.source.presigned[-1].size) == (200, None)


async def test_parts_take_any_file_once_its_size_is_written_into_the_example(ask: Ask) -> None:
    operation = document()["paths"]["/images/multipart"]["post"]
    assert "`size` is that of your own file: replace the one of the example" in operation["description"]
    example = EXAMPLES["POST /images/multipart"][0]
    assert set(example) == {"filename", "size"}
    status, _, begun = await ask("POST", "/images/multipart", json=example | {"size": 7})
    assert (status, [part["size"] for part in begun["parts"]]) == (201, [7])
    again = EXAMPLES["POST /images/multipart/{uniqueId}/parts"][0]
    status, _, signed = await ask("POST", f"/images/multipart/{begun['uniqueId']}/parts", json=again)
    assert (status, len(signed["parts"])) == (200, 1)


async def test_a_redrive_changes_nothing(ask: Ask, submit: Any, world: World) -> None:
    await world.fail((await submit())["processingId"], code="unavailable")
    jobs = world.jobs.count
    status, _, done = await ask("POST", "/images/failed/redrive", json=EXAMPLES["POST /images/failed/redrive"][0])
    assert (status, done["dryRun"], len(done["images"])) == (200, True, 1)
    assert world.jobs.count == jobs


async def test_limits_stay_as_everybody_has_them(ask: Ask) -> None:
    _, _, before = await ask("GET", "/images/limits")
    status, _, after = await ask("PUT", "/images/limits", json=EXAMPLES["PUT /images/limits"][0])
    assert (status, after) == (200, before)


async def test_a_new_key_lives_long_enough_to_be_used_and_so_does_the_one_that_it_replaces(ask: Ask) -> None:
    status, _, made = await ask("POST", "/images/keys", json=EXAMPLES["POST /images/keys"][0])
    assert status == 201
    assert made["expiresAt"][:10] > made["createdAt"][:10]
    example = EXAMPLES["POST /images/keys/{keyId}/rotate"][0]
    status, _, _ = await ask("POST", f"/images/keys/{made['keyId']}/rotate", json=example)
    assert status == 201
    _, _, listed = await ask("GET", "/images/keys")
    old = next(key for key in listed["keys"] if key["keyId"] == made["keyId"])
    assert old["expiresAt"][:10] > made["createdAt"][:10]


@pytest.mark.parametrize("call", EXAMPLES)
def test_the_first_example_of_a_body_is_bound_to_no_file_and_does_nothing_that_was_not_meant(call: str) -> None:
    method, path = call.split()
    first, described = EXAMPLES[call][0], document()["paths"][path][method.lower()].get("description", "")
    bound = {"size", "checksumSha256", "once", "dedupe", "partNumbers"} & set(first)
    assert not bound or (bound == {"size"} and "replace the one of the example" in described)
    assert first.get("dryRun", True) is True
