"""The public keys of an issuer: fetched, cached, fetched again for an unknown id, and kept during an outage."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import aiohttp
import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from processor.errors import Unavailable

#: How long keys are used before they are fetched anew, in seconds.
FRESH_SECONDS = 3600.0
#: Least time between two fetches, in seconds: tokens with keys that do not exist must not become a lever on the issuer.
FLOOR_SECONDS = 30.0
#: The same after a fetch that failed; it doubles with each further one, up to `FLOOR_SECONDS`. A blip must not lock out
#: every user of the pool, and an outage must not be hammered.
RETRY_SECONDS = 0.5
#: Enough to reach `FLOOR_SECONDS`.
MAX_DOUBLINGS = 6
#: How long keys are used while the issuer is away, in seconds. A pool changes its keys hardly ever.
STALE_SECONDS = 24 * 3600.0
#: Longest that a fetch may take, in seconds.
FETCH_SECONDS = 5.0
#: Far above any key set, in bytes.
MAX_BYTES = 256 * 1024
#: Shorter keys can be broken (NIST SP 800-131A).
MIN_KEY_BITS = 2048

log = structlog.get_logger(__name__)


class KeySource(Protocol):
    """Where a key set comes from."""

    async def __call__(self) -> bytes:
        """The document. Raises `Unavailable`."""
        ...


class HttpKeySource:
    """A key set at a URL."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def __call__(self) -> bytes:
        """Fetch the document. Redirects are not followed, because they could lead to other keys. Raises
        `Unavailable`."""
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                async with self._session.get(self._url, allow_redirects=False) as answer:
                    body = bytearray()
                    async for chunk in answer.content.iter_any():
                        body += chunk
                        if len(body) > MAX_BYTES:
                            break
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            raise Unavailable from error
        if answer.status != 200 or len(body) > MAX_BYTES:  # noqa: PLR2004 - OK
            raise Unavailable
        return bytes(body)


class JwksCache:
    """A cache of keys by id. Simultaneous callers share one fetch."""

    def __init__(self, source: KeySource, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._monotonic = monotonic
        self._keys: Mapping[str, RSAPublicKey] = {}
        self._fetched_at: float | None = None
        self._next_try = float("-inf")
        self._failures = 0
        self._fetching = asyncio.Lock()

    async def key(self, kid: str) -> RSAPublicKey | None:
        """The key with this id; None if the issuer has none. Raises `Unavailable` if that is unknown."""
        known = kid in self._keys
        # Whoever has a key that is merely old does not wait behind the one who fetches.
        if not known or (self._age() >= FRESH_SECONDS and not self._fetching.locked()):
            await self._refresh(kid)
        if self._age() >= STALE_SECONDS:
            raise Unavailable
        return self._keys.get(kid)

    def _age(self) -> float:
        return float("inf") if self._fetched_at is None else self._monotonic() - self._fetched_at

    async def _refresh(self, kid: str) -> None:
        async with self._fetching:
            now = self._monotonic()
            if kid in self._keys and self._age() < FRESH_SECONDS:  # whoever held the lock has fetched it
                return
            if now < self._next_try:
                return
            try:
                self._keys = usable_keys(await self._source())
            except Unavailable:
                self._next_try = self._monotonic() + min(FLOOR_SECONDS, RETRY_SECONDS * 2**self._failures)
                self._failures = min(self._failures + 1, MAX_DOUBLINGS)
                log.warning("Keys of the issuer not fetched", known=len(self._keys))
            else:
                self._fetched_at = now
                self._next_try = now + FLOOR_SECONDS
                self._failures = 0


def usable_keys(document: bytes) -> Mapping[str, RSAPublicKey]:
    """The keys of a set that may sign with RS256. Raises `Unavailable` when there is none, or it is no key set."""
    try:
        entries: Any = json.loads(document)["keys"]
        keys = dict(each for entry in entries if (each := _usable(entry)) is not None)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise Unavailable from None
    if not keys:
        raise Unavailable
    return keys


def _usable(entry: Any) -> tuple[str, RSAPublicKey] | None:
    if not isinstance(entry, dict):
        return None
    kid = entry.get("kid")
    fits = entry.get("kty") == "RSA" and entry.get("use", "sig") == "sig" and entry.get("alg", "RS256") == "RS256"
    if not fits or not isinstance(kid, str):
        return None
    try:
        key = jwt.PyJWK.from_dict(dict(entry), algorithm="RS256").key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if not isinstance(key, RSAPublicKey) or key.key_size < MIN_KEY_BITS:
        return None
    return kid, key
