"""Whoever is on call asks the logs, with the queries of `docs/logs.md`, and is answered out of real lines."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from aiohttp.test_utils import TestServer

from tests import corpus, insights
from tests.faults.conftest import Lane, new_stage, run_lane
from tests.faults.proxy import Kind
from tests.guide import DOCS
from tests.local_aws import LocalAws
from tests.ports import held_port
from tests.waiting import eventually

PAGE = (DOCS / "logs.md").read_text()
#: By the question that each answers.
QUERIES = dict(re.findall(r"^### ([^\n]+)\n\n```\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
GOOD = corpus.jpeg(corpus.photo(160, 120))


@dataclass(frozen=True, slots=True, kw_only=True)
class Night:
    """What happened, and the log of it."""

    log: str
    good: dict[str, Any]
    damaged: dict[str, Any]
    request_id: str
    heard_by: str
    not_heard_by: str

    def answer(self, question: str, **instead: str) -> list[dict[str, Any]]:
        """The rows of the page's query, for these ids instead of the page's."""
        query = QUERIES[question]
        for name, value in instead.items():
            query = re.sub(rf'{name} = "[^"]*"', f'{name} = "{value}"', query)
        return insights.run(query, self.log)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def night(emulator: LocalAws, session: aiohttp.ClientSession, tmp_path_factory: pytest.TempPathFactory) -> Night:
    """A picture that completes on its second try, one that is damaged, a webhook that hears of them and one whose
    receiver is away, and callers who make mistakes."""
    log_file = tmp_path_factory.mktemp("night") / "service.log"
    request_id = secrets.token_hex(16)
    started = run_lane(await new_stage(emulator), session, log_file, VISIBILITY_SECONDS="60")
    async with run_receiver() as url, started as lane:
        call = lane.service.call
        heard_by = await call("POST", "/images/webhooks", expect=201, json={"url": url})
        away = f"http://127.0.0.1:{held_port()}/"
        not_heard_by = await call("POST", "/images/webhooks", expect=201, json={"url": away})
        good = await call("POST", "/images/upload-url", json={"filename": "photo.jpg"})
        lane.aws.strike("s3:GetObject", Kind.ERROR, good["uniqueId"], times=5)
        async with session.put(good["uploadUrl"], data=GOOD, headers=good["headers"]) as answer:
            assert answer.status == 200
        damaged = await lane.service.put(corpus.damage.cut(GOOD, 0.9))
        await lane.ended(good["processingId"], damaged["processingId"])
        for webhook in (heard_by, not_heard_by):
            await eventually(partial(_tried, lane, webhook["webhookId"]), what="a try of each event")
        await call("GET", "/images/status/img_0", expect=404, headers={"X-Request-Id": request_id})
        await call("POST", "/images/upload-url", expect=400, json={"filename": "a.exe"})
        await call("POST", "/images/keys", expect=201, json={"name": "importer", "scopes": ["images:read"]})
        await _fails(lane)
    return Night(
        log=log_file.read_text(),
        good=good,
        damaged=damaged,
        request_id=request_id,
        heard_by=heard_by["webhookId"],
        not_heard_by=not_heard_by["webhookId"],
    )


@asynccontextmanager
async def run_receiver() -> AsyncIterator[str]:
    """The URL of a receiver that takes everything."""

    async def take(_: web.Request) -> web.Response:
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/", take)
    async with TestServer(app) as server:
        yield str(server.make_url("/"))


async def _tried(lane: Lane, webhook_id: str) -> bool:
    """Whether the ends of both pictures were."""
    found = (await lane.service.call("GET", f"/images/webhooks/{webhook_id}/attempts"))["deliveries"]
    return len(found) == 2 and all(each["attempts"] for each in found)


async def _fails(lane: Lane) -> None:
    lane.aws.strike("dynamodb:*", Kind.ERROR)
    async with lane.service.session.get(f"{lane.service.url}/images/list") as answer:
        assert answer.status == 503
    lane.aws.lift()


def test_what_happened_to_an_image(night: Night) -> None:
    rows = night.answer("What happened to this image?", uniqueId=night.good["uniqueId"])

    assert next(row["path"] for row in rows if row["path"]) == "/images/upload-url"
    assert [row["outcome"] for row in rows if row["outcome"]] == ["completed"]
    assert {row["event"] for row in rows} >= {"Request answered", "Event handled", "Dependency unavailable"}
    assert all(row["totalMs"] > 0 for row in rows if row["outcome"])


def test_what_happened_to_a_request(night: Night) -> None:
    (row,) = night.answer("What happened to this request?", requestId=night.request_id)

    assert (row["status"], row["code"]) == (404, "job_not_found")


def test_why_jobs_fail(night: Night) -> None:
    (row,) = night.answer("Why do jobs fail?")

    assert row == {"code": "corrupt_image", "jobs": 1, "tenants": 1, "example": night.damaged["processingId"]}


def test_whose_jobs_fail(night: Night) -> None:
    assert night.answer("Whose jobs fail?") == [{"tenant": "default", "code": "corrupt_image", "jobs": 1}]


def test_how_soon_pictures_are_there(night: Night) -> None:
    (row,) = night.answer("How soon are pictures there?")

    assert row["jobs"] == 1
    assert 0 <= row["first"] <= row["all"]


def test_which_pictures_take_the_longest(night: Night) -> None:
    (row,) = night.answer("Which pictures take the longest?")

    assert (row["processingId"], row["format"]) == (night.good["processingId"], "jpeg")
    assert row["megapixels"] == pytest.approx(160 * 120 / 1e6)
    assert row["processMs"] > 0


def test_which_calls_are_slow(night: Night) -> None:
    rows = night.answer("Which calls are slow?")

    assert [row["p95"] for row in rows] == sorted((row["p95"] for row in rows), reverse=True)
    assert ("POST", "/images/upload-url") in {(row["method"], row["route"]) for row in rows}
    assert all(row["p95"] <= row["slowest"] for row in rows)


def test_which_calls_fail(night: Night) -> None:
    rows = night.answer("Which calls do we fail?")

    assert ("/images/list", 503, "unavailable") in {(row["route"], row["status"], row["code"]) for row in rows}


def test_who_is_refused_and_why(night: Night) -> None:
    rows = night.answer("Who is refused, and why?")

    refused = {(row["status"], row["code"]) for row in rows}
    assert refused >= {(404, "job_not_found"), (400, "unsupported_content_type")}
    assert all("Python" in row["agent"] and row["subject"] for row in rows)


def test_which_dependency_is_in_trouble(night: Night) -> None:
    rows = night.answer("Which dependency is in trouble?")

    assert {("GetObject", "InternalError")} <= {(row["operation"], row["code"]) for row in rows}


def test_which_messages_come_again(night: Night) -> None:
    rows = night.answer("Which messages come again and again?")

    assert [(row["receives"] > 1, row["last"]) for row in rows] == [(True, "Event handled")]


def test_nothing_is_a_defect_of_ours(night: Night) -> None:
    assert night.answer("What is a defect of ours?") == []


def test_whether_a_webhook_got_it(night: Night) -> None:
    ask = partial(night.answer, "Did this webhook get it?")
    rows = ask(webhookId=night.heard_by, uniqueId=night.good["uniqueId"])
    assert [(row["end"], row["status"], row["type"]) for row in rows] == [("delivered", 204, "image.completed")]
    rows = ask(webhookId=night.not_heard_by, uniqueId=night.good["uniqueId"])
    assert {(row["end"], row["code"]) for row in rows} == {("retried", "no_connection")}
    assert ask(webhookId="wh_another", uniqueId=night.good["uniqueId"]) == []


def test_which_webhooks_fail(night: Night) -> None:
    rows = night.answer("Which webhooks fail?")

    assert {(row["webhookId"], row["tenant"], row["code"]) for row in rows} == {
        (night.not_heard_by, "default", "no_connection")
    }


def test_who_changed_keys(night: Night) -> None:
    (row,) = night.answer("Who changed keys and limits?")

    assert (row["event"], row["tenant"]) == ("API key created", "default")
    assert row["subject"]


def test_every_query_of_the_page_is_tried_here() -> None:
    """A question more is a test more."""
    tried = set(re.findall(r'night\.answer(?:\(|, )"([^"]+)"', Path(__file__).read_text()))
    assert tried == set(QUERIES)
    assert len(QUERIES) > 10


def test_what_matters_most_comes_first(night: Night) -> None:
    lines = [line for line in night.log.splitlines() if '"event": "Event handled"' in line]

    for line in lines:
        assert list(json.loads(line))[:4] == ["timestamp", "level", "event", "outcome"]


def test_every_field_that_the_page_explains_is_in_a_line(night: Night) -> None:
    explained = set(re.findall(r"`([a-zA-Z_]+)`", PAGE.partition("| field |")[2].partition("\n\n")[0]))
    seen = set().union(*(json.loads(line) for line in night.log.splitlines()))
    elsewhere = {"traceId", "limit", "actual", "formats", "added", "dryRun", "redriven", "messages"}
    elsewhere |= {"model", "result", "looks", "why"}  # no model fails in this night
    assert explained - elsewhere - {"X"} <= seen | {"Request answered", "Event handled"}
