"""Reviews by the API: what is held is seen by nobody but a reviewer, who decides."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from processor.facts import Facts
from processor.images import HELD_PREFIX
from processor.jobs import Job
from service.auth.principal import Scope
from service.routes import ROUTES
from tests.integration.http.conftest import Ask, Client, World
from tests.integration.http.test_access import call, key_of

Serve = Callable[..., Awaitable[Client]]
Submit = Callable[..., Awaitable[Any]]
PATH = "/images/review"
#: What would give a held picture away.
TOLD = {"blurhash": "L8D9e]-;~q_3WBj[ofj[", "likeness": "252d6d8dddc4c4b0", "colour": "#7a7879"}
FACTS = Facts.of({**TOLD, "placeholder": "data:image/webp;base64,UklGRj4AAABX"}, (*TOLD, "placeholder"))
#: Parts of what nobody may see.
SECRETS = (*TOLD.values(), "UklGRj4AAABX", HELD_PREFIX, "srcset", "9f86d081884c7d659a2feaa0c55ad015")


@pytest.fixture
async def held(world: World, submit: Submit) -> Job:
    issued = await submit(filename="a.jpg")
    return await world.hold(issued["processingId"], facts=FACTS)


def body(job: Job, decision: str = "approve", **more: str) -> dict[str, str]:
    return {"decision": decision, "processingId": job.processing_id, **more}


async def test_a_held_image_says_so_in_its_status_in_lists_and_in_events(ask: Ask, held: Job) -> None:
    _, _, shown = await ask("GET", f"/images/status/{held.processing_id}")
    assert shown["status"] == "needs_review"
    assert shown["review"] == {
        "reason": "preset",
        "askedAt": shown["review"]["askedAt"],
        "decision": None,
        "decidedAt": None,
        "decidedBy": None,
        "comment": None,
    }
    assert (shown["processedImages"], shown.get("facts")) == ({}, None)
    _, _, listed = await ask("GET", "/images/list?status=needs_review")
    assert [each["uniqueId"] for each in listed["images"]] == [held.unique_id]
    assert (await ask("GET", "/images/list?status=completed"))[2]["count"] == 0
    _, _, waited = await ask("GET", f"/images/status/{held.processing_id}?wait=30")  # it does not wait for people
    assert waited == shown


async def test_no_call_but_a_reviewers_gives_a_held_picture_away(serve: Serve, world: World) -> None:
    client = await serve(locked=True)
    job = await world.submit("acme")
    await world.hold(job.processing_id, facts=FACTS)
    scopes = [scope for scope in Scope if scope not in (Scope.REVIEW, Scope.ADMIN, Scope.DELETE)]
    headers = await key_of(world, *scopes)
    seen = 0
    for route in ROUTES:
        if route.scope not in scopes or route.path.endswith("/events") or "delete" in route.path:
            continue
        status, told = await call(client, route, image=job.unique_id, job=job.processing_id, headers=headers)
        assert status != 401
        text = told if isinstance(told, str) else json.dumps(told)
        assert not [secret for secret in SECRETS if secret in text], route
        seen += 1
    assert seen > 20
    for path in (f"{PATH}/{job.unique_id}", PATH):
        assert (await client.get(path, headers=headers)).status == 403


async def test_variants_of_a_held_image_are_answered_with_a_stable_code(ask: Ask, held: Job) -> None:
    for path in (f"/images/processed/{held.unique_id}", f"/images/similar/{held.unique_id}"):
        status, _, problem = await ask("GET", path)
        assert (status, problem["code"]) == (409, "needs_review")
    preview = {"preset": "standard", "uniqueId": held.unique_id}
    status, _, problem = await ask("POST", "/images/presets/preview", json=preview)
    assert (status, problem["code"]) == (409, "needs_review")


async def test_a_reviewer_sees_everything_and_needs_no_other_scope(serve: Serve, world: World) -> None:
    client = await serve(locked=True)
    job = await world.submit("acme")
    await world.hold(job.processing_id, facts=FACTS)
    headers = await key_of(world, Scope.REVIEW)
    listed = await (await client.get(PATH, headers=headers)).json()
    assert [(each["uniqueId"], each["reason"], each["approved"]) for each in listed["images"]] == [
        (job.unique_id, "preset", False)
    ]
    shown = await (await client.get(f"{PATH}/{job.unique_id}", headers=headers)).json()
    assert [variant["name"] for variant in shown["variants"]] == ["thumbnail", "medium", "large", "webp"]
    assert shown["variants"][0]["url"].startswith(f"memory://processed/{HELD_PREFIX}{job.unique_id}/")
    assert shown["facts"] == {**FACTS.found}
    assert (await client.get(f"/images/status/{job.processing_id}", headers=headers)).status == 403
    elsewhere = await key_of(world, Scope.REVIEW, tenant="other")
    assert (await client.get(f"{PATH}/{job.unique_id}", headers=elsewhere)).status == 404
    refused = await client.post(f"{PATH}/{job.unique_id}", headers=elsewhere, json=body(job))
    assert refused.status == 404


VEIL = "data:image/webp;base64,UklGRlVFSUw"
SCORED = {"nsfw": 0.93, "moderation": {"decision": "held", "reasons": ["nsfw"]}, "veil": VEIL}


async def test_a_moderated_picture_is_blurred_until_a_reviewer_asks_for_more(
    ask: Ask, world: World, submit: Submit
) -> None:
    job = await world.moderated((await submit(filename="a.jpg"))["processingId"], Facts.of(SCORED, SCORED))
    _, _, shown = await ask("GET", f"{PATH}/{job.unique_id}")
    assert (shown["reason"], shown["blurred"]) == ("nsfw", VEIL)
    assert [(variant["url"], variant["expiresAt"]) for variant in shown["variants"]] == [(None, None)] * 4
    assert HELD_PREFIX not in json.dumps(shown)
    assert shown["facts"] == {name: SCORED[name] for name in ("nsfw", "moderation")}
    _, _, clear = await ask("GET", f"{PATH}/{job.unique_id}?clear=true")
    assert all(variant["url"].startswith(f"memory://processed/{HELD_PREFIX}") for variant in clear["variants"])
    assert clear["blurred"] == VEIL
    _, _, listed = await ask("GET", PATH)
    assert [each["reason"] for each in listed["images"]] == ["nsfw"]
    _, _, status = await ask("GET", f"/images/status/{job.processing_id}")
    assert (status["review"]["reason"], status.get("facts")) == ("nsfw", None)
    assert VEIL not in json.dumps([listed, status])
    _, _, approved = await ask("POST", f"{PATH}/{job.unique_id}", json=body(job))
    assert approved["facts"] == {name: SCORED[name] for name in ("nsfw", "moderation")}


async def test_a_moderated_picture_without_a_rendition_shows_none(ask: Ask, world: World, submit: Submit) -> None:
    job = await world.moderated((await submit(filename="a.jpg"))["processingId"], Facts())
    _, _, shown = await ask("GET", f"{PATH}/{job.unique_id}")
    assert "blurred" not in shown
    assert {variant["url"] for variant in shown["variants"]} == {None}


async def test_an_approved_image_is_shown_and_its_urls_are_those_that_were_foretold(
    ask: Ask, world: World, submit: Submit
) -> None:
    issued = await submit(filename="a.jpg")
    held = await world.hold(issued["processingId"], facts=FACTS)
    status, _, approved = await ask("POST", f"{PATH}/{held.unique_id}", json=body(held))
    assert (status, approved["status"]) == (200, "completed")
    assert approved["review"]["decision"] == "approved"
    assert approved["review"]["decidedBy"] == "anonymous"
    urls = {name: variant["url"] for name, variant in approved["processedImages"].items()}
    assert urls == issued["processedImageUrls"]
    assert (await ask("GET", f"/images/processed/{held.unique_id}"))[2]["count"] == 4
    assert (await ask("POST", f"{PATH}/{held.unique_id}", json=body(held)))[2] == approved
    status, _, problem = await ask("POST", f"{PATH}/{held.unique_id}", json=body(held, "reject"))
    assert (status, problem["code"]) == (409, "review_decided")
    assert (await ask("GET", PATH))[2]["count"] == 0
    assert not await world.processed.list(HELD_PREFIX)


async def test_a_rejected_image_is_rejected_for_good_and_says_why(ask: Ask, world: World, held: Job) -> None:
    status, _, rejected = await ask("POST", f"{PATH}/{held.unique_id}", json=body(held, "reject", comment="A face."))
    assert (status, rejected["status"], rejected["review"]["comment"]) == (200, "rejected", "A face.")
    assert not await world.processed.list("")
    status, _, problem = await ask("GET", f"/images/processed/{held.unique_id}")
    assert (status, problem["code"]) == (409, "review_rejected")
    _, _, listed = await ask("GET", "/images/list?status=rejected")
    assert listed["count"] == 1
    status, _, problem = await ask("GET", f"{PATH}/{held.unique_id}")
    assert (status, problem["code"]) == (409, "not_in_review")


@pytest.mark.parametrize(
    "wrong",
    [
        {"decision": "approve"},
        {"decision": "perhaps", "processingId": "img_1_a"},
        {"decision": "reject", "processingId": "img_1_a", "comment": "x" * 501},
        {"decision": "reject", "processingId": "img_1_a", "reason": "no"},
    ],
)
async def test_a_decision_that_is_not_whole_is_refused(ask: Ask, held: Job, wrong: dict[str, str]) -> None:
    status, _, problem = await ask("POST", f"{PATH}/{held.unique_id}", json=wrong)
    assert (status, problem["code"]) == (400, "invalid_request")


async def test_only_the_job_that_was_looked_at_is_decided_about(ask: Ask, held: Job) -> None:
    other = held.processing_id[:-1] + ("0" if held.processing_id[-1] != "0" else "1")
    status, _, problem = await ask(
        "POST", f"{PATH}/{held.unique_id}", json={"decision": "approve", "processingId": other}
    )
    assert (status, problem["code"]) == (409, "not_in_review")
    assert (await ask("GET", f"/images/status/{held.processing_id}"))[2]["status"] == "needs_review"


async def test_a_preset_asks_for_a_review_and_its_versions_say_which_of_them_does(ask: Ask) -> None:
    content = {"variants": [{"name": "one", "width": 9}]}
    _, _, first = await ask("PUT", "/images/presets/gated", json=content)
    status, _, second = await ask("PUT", "/images/presets/gated", json={**content, "review": True})
    assert (status, second["version"], second["document"]["review"]) == (201, 2, True)
    assert "review" not in first["document"]
    assert (await ask("PUT", "/images/presets/gated", json=second["document"]))[0] == 200
