"""The assets of tenants: what presets may lay over pictures."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

from processor import clock
from processor.assets import MAX_BYTES, RECIPE, Asset, asset_key, assets_prefix, digest_of
from processor.catalog.previews import Previews
from processor.errors import AssetInUse, AssetNotFound, ObjectNotFound, TooManyAssets
from processor.ports.objects import ObjectStore
from processor.ports.presets import Preset, PresetStore

#: Most assets of a tenant.
MAX_ASSETS = 100
#: Nobody but this service reads them.
CACHE_CONTROL = "private, no-store"

#: Red, green and blue, 0 to 255.
Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assets:
    """Every call names the tenant, and raises `Unavailable`; changes raise `Busy`."""

    source: ObjectStore
    presets: PresetStore
    previews: Previews
    #: Makes a picture of text. Raises `ValueError` for what it cannot show.
    letter: Callable[[str, Colour], bytes]

    async def add_picture(self, tenant: str, data: bytes) -> tuple[Asset, bool]:
        """Make an asset of a picture, and tell whether it is new. Raises `PictureRefused`, `TooManyAssets`."""
        (made,) = (await self.previews.of_picture(tenant, RECIPE, data)).variants
        return await self._stored(tenant, made.data)

    async def add_text(self, tenant: str, text: str, colour: Colour) -> tuple[Asset, bool]:
        """Make an asset of text. Raises `ValueError` for what cannot be shown, `TooManyAssets`."""
        return await self._stored(tenant, await asyncio.to_thread(self.letter, text, colour))

    async def all(self, tenant: str) -> Sequence[Asset]:
        """The newest first."""
        found = [
            Asset(digest=digest, size=each.size, added_at=each.last_modified)
            for each in await self.source.list(assets_prefix(tenant))
            if (digest := digest_of(each.key)) is not None
        ]
        return sorted(found, key=lambda asset: (asset.added_at, asset.digest), reverse=True)

    async def file(self, tenant: str, digest: str) -> bytes:
        """Raises `AssetNotFound`."""
        try:
            return await self.source.fetch(asset_key(tenant, digest), max_bytes=MAX_BYTES)
        except ObjectNotFound:
            raise AssetNotFound from None

    async def remove(self, tenant: str, digest: str) -> None:
        """Jobs that still need it fail with `asset_missing`, until the same file is an asset again.

        Raises `AssetNotFound`, and `AssetInUse` while a version of a preset names it.
        """
        if digest not in {asset.digest for asset in await self.all(tenant)}:
            raise AssetNotFound
        async for preset in self._presets(tenant):
            if digest in preset.recipe.assets:
                raise AssetInUse(f"Version {preset.version} of the preset {preset.name} has the asset.")
        await self.source.purge(asset_key(tenant, digest))

    async def _presets(self, tenant: str) -> AsyncIterator[Preset]:
        """All versions of all presets."""
        for head in (await self.presets.heads(tenant)).all:
            for preset in await self.presets.get_all(tenant, [(head.name, version) for version in head.versions]):
                yield preset

    async def _stored(self, tenant: str, data: bytes) -> tuple[Asset, bool]:
        """The asset, and whether it is new."""
        digest = hashlib.sha256(data).hexdigest()
        there = await self.all(tenant)
        for asset in there:
            if asset.digest == digest:
                return asset, False
        if len(there) >= MAX_ASSETS:
            raise TooManyAssets(limit=MAX_ASSETS)
        await self.source.store(
            asset_key(tenant, digest),
            data,
            content_type=RECIPE.specs[0].content_type,
            cache_control=CACHE_CONTROL,
            metadata={},
            sha256=digest,
        )
        return Asset(digest=digest, size=len(data), added_at=clock.now()), True
