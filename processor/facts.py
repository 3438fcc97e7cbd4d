"""Facts about a picture: plain values by name, from the pipeline to the record, the answers and the manifest."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

#: Most bytes of all facts of a picture, as JSON: pages of a listing read hundreds of records.
MAX_BYTES = 12 * 1024
#: How deep lists and maps may lie within each other, the map of all facts counted in.
MAX_DEPTH = 6
#: Names of facts for the tenant alone, and for whoever asks for them and may have them. A fact that nobody names here
#: is for everybody: it stands in the manifest, which whoever has a URL of a variant can read.
OWN, ON_REQUEST = frozenset({"metadata", "embedding", "nsfw", "moderation"}), frozenset({"position"})
#: Names of facts for a reviewer alone, which are gone once a picture is shown.
FOR_REVIEWER = frozenset({"veil"})


@dataclass(frozen=True, slots=True)
class Facts:
    """The results of analyses by name, as JSON values: text, numbers, booleans, null, lists, maps.

    They are apart by who may see them, so that nothing is shown by mistake.
    """

    #: For everybody.
    found: Mapping[str, Any] = field(default_factory=dict)
    #: For the tenant. Never in a manifest or an event.
    own: Mapping[str, Any] = field(default_factory=dict, repr=False)
    #: Only on request. Never in a manifest or an event, and in no other answer.
    on_request: Mapping[str, Any] = field(default_factory=dict, repr=False)
    #: For a reviewer, as long as nobody else sees the picture.
    for_reviewer: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, found: Mapping[str, Any], names: Collection[str]) -> Facts:
        """What was found by the analyses that were asked for. Raises `ValueError` for anything else, or too much."""
        if not found.keys() <= set(names) or not _is_plain(found, MAX_DEPTH):
            raise ValueError("no facts")
        facts = cls._apart(found)
        if len(facts.to_text().encode()) > MAX_BYTES:
            raise ValueError("too many facts")
        return facts

    @property
    def for_tenant(self) -> Mapping[str, Any]:
        """What the tenant sees without asking for more."""
        return {**self.found, **self.own}

    @property
    def everything(self) -> Mapping[str, Any]:
        """For the record, and between processes."""
        return {**self.for_tenant, **self.on_request, **self.for_reviewer}

    @property
    def once_shown(self) -> Facts:
        """What is left when the picture is shown."""
        return replace(self, for_reviewer={})

    def to_text(self) -> str:
        """All of them as JSON, as records keep them: numbers and empty values come back as they were."""
        return json.dumps(self.everything, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)

    @classmethod
    def from_text(cls, text: str) -> Facts:
        """The inverse of `to_text`. Raises `ValueError` for anything else."""
        found = json.loads(text)
        if not isinstance(found, dict):
            raise ValueError("no facts")  # noqa: TRY004 - it is a matter of what was written
        return cls._apart(found)

    @classmethod
    def _apart(cls, facts: Mapping[str, Any]) -> Facts:
        own = {name: value for name, value in facts.items() if name in OWN}
        on_request = {name: value for name, value in facts.items() if name in ON_REQUEST}
        for_reviewer = {name: value for name, value in facts.items() if name in FOR_REVIEWER}
        elsewhere = OWN | ON_REQUEST | FOR_REVIEWER
        found = {name: value for name, value in facts.items() if name not in elsewhere}
        return cls(found, own, on_request, for_reviewer)


def _is_plain(value: object, depth: int) -> bool:
    match value:
        case None | bool() | int():
            return True
        case str():
            return _is_unicode(value)
        case float():
            return math.isfinite(value)
        case list():
            return depth > 0 and all(_is_plain(each, depth - 1) for each in value)
        case dict():
            return depth > 0 and all(
                isinstance(key, str) and _is_unicode(key) and _is_plain(each, depth - 1) for key, each in value.items()
            )
    return False


def _is_unicode(text: str) -> bool:
    """Whether UTF-8 can express it: half a surrogate pair is no character."""
    return not any("\ud800" <= each <= "\udfff" for each in text)
