"""Keys with which programs call the API: what is kept of one, and where."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What is kept of a key: never the secret, only its SHA-256 (`digest`, in hex).

    A hash without salt or stretching is enough, because the secret is 256 random bits and no password.
    """

    key_id: str
    tenant: str
    name: str
    scopes: tuple[str, ...]
    digest: str = field(repr=False)
    created_at: datetime
    #: None: it holds until it is revoked.
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    #: How long it was given; None: for ever. Its end may have been brought forward since.
    lifetime: timedelta | None = None
    #: To the hour, so that a key costs one write an hour and not one a request.
    last_used_at: datetime | None = None

    def holds(self, now: datetime) -> bool:
        """Whether it opens anything at that moment."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


class KeyStore(Protocol):
    """The records of keys. Every call raises `Unavailable`."""

    async def add(self, key: ApiKey) -> None:
        """Write a new key. Raises `RecordChanged` when its id is taken."""
        ...

    async def get(self, key_id: str) -> ApiKey:
        """Consistent read. Raises `KeyNotFound`."""
        ...

    async def list(self, tenant: str) -> tuple[ApiKey, ...]:
        """The tenant's keys, newest first; eventually consistent."""
        ...

    async def revoke(self, key_id: str, at: datetime) -> ApiKey:
        """End a key; one that is revoked already keeps its time. Raises `KeyNotFound`."""
        ...

    async def expire(self, key_id: str, at: datetime) -> ApiKey:
        """Let a key end at `at`, unless it ends sooner anyway. Raises `KeyNotFound`."""
        ...

    async def touch(self, key_id: str, at: datetime) -> None:
        """Note that it was used. Raises `KeyNotFound`."""
        ...

    async def checksum_key(self) -> bytes:
        """32 random bytes, made on first use and the same for every process that shares the table."""
        ...
