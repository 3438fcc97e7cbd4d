"""Secrets that every process over one table shares, made on first use."""

from __future__ import annotations

import secrets

from processor.errors import Unavailable
from processor.stores.records import secret_key
from processor.stores.table import Table
from processor.stores.writes import ConditionFailed, Put

#: Length of a secret: 256 bits, as HMAC-SHA256 wants.
SECRET_BYTES = 32


async def shared_secret(table: Table, name: str) -> bytes:
    """32 random bytes. Whoever writes first decides; the others read. Raises `Unavailable`."""
    found = await table.get(secret_key(name))
    if found is None:
        fresh = {**secret_key(name), "secret": secrets.token_bytes(SECRET_BYTES)}
        try:
            await table.put(Put(item=fresh))
        except ConditionFailed:
            found = await table.get(secret_key(name))
        else:
            found = fresh
    if found is None:
        raise Unavailable
    return bytes(found["secret"])
