"""The settings for the amount of simultaneous work, and for its time limits."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from processor.work.worker import WorkerConfig
from service import machine

MIB = 1024 * 1024
#: Messages that wait for each slot while all are taken. They need little memory, but a pod that dies delays them.
AHEAD_PER_SLOT = 10
#: The least memory for a useful process: enough for a photograph of 4 megapixels.
LEAST_BUDGET_BYTES = 64 * MIB


class WorkSettings(BaseModel):
    """The settings of one component."""

    worker_threads: Annotated[
        int,
        Field(
            alias="WORKER_THREADS",
            ge=1,
            le=256,
            description="Images at long work at once, and one more for a first picture; by default the processors that "
            "the process may use.",
        ),
    ] = Field(default_factory=machine.processors)
    worker_slots: Annotated[
        int | None,
        Field(
            alias="WORKER_SLOTS",
            ge=1,
            le=512,
            description="Messages in work at once; by default one more than the threads, to overlap downloads.",
        ),
    ] = None
    queue_wait_seconds: Annotated[
        int, Field(alias="QUEUE_WAIT_SECONDS", ge=0, le=20, description="Length of a long poll.")
    ] = 20
    visibility_seconds: Annotated[
        int,
        Field(
            alias="VISIBILITY_SECONDS",
            ge=6,
            le=43200,
            description="How long a message and a job's lease are held between two heartbeats.",
        ),
    ] = 60
    drain_seconds: Annotated[
        int,
        Field(
            alias="DRAIN_SECONDS",
            ge=1,
            le=3600,
            description="Longest wait for running conversions after the order to stop; must exceed "
            "`PROCESS_TIMEOUT_SECONDS`.",
        ),
    ] = 75
    memory_budget_bytes: Annotated[
        int,
        Field(
            alias="MEMORY_BUDGET_BYTES",
            ge=LEAST_BUDGET_BYTES,
            description="Memory of all conversions at once, by estimate, and of the files that wait for theirs; by "
            "default what the container's limit leaves, which is also the most.",
        ),
    ] = Field(default_factory=machine.memory_budget_bytes)

    @property
    def slots(self) -> int:
        """Messages in work at once."""
        return self.worker_slots or self.worker_threads + 1

    @property
    def worker(self) -> WorkerConfig:
        return WorkerConfig(
            slots=self.slots,
            ahead=AHEAD_PER_SLOT * self.slots,
            further=self.worker_threads,
            wait_seconds=self.queue_wait_seconds,
            visibility_seconds=self.visibility_seconds,
        )
