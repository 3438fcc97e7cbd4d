"""The account at the end of a soak: the end of every upload, and everything that was left behind."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.soak_client import DELETED, Upload
from processor import clock
from processor.catalog.reconcile import Reconciler
from processor.catalog.verify import Verifier
from processor.errors import ImageNotFound, JobNotFound
from processor.jobs import Job
from processor.ports.stores import AllStores


@dataclass(slots=True, kw_only=True)
class Account:
    """Everything but `ends` and `outcomes` must be 0."""

    ends: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    stuck: int = 0
    wrong: int = 0
    orphans: int = 0
    differences: int = 0
    messages: int = 0
    dead_letters: int = 0
    servable_seconds: list[float] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether every upload has its right end, and nothing is left behind."""
        left = (self.lost, self.stuck, self.wrong, self.orphans, self.differences, self.messages, self.dead_letters)
        return not any(left)

    def to_json(self) -> dict[str, Any]:
        """The account as JSON values."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "servable_seconds"} | {
            "servableSeconds": quantiles(self.servable_seconds)
        }


async def current_job(stores: AllStores, upload: Upload) -> Job | None:
    """The current job of an upload; None: the image is deleted."""
    try:
        image = await stores.jobs.image_of_any_tenant(upload.unique_id)
        return None if image.deleted_at else await stores.jobs.job_of_any_tenant(image.current_job)
    except (ImageNotFound, JobNotFound):
        return None


async def has_ended(stores: AllStores, upload: Upload) -> bool:
    """Whether the upload has ended."""
    job = await current_job(stores, upload)
    return job is None or job.ended


async def take(stores: AllStores, source_bucket: str, uploads: Sequence[Upload], logs: Iterable[Path]) -> Account:
    """Make the account from every record and object, without the service."""
    account = Account(outcomes=outcomes_in(logs))
    for upload in uploads:
        job = await current_job(stores, upload)
        end = DELETED if job is None else job.error.code if job.error else job.status.value
        account.ends[end] += 1
        account.lost += job is None and upload.end != DELETED
        account.stuck += job is not None and not job.ended
        account.wrong += job is not None and job.ended and end != upload.end
        if job is not None and end == "completed" and job.source is not None and job.source.event_time:
            uploaded_at = clock.from_iso(job.source.event_time)
            account.servable_seconds.append((job.updated_at - uploaded_at).total_seconds())
    reconciler = Reconciler(stores=stores, source_bucket=source_bucket, grace=timedelta(0), dry_run=True)
    account.orphans = len([finding async for finding in reconciler.findings()])
    verifier = Verifier(stores=stores)
    async for unique_id in verifier.images():
        account.differences += len([difference async for difference in verifier.verify(unique_id)])
    depth = await stores.queue.depth()
    account.messages = depth.waiting + depth.in_flight
    assert stores.dead_letters is not None
    account.dead_letters = (await stores.dead_letters.depth()).waiting
    return account


def outcomes_in(logs: Iterable[Path]) -> Counter[str]:
    """Outcomes of events, including duplicates, from the metrics of the processes."""
    counts: Counter[str] = Counter()
    for log in logs:
        for line in log.read_text().splitlines():
            if line.startswith("{") and '"Event handled"' in line:
                counts[json.loads(line)["outcome"]] += 1
    return counts


def quantiles(values: Sequence[float]) -> dict[str, float]:
    """Median, 95th and 99th percentile."""
    if not values:
        return {}
    ordered = sorted(values)
    return {
        "p50": round(median(ordered), 2),
        "p95": round(ordered[int(len(ordered) * 0.95)], 2),
        "p99": round(ordered[int(len(ordered) * 0.99)], 2),
    }
