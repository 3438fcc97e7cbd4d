"""All stores and listeners in one value; a use case takes what it uses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from processor.ports.edge import EdgeCache
from processor.ports.jobs import AllJobs, JobStore
from processor.ports.listener import Listener
from processor.ports.objects import ObjectStore
from processor.ports.queue import MessageQueue


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """Built once for each process."""

    jobs: JobStore
    source: ObjectStore
    processed: ObjectStore
    queue: MessageQueue
    #: Where the queue puts messages that nobody could handle; None: this process does not know.
    dead_letters: MessageQueue | None = None
    #: What caches the variants for their viewers; None: nothing that this process knows of.
    edge: EdgeCache | None = None
    #: Are told of every end of a job, whoever brings it about: the API, the worker or a command.
    listeners: Sequence[Listener] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AllStores(Stores):
    """The same for the worker and an operator's commands, which work for all tenants."""

    jobs: AllJobs
