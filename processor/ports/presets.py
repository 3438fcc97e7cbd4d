"""Presets: the recipes of a tenant, by name and version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

from processor.recipes import Recipe

#: Versions of a preset that are kept; a newer one removes the oldest. All of them fit into one transaction, of which
#: DynamoDB allows 100 writes (AWS, "Quotas in DynamoDB").
KEPT_VERSIONS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """One version of a preset. It never changes. The recipe has its name and version."""

    recipe: Recipe
    #: None: it is built in.
    created_at: datetime | None = None
    #: The subject of whoever wrote it.
    created_by: str = ""

    @property
    def name(self) -> str:
        return self.recipe.name

    @property
    def version(self) -> int:
        return self.recipe.version

    def makes_the_same(self, other: Preset) -> bool:
        """Whether both have the same content, whatever their names and versions are."""
        return self.recipe.digest == other.recipe.digest


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetHead:
    """A preset by name, with its newest version and the first that is kept."""

    name: str
    newest: int
    first: int

    @property
    def versions(self) -> range:
        """The versions that are kept, oldest first."""
        return range(self.first, self.newest + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class PresetHeads:
    """All presets of a tenant. `version` is one more after each change; 0: there was none yet."""

    all: tuple[PresetHead, ...] = ()
    #: The name of the tenant's default preset; None: the built-in one.
    default: str | None = None
    #: Whether pictures are private whose preset does not say.
    private: bool = False
    #: The highest version of a preset that was deleted. Later ones go on from there, so that a name and a version
    #: never mean two recipes.
    deleted_through: int = 0
    version: int = 0

    def get(self, name: str) -> PresetHead | None:
        return next((head for head in self.all if head.name == name), None)

    def next_version(self, name: str) -> int:
        """The number of a new version."""
        head = self.get(name)
        return (head.newest if head else self.deleted_through) + 1

    def with_new(self, name: str) -> PresetHeads:
        """The same with one more version of a preset. The oldest version goes if there are too many."""
        newest, head = self.next_version(name), self.get(name)
        first = max(head.first if head else newest, newest - KEPT_VERSIONS + 1)
        others = tuple(each for each in self.all if each.name != name)
        return replace(self, all=(*others, PresetHead(name=name, newest=newest, first=first)))

    def without(self, name: str) -> PresetHeads:
        """The same without a preset."""
        head = self.get(name)
        through = max(self.deleted_through, head.newest if head else 0)
        return replace(self, all=tuple(each for each in self.all if each.name != name), deleted_through=through)


class PresetStore(Protocol):
    """The records of presets. Every call raises `Unavailable`, `write` also `Busy`."""

    async def heads(self, tenant: str) -> PresetHeads:
        """Consistent read."""
        ...

    async def get(self, tenant: str, name: str, version: int) -> Preset:
        """Consistent read. Raises `PresetNotFound`."""
        ...

    async def get_all(self, tenant: str, named: Sequence[tuple[str, int]]) -> tuple[Preset, ...]:
        """Those of the names and versions that exist, in that order. Consistent reads."""
        ...

    async def write(self, tenant: str, old: PresetHeads, new: PresetHeads, added: Preset | None = None) -> None:
        """Write what was made of `old`, together with the added version, and remove the versions that `new` does not
        have any more: all or nothing. Raises `RecordChanged` unless the record is as in `old`."""
        ...


def dropped(old: PresetHeads, new: PresetHeads) -> tuple[tuple[str, int], ...]:
    """Names and versions that are in the first and not in the second."""
    kept = {(head.name, version) for head in new.all for version in head.versions}
    return tuple(
        (head.name, version) for head in old.all for version in head.versions if (head.name, version) not in kept
    )
