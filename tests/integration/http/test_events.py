"""The stream of events over HTTP: what is sent, when it ends, and who may listen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from openapi_schema_validator import OAS31Validator, oas31_format_checker

from processor.catalog import feeds
from processor.catalog.feeds import cursor_at
from processor.clock import now
from service.auth.principal import Scope
from service.calls import events
from service.calls.events import FEEDS, EventAnswer
from service.limits.lines import REQUESTS
from service.limits.open_calls import STREAMS
from service.observe.metrics import METRICS
from tests.integration.http.conftest import CDN, Client, World
from tests.integration.http.test_access import key_of
from tests.sse import Reader
from tests.waiting import eventually

Serve = Callable[..., Awaitable[Client]]
ALL = ["image.uploaded", "image.processing", *["image.variant"] * 4, "image.completed"]


@asynccontextmanager
async def stream(client: Client, query: str = "", headers: Mapping[str, str] | None = None) -> AsyncIterator[Reader]:
    async with client.get(f"/images/events{query}", headers=headers) as response:
        assert response.status == 200, await response.text()
        yield Reader(response)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, short_streams: None) -> None:
    monkeypatch.setattr(feeds, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(events, "STREAM_SECONDS", 600.0)


async def closed(client: Client) -> None:
    async def none() -> bool:
        assert client.app is not None
        return client.app[STREAMS].count() == 0

    await eventually(none)


async def test_a_stream_tells_what_happens_as_cloud_events(client: Client, world: World) -> None:
    async with stream(client) as reader:
        assert reader.response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert reader.response.headers["Cache-Control"] == "no-store, no-transform"
        assert "Content-Encoding" not in reader.response.headers
        job = await world.submit("default")
        await world.complete(job.processing_id)
        told = await reader.messages(len(ALL))
        assert reader.retry == "2000"
    assert sorted(each.event for each in told) == sorted(ALL)
    schema = EventAnswer.model_json_schema(mode="serialization")
    for each in told:
        OAS31Validator(schema, format_checker=oas31_format_checker).validate(each.data)
        assert (each.data["type"], each.data["id"], each.data["specversion"]) == (each.event, each.id, "1.0")
        assert (each.data["tenant"], each.data["subject"]) == ("default", job.unique_id)
        assert each.data["data"]["processingId"] == job.processing_id
    (thumbnail,) = (
        each.data["data"]["variant"]
        for each in told
        if each.event == "image.variant" and each.data["data"]["variant"]["name"] == "thumbnail"
    )
    url = f"{CDN}/processed/{job.unique_id}/{job.processing_id}/thumbnail.webp"
    assert (thumbnail["url"], thumbnail["format"], thumbnail["width"], thumbnail["height"]) == (url, "webp", 30, 20)
    (completed,) = (each.data["data"] for each in told if each.event == "image.completed")
    assert completed["processedImages"]["thumbnail"]["url"] == url


async def test_a_failure_and_a_delete_say_what_they_are(client: Client, world: World) -> None:
    async with stream(client, "?types=image.failed,image.deleted") as reader:
        job = await world.submit("default")
        await world.fail(job.processing_id)
        (failed,) = await reader.messages(1)
        assert failed.data["data"]["error"] == {"code": "corrupt_image"}
        async with client.delete(f"/images/image/{job.unique_id}") as response:
            assert response.status == 200
        (deleted,) = await reader.messages(1)
        assert (deleted.event, deleted.data["subject"]) == ("image.deleted", job.unique_id)


@pytest.mark.parametrize("way", ["header", "query"])
async def test_who_comes_back_is_told_what_it_missed(client: Client, world: World, way: str) -> None:
    async with stream(client) as reader:
        first = await world.submit("default")
        await world.complete(first.processing_id)
        await reader.messages(len(ALL))
    second = await world.submit("default")
    await world.complete(second.processing_id)
    back = {
        "header": {"headers": {"Last-Event-ID": reader.last_id}},
        "query": {"query": f"?lastEventId={reader.last_id}"},
    }[way]
    ids: set[str] = set()
    async with stream(client, **back) as again:  # type: ignore[arg-type]
        while len(ids) < len(ALL):
            (message,) = await again.messages(1)
            if message.data["data"]["processingId"] == second.processing_id:
                ids.add(message.data["id"])


async def test_who_was_away_too_long_is_told_that_there_is_a_gap(client: Client) -> None:
    long_ago = cursor_at(now() - 3 * feeds.HISTORY)
    async with stream(client, headers={"Last-Event-ID": long_ago}) as reader:
        (gap,) = await reader.messages(1)
        assert gap.event == "gap"


async def test_a_silent_stream_is_kept_alive_and_moves_the_id_on(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "KEEPALIVE_SECONDS", 0.02)
    monkeypatch.setattr(events, "STREAM_SECONDS", 1.0)
    async with stream(client) as reader:
        (end,) = await reader.messages(1)
        assert (end.event, end.data) == ("closed", {"reason": "time"})
        assert reader.comments > 2
        assert reader.last_id
        assert await reader.message() is None
        assert reader.response.headers["Connection"] == "close"


async def test_a_stream_ends_in_order_when_the_service_stops(client: Client) -> None:
    assert client.app is not None
    async with stream(client) as reader:
        client.app[FEEDS].end()
        (end,) = await reader.messages(1)
        assert (end.event, end.data) == ("closed", {"reason": "stopping"})
        assert await reader.message() is None
    async with stream(client) as reader:  # whoever comes then is sent away at once, and has an id to come back with
        (end,) = await reader.messages(1)
        assert end.data == {"reason": "stopping"}
        assert reader.last_id


async def test_a_reader_that_lags_is_told_so_and_may_come_back(
    client: Client, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeds, "MOST_BEHIND", 3)
    async with stream(client) as reader:
        job = await world.submit("default")
        await world.complete(job.processing_id)
        told = await reader.messages(1)
        assert (told[-1].event, told[-1].data) == ("closed", {"reason": "slow"})
    async with stream(client, headers={"Last-Event-ID": reader.last_id}) as reader:
        assert sorted(each.event for each in await reader.messages(len(ALL))) == sorted(ALL)


async def test_a_tenant_hears_of_its_own_images_alone(serve: Serve, world: World) -> None:
    client = await serve(locked=True)
    mine, theirs = await key_of(world, Scope.READ), await key_of(world, Scope.READ, tenant="other")
    job = await world.submit("acme")
    async with (
        stream(client, headers=mine) as reader,
        stream(client, headers=theirs) as stranger,
        stream(client, f"?uniqueId={job.unique_id}", theirs) as nosy,
        stream(client, f"?processingId={job.processing_id}", theirs) as nosier,
        stream(client, headers=theirs | {"Last-Event-ID": cursor_at(now() - feeds.LATE)}) as late,
    ):
        await world.complete(job.processing_id)
        assert {each.data["tenant"] for each in await reader.messages(len(ALL))} == {"acme"}
        other = await world.submit("other")
        await world.complete(other.processing_id)
        for each in (stranger, late):
            assert {told.data["tenant"] for told in await each.messages(len(ALL))} == {"other"}
        assert client.app is not None
        client.app[FEEDS].end()
        for each in (nosy, nosier):
            assert (await each.messages(1))[0].event == "closed"


@pytest.mark.parametrize(
    ("query", "field_name"),
    [
        ("types=image.eaten", "types"),
        ("uniqueId=x", "uniqueId"),
        ("processingId=x", "processingId"),
        ("lastEventId=x", "lastEventId"),
        ("lastEventId=1767323045000-a~x", "lastEventId"),
    ],
)
async def test_what_is_not_understood_is_refused(ask: Any, query: str, field_name: str) -> None:
    status, _, body = await ask("GET", f"/images/events?{query}")
    assert (status, body["errors"][0]["field"]) == (400, field_name)


async def test_streams_have_a_bound_and_stand_in_no_line(serve: Serve, world: World) -> None:
    client = await serve(locked=True)
    assert client.app is not None
    client.app[STREAMS].most_of_tenant = 1
    key = await key_of(world, Scope.READ)
    async with stream(client, headers=key):
        assert client.app[REQUESTS]._lines == {}
        async with client.get("/images/events", headers=key) as response:
            body = await response.json()
            assert (response.status, body["code"], body["limit"]) == (429, "too_many_streams", 1)
            assert response.headers["Retry-After"] == "5"


async def test_a_client_that_is_gone_leaves_nothing_behind(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "KEEPALIVE_SECONDS", 0.02)
    async with stream(client):
        pass
    await closed(client)
    assert client.app is not None
    assert client.app[FEEDS]._feeds == {}


async def test_head_asks_for_the_head_alone(client: Client) -> None:
    async with client.head("/images/events") as response:
        assert response.status == 200
        assert response.headers["Content-Type"].startswith("text/event-stream")


async def test_a_page_of_an_allowed_origin_may_listen_and_no_other(serve: Serve) -> None:
    client = await serve(cors_origins=("https://app.example.com",))
    async with stream(client, headers={"Origin": "https://app.example.com"}) as reader:
        assert reader.response.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    async with stream(client, headers={"Origin": "https://evil.example.com"}) as reader:
        assert "Access-Control-Allow-Origin" not in reader.response.headers


async def test_metrics_tell_of_streams_and_a_stream_is_no_slow_request(client: Client, world: World) -> None:
    assert client.app is not None
    async with stream(client) as reader:
        job = await world.submit("default")
        await world.complete(job.processing_id)
        await reader.messages(len(ALL))
        text = client.app[METRICS].exposition()[0].decode()
        assert 'truss_open_calls{kind="streams"} 1.0' in text
        assert f"truss_live_events_sent_total {len(ALL)}.0" in text
        assert "truss_live_event_lag_seconds_count" in text
    client.app[FEEDS].end()
    await closed(client)
