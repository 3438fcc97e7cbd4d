"""Secrets that all processes with one table share. They are made on first use."""

from __future__ import annotations

import secrets

from processor.errors import Unavailable
from processor.stores.records import secret_key
from processor.stores.table import Table
from processor.stores.writes import ConditionFailed, Put

#: Bytes of a secret: 256 bits, for HMAC-SHA256.
SECRET_BYTES = 32


async def shared_secret(table: Table, name: str) -> bytes:
    """32 random bytes. The first writer decides, all others read. Raises `Unavailable`."""
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
