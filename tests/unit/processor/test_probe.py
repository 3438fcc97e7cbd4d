"""Whoever wants to know hears of every step, and changes none."""

from __future__ import annotations

import asyncio
import gc
import weakref
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from structlog.contextvars import bind_contextvars, clear_contextvars, get_contextvars
from structlog.testing import capture_logs

from processor.errors import CorruptImage, Unavailable
from processor.pipeline.engine import Engine, EngineConfig
from processor.probe import NO_PROBES, Probes, Span
from processor.recipes import STANDARD
from processor.stores.clients import open_clients
from processor.stores.config import AwsConfig, AwsCredentials
from tests import corpus
from tests.unit.world import Noted, World


def observed() -> tuple[Noted, Probes]:
    noted = Noted()
    return noted, Probes((noted,))


def test_a_step_has_a_name_facts_and_a_time_and_ends_before_the_one_around_it() -> None:
    noted, probes = observed()
    with probes.span("outer", colour="red") as outer, probes.span("inner"):
        outer.facts["size"] = 3
        so_far = outer.seconds
    assert noted.names == ["inner", "outer"]
    assert outer.facts == {"colour": "red", "size": 3}
    assert 0 <= so_far <= outer.seconds == outer.seconds
    assert outer.error is None


def test_a_step_that_breaks_says_by_what_and_the_error_goes_on() -> None:
    noted, probes = observed()
    with pytest.raises(CorruptImage), probes.span("step"):
        raise CorruptImage
    (span,) = noted.spans
    assert span.error is CorruptImage


class Broken:
    """A probe with a defect."""

    def begun(self, span: Span) -> None:
        raise RuntimeError(span.name)

    def ended(self, span: Span) -> None:
        raise RuntimeError(span.name)


def test_a_broken_probe_changes_nothing_and_keeps_nothing_from_the_others() -> None:
    noted = Noted()
    with capture_logs() as logs, Probes((Broken(), noted, Broken())).span("step"):
        done = True
    assert done
    assert noted.names == ["step"]
    assert [(line["event"], line["span"]) for line in logs] == [("Probe broke", "step")] * 4


class Picture:
    """Something large."""


@pytest.mark.parametrize("probes", [NO_PROBES, observed()[1]])
def test_what_a_step_broke_over_is_not_kept_in_memory(probes: Probes) -> None:
    kept: list[weakref.ref[Picture]] = []

    def work() -> None:
        picture = Picture()
        kept.append(weakref.ref(picture))
        raise CorruptImage

    def step() -> None:
        with suppress(CorruptImage), probes.span("step"):
            work()

    gc.collect()
    gc.disable()
    try:
        step()
        assert [each() for each in kept] == [None]
    finally:
        gc.enable()


async def test_the_steps_of_a_conversion_are_told_in_the_order_in_which_they_end() -> None:
    noted, probes = observed()
    world = World(probes=probes)
    _, event = await world.uploaded()
    await world.converter.convert(event)

    assert noted.names[0] == "download"
    assert sorted(noted.names[1:-3]) == ["render", *["store"] * len(STANDARD.specs)]
    assert noted.names[-3:] == ["conversion", "record", "job"]
    facts = {span.name: span.facts for span in noted.spans}
    assert (facts["download"], facts["render"]) == ({"bytes": 5}, {"suspect": False})
    assert facts["record"] == {"status": "completed"}
    stored = {span.facts["variant"] for span in noted.spans if span.name == "store"}
    assert stored == {spec.name for spec in STANDARD.specs}


async def test_a_render_that_fails_ends_its_steps() -> None:
    noted, probes = observed()
    world = World(probes=probes)
    _, event = await world.uploaded()

    async def away() -> None:
        raise Unavailable

    world.renderer.during = away
    with pytest.raises(Unavailable):
        await world.converter.convert(event)
    assert [(span.name, span.error) for span in noted.spans] == [
        ("download", None),
        ("render", Unavailable),
        ("conversion", Unavailable),
        ("job", Unavailable),
    ]


class InContext(Noted):
    """Remembers also for whom a step was done."""

    def __init__(self) -> None:
        super().__init__()
        self.contexts: list[dict[str, Any]] = []

    def ended(self, span: Span) -> None:
        super().ended(span)
        self.contexts.append(dict(get_contextvars()))


async def test_the_steps_of_a_render_are_told_in_the_context_of_whoever_asked_for_it() -> None:
    noted = InContext()
    engine = Engine(EngineConfig(threads=2, memory_budget_bytes=1_000_000_000), probes=Probes((noted,)))

    async def render(name: str) -> None:
        clear_contextvars()
        bind_contextvars(uniqueId=name)
        await engine.render(corpus.jpeg(), STANDARD)

    try:
        await asyncio.gather(asyncio.create_task(render("one")), asyncio.create_task(render("two")))
    finally:
        await engine.close()
    for name in ("one", "two"):
        of_one = [
            span.name
            for span, context in zip(noted.spans, noted.contexts, strict=True)
            if context == {"uniqueId": name}
        ]
        analysed = ["analyse"] * len(STANDARD.analyses)
        begun = ["wait", "wait", "decode", "resize", *analysed]  # for memory, for a thread
        assert of_one[: len(begun)] == begun
        assert set(of_one[len(begun) :]) == {"encode"}


async def test_every_call_of_aws_is_a_step() -> None:
    noted, probes = observed()
    credentials = AwsCredentials(access_key_id="AKIAEXAMPLE", secret_access_key="secret")
    async with open_clients(AwsConfig(region="eu-west-1", credentials=credentials), probes) as clients:
        answer: Any = (SimpleNamespace(status_code=200), {"TableNames": []})
        opened: list[Any] = [clients.dynamodb, clients.dynamodb_once, clients.sqs, clients.s3]
        for client in opened:
            client.meta.events.register("before-call", lambda **_: answer)
        await clients.dynamodb.list_tables()
        await clients.dynamodb_once.list_tables()
        await clients.sqs.get_queue_url(QueueName="queue")
        await clients.s3.head_object(Bucket="bucket", Key="uploads/secret.jpg")
        await clients.s3_presign.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "key"})
    assert [span.facts for span in noted.spans if span.name == "aws"] == [
        {"service": "dynamodb", "operation": "ListTables", "code": "ok"},
        {"service": "dynamodb", "operation": "ListTables", "code": "ok"},
        {"service": "sqs", "operation": "GetQueueUrl", "code": "ok"},
        {"service": "s3", "operation": "HeadObject", "code": "ok"},
    ]


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, {"Error": {"Code": "ThrottlingException", "Message": "slower"}}, "ThrottlingException"),
        (403, {"Error": {"Code": "AccessDenied", "Message": "no"}}, "AccessDenied"),
        (200, EndpointConnectionError(endpoint_url="https://aws.example"), "unreachable"),
    ],
)
async def test_a_call_of_aws_tells_what_it_ended_with(status: int, body: Any, code: str) -> None:
    noted, probes = observed()
    credentials = AwsCredentials(access_key_id="AKIAEXAMPLE", secret_access_key="secret")

    def answer(**_: Any) -> Any:
        if isinstance(body, Exception):
            raise body
        return SimpleNamespace(status_code=status), body

    async with open_clients(AwsConfig(region="eu-west-1", credentials=credentials), probes) as clients:
        events: Any = clients.sqs.meta.events
        events.register("before-call", answer)
        with pytest.raises((ClientError, EndpointConnectionError)):
            await clients.sqs.get_queue_url(QueueName="queue")
    assert [span.facts["code"] for span in noted.spans if span.name == "aws"] == [code]
