"""Webhooks by the API: a secret is shown once, a URL leads to the public Internet, and a tenant sees its own alone."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from processor import clock
from processor.webhooks.messages import DeliveryDue, ReplayDue
from processor.webhooks.registry import MAX_ENDPOINTS
from service.auth.principal import Scope
from tests.integration.http.conftest import Ask, Client, World
from tests.integration.http.test_access import key_of

PATH = "/images/webhooks"
URL = "https://hooks.example.com/images"

Serve = Callable[..., Awaitable[Client]]


async def made(ask: Ask, **body: Any) -> dict[str, Any]:
    status, _, answer = await ask("POST", PATH, json={"url": URL, **body})
    assert status == 201, answer
    found: dict[str, Any] = answer
    return found


async def test_a_webhook_is_made_shown_changed_and_deleted(ask: Ask) -> None:
    new = await made(ask, description="shop")
    assert new["events"] == [
        f"image.{end}" for end in ("needs_review", "completed", "rejected", "failed", "superseded", "deleted")
    ]
    assert (new["on"], new["offReason"]) == (True, None)
    path = f"{PATH}/{new['webhookId']}"
    known = {name: value for name, value in new.items() if name != "secret"}
    assert (await ask("GET", path))[2] == known
    assert (await ask("GET", PATH))[2] == {"webhooks": [known], "count": 1}
    status, _, off = await ask("PATCH", path, json={"on": False, "events": ["image.failed", "image.failed"]})
    assert (status, off["on"], off["offReason"], off["events"]) == (200, False, "asked", ["image.failed"])
    assert off["url"] == URL
    _, _, on = await ask("PATCH", path, json={"on": True, "url": "https://8.8.8.8:8443/"})
    assert (on["on"], on["offSince"], on["url"]) == (True, None, "https://8.8.8.8:8443/")
    assert (await ask("DELETE", path))[0] == 200
    for method in ("GET", "DELETE"):
        status, _, problem = await ask(method, path)
        assert (status, problem["code"]) == (404, "webhook_not_found")


async def test_a_secret_is_shown_once_and_neither_logged_nor_listed_nor_kept_for_a_repetition(ask: Ask) -> None:
    with capture_logs() as lines:
        status, _, new = await ask("POST", PATH, json={"url": URL}, headers={"Idempotency-Key": "k"})
        path = f"{PATH}/{new['webhookId']}"
        _, _, rotated = await ask("POST", f"{path}/rotate", json={"grace": 3600})
        again, _, problem = await ask("POST", PATH, json={"url": URL}, headers={"Idempotency-Key": "k"})
    assert status == 201
    secrets = {new["secret"], rotated["secret"]}
    assert len(secrets) == 2
    assert all(each.startswith("whsec_") for each in secrets)
    assert rotated["oldSecretUntil"] is not None
    assert (again, problem["code"]) == (409, "answer_not_kept")
    shown = json.dumps([(await ask("GET", PATH))[2], (await ask("GET", path))[2], lines], default=str)
    assert not any(each in shown for each in secrets)


@pytest.mark.parametrize(
    "url",
    ["http://hooks.example.com/", "https://10.0.0.1/", "https://a:b@hooks.example.com/", "http://127.0.0.1/", "x"],
)
async def test_a_url_that_leads_inside_is_refused(ask: Ask, url: str) -> None:
    status, _, problem = await ask("POST", PATH, json={"url": url})
    assert (status, problem["code"], problem["errors"][0]["field"]) == (400, "invalid_request", "url")
    path = f"{PATH}/{(await made(ask))['webhookId']}"
    status, _, problem = await ask("PATCH", path, json={"url": url})
    assert (status, problem["errors"][0]["field"]) == (400, "url")


@pytest.mark.parametrize("events", [[], ["image.nothing"], "image.failed", ["webhook.test"]])
async def test_events_that_nobody_knows_are_refused(ask: Ask, events: Any) -> None:
    status, _, problem = await ask("POST", PATH, json={"url": URL, "events": events})
    assert (status, problem["code"]) == (400, "invalid_request")


async def test_a_tenant_has_a_bounded_number_of_webhooks(ask: Ask) -> None:
    for _ in range(MAX_ENDPOINTS):
        await made(ask)
    status, _, problem = await ask("POST", PATH, json={"url": URL})
    assert (status, problem["code"], problem["limit"]) == (409, "too_many_webhooks", MAX_ENDPOINTS)


async def test_a_test_is_queued_and_among_the_attempts(ask: Ask, world: World) -> None:
    path = f"{PATH}/{(await made(ask))['webhookId']}"
    status, _, sent = await ask("POST", f"{path}/test")
    assert (status, sent["type"], sent["status"], sent["uniqueId"]) == (202, "webhook.test", "pending", None)
    ((message,),) = [await world.queue.receive(10, wait_seconds=0, visibility_seconds=1)]
    due = DeliveryDue.read(message.body)
    assert due is not None
    assert due.event_id == sent["eventId"]
    _, _, page = await ask("GET", f"{path}/attempts")
    assert (page["deliveries"], page["count"], page["lastEvaluatedKey"]) == ([sent], 1, None)
    assert (await ask("GET", f"{path}/attempts", params={"failed": "true"}))[2]["count"] == 0
    await ask("PATCH", path, json={"on": False})
    for call, body in (("test", None), ("replay", {"failed": True})):
        status, _, problem = await ask("POST", f"{path}/{call}", json=body)
        assert (status, problem["code"]) == (409, "webhook_off")


async def test_attempts_are_read_page_by_page_with_a_cursor_that_fits_nothing_else(ask: Ask) -> None:
    path, other = [f"{PATH}/{(await made(ask))['webhookId']}" for _ in range(2)]
    for _ in range(5):
        await ask("POST", f"{path}/test")
    found: list[str] = []
    cursor: str | None = ""
    last = ""
    while cursor is not None:
        query = {"limit": "2", "lastKey": cursor}
        _, _, page = await ask("GET", f"{path}/attempts", params=query)
        found += [each["eventId"] for each in page["deliveries"]]
        cursor, last = page["lastEvaluatedKey"], cursor
    assert found == sorted(set(found), reverse=True)
    assert len(found) == 5
    for place in (f"{other}/attempts", "/images/list"):
        status, _, problem = await ask("GET", place, params={"lastKey": last})
        assert (status, problem["code"]) == (400, "invalid_cursor")


async def test_a_replay_names_one_event_or_many(ask: Ask, world: World) -> None:
    path = f"{PATH}/{(await made(ask))['webhookId']}"
    _, _, sent = await ask("POST", f"{path}/test")
    status, _, answer = await ask("POST", f"{path}/replay", json={"eventId": sent["eventId"]})
    assert (status, answer["delivery"]["eventId"]) == (202, sent["eventId"])
    status, _, problem = await ask("POST", f"{path}/replay", json={"eventId": "another"})
    assert (status, problem["code"]) == (404, "delivery_not_found")
    for body in ({}, {"eventId": "a", "failed": True}, {"from": "2026-02-01", "to": "2026-01-01"}):
        assert (await ask("POST", f"{path}/replay", json=body))[0] == 400
    span = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02"}
    assert (await ask("POST", f"{path}/replay", json=span))[0] == 202
    bodies = [each.body for each in await world.queue.receive(10, wait_seconds=0, visibility_seconds=1)]
    replays = [found for body in bodies if (found := ReplayDue.read(body)) is not None]
    assert [(each.failed, each.times()[0]) for each in replays] == [(0, clock.from_iso("2026-01-01T00:00:00Z"))]


async def test_another_tenants_webhook_is_as_good_as_none(serve: Serve, world: World) -> None:
    client = await serve(locked=True)
    owner, stranger = await key_of(world, Scope.ADMIN), await key_of(world, Scope.ADMIN, tenant="other")
    async with client.post(PATH, json={"url": URL}, headers=owner) as answer:
        path = f"{PATH}/{(await answer.json())['webhookId']}"
    calls = (
        *(("GET", path), ("PATCH", path), ("DELETE", path), ("GET", f"{path}/attempts")),
        *(("POST", f"{path}/{name}") for name in ("rotate", "test", "replay")),
    )
    for method, place in calls:
        body = {"failed": True} if place.endswith("replay") else None if method == "GET" else {}
        async with client.request(method, place, json=body, headers=stranger) as answer:
            assert (answer.status, (await answer.json())["code"]) == (404, "webhook_not_found"), place
    async with client.get(PATH, headers=stranger) as answer:
        assert (await answer.json())["count"] == 0
    async with client.get(path, headers=owner) as answer:
        assert answer.status == 200
