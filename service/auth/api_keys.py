"""API keys: how they are made and verified."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from aiohttp import web

from processor import clock
from processor.errors import Busy, KeyEnded, KeyNotFound, Unavailable
from processor.ports.keys import ApiKey, KeyStore
from service.auth.principal import Principal, Scope
from service.http.buckets import Buckets
from service.http.problems import TooManyRequests, Unauthenticated

KEY_STORE = web.AppKey[KeyStore]("key_store")

#: How long a key that was looked up is believed, in seconds: so long a revoked key may still open the door.
CACHE_SECONDS = 30.0
#: Keys remembered at once, those that do not exist included; the least recently used goes first.
CACHE_SIZE = 4096
#: How many keys without a checksum, of earlier releases, are looked up in a second, and at once, while not known yet.
LOOKUPS_PER_SECOND, LOOKUP_BURST = 50.0, 500
#: How exact the last use of a key is.
TOUCH_EVERY = timedelta(hours=1)

_ID_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_ID_LENGTH = 16
#: 256 random bits in base64.
_SECRET_LENGTH = 43
#: So many characters of base64, 48 bits: enough to tell made-up keys by the million, and it protects nothing else.
_CHECKSUM_LENGTH = 8
#: `truss_{id}_{secret}{checksum}`: the prefix lets scanners of repositories and logs know a key when they see one.
#: Keys of earlier releases have no checksum.
_TOKEN = re.compile(
    rf"truss_([a-z2-7]{{{_ID_LENGTH}}})_([A-Za-z0-9_-]{{{_SECRET_LENGTH}}})([A-Za-z0-9_-]{{{_CHECKSUM_LENGTH}}})?"
)
_NO_DIGEST = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Minted:
    """A new key with its text, which exists only here."""

    key: ApiKey
    token: str = field(repr=False)


def mint(
    *,
    checksum_key: bytes,
    tenant: str,
    name: str,
    scopes: Collection[Scope],
    lifetime: timedelta | None = None,
    now: datetime | None = None,
) -> Minted:
    """A key of 256 random bits under a new id; nothing is stored yet. `checksum_key` is the store's."""
    created_at = now or clock.now()
    key_id = "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH))
    secret = secrets.token_urlsafe(32)
    key = ApiKey(
        key_id=key_id,
        tenant=tenant,
        name=name,
        scopes=tuple(sorted(scopes)),
        digest=_digest(secret),
        created_at=created_at,
        expires_at=None if lifetime is None else created_at + lifetime,
        lifetime=lifetime,
    )
    return Minted(key=key, token=f"truss_{key_id}_{secret}{_checksum(checksum_key, key_id, secret)}")


async def create(
    store: KeyStore, *, tenant: str, name: str, scopes: Collection[Scope], lifetime: timedelta | None = None
) -> Minted:
    """A new key that is stored. Raises `RecordChanged` by a chance of one to 2^80, `Unavailable`."""
    minted = mint(checksum_key=await store.checksum_key(), tenant=tenant, name=name, scopes=scopes, lifetime=lifetime)
    await store.add(minted.key)
    return minted


async def rotate(store: KeyStore, old: ApiKey, grace: timedelta) -> Minted:
    """A new key with the same rights; the old one ends after `grace`.

    The new key is stored first, so that after any failure at least one key works. Raises `KeyEnded` for a key that has
    ended, also when it is revoked meanwhile; `RecordChanged`, `Unavailable`.
    """
    now = clock.now()
    if not old.holds(now):
        raise KeyEnded
    minted = await create(
        store,
        tenant=old.tenant,
        name=old.name,
        scopes=[Scope(scope) for scope in old.scopes],
        lifetime=old.lifetime,  # rotation renews: a key that was given thirty days gets thirty more
    )
    ended = await store.expire(old.key_id, now + grace)
    if ended.revoked_at is not None:  # whoever revoked it did not know of the one that takes its place
        await store.revoke(minted.key.key_id, now)
        raise KeyEnded
    return minted


class ApiKeyVerifier:
    """Verifies API keys, with a cache of the store's records."""

    def __init__(
        self,
        store: KeyStore,
        *,
        cache_seconds: float = CACHE_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._cache_seconds = cache_seconds
        self._monotonic = monotonic
        self._lookups = Buckets(monotonic=monotonic)
        self._known: OrderedDict[str, tuple[ApiKey | None, float]] = OrderedDict()
        self._checksum_key: bytes | None = None

    async def verify(self, token: str) -> Principal:
        """The caller with this key.

        The checksum of a key shows whether it is invented, without the store. So strangers cannot delay callers with
        real keys. Raises `Unauthenticated`, `TooManyRequests`, `Unavailable`.
        """
        parsed = _TOKEN.fullmatch(token)
        if parsed is None:
            raise Unauthenticated("malformed_key")
        if parsed[3] is not None and not hmac.compare_digest(parsed[3], await self._expected(parsed[1], parsed[2])):
            raise Unauthenticated("unknown_key")
        key = await self._lookup(parsed[1], bounded=parsed[3] is None)
        # An unknown id takes the same way as a wrong secret, so that ids cannot be told by the time it takes.
        matches = hmac.compare_digest(_digest(parsed[2]), key.digest if key else _NO_DIGEST)
        if key is None or not matches:
            raise Unauthenticated("unknown_key")
        if not key.holds(clock.now()):
            raise Unauthenticated("ended_key")
        await self._note_use(key)
        known = frozenset(scope for scope in Scope if scope.value in key.scopes)
        return Principal(tenant=key.tenant, scopes=known, subject=f"key:{key.key_id}")

    async def _expected(self, key_id: str, secret: str) -> str:
        if self._checksum_key is None:
            self._checksum_key = await self._store.checksum_key()
        return _checksum(self._checksum_key, key_id, secret)

    async def _lookup(self, key_id: str, *, bounded: bool) -> ApiKey | None:
        now = self._monotonic()
        key, good_until = self._known.get(key_id, (None, now))
        if now >= good_until:
            if key is None and bounded:
                self._spend_lookup()
            try:
                key = await self._store.get(key_id)
            except KeyNotFound:
                key = None
            self._known[key_id] = (key, now + self._cache_seconds)
        self._known.move_to_end(key_id)
        while len(self._known) > CACHE_SIZE:
            self._known.popitem(last=False)
        return key

    def _spend_lookup(self) -> None:
        """Limit the look-ups of keys without a checksum: anybody can invent such keys, and must not overload the table.
        Known keys are not delayed."""
        level = self._lookups.take("unknown", rate=LOOKUPS_PER_SECOND, burst=LOOKUP_BURST)
        if level.retry_after is not None:
            raise TooManyRequests(level.retry_after, limit=level.capacity)

    async def _note_use(self, key: ApiKey) -> None:
        now = clock.now()
        if key.last_used_at is not None and now - key.last_used_at < TOUCH_EVERY:
            return
        _, good_until = self._known[key.key_id]
        self._known[key.key_id] = (replace(key, last_used_at=now), good_until)
        with suppress(KeyNotFound, Unavailable, Busy):  # nobody is turned away for want of a note
            await self._store.touch(key.key_id, now)


def _checksum(checksum_key: bytes, key_id: str, secret: str) -> str:
    mac = hmac.digest(checksum_key, f"{key_id}_{secret}".encode(), hashlib.sha256)
    return base64.urlsafe_b64encode(mac).decode()[:_CHECKSUM_LENGTH]


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
