"""What is asked to know whether the service can work, by the names that the health calls show."""

from __future__ import annotations

from processor.errors import Unavailable
from processor.pipeline.engine import Engine
from processor.ports.stores import Stores
from processor.work.worker import Worker
from service.observe.health import Check


def health_checks(stores: Stores, worker: Worker) -> dict[str, Check]:
    """What the service cannot work without."""

    async def worker_polls() -> None:
        if not worker.polling:
            raise Unavailable("The worker does not hear from its queue.")

    return {
        "sourceBucket": stores.source.ping,
        "processedBucket": stores.processed.ping,
        "queue": stores.queue.ping,
        "table": stores.jobs.ping,
        "worker": worker_polls,
    }


def liveness_checks(worker: Worker, engine: Engine) -> dict[str, Check]:
    """What a restart would mend, and nothing else."""

    async def worker_lives() -> None:
        if not worker.alive:
            raise Unavailable("A loop of the worker has ended.")

    async def engine_lives() -> None:
        if engine.wedged:
            raise Unavailable("A thread does not end.")

    return {"worker": worker_lives, "engine": engine_lives}


def readiness_checks(worker: Worker, engine: Engine) -> dict[str, Check]:
    """Whether this process has shown that it can work: a release with a wrong queue or without rights never has.

    It stays ready when AWS goes away later. All pods would go with it, and callers would see no answer at all.
    """

    async def worker_has_polled() -> None:
        if worker.last_poll is None:
            raise Unavailable("The worker has not heard from its queue yet.")

    return {**liveness_checks(worker, engine), "queue": worker_has_polled}
