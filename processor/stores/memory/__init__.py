"""Objects, records and messages in the memory of one process, with the same promises as the AWS stores."""

from processor.stores.memory.backlog import MemoryBacklogStore
from processor.stores.memory.bulk import MemoryBulkStore
from processor.stores.memory.bus import MemoryBus
from processor.stores.memory.changes import MemoryChanges
from processor.stores.memory.costs import MemoryCostStore
from processor.stores.memory.edge import MemoryEdge
from processor.stores.memory.jobs import MemoryJobStore
from processor.stores.memory.keys import MemoryKeyStore
from processor.stores.memory.objects import MemoryObjectStore
from processor.stores.memory.presets import MemoryPresetStore
from processor.stores.memory.queue import MemoryQueue
from processor.stores.memory.replay import MemoryReplayStore
from processor.stores.memory.usage import MemoryUsageStore
from processor.stores.memory.webhooks import MemoryWebhookStore

__all__ = [
    "MemoryBacklogStore",
    "MemoryBulkStore",
    "MemoryBus",
    "MemoryChanges",
    "MemoryCostStore",
    "MemoryEdge",
    "MemoryJobStore",
    "MemoryKeyStore",
    "MemoryObjectStore",
    "MemoryPresetStore",
    "MemoryQueue",
    "MemoryReplayStore",
    "MemoryUsageStore",
    "MemoryWebhookStore",
]
