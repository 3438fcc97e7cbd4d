"""An index of DynamoDB follows its table, item by item, each in its own time. No walk through a list misses anything.

The real store and the real listing run over a table and an index that know as much of DynamoDB as they ask for. The
search decides how far behind the index is with each item, at each question.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from processor import clock
from processor.errors import JobNotFound
from processor.jobs import Job, JobStatus, Lease, Source, Terms, first_image, next_job, pending_job
from processor.ports.jobs import JobQuery
from processor.recipes import STANDARD
from processor.stores.clients import RAW, from_attribute, to_attribute
from processor.stores.dynamodb import DynamoJobStore
from processor.stores.table import Table
from tests.searching import searching

TENANT = "acme"
KEYS = {"by-time": "listKey", "by-status": "statusKey"}
NOT_WRITTEN: dict[str, Any] = {}


@dataclass
class Lagging:
    """A table and its indexes. `behind` says how many writes of an item an index does not know of."""

    behind: Callable[[], int]
    items: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)

    async def transact_write_items(self, *, TransactItems: list[dict[str, Any]], **_: Any) -> None:  # noqa: N803 - as AWS
        for part in TransactItems:
            ((kind, change),) = part.items()
            if kind == "Put":
                self._write(change["Item"])
            elif kind == "Update":
                await self.update_item(**change)
            else:
                self._write({**change["Key"], "gone": {"BOOL": True}})

    async def update_item(self, **change: Any) -> dict[str, Any]:
        item = dict(self._newest(change["Key"]["processingId"]["S"]) or change["Key"])
        values, (sets, _, removes) = (
            change.get("ExpressionAttributeValues", {}),
            change["UpdateExpression"].partition("REMOVE "),
        )
        for assignment in re.findall(
            r"#\w+ = (?:(?:list_append|if_not_exists)\([^)]*\)|[^,]+)", sets.removeprefix("SET ")
        ):
            name, _, value = (part.strip() for part in assignment.partition(" = "))
            item[name[1:]] = _evaluated(value, item, values)
        for name in filter(None, removes.split(", ")):
            item.pop(name.strip()[1:], None)
        self._write(item)
        return {"Attributes": item}

    async def batch_write_item(self, *, RequestItems: dict[str, Any]) -> dict[str, Any]:  # noqa: N803 - as AWS
        for request in next(iter(RequestItems.values())):
            self._write({**request["DeleteRequest"]["Key"], "gone": {"BOOL": True}})
        return {}

    async def get_item(self, **asked: Any) -> dict[str, Any]:
        item = self._newest(asked["Key"]["processingId"]["S"])
        return {} if item is None else {"Item": item}

    async def query(self, **asked: Any) -> dict[str, Any]:
        values = {name: from_attribute(value) for name, value in asked["ExpressionAttributeValues"].items()}
        partition, start = KEYS[asked["IndexName"]], asked.get("ExclusiveStartKey")
        rows = [
            item for item in map(self._indexed, self.items) if item.get(partition, {}).get("S") == values[":partition"]
        ]
        rows = [row for row in rows if "sortKey" in row and values[":low"] <= row["sortKey"]["S"] <= values[":high"]]
        rows.sort(key=_place, reverse=not asked["ScanIndexForward"])
        if start is not None:
            after = [row for row in rows if (_place(row) > _place(start)) is asked["ScanIndexForward"]]
            rows = [row for row in after if _place(row) != _place(start)]
        page = rows[: asked["Limit"]]
        answer = {"Items": page} | ({"LastEvaluatedKey": page[-1]} if len(rows) > len(page) else {})
        return {RAW: json.dumps(answer).encode()}

    def _write(self, item: dict[str, Any]) -> None:
        self.items.setdefault(item["processingId"]["S"], []).append(item)

    def _newest(self, key: str) -> dict[str, Any] | None:
        found = self.items.get(key, [NOT_WRITTEN])[-1]
        return None if not found or "gone" in found else found

    def _indexed(self, key: str) -> dict[str, Any]:
        """It never goes back."""
        versions = self.items[key]
        self.seen[key] = known = max(self.seen.get(key, 0), len(versions) - self.behind())
        return versions[known - 1] if known > 0 and "gone" not in versions[known - 1] else NOT_WRITTEN


def _place(row: dict[str, Any]) -> tuple[str, str]:
    return row["sortKey"]["S"], row["processingId"]["S"]


def _evaluated(value: str, item: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    if value.startswith("list_append"):
        name, added = re.findall(r"[#:]\w+", value)
        return {"L": [*item[name[1:]]["L"], *values[added]["L"]]}
    if value.startswith("if_not_exists"):
        name, otherwise = re.findall(r"[#:]\w+", value)
        kept: dict[str, Any] = item.get(name[1:], values[otherwise])
        return kept
    if " + " in value:
        name, more = value.split(" + ")
        total: dict[str, Any] = to_attribute(from_attribute(item[name[1:]]) + from_attribute(values[more]))
        return total
    found: dict[str, Any] = values[value] if value.startswith(":") else item[value[1:]]
    return found


@dataclass
class Story:
    """Images, and what happens to them."""

    behind: Callable[[], int]
    images: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        client: Any = Lagging(self.behind)
        clients: Any = type("Clients", (), {"dynamodb": client, "dynamodb_once": client})()
        self.store = DynamoJobStore(Table(clients, "table"))
        self.client = client

    async def submit(self, _: int) -> None:
        number = len(self.images)
        job = pending_job(
            TENANT,
            f"image-{number}",
            f"uploads/{number}.jpg",
            "a",
            terms=Terms(content_type="image/jpeg"),
            recipe=STANDARD,
        )
        at = job.created_at - timedelta(seconds=100 - number)
        job = replace(job, created_at=at, expires_at=2**40)
        await self.store.create(first_image(job), job)
        self.images.append(job.unique_id)

    async def act(self, deed: str, number: int) -> None:
        if deed == "submit" or not self.images:
            await self.submit(0)
            return
        image = await self.store.get_image(TENANT, self.images[number % len(self.images)])
        if image.deleted_at is not None:
            return
        job = await self.store.get_job(TENANT, image.current_job)
        if deed == "delete":
            buried = await self.store.tombstone(image, clock.now(), 2**40)
            if number % 2:
                await self.store.forget_jobs(buried, clock.now())
        elif job.status is JobStatus.PENDING:
            await self.store.accept(image, job, Source(etag="e", size=1), 2**40)
        elif deed == "process":
            new = next_job(image, job, Source(etag="e", size=1), timedelta(days=30), recipe=STANDARD)
            await self.store.replace(image, job, replace(new, created_at=job.created_at + timedelta(milliseconds=1)))
        elif job.status is JobStatus.UPLOADED:
            lease = Lease(token="t", owner="pod", expires_at=2.0**40)
            claimed = await self.store.claim(job.processing_id, lease, clock.now(), "tests")
            await self.store.finish(replace(claimed, status=JobStatus.COMPLETED), lease)

    async def matching(self, status: JobStatus | None) -> set[str]:
        found = set()
        for unique_id in self.images:
            image = await self.store.get_image(TENANT, unique_id)
            job = await self._current(image.current_job)
            if image.deleted_at is None and job is not None and status in (None, job.status):
                found.add(unique_id)
        return found

    async def _current(self, processing_id: str) -> Job | None:
        try:
            return await self.store.get_job(TENANT, processing_id)
        except JobNotFound:
            return None


STEPS = st.lists(st.tuples(st.sampled_from(("submit", "convert", "process", "process", "delete")), st.integers(0, 5)))


@given(
    before=STEPS,
    between=st.lists(STEPS, min_size=1, max_size=5),
    limit=st.integers(1, 3),
    status=st.sampled_from((None, None, JobStatus.UPLOADED)),
    newest_first=st.booleans(),
    lags=st.lists(st.integers(0, 2), min_size=1, max_size=20),
)
@searching(300)
def test_a_walk_misses_nothing_though_the_index_is_behind_with_every_item(
    before: list[tuple[str, int]], between: list[list[tuple[str, int]]], lags: list[int], **asked: Any
) -> None:
    lag = [0]

    def behind() -> int:
        lag[0] += 1
        return lags[lag[0] % len(lags)] if happening else 0

    happening = False

    async def tell() -> None:
        nonlocal happening
        story = Story(behind)
        for deed, number in (("submit", 0), ("submit", 0), *before):
            await story.act(deed, number)
        for key in story.client.items:  # what has happened long ago is known
            story.client._indexed(key)
        happening = True
        query = JobQuery(tenant=TENANT, **asked)
        throughout, seen = await story.matching(query.status), []
        steps = iter(between)
        while True:
            for step in next(steps, ()):
                await story.act(*step)
                throughout &= await story.matching(query.status)
            page = await story.store.list(query)
            assert len(page.jobs) <= query.limit
            assert all(job.superseded_by is None for job in page.jobs)
            seen += [job.unique_id for job in page.jobs]
            if page.next_after is None:
                break
            query = replace(query, after=page.next_after)
        assert throughout <= set(seen)
        assert len(seen) == len(set(seen))

    asyncio.run(tell())
