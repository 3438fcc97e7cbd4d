"""Facts about a picture: plain values by name, from the pipeline to the record and the manifest."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

#: Most bytes of all facts of a picture, as JSON: pages of a listing read hundreds of records.
MAX_BYTES = 4096
#: How deep lists and maps may lie within each other, the map of all facts counted in.
MAX_DEPTH = 5


@dataclass(frozen=True, slots=True)
class Facts:
    """The results of analyses by name, as JSON values: text, numbers, booleans, null, lists, maps."""

    found: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, found: Mapping[str, Any], names: Collection[str]) -> Facts:
        """What was found by the analyses that were asked for. Raises `ValueError` for anything else, or too much."""
        if not found.keys() <= set(names) or not _is_plain(found, MAX_DEPTH):
            raise ValueError("no facts")
        facts = cls(found)
        if len(facts.to_text()) > MAX_BYTES:
            raise ValueError("too many facts")
        return facts

    def to_text(self) -> str:
        """All of them as JSON, as records keep them: numbers and empty values come back as they were."""
        return json.dumps(self.found, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @classmethod
    def from_text(cls, text: str) -> Facts:
        """The inverse of `to_text`. Raises `ValueError` for anything else."""
        found = json.loads(text)
        if not isinstance(found, dict):
            raise ValueError("no facts")  # noqa: TRY004 - it is a matter of what was written
        return cls(found)


def _is_plain(value: object, depth: int) -> bool:
    match value:
        case None | bool() | int() | str():
            return True
        case float():
            return math.isfinite(value)
        case list():
            return depth > 0 and all(_is_plain(each, depth - 1) for each in value)
        case dict():
            return depth > 0 and all(isinstance(key, str) and _is_plain(each, depth - 1) for key, each in value.items())
    return False
