"""The jobs of an image: all that are still recorded, the newest first, and nobody else's."""

from __future__ import annotations

from typing import Any

from processor.images import new_unique_id
from tests.integration.http.conftest import Ask, World


async def converted(ask: Ask, world: World, submit: Any, times: int) -> tuple[str, list[str]]:
    """An image that was converted so often, and its jobs, the newest first."""
    issued = await submit(filename="again.jpg")
    unique_id, ids = issued["uniqueId"], [issued["processingId"]]
    await world.complete(ids[0])
    for _ in range(times - 1):
        status, _, body = await ask("POST", f"/images/process/{unique_id}")
        assert status == 202
        ids.append(body["processingId"])
        await world.fail_again(body["processingId"])
    return unique_id, ids[::-1]


async def test_every_job_of_an_image_is_told_the_newest_first(ask: Ask, world: World, submit: Any) -> None:
    unique_id, ids = await converted(ask, world, submit, 3)
    status, _, body = await ask("GET", f"/images/jobs/{unique_id}")
    assert status == 200
    assert [each["processingId"] for each in body["jobs"]] == ids
    assert [each["supersededBy"] is None for each in body["jobs"]] == [True, False, False]
    assert (body["uniqueId"], body["count"], body["lastEvaluatedKey"]) == (unique_id, 3, None)


async def test_pages_of_jobs_tell_each_once_less_those_that_have_expired(ask: Ask, world: World, submit: Any) -> None:
    unique_id, ids = await converted(ask, world, submit, 5)
    del world.jobs._jobs[ids[2]]
    found: list[str] = []
    key: str | None = ""
    while key is not None:
        _, _, body = await ask("GET", f"/images/jobs/{unique_id}?limit=2" + (f"&lastKey={key}" if key else ""))
        found += [each["processingId"] for each in body["jobs"]]
        key = body["lastEvaluatedKey"]
    assert found == [each for each in ids if each != ids[2]]


async def test_the_jobs_of_another_tenants_image_and_of_a_deleted_one_are_not_told(
    ask: Ask, world: World, submit: Any
) -> None:
    unique_id, _ = await converted(ask, world, submit, 2)
    theirs = await world.submit("somebody")
    await ask("DELETE", f"/images/image/{unique_id}")
    for each, code in (
        (theirs.unique_id, "image_not_found"),
        (new_unique_id(), "image_not_found"),
        (unique_id, "image_deleted"),
    ):
        status, _, body = await ask("GET", f"/images/jobs/{each}")
        assert (status, body["code"]) == (404, code)


async def test_a_cursor_holds_for_its_image_alone(ask: Ask, world: World, submit: Any) -> None:
    unique_id, _ = await converted(ask, world, submit, 2)
    other, _ = await converted(ask, world, submit, 2)
    key = (await ask("GET", f"/images/jobs/{unique_id}?limit=1"))[2]["lastEvaluatedKey"]
    for path in (f"jobs/{other}?lastKey={key}", f"list?lastKey={key}", f"jobs/{unique_id}?lastKey=x{key}"):
        status, _, body = await ask("GET", f"/images/{path}")
        assert (status, body["code"]) == (400, "invalid_cursor")
    assert (await ask("GET", f"/images/jobs/{unique_id}?limit=51"))[0] == 400
