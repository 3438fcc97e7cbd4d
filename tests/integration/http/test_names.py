"""No name that somebody meant is silently dropped: not in a query, a body, a form's query or a header."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from service.auth.principal import Scope
from tests.integration.http.conftest import Client, World
from tests.integration.http.test_access import key_of

Serve = Callable[..., Awaitable[Client]]

#: Every call that reads a query, one of its parameters, and what else it needs.
QUERIES = [
    ("/images/list", "limit", "5", {}),
    ("/images/failed", "limit", "5", {}),
    ("/images/upload-url", "expiresIn", "60", {"filename": "a.jpg"}),
    ("/images/s3/params", "filename", "a.jpg", {"type": "image/jpeg"}),
]
#: A picture of one pixel.
GIF = "R0lGODlhAQABAIAAAP///wAAACwAAAAAAQABAAACAkQBADs="
#: Every call that reads a body, and one that is right.
BODIES = [
    ("POST", "/images/upload-url", {"filename": "a.jpg", "expiresIn": 60}),
    ("POST", "/images/multipart", {"filename": "a.jpg", "size": 50}),
    ("POST", "/images/failed/redrive", {"dryRun": True}),
    ("POST", "/images/keys", {"name": "a", "scopes": ["images:read"]}),
    ("POST", "/images/webhooks", {"url": "https://hooks.example.com/", "events": ["image.failed"]}),
    ("PUT", "/images/limits", {"bytesPerDay": 50}),
    ("PATCH", "/images/presets", {"default": "standard"}),
    ("PUT", "/images/presets/avatar", {"variants": [{"name": "avatar"}], "analyses": []}),
    (
        "POST",
        "/images/presets/preview",
        {"preset": "standard", "picture": GIF},
    ),
    ("POST", "/images/s3/multipart", {"filename": "a.jpg", "type": "image/jpeg"}),
]


async def call(client: Client, method: str, path: str, **options: Any) -> tuple[int, Any]:
    async with client.request(method, path, **options) as answer:
        return answer.status, await answer.json(content_type=None)


@pytest.mark.parametrize("asked", QUERIES, ids=str)
async def test_a_parameter_that_is_there_twice_or_is_nearly_right_is_refused(
    serve: Serve, world: World, asked: tuple[str, str, str, dict[str, str]]
) -> None:
    path, name, value, others = asked
    client = await serve(locked=True)
    headers = await key_of(world, Scope.ADMIN)
    status, _ = await call(client, "GET", path, params={**others, name: value}, headers=headers)
    assert status == 200
    twice = [*others.items(), (name, value), (name, value)]
    for query in (twice, [*others.items(), (f"{name}s", value)], [*others.items(), (name.upper(), value)]):
        status, body = await call(client, "GET", path, params=query, headers=headers)
        assert (status, body["code"]) == (400, "invalid_request"), query
        assert body["errors"][0]["field"].lower().startswith(name.lower())


@pytest.mark.parametrize("asked", QUERIES[:3], ids=str)
async def test_a_parameter_that_nobody_knows_is_named_in_the_answer(
    serve: Serve, world: World, asked: tuple[str, str, str, dict[str, str]]
) -> None:
    path, name, value, others = asked
    client = await serve(locked=True)
    headers = await key_of(world, Scope.ADMIN)
    query = {**others, name: value, "utm_source": "mail"}
    assert (await call(client, "GET", path, params=query, headers=headers))[1]["ignored"] == ["utm_source"]


@pytest.mark.parametrize(("method", "path", "right"), BODIES, ids=str)
async def test_a_field_that_is_there_twice_or_is_nearly_right_is_refused(
    serve: Serve, world: World, method: str, path: str, right: dict[str, Any]
) -> None:
    client = await serve(locked=True)
    headers = await key_of(world, Scope.ADMIN) | {"Content-Type": "application/json"}
    status, _ = await call(client, method, path, data=json.dumps(right), headers=headers)
    assert status < 300
    name, value = next(iter(right.items()))
    twice = json.dumps(right)[:-1] + f", {json.dumps(name)}: {json.dumps(value)}}}"
    less = {key: each for key, each in right.items() if key != name}
    for body in (twice, json.dumps({**less, f"{name}s": value})):
        status, told = await call(client, method, path, data=body, headers=headers)
        assert (status, told["code"]) == (400, "invalid_request"), body
        assert told["errors"][0]["field"].startswith(name)


async def test_the_keys_of_metadata_are_there_once(serve: Serve, world: World) -> None:
    client = await serve()
    twice = '{"album": "summer", "album": "winter"}'
    body = '{"filename": "a.jpg", "metadata": ' + twice + "}"
    status, told = await call(client, "POST", "/images/upload-url", data=body)
    assert (status, told["errors"][0]["field"]) == (400, "album")
    query = {"filename": "a.jpg", "metadata": twice}
    status, told = await call(client, "GET", "/images/upload-url", params=query)
    assert (status, told["errors"][0]["field"]) == (400, "metadata")


@pytest.mark.parametrize("header", ["Idempotency-Keys", "X-Idempotency-Key", "IdempotencyKey", "Idempotncy-Key"])
async def test_who_misspells_the_protection_against_doing_things_twice_is_told(
    serve: Serve, world: World, header: str
) -> None:
    client = await serve()
    status, told = await call(client, "POST", "/images/upload-url", json={"filename": "a.jpg"}, headers={header: "a"})
    assert (status, told["errors"][0]["field"]) == (400, header)
    assert "Idempotency-Key" in told["detail"]
    assert (await call(client, "GET", "/images/list", headers={header: "a"}))[0] == 200  # where it means nothing


@pytest.mark.parametrize("header", ["X-Tennant", "X-Tenants", "Tenant", "X_Tenant"])
async def test_an_administrator_who_misspells_for_whom_it_acts_acts_for_nobody(
    serve: Serve, world: World, header: str
) -> None:
    client = await serve(locked=True)
    admin, user = await key_of(world, Scope.ADMIN), await key_of(world, Scope.READ)
    status, told = await call(client, "GET", "/images/list", headers={**admin, header: "other"})
    assert (status, told["code"]) == (403, "forbidden")
    assert "X-Tenant is" in told["detail"]
    assert (await call(client, "GET", "/images/list", headers={**user, header: "other"}))[0] == 200


async def test_headers_of_others_are_nobodys_business(serve: Serve, world: World) -> None:
    client = await serve(locked=True)
    headers = await key_of(world, Scope.ADMIN) | {
        "X-Forwarded-For": "a",
        "X-Tenant-Id": "b",
        "X-App-Key": "c",
        "Via": "d",
    }
    assert (await call(client, "POST", "/images/upload-url", json={"filename": "a.jpg"}, headers=headers))[0] == 200
