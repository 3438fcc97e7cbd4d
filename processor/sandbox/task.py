"""The child's side of the exchange in `messages`: it renders one image."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any, BinaryIO

from processor.errors import (
    CorruptImage,
    DecoderCrashed,
    ImageRejected,
    NotConvertible,
    TooLargeForMemory,
    TrussError,
    Unavailable,
)
from processor.formats.info import ImageInfo
from processor.images import Variant
from processor.pipeline import render
from processor.pipeline.engine import set_up_libvips
from processor.pipeline.estimate import working_bytes
from processor.pipeline.limits import Deadline, FileLimits
from processor.recipes import Recipe
from processor.sandbox.answers import describe, need, pack, pack_end, refusal
from processor.sandbox.confine import limit_memory, ran_out
from processor.sandbox.messages import receive, send

#: Bytes per pixel of libwebp's largest allocation.
_PLANE_BYTES = 4


def task_of(recipe: Recipe, limits: FileLimits, *, patient: bool = False) -> dict[str, Any]:
    """The task of a child, as JSON values. A `patient` child may be paused."""
    return {"recipe": recipe.to_text(), "limits": asdict(limits), "patient": patient}


def perform(task: Mapping[str, Any], questions: BinaryIO, answers: BinaryIO) -> None:
    """Read the file from `questions`, and write the results to `answers`. Raises `EOFError` if the parent has ended."""
    set_up_libvips()
    recipe, limits = Recipe.from_text(task["recipe"]), FileLimits(**task["limits"])
    deadline = Deadline(limits.timeout_seconds, time.process_time if task["patient"] else time.monotonic)
    send(answers, {})
    data = receive(questions).body
    try:
        info = render.inspect(data, limits)
        send(answers, describe(info))
        granted = receive(questions).header
        memory_bytes = granted["memory_bytes"]
        limit_memory(memory_bytes, granted["untouched_bytes"], granted["most_bytes"])
        told: list[Variant] = []

        def ready(variant: Variant) -> None:
            send(answers, *pack(variant, told))
            told.append(variant)

        def settled(left_bytes: int) -> None:
            if left_bytes < working_bytes(info, len(data), recipe):
                send(answers, need(left_bytes))

        with _lack_of_memory(info, memory_bytes):
            rendered = render.render(data, info, recipe, deadline, ready, settled=settled)
        send(answers, pack_end(rendered.facts, rendered.cpu_ms))
    except ImageRejected as error:
        send(answers, refusal(error))
    except (TrussError, MemoryError):
        # Nothing else runs in this process, so the machine is not at fault.
        send(answers, refusal(DecoderCrashed()))


@contextmanager
def _lack_of_memory(info: ImageInfo, memory_bytes: int) -> Iterator[None]:
    """Turns every error that lack of memory causes into `TooLargeForMemory`."""
    try:
        yield
    except MemoryError:
        raise TooLargeForMemory(limit=memory_bytes) from None
    except (CorruptImage, NotConvertible, Unavailable):
        if ran_out(max(_PLANE_BYTES * info.width * info.height, info.bands * info.pixels)):
            raise TooLargeForMemory(limit=memory_bytes) from None
        raise
