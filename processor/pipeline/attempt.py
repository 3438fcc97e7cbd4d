"""The child's side of the conversation in `frames`: one image, tried once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, BinaryIO

from processor.errors import DecoderCrashed, ImageRejected, TrussError
from processor.images import VariantSpec
from processor.pipeline import render
from processor.pipeline.answers import describe, pack, refusal
from processor.pipeline.budget import working_bytes
from processor.pipeline.confine import limit_memory
from processor.pipeline.engine import set_up_libvips
from processor.pipeline.frames import receive, send
from processor.pipeline.limits import Deadline, Limits
from processor.pipeline.render import Recipe


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
        receive(source)
        limit_memory(working_bytes(info, len(data)))
        header, parts = pack(render.render(data, info, recipe, Deadline(recipe.limits.timeout_seconds)))
    except ImageRejected as error:
        send(answers, refusal(error))
    except (TrussError, MemoryError):
        # Nothing else runs in this process, and what it may take is what this image needs: it is not the machine.
        send(answers, refusal(DecoderCrashed()))
    else:
        send(answers, header, parts)


def _recipe(ordered: Mapping[str, Any]) -> Recipe:
    specs = tuple(
        VariantSpec(name=spec["name"], quality=spec["quality"], box=spec["box"] and tuple(spec["box"]))
        for spec in ordered["specs"]
    )
    return Recipe(specs=specs, effort=ordered["effort"], limits=Limits(**ordered["limits"]))
