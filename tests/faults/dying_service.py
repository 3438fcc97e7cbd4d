"""`python -m service` that kills itself, as the kernel would, right before or right after one step of its work.

`DIE_AT` names the step, how many times it is come to, and the side: `store:2:after`. With `NOTED_FIRST` the last
variant waits until the record tells of others, as with a large picture.
"""

from __future__ import annotations

import asyncio
import functools
import os
import signal
from collections.abc import Awaitable, Callable
from typing import Any

from processor.pipeline.engine import Engine
from processor.sandbox.renderer import ChildRenderer
from processor.sandbox.spare import SpareRenderer
from processor.stores.dynamodb import DynamoJobStore
from processor.stores.s3 import S3Download, S3ObjectStore
from processor.stores.sqs import SqsMessageQueue
from processor.stores.table import Table
from processor.stores.webhooks import DynamoWebhookStore
from service.cli import serve
from service.webhooks.sender import HttpSender

#: Every step at which something is written, taken or made, and the port that it goes through.
STEPS: dict[str, tuple[type, str]] = {
    "create": (DynamoJobStore, "create"),
    "receive": (SqsMessageQueue, "receive"),
    "accept": (DynamoJobStore, "accept"),
    "replace": (DynamoJobStore, "replace"),
    "claim": (DynamoJobStore, "claim"),
    "fetch": (S3Download, "read"),
    "render": (Engine, "render"),
    "render-suspect": (ChildRenderer, "render"),
    "render-spare": (SpareRenderer, "render"),
    "take-up": (DynamoJobStore, "take_up"),
    "amend": (DynamoJobStore, "amend"),
    "store": (S3ObjectStore, "store"),
    "note": (DynamoJobStore, "note"),
    "finish": (DynamoJobStore, "finish"),
    "decide": (DynamoJobStore, "decide"),
    "copy": (S3ObjectStore, "copy"),
    "publish": (DynamoJobStore, "publish"),
    "settle": (SqsMessageQueue, "settle"),
    "send": (SqsMessageQueue, "send"),
    "add-delivery": (DynamoWebhookStore, "add"),
    "post": (HttpSender, "post"),
    "update-delivery": (DynamoWebhookStore, "update"),
    "tombstone": (DynamoJobStore, "tombstone"),
    "purge": (S3ObjectStore, "purge"),
    "delete-jobs": (Table, "delete"),
    "forget": (DynamoJobStore, "forget_jobs"),
}

Step = Callable[..., Awaitable[Any]]


def dying(step: Step, number: int, side: str) -> Step:
    """The step, of which the process does not live to see the beginning, or the end, of the call `number`."""
    calls = {"before": 0, "after": 0}

    def come_to(here: str) -> None:
        calls[here] += 1
        if here == side and calls[here] == number:
            os.kill(os.getpid(), signal.SIGKILL)

    @functools.wraps(step)
    async def wrapped(*given: Any, **named: Any) -> Any:
        come_to("before")
        result = await step(*given, **named)
        if result != []:  # a long poll that brought nothing is no step
            come_to("after")
        return result

    return wrapped


def arm(point: str) -> None:
    """Make this process die at `point`."""
    name, number, side = point.split(":")
    owner, method = STEPS[name]
    setattr(owner, method, dying(getattr(owner, method), int(number), side))


def note_first() -> None:
    """Store no last variant before there was a note."""
    noted = asyncio.Event()
    store, note = S3ObjectStore.store, DynamoJobStore.note

    @functools.wraps(store)
    async def store_late(self: S3ObjectStore, key: str, *given: Any, **named: Any) -> None:
        if key.endswith("/webp.webp"):
            await noted.wait()
        await store(self, key, *given, **named)

    @functools.wraps(note)
    async def note_and_tell(*given: Any, **named: Any) -> None:
        await note(*given, **named)
        noted.set()

    setattr(S3ObjectStore, "store", store_late)  # noqa: B010 - mypy allows no assignment to a method
    setattr(DynamoJobStore, "note", note_and_tell)  # noqa: B010


if __name__ == "__main__":
    if os.environ.get("NOTED_FIRST"):
        note_first()
    arm(os.environ["DIE_AT"])
    serve()
