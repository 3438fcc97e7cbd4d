"""The opaque `lastKey` of a list: a position, signed together with the question that it belongs to."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from datetime import datetime

from aiohttp import web

from processor.ports.jobs import JobQuery, JobStore
from service.http.problems import InvalidCursor

#: Name of the key in the job store, where every process finds the same one.
KEY_NAME = "cursor"
#: Length of the HMAC-SHA256 in front of the position, in bytes.
MAC_BYTES = hashlib.sha256().digest_size
#: Longest cursor that is looked at, in characters; ours are a fraction of it.
MAX_LENGTH = 2048
#: What a cursor belongs to: a listing, or in words what else was asked, the tenant among them.
Asked = JobQuery | tuple[str, ...]


class CursorSigner:
    """Seals positions and opens them again; the key is fetched on first use and kept."""

    def __init__(self, jobs: JobStore) -> None:
        self._jobs = jobs
        self._key: bytes | None = None

    async def seal(self, query: Asked, position: str) -> str:
        """The cursor with which a list goes on after `position`. Raises `Unavailable`."""
        token = await self._mac(query, position) + position.encode()
        return base64.urlsafe_b64encode(token).decode().rstrip("=")

    async def open(self, cursor: str, query: Asked) -> str:
        """The position in a cursor. Raises `InvalidCursor` when it is not ours, or was sealed for another tenant,
        filter or order; `Unavailable`."""
        token = _decode(cursor)
        mac, position = token[:MAC_BYTES], token[MAC_BYTES:]
        try:
            text = position.decode()
        except UnicodeDecodeError:
            raise InvalidCursor from None
        if not hmac.compare_digest(mac, await self._mac(query, text)):
            raise InvalidCursor
        return text

    async def _mac(self, query: Asked, position: str) -> bytes:
        if self._key is None:
            self._key = await self._jobs.signing_key(KEY_NAME)
        return hmac.digest(self._key, _signed(query, position), hashlib.sha256)


CURSORS = web.AppKey("cursors", CursorSigner)


def _signed(query: Asked, position: str) -> bytes:
    """What a cursor is signed for. JSON separates the values; the limit may change between pages."""
    if isinstance(query, tuple):
        return json.dumps({"asked": query, "position": position}).encode()
    question = (
        query.tenant,
        query.status,
        query.newest_first,
        _iso(query.created_from),
        _iso(query.created_to),
        position,
    )
    return json.dumps(question).encode()


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _decode(cursor: str) -> bytes:
    if len(cursor) > MAX_LENGTH:
        raise InvalidCursor
    try:
        token = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise InvalidCursor from None
    # The last character may carry bits that mean nothing; only one spelling is ours.
    if base64.urlsafe_b64encode(token).decode().rstrip("=") != cursor:
        raise InvalidCursor
    return token
