"""The checks of the health calls, by name."""

from __future__ import annotations

from collections.abc import Mapping

from processor.errors import Unavailable
from processor.pipeline.engine import Engine
from processor.ports.stores import Stores
from processor.work.worker import Worker
from service.observe.health import Check


def dependency_checks(stores: Stores) -> dict[str, Check]:
    """One check for each dependency."""
    return {
        "sourceBucket": stores.source.ping,
        "processedBucket": stores.processed.ping,
        "queue": stores.queue.ping,
        "table": stores.jobs.ping,
    }


def worker_checks(worker: Worker) -> dict[str, Check]:
    """Whether the worker receives messages."""

    async def worker_polls() -> None:
        if not worker.polling:
            raise Unavailable("The worker does not hear from its queue.")

    return {"worker": worker_polls}


def liveness_checks(worker: Worker, engine: Engine) -> dict[str, Check]:
    """Only checks of what a restart can repair."""

    async def worker_lives() -> None:
        if not worker.alive:
            raise Unavailable("A loop of the worker has ended.")

    async def engine_lives() -> None:
        if engine.wedged:
            raise Unavailable("A thread does not end.")

    return {"worker": worker_lives, "engine": engine_lives}


# A process is ready when it has shown that it can work. A release with a wrong queue or without rights never is. It
# stays ready during a later outage of AWS. Otherwise no pod would be ready, and callers would get no answer at all.


def readiness_checks(worker: Worker) -> dict[str, Check]:
    """Whether the worker can receive messages."""

    async def worker_has_polled() -> None:
        if worker.last_poll is None:
            raise Unavailable("The worker has not heard from its queue yet.")

    return {"queue": worker_has_polled}


def first_answers(checks: Mapping[str, Check]) -> dict[str, Check]:
    """Checks that each dependency succeeded once. After that it is not asked again."""
    return {name: _once(check) for name, check in checks.items()}


def _once(check: Check) -> Check:
    succeeded = False

    async def succeeds_once() -> None:
        nonlocal succeeded
        if not succeeded:
            await check()
            succeeded = True

    return succeeds_once
