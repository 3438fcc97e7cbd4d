"""What Prometheus is told, as a table: read off the very objects that tell it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from unittest.mock import AsyncMock, MagicMock

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from processor.ports.queue import QueueDepth
from processor.probe import Span
from processor.stores.memory import MemoryObjectStore
from service.app import create_app
from service.config import Settings
from service.observe.backlog import BacklogWatch
from service.observe.ends import EndCounter
from service.observe.held import HeldWatch
from service.observe.metrics import METRICS

#: Any values of the settings that must be set.
_SOMEWHERE = {
    "SOURCE_BUCKET": "source",
    "PROCESSED_BUCKET": "processed",
    "PROCESSING_TABLE": "table",
    "QUEUE_URL": "http://127.0.0.1/queue",
    "CLOUDFRONT_URL": "https://cdn.example",
}


def table() -> str:
    """Every metric of ours: what it is called when it is asked for, its type, its labels, what it tells."""
    rows = [
        f"| `{name}` | {kind} | {', '.join(f'`{label}`' for label in labels)} | {tells} |"
        for name, kind, labels, tells in sorted(_told(), key=lambda row: row[0])
    ]
    return "\n".join(["| metric | type | labels | tells |", "| --- | --- | --- | --- |", *rows])


def _told() -> Iterator[tuple[str, str, tuple[str, ...], str]]:
    labels = _label_names(registry := _everything())
    for metric in registry.collect():
        if metric.name.startswith("truss_") and not metric.name.endswith("_created"):
            name = f"{metric.name}_total" if metric.type == "counter" else metric.name
            sampled = tuple(label for sample in metric.samples[:1] for label in sample.labels)
            yield name, metric.type, labels.get(metric.name, sampled), metric.documentation


def _everything() -> CollectorRegistry:
    """What a process tells that does everything, though none of it runs."""
    metrics = create_app(Settings.from_env(_SOMEWHERE))[METRICS]
    metrics.ended(Span("message", {"end": "settled"}))
    metrics.watch(MagicMock(), MagicMock(), MagicMock())
    metrics.machine(threads=1, memory_budget_bytes=1, memory_limit_bytes=None)
    metrics.build(version="", revision="", libvips="")
    EndCounter(metrics.registry)
    metrics.registry.register(asyncio.run(_looked()))
    metrics.registry.register(asyncio.run(_nothing_held()))
    return metrics.registry


async def _looked() -> BacklogWatch:
    queue, store = AsyncMock(), AsyncMock()
    queue.depth.return_value = QueueDepth(waiting=1, in_flight=0)
    store.latest.return_value = None
    watch = BacklogWatch(queue=queue, dead_letters=queue, store=store)
    await watch.look()
    return watch


async def _nothing_held() -> HeldWatch:
    watch = HeldWatch(processed=MemoryObjectStore())
    await watch.look()
    return watch


def _label_names(registry: CollectorRegistry) -> Mapping[str, tuple[str, ...]]:
    """Of metrics that have no values yet; the library tells them nowhere else."""
    collectors = (each for each in registry._collector_to_names if isinstance(each, MetricWrapperBase))  # noqa: SLF001
    return {each._name: tuple(each._labelnames) for each in collectors}  # noqa: SLF001
