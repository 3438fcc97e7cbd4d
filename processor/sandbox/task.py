"""The child's side of the exchange in `messages`: it renders one image."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import accumulate
from pathlib import Path
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
from processor.faces import Face
from processor.formats.info import ImageInfo
from processor.hiding import boxes_of, faces_of
from processor.images import Variant
from processor.looking.models import use
from processor.looks import TALLY
from processor.pipeline import render
from processor.pipeline.engine import set_up_libvips
from processor.pipeline.estimate import working_bytes
from processor.pipeline.limits import Deadline, FileLimits
from processor.pipeline.render import NO_ASSETS
from processor.recipes import Recipe
from processor.sandbox.answers import describe, need, pack, pack_end, refusal
from processor.sandbox.confine import limit_memory, ran_out
from processor.sandbox.messages import Packet, receive, send

#: Bytes per pixel of libwebp's largest allocation.
_PLANE_BYTES = 4


def task_of(
    recipe: Recipe,
    limits: FileLimits,
    assets: Mapping[str, bytes] = NO_ASSETS,
    *,
    patient: bool = False,
    models: Path | None = None,
    hidden: Sequence[Face] | None = None,
) -> dict[str, Any]:
    """The task of a child, as JSON values; the assets follow as bytes. A `patient` child may be paused. `models` is the
    folder of the models, if there is one, and `hidden` are known faces to hide."""
    sizes = {digest: len(file) for digest, file in assets.items()}
    folder = None if models is None else str(models)
    told = {"recipe": recipe.to_text(), "limits": asdict(limits), "assets": sizes}
    boxes = None if hidden is None else boxes_of(hidden)
    return {**told, "patient": patient, "models": folder, "hidden": boxes}


def perform(opening: Packet, questions: BinaryIO, answers: BinaryIO) -> None:
    """Read the file from `questions`, and write the results to `answers`. Raises `EOFError` if the parent has ended."""
    set_up_libvips()
    task = opening.header
    use(Path(task["models"]) if task["models"] else None)
    recipe, limits = Recipe.from_text(task["recipe"]), FileLimits(**task["limits"])
    deadline = Deadline(limits.timeout_seconds, time.process_time if task["patient"] else time.monotonic)
    assets = _assets(task["assets"], opening.body)
    hidden = None if task["hidden"] is None else faces_of(task["hidden"])
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
            rendered = render.render(data, info, recipe, deadline, ready, settled=settled, assets=assets, hidden=hidden)
        send(answers, pack_end(rendered.facts, rendered.cpu_ms, TALLY.all()))
    except ImageRejected as error:
        send(answers, refusal(error))
    except (TrussError, MemoryError):
        # Nothing else runs in this process, so the machine is not at fault.
        send(answers, refusal(DecoderCrashed()))


def _assets(sizes: Mapping[str, int], body: bytes) -> Mapping[str, bytes]:
    """The files of assets by digest: they are in the body one after the other."""
    ends = list(accumulate(sizes.values()))
    return {digest: body[end - size : end] for (digest, size), end in zip(sizes.items(), ends, strict=True)}


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
