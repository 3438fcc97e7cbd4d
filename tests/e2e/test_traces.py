"""One trace tells an image's whole life across processes, where somebody collects it."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests import corpus
from tests.fleet import metrics_with, run_service, run_stage
from tests.ports import held_port
from tests.waiting import eventually


@dataclass
class Collector:
    """What processes told, by process."""

    url: str = ""
    spans: dict[str, list[Span]] = field(default_factory=dict)

    async def export(self, request: web.Request) -> web.Response:
        told = ExportTraceServiceRequest.FromString(await request.read())
        for resource in told.resource_spans:
            named = {each.key: each.value.string_value for each in resource.resource.attributes}
            assert named["service.name"] == "truss-image"
            some = self.spans.setdefault(named["service.instance.id"], [])
            some.extend(span for scope in resource.scope_spans for span in scope.spans)
        return web.Response()

    def whole(self, trace: str) -> list[Span]:
        """All of its spans, of all processes."""
        return [span for spans in self.spans.values() for span in spans if span.trace_id.hex() == trace]

    def of_trace(self, trace: str) -> list[set[str]]:
        """The names of its spans, of each process."""
        named = ({span.name for span in spans if span.trace_id.hex() == trace} for spans in self.spans.values())
        return [names for names in named if names]


@dataclass
class Receiver:
    """The trace that each request to a webhook names, by the event's type."""

    url: str = ""
    named: dict[str, str] = field(default_factory=dict)

    async def take(self, request: web.Request) -> web.Response:
        self.named[(await request.json())["type"]] = request.headers["traceparent"]
        return web.Response(status=204)


@asynccontextmanager
async def run_receiver() -> AsyncIterator[Receiver]:
    receiver, app = Receiver(), web.Application()
    app.router.add_post("/", receiver.take)
    async with TestServer(app) as server:
        receiver.url = str(server.make_url("/"))
        yield receiver


@asynccontextmanager
async def run_collector() -> AsyncIterator[Collector]:
    collector, app = Collector(), web.Application()
    app.router.add_post("/v1/traces", collector.export)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        collector.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield collector
    finally:
        await runner.cleanup()


@pytest.mark.slow
async def test_one_trace_tells_of_the_request_in_one_process_and_of_each_variant_and_webhook_in_another(
    tmp_path: Path, session: aiohttp.ClientSession
) -> None:
    trace, metrics_port = secrets.token_hex(16), held_port()
    logs = tmp_path / "api.log", tmp_path / "worker.log"
    webhooks = ("image.uploaded", "image.processing", "image.completed")
    async with run_stage(tmp_path / "aws") as stage, run_collector() as collector, run_receiver() as receiver:
        traced: dict[str, Any] = {
            "TRACES": "otlp",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_BSP_SCHEDULE_DELAY": "100",
        }
        async with (
            run_service(stage, session, logs[0], ROLES="api", **traced) as api,
            run_service(stage, session, logs[1], ROLES="worker", METRICS_PORT=str(metrics_port), **traced),
        ):
            wanted = {"url": receiver.url, "events": list(webhooks)}
            await api.call("POST", "/images/webhooks", json=wanted, expect=201)
            headers = {"traceparent": f"00-{trace}-{secrets.token_hex(8)}-01"}
            issued = await api.call("POST", "/images/upload-url", json={"filename": "a.jpg"}, headers=headers)
            picture = corpus.jpeg(corpus.photo(400, 300))
            async with session.put(issued["uploadUrl"], data=picture, headers=issued["headers"]) as answer:
                assert answer.status == 200
            await api.settled(issued["processingId"])

            async def whole() -> Any:
                """Of the worker and of the API; a span is sent once it has ended, and that of a request ends last."""
                delivered = {f"deliver {kind}" for kind in webhooks}
                found = collector.of_trace(trace)
                worked = [names for names in found if {"job", *delivered} <= names]
                asked = [names for names in found if "POST /images/upload-url" in names]
                return worked + asked if worked and asked else None

            worked, asked = await eventually(whole, what="what the worker and the API tell")
            accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
            example = rf'truss_servable_seconds_bucket.* # {{trace_id="{trace}"}}'
            await metrics_with(session, metrics_port, example, **accept)

    assert {"POST /images/upload-url", "dynamodb.TransactWriteItems"} <= asked
    assert {"job", "conversion", "download", "decode", "render", "record", "s3.PutObject"} <= worked
    variants = ("thumbnail", "medium", "large", "webp")
    assert {f"store {variant}.webp" for variant in variants} <= worked
    spans = collector.whole(trace)
    request = next(span for span in spans if span.name == "POST /images/upload-url")
    for kind in webhooks:  # each is a part of the image's trace, and the receiver's own trace goes on from there
        delivery = next(span for span in spans if span.name == f"deliver {kind}")
        assert delivery.parent_span_id == request.span_id
        assert delivery.kind == Span.SPAN_KIND_CLIENT
        assert receiver.named[kind] == f"00-{trace}-{delivery.span_id.hex()}-01"
    lines = [json.loads(line) for log in logs for line in log.read_text().splitlines()]
    told = {line["event"] for line in lines if line.get("traceId") == trace}
    assert "Request answered" in told
