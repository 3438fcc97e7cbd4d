"""Whatever a caller may send, and however much it asks for, nobody else's request waits for long behind it."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

import pytest

from service.app import MAX_BODY_BYTES
from service.auth.principal import Scope
from service.calls.batches import MAX_ITEMS
from service.calls.files import MAX_METADATA_ENTRIES
from service.http.protocol import MAX_FIELDS
from service.routes import ROUTES, Route
from tests.in_part import one_in
from tests.integration.http.conftest import Client, World
from tests.integration.http.test_access import key_of
from tests.loop_work import MOST_CALLS, counted

Serve = Callable[..., Awaitable[Client]]
MIB = 1024 * 1024
#: Rows that a tenant has; a page shows as many.
ROWS = 100
TWICE, EMPTY = '{"":0,"":0}', '""'


def _names(name: str, most: int, value: str) -> str:
    """So many different names as there is room for, each with this value."""
    found: list[str] = []
    room = most - 100
    while room > 0:
        found.append(f'"{name}{len(found)}":{value}')
        room -= len(found[-1]) + 1
    return ",".join(found)


def _many(text: str, most: int) -> str:
    return ",".join([text] * ((most - 100) // (len(text) + 1)))


#: As many nearly right names as a hundredth of a body has room for.
MISSPELLED = f"{{{_names('filenam', MAX_BODY_BYTES // MAX_ITEMS, '0')}}}"
#: Objects as large as a body may be, of as many pieces as possible.
BODIES = {
    "names": f"{{{_names('n', MAX_BODY_BYTES, '0')}}}",
    "nearly right names": f"{{{_names('lastKe', MAX_BODY_BYTES, '0')}}}",
    "objects": f'{{"parts":[{_many("{}", MAX_BODY_BYTES)}]}}',
    "names that are there twice": f'{{"parts":[{_many(TWICE, MAX_BODY_BYTES)}]}}',
    "parts": json.dumps({"parts": [{"PartNumber": n, "ETag": "e"} for n in range(1, 1800)]}),
    "numbers": f'{{"partNumbers":[{_many("1", MAX_BODY_BYTES)}],"limit":{"9" * 60}}}',
    "lists in lists": f'{{"scopes":{"[" * 150}{"]" * 150}}}',
    "uploads": f'{{"uploads":[{",".join([MISSPELLED] * MAX_ITEMS)}]}}',
    "upload": f'{{"uploads":[{{"filename":"a.jpg","metadata":{{{_names("k", MAX_BODY_BYTES, EMPTY)}}}}}]}}',
    "job ids": json.dumps({"processingIds": [f"img_{n}_a" for n in range(MAX_ITEMS)]}),
    "too many job ids": f'{{"processingIds":[{_many(EMPTY, MAX_BODY_BYTES)}]}}',
    "image ids": json.dumps({"uniqueIds": [str(uuid.UUID(int=n)) for n in range(MAX_ITEMS)]}),
    "filters": f'{{"filter":{{{_names("statu", MAX_BODY_BYTES, EMPTY)}}}}}',
    "metadata": f'{{"filename":"a.jpg","metadata":{{{_names("k", MAX_BODY_BYTES, EMPTY)}}}}}',
}
QUERIES = {
    "names": "&".join(f"n{number}=" for number in range(2100)),
    "nearly right names": "&".join(f"lastKe{number}=" for number in range(1300)),
    "one name": "&".join("a=" for _ in range(4000)),
    "a cursor": f"lastKey={'A' * 16_000}",
    "metadata": "&".join(f"metadata[{number}]=" for number in range(900)),
}
HEADERS = {f"Idempotency-Ke{number}": "x" * 100 for number in range(MAX_FIELDS - 20)}


@pytest.fixture
def path_of(world: World) -> Callable[[Route], Awaitable[str]]:
    """With ids that lead to something."""

    async def path(route: Route) -> str:
        job = await world.submit("acme")
        named = {
            "uniqueId": job.unique_id,
            "processingId": job.processing_id,
            "uploadId": job.processing_id,
            "partNumber": "1",
            "keyId": "a" * 16,
            "batchId": "batch_1_a",
            "asset": "a",
        }
        found = route.path
        for name, value in named.items():
            found = found.replace(f"{{{name}}}", value)
        return found

    return path


def _requests(route: Route) -> Iterator[Mapping[str, Any]]:
    """As large as they may be."""
    if route.method in ("POST", "PUT"):
        for body in BODIES.values():
            yield {"data": body.encode(), "headers": {"Content-Type": "application/json"}}
    for query in QUERIES.values():
        yield {"params": query}
    yield {"headers": HEADERS}


@pytest.mark.parametrize("route", one_in(4, ROUTES), ids=lambda route: f"{route.method} {route.path}")
async def test_the_largest_requests_are_understood_beside_the_loop_or_in_small_steps(
    route: Route,
    serve: Serve,
    world: World,
    path_of: Callable[[Route], Awaitable[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = await serve(locked=True)
    caller = await key_of(world, *Scope)
    path = await path_of(route)
    for body in BODIES.values():
        assert len(body) <= MAX_BODY_BYTES
    for options in [{}, *_requests(route)]:
        given = {**caller, **options.get("headers", {})}
        with counted(monkeypatch) as work:
            async with client.request(
                route.method, path, **{**options, "headers": given}, allow_redirects=False
            ) as answer:
                await answer.read()
        assert answer.status < 500
        assert work.most < MOST_CALLS, (str(options)[:200], work)


async def test_answers_with_as_much_as_there_may_be_are_made_beside_the_loop_or_in_small_steps(
    serve: Serve, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = await serve(locked=True, max_upload_bytes=800 * MIB, limit_request_burst=10_000)
    caller = await key_of(world, *Scope)
    send = world.queue.send

    async def sent(body: str, **how: Any) -> None:
        await asyncio.sleep(0)  # a queue that is asked over a network lets the loop go on
        await send(body, **how)

    monkeypatch.setattr(world.queue, "send", sent)
    for _ in range(ROWS):
        await key_of(world, Scope.READ)
    metadata = {f"key-{number:02}": "x" * 190 for number in range(MAX_METADATA_ENTRIES)}
    made = []
    for _ in range(ROWS):
        body = {"filename": "a.jpg", "metadata": metadata}
        async with client.post("/images/upload-url", json=body, headers=caller) as answer:
            assert answer.status == 200
            made.append(await answer.json())
            await world.fail(made[-1]["processingId"])
    large = {"filename": "a.jpg", "size": 800 * MIB}
    again = {"Idempotency-Key": "one"}
    uploads = {"uploads": [{"filename": f"{'x' * 200}.jpg"}] * ROWS}
    images = {"uniqueIds": [each["uniqueId"] for each in made]}
    calls: list[tuple[str, str, dict[str, Any]]] = [
        ("GET", f"/images/list?limit={ROWS}", {}),
        ("GET", f"/images/failed?limit={ROWS}", {}),
        ("GET", f"/images/failed?limit={ROWS}&code=other", {}),
        ("GET", "/images/keys", {}),
        ("GET", "/images/openapi.json", {}),
        ("POST", "/images/multipart", {"json": large, "headers": again}),
        ("POST", "/images/multipart", {"json": large, "headers": again}),
        ("POST", "/images/batch/status", {"json": {"processingIds": [each["processingId"] for each in made]}}),
        ("POST", "/images/batch/upload-urls", {"json": uploads, "headers": {"Idempotency-Key": "two"}}),
        ("POST", "/images/batch/upload-urls", {"json": uploads, "headers": {"Idempotency-Key": "two"}}),
        ("POST", "/images/failed/redrive", {"json": {"limit": ROWS}}),
        ("POST", "/images/failed/redrive", {"json": {"limit": ROWS, "dryRun": False}}),
        ("POST", "/images/batch/process", {"json": images}),
        ("POST", "/images/batch/delete", {"json": images}),
    ]
    for method, path, options in calls:
        options["headers"] = {**caller, **options.get("headers", {})}
        with counted(monkeypatch) as work:
            async with client.request(method, path, **options) as answer:
                text = await answer.text()
        assert answer.status in (200, 201), text
        assert work.most < MOST_CALLS, (method, path, work)
