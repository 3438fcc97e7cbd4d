"""The child's side of the conversation in `frames`: one image, tried once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, BinaryIO

from processor.errors import CorruptImage, DecoderCrashed, ImageRejected, TooLargeForMemory, TrussError, Unavailable
from processor.formats.info import ImageInfo
from processor.images import Rendered
from processor.pipeline import render
from processor.pipeline.engine import set_up_libvips
from processor.pipeline.limits import Deadline, Limits
from processor.pipeline.render import Recipe
from processor.recipes import VariantSpec
from processor.sandbox.answers import describe, pack, refusal
from processor.sandbox.confine import limit_memory, ran_out
from processor.sandbox.messages import receive, send

#: Bytes per pixel of the largest piece of memory that libwebp asks for at once.
_PLANE_BYTES = 4


def order(recipe: Recipe) -> dict[str, Any]:
    """A recipe as JSON has it."""
    return asdict(recipe)


def attempt(ordered: Mapping[str, Any], source: BinaryIO, answers: BinaryIO) -> None:
    """Take the file from `source`, and say on `answers` what became of it. Raises `EOFError` when the parent ended."""
    set_up_libvips()
    recipe = _recipe(ordered)
    send(answers, {})
    data = receive(source).body
    try:
        info = render.inspect(data, recipe.limits)
        send(answers, describe(info))
        granted = receive(source).header
        memory_bytes, untouched_bytes = granted["memory_bytes"], granted["untouched_bytes"]
        limit_memory(memory_bytes, untouched_bytes)
        header, parts = pack(_rendered(data, info, recipe, memory_bytes))
    except ImageRejected as error:
        send(answers, refusal(error))
    except (TrussError, MemoryError):
        # Nothing else runs in this process: it is not the machine.
        send(answers, refusal(DecoderCrashed()))
    else:
        send(answers, header, parts)


def _rendered(data: bytes, info: ImageInfo, recipe: Recipe, memory_bytes: int) -> Rendered:
    """Raises `TooLargeForMemory` in place of whatever breaks for lack of it."""
    try:
        return render.render(data, info, recipe, Deadline(recipe.limits.timeout_seconds))
    except MemoryError:
        raise TooLargeForMemory(limit=memory_bytes) from None
    except (CorruptImage, Unavailable):
        if ran_out(max(_PLANE_BYTES * info.width * info.height, info.bands * info.pixels)):
            raise TooLargeForMemory(limit=memory_bytes) from None
        raise


def _recipe(ordered: Mapping[str, Any]) -> Recipe:
    specs = tuple(VariantSpec(**{**spec, "box": spec["box"] and tuple(spec["box"])}) for spec in ordered["specs"])
    return Recipe(specs=specs, effort=ordered["effort"], limits=Limits(**ordered["limits"]))
