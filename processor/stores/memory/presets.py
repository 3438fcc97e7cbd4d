"""A store of presets in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from processor.errors import PresetNotFound, RecordChanged
from processor.ports.presets import Preset, PresetHeads, dropped


class MemoryPresetStore:
    """The records of presets."""

    def __init__(self) -> None:
        self._heads: dict[str, PresetHeads] = {}
        self._presets: dict[tuple[str, str, int], Preset] = {}

    async def heads(self, tenant: str) -> PresetHeads:
        return self._heads.get(tenant, PresetHeads())

    async def get(self, tenant: str, name: str, version: int) -> Preset:
        """Raises `PresetNotFound`."""
        found = self._presets.get((tenant, name, version))
        if found is None:
            raise PresetNotFound
        return found

    async def get_all(self, tenant: str, named: Sequence[tuple[str, int]]) -> tuple[Preset, ...]:
        return tuple(self._presets[tenant, *each] for each in named if (tenant, *each) in self._presets)

    async def write(self, tenant: str, old: PresetHeads, new: PresetHeads, added: Preset | None = None) -> None:
        """Raises `RecordChanged`."""
        if (await self.heads(tenant)).version != old.version:
            raise RecordChanged
        self._heads[tenant] = replace(new, version=old.version + 1)
        if added is not None:
            self._presets[tenant, added.name, added.version] = added
        for name, version in dropped(old, new):
            del self._presets[tenant, name, version]
