"""Fetches the assets that recipes name. What was fetched is kept for the next images of the tenant."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from processor.assets import MAX_BYTES, asset_key
from processor.errors import AssetMissing, ObjectNotFound
from processor.ports.objects import ObjectStore

#: Bytes of files that are kept. Its content is its key, so nothing in it becomes old.
KEPT_BYTES = 8 * 1024 * 1024


@dataclass(slots=True, kw_only=True)
class Overlays:
    """One per process."""

    source: ObjectStore
    _kept: OrderedDict[str, bytes] = field(default_factory=OrderedDict)

    async def of(self, tenant: str, digests: Collection[str]) -> Mapping[str, bytes]:
        """Files by digest. Raises `AssetMissing`, `Unavailable`, `Busy`."""
        return {digest: await self._one(asset_key(tenant, digest), digest) for digest in sorted(digests)}

    async def _one(self, key: str, digest: str) -> bytes:
        if key not in self._kept:
            try:
                data = await self.source.fetch(key, max_bytes=MAX_BYTES)
            except ObjectNotFound:
                raise AssetMissing from None
            if hashlib.sha256(data).hexdigest() != digest:
                raise AssetMissing
            self._keep(key, data)
        self._kept.move_to_end(key)
        return self._kept[key]

    def _keep(self, key: str, data: bytes) -> None:
        self._kept[key] = data
        while len(self._kept) > 1 and sum(map(len, self._kept.values())) > KEPT_BYTES:
            self._kept.popitem(last=False)
