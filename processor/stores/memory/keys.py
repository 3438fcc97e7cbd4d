"""A key store in memory."""

from __future__ import annotations

import secrets
from dataclasses import replace
from datetime import datetime

from processor.errors import KeyNotFound, RecordChanged
from processor.ports.keys import ApiKey


class MemoryKeyStore:
    """The records of keys."""

    def __init__(self) -> None:
        self._keys: dict[str, ApiKey] = {}
        self._checksum_key = secrets.token_bytes(32)

    async def add(self, key: ApiKey) -> None:
        """Raises `RecordChanged`."""
        if key.key_id in self._keys:
            raise RecordChanged
        self._keys[key.key_id] = key

    async def get(self, key_id: str) -> ApiKey:
        """Raises `KeyNotFound`."""
        if key_id not in self._keys:
            raise KeyNotFound
        return self._keys[key_id]

    async def list(self, tenant: str) -> tuple[ApiKey, ...]:
        """The tenant's keys, newest first."""
        own = (key for key in self._keys.values() if key.tenant == tenant)
        return tuple(sorted(own, key=lambda key: (key.created_at, key.key_id), reverse=True))

    async def revoke(self, key_id: str, at: datetime) -> ApiKey:
        """Raises `KeyNotFound`."""
        key = await self.get(key_id)
        self._keys[key_id] = replace(key, revoked_at=key.revoked_at or at)
        return self._keys[key_id]

    async def expire(self, key_id: str, at: datetime) -> ApiKey:
        """Raises `KeyNotFound`."""
        key = await self.get(key_id)
        self._keys[key_id] = replace(key, expires_at=min(at, key.expires_at or at))
        return self._keys[key_id]

    async def touch(self, key_id: str, at: datetime) -> None:
        """Raises `KeyNotFound`."""
        self._keys[key_id] = replace(await self.get(key_id), last_used_at=at)

    async def checksum_key(self) -> bytes:
        return self._checksum_key
