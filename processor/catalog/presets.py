"""Presets of tenants: the choice of a new job's recipe, and what their owners can do with them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from processor import clock
from processor.errors import (
    Busy,
    PresetBuiltIn,
    PresetChanged,
    PresetInUse,
    PresetNotFound,
    RecordChanged,
    TooManyPresets,
)
from processor.ports.jobs import JobQuery, JobStore
from processor.ports.presets import Preset, PresetHeads, PresetStore
from processor.races import races
from processor.recent import Recent
from processor.recipes import STANDARD, Recipe

#: Most presets of a tenant, besides the built-in one.
MAX_PRESETS = 50
#: Images that are looked at, newest first, to see whether a preset is in use; and how many of them at once.
LOOKED_AT, PAGE = 5000, 100
#: Versions that a process remembers, of all tenants: some megabytes.
REMEMBERED_VERSIONS = 300
#: Whether the present newest version is one that the caller expects; None: there is no such preset.
Expected = Callable[[Preset | None], bool]


@dataclass(slots=True, kw_only=True)
class Choice:
    """Chooses the recipe of a new job. One per process. Without a store there is only the built-in preset."""

    standard: Recipe = STANDARD
    store: PresetStore | None = None
    #: What tenants have as default: asked for at every upload.
    _heads: Recent[PresetHeads] | None = field(init=False)
    #: By tenant, name and version. A version never changes, and its number is not used again.
    _versions: OrderedDict[tuple[str, str, int], Recipe] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        """Remember heads, if there are any."""
        self._heads = None if self.store is None else Recent(read=self.store.heads)

    async def of_upload(self, tenant: str, name: str | None) -> Recipe:
        """The newest version of a preset; of the tenant's default one, as of a few seconds ago, if none is named.

        Raises `PresetNotFound`, `Unavailable`.
        """
        if name is not None:
            return await self.newest(tenant, name)
        heads = await self._recent(tenant)
        if heads.default is None:
            return _placed(self.standard, heads)
        try:
            return await self.newest(tenant, heads.default)
        except PresetNotFound:  # it has ceased to be the default, and then to be, within these seconds
            return _placed(self.standard, heads)

    async def of_image(self, tenant: str, made: Recipe | str | None, name: str | None) -> Recipe:
        """The recipe for an image that was made with a recipe, or with a preset of which only the name is known.

        It is the newest version of the preset that is named, or else of the one that the image has. If that one was
        deleted, the recipe stays as it was. Raises `PresetNotFound` for one that is named, `Unavailable`.
        """
        if name is not None:
            return await self.newest(tenant, name)
        had = made.name if isinstance(made, Recipe) else made
        if had is None:
            return await self.newest(tenant, self.standard.name)
        try:
            return await self.newest(tenant, had)
        except PresetNotFound:
            return made if isinstance(made, Recipe) else await self.newest(tenant, self.standard.name)

    async def newest(self, tenant: str, name: str) -> Recipe:
        """A consistent read, and one more for a version that is new here. Raises `PresetNotFound`, `Unavailable`."""
        if name == self.standard.name:
            return _placed(self.standard, await self._recent(tenant))
        if self.store is None:
            raise PresetNotFound
        heads = await self.store.heads(tenant)
        head = heads.get(name)
        if head is None:
            raise PresetNotFound
        return _placed(await self._version(self.store, tenant, name, head.newest), heads)

    async def _version(self, store: PresetStore, tenant: str, name: str, version: int) -> Recipe:
        key = tenant, name, version
        if key not in self._versions:
            self._versions[key] = (await store.get(tenant, name, version)).recipe
            while len(self._versions) > REMEMBERED_VERSIONS:
                self._versions.popitem(last=False)
        self._versions.move_to_end(key)
        return self._versions[key]

    async def _recent(self, tenant: str) -> PresetHeads:
        """As of a few seconds ago."""
        return PresetHeads() if self._heads is None else await self._heads.of(tenant)

    def forget(self, tenant: str) -> None:
        """The tenant's presets were changed here."""
        if self._heads is not None:
            self._heads.forget(tenant)


@dataclass(frozen=True, slots=True, kw_only=True)
class Presets:
    """What owners of presets can do. Every call names the tenant, and raises `Unavailable`; changes raise `Busy`."""

    store: PresetStore
    choice: Choice
    #: Tells whether images have a preset.
    jobs: JobStore

    async def list(self, tenant: str) -> tuple[PresetHeads, tuple[Preset, ...]]:
        """The newest version of each preset by name, the built-in one first."""
        heads = await self.store.heads(tenant)
        named = sorted((head.name, head.newest) for head in heads.all)
        return heads, (self._built_in, *await self.store.get_all(tenant, named))

    async def get(self, tenant: str, name: str, version: int | None = None) -> Preset:
        """A version of a preset, the newest by default. Raises `PresetNotFound`."""
        if name == self._built_in.name:
            if version not in (None, self._built_in.version):
                raise PresetNotFound
            return self._built_in
        head = (await self.store.heads(tenant)).get(name)
        if head is None or (version is not None and version not in head.versions):
            raise PresetNotFound
        return await self.store.get(tenant, name, head.newest if version is None else version)

    async def history(self, tenant: str, name: str) -> Sequence[Preset]:
        """The versions that are kept, newest first. Raises `PresetNotFound`."""
        if name == self._built_in.name:
            return (self._built_in,)
        head = (await self.store.heads(tenant)).get(name)
        if head is None:
            raise PresetNotFound
        return await self.store.get_all(tenant, [(name, version) for version in reversed(head.versions)])

    async def check(self, tenant: str, name: str, expected: Expected) -> None:
        """Whether `save` may succeed, before anybody works for it. Raises what `save` raises."""
        heads = await self._heads_for(tenant, name)
        await self._present(tenant, heads, name, expected)
        _check_room(heads, name)

    async def save(self, tenant: str, recipe: Recipe, *, by: str, expected: Expected) -> tuple[Preset, bool]:
        """Write a new version of the preset that has the recipe's name, unless the newest has the same content.

        Returns the newest version, and whether it is new. Raises `PresetBuiltIn`, `PresetChanged`, `TooManyPresets`.
        """
        async for _ in races():
            heads = await self._heads_for(tenant, recipe.name)
            present = await self._present(tenant, heads, recipe.name, expected)
            _check_room(heads, recipe.name)
            new = replace(recipe, version=heads.next_version(recipe.name))
            preset = Preset(recipe=new, created_at=clock.now(), created_by=by)
            if present is not None and present.makes_the_same(preset):
                return present, False
            try:
                await self.store.write(tenant, heads, heads.with_new(recipe.name), preset)
            except (RecordChanged, Busy):
                continue
            self.choice.forget(tenant)
            return preset, True
        raise Busy

    async def choose(self, tenant: str, *, default: str | None = None, private: bool | None = None) -> PresetHeads:
        """Change the default preset of new uploads, or whether they are private; None: it stays. What is chosen now.

        Raises `PresetNotFound`.
        """
        async for _ in races():
            heads = await self.store.heads(tenant)
            chosen = heads if private is None else replace(heads, private=private)
            if default is not None:
                chosen = replace(chosen, default=None if default == self._built_in.name else default)
            if chosen.default is not None and heads.get(chosen.default) is None:
                raise PresetNotFound
            if chosen == heads:
                return heads
            try:
                await self.store.write(tenant, heads, chosen)
            except (RecordChanged, Busy):
                continue
            self.choice.forget(tenant)
            return chosen
        raise Busy

    async def remove(self, tenant: str, name: str, *, force: bool, expected: Expected) -> Preset:
        """Delete a preset with all its versions. Images keep their variants, and the recipe that their jobs carry.

        Without `force` no image may have it. Raises `PresetNotFound`, `PresetBuiltIn`, `PresetInUse`, `PresetChanged`.
        """
        async for _ in races():
            heads = await self._heads_for(tenant, name)
            present = await self._present(tenant, heads, name, expected)
            if present is None:
                raise PresetNotFound
            if heads.default == name:
                raise PresetInUse("The preset is the tenant's default; choose another default first.")
            if not force:
                await self._check_unused(tenant, name)
            try:
                await self.store.write(tenant, heads, heads.without(name))
            except (RecordChanged, Busy):
                continue
            self.choice.forget(tenant)
            return present
        raise Busy

    @property
    def _built_in(self) -> Preset:
        return Preset(recipe=self.choice.standard)

    async def _heads_for(self, tenant: str, name: str) -> PresetHeads:
        """Raises `PresetBuiltIn`."""
        if name == self._built_in.name:
            raise PresetBuiltIn
        return await self.store.heads(tenant)

    async def _present(self, tenant: str, heads: PresetHeads, name: str, expected: Expected) -> Preset | None:
        """The newest version; None: there is none. Raises `PresetChanged`."""
        head = heads.get(name)
        try:
            present = None if head is None else await self.store.get(tenant, name, head.newest)
        except PresetNotFound:  # it was deleted since
            present = None
        if not expected(present):
            raise PresetChanged
        return present

    async def _check_unused(self, tenant: str, name: str) -> None:
        """Look at the newest images of the tenant. Raises `PresetInUse`."""
        query, looked_at = JobQuery(tenant=tenant, limit=PAGE), 0
        while looked_at < LOOKED_AT:
            page = await self.jobs.list(query)
            for job in page.jobs:
                if job.recipe is not None and job.recipe.name == name:
                    raise PresetInUse(
                        f"Images have the preset, such as {job.unique_id}; `force` deletes it all the same."
                    )
            if page.next_after is None:
                return
            looked_at += len(page.jobs)
            query = replace(query, after=page.next_after)
        told = f"None of the {LOOKED_AT:,} newest images has the preset, but there are more"
        raise PresetInUse(f"{told}; `force` deletes it all the same.")


def _placed(recipe: Recipe, heads: PresetHeads) -> Recipe:
    """The recipe as its tenant's pictures are, if it does not say itself who may see them."""
    return replace(recipe, private=True) if recipe.private is None and heads.private else recipe


def _check_room(heads: PresetHeads, name: str) -> None:
    """Raises `TooManyPresets` for a new name that is one too many."""
    if heads.get(name) is None and len(heads.all) >= MAX_PRESETS:
        raise TooManyPresets(limit=MAX_PRESETS)
