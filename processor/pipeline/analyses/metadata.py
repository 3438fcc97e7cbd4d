"""Tells what a file says about itself, and what became of that."""

from __future__ import annotations

import json
from typing import Any

from processor.pipeline.origin import Origin

#: The most bytes of all of it, as JSON.
MAX_BYTES = 4608
#: What goes first when there is too much.
_DISPENSABLE = ("keywords", "credit", "title", "creator", "caption", "software", "lens", "copyright")


def metadata(origin: Origin) -> dict[str, Any]:
    """Camera, exposure, time, people and words, and under `privacy` what the file gave away: of that `kept` is in the
    variants, and `removed` is not."""
    read = origin.metadata
    kept = [name for name in read.given_away if name in origin.kept]
    privacy: dict[str, Any] = {
        "found": list(read.given_away),
        "removed": [name for name in read.given_away if name not in kept],
        "kept": kept,
        "blocks": list(read.blocks),
    }
    if read.is_incomplete:
        privacy["incomplete"] = True
    told = {**read.told, "privacy": privacy}
    for name in _DISPENSABLE:
        if len(json.dumps(told, ensure_ascii=False).encode()) <= MAX_BYTES:
            break
        told.pop(name, None)
    return told


def position(origin: Origin) -> dict[str, Any] | None:
    """Where the picture was taken, if the file says it."""
    found = origin.metadata.position
    return None if found is None else dict(found)
