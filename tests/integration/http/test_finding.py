"""The list by file name and by tag: what matches is found once, in bounded steps, and nobody else's."""

from __future__ import annotations

from typing import Any

import pytest

from processor.catalog import finding
from processor.facts import Facts
from tests.integration.http.conftest import Ask, World

TAGS = Facts({"tags": [{"name": "Lakeside", "score": 0.8}, {"name": "boathouse", "score": 0.4}]})
KEYWORDS = Facts(own={"metadata": {"keywords": ["Žofín", "winter"]}})


async def image(world: World, submit: Any, filename: str, facts: Facts | None = None) -> str:
    issued = await submit(filename=filename)
    await world.complete(issued["processingId"], facts=facts or Facts())
    return str(issued["uniqueId"])


async def names(ask: Ask, query: str) -> list[str]:
    status, _, body = await ask("GET", f"/images/list?{query}")
    assert status == 200
    assert body["count"] == len(body["images"])
    return sorted(each["filename"] for each in body["images"])


async def test_images_are_found_by_a_piece_of_their_file_name(ask: Ask, world: World, submit: Any) -> None:
    for filename in ("Holiday 1.jpg", "my HOLIDAY.png", "work.jpg", "h\u00f6he.jpg"):
        await image(world, submit, filename)
    assert await names(ask, "name=holiday") == ["Holiday 1.jpg", "my HOLIDAY.png"]
    assert await names(ask, "name=day%201") == ["Holiday 1.jpg"]
    assert await names(ask, "name=HO%CC%88HE") == ["h\u00f6he.jpg"]  # as macOS spells it
    assert await names(ask, "name=nothing") == []
    assert len(await names(ask, "name=")) == 4


async def test_images_are_found_by_a_whole_tag_or_keyword(ask: Ask, world: World, submit: Any) -> None:
    await image(world, submit, "lake.jpg", TAGS)
    await image(world, submit, "snow.jpg", KEYWORDS)
    await image(world, submit, "odd.jpg", Facts({"tags": "lakeside"}, {"metadata": {"keywords": [3]}}))
    assert await names(ask, "tag=lakeside") == ["lake.jpg"]
    assert await names(ask, "tag=BOATHOUSE&name=lake") == ["lake.jpg"]
    assert await names(ask, "tag=%C5%BEof%C3%ADn") == ["snow.jpg"]
    assert await names(ask, "tag=lake") == []
    assert await names(ask, "tag=boathouse&name=snow") == []
    assert await names(ask, "tag=boathouse&status=failed") == []


async def test_nobody_finds_images_of_another_tenant(ask: Ask, world: World) -> None:
    theirs = await world.submit("somebody")
    await world.complete(theirs.processing_id, facts=TAGS)
    assert await names(ask, "tag=lakeside") == []
    assert await names(ask, f"name={theirs.filename}") == []


@pytest.mark.parametrize("limit", [1, 2, 50])
async def test_a_search_in_small_steps_finds_each_match_once(
    ask: Ask, world: World, submit: Any, limit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = set()
    for number in range(17):
        unique_id = await image(world, submit, f"{'this' if number % 3 else 'that'}-{number}.jpg")
        if not number % 3:
            expected.add(unique_id)
    monkeypatch.setattr(finding, "_PAGE", 2)
    monkeypatch.setattr(finding, "MOST_SEARCHED", 4)
    found: list[str] = []
    counts: list[int] = []
    key: str | None = ""
    while key is not None:
        after = f"&lastKey={key}" if key else ""
        _, _, body = await ask("GET", f"/images/list?name=that&limit={limit}{after}")
        counts.append(body["count"])
        found += [each["uniqueId"] for each in body["images"]]
        key = body["lastEvaluatedKey"]
        assert len(counts) < 40
    assert max(counts) <= min(limit, 4)
    assert len(found) == len(expected)
    assert set(found) == expected


async def test_a_cursor_holds_for_its_search_alone(ask: Ask, world: World, submit: Any) -> None:
    for number in range(3):
        await image(world, submit, f"some-{number}.jpg", TAGS)
    keys = {
        query: (await ask("GET", f"/images/list?limit=1&{query}"))[2]["lastEvaluatedKey"]
        for query in ("name=some", "tag=lakeside", "order=desc")
    }
    for made_for, key in keys.items():
        for query in (*keys, "name=SOME", "name=some&tag=lakeside", "name=some&order=asc"):
            status, _, body = await ask("GET", f"/images/list?limit=1&{query}&lastKey={key}")
            assert (status == 200) == (query == made_for), (made_for, query)
            assert status == 200 or body["code"] == "invalid_cursor"


@pytest.mark.parametrize("query", ["filename=a", "tags=a", "q=a", "search=a", f"name={'a' * 201}", f"tag={'a' * 101}"])
async def test_what_other_apis_call_it_and_what_is_too_long_is_refused(ask: Ask, query: str) -> None:
    status, _, body = await ask("GET", f"/images/list?{query}")
    assert (status, body["code"]) == (400, "invalid_request")
