"""The key of private pictures out of a secret that changes: what signs, and when the secret is read again.

docs/adr/0126-the-signing-key-is-read-from-its-secret.md says why.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from hashlib import sha256

import structlog

from processor.errors import Unavailable
from service.http.links import NoKey, Signer, parsed_key

#: How often the secret is read again, in seconds: a replaced key signs on for so long.
READ_AGAIN_SECONDS = 300.0
#: What CloudFront calls a public key.
KEY_ID = r"^[A-Za-z0-9]{1,64}$"

#: Reads the secret. Raises `Unavailable`.
Read = Callable[[], Awaitable[str]]

log = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class SecretSigner:
    """Signs with the key that the secret had when it was last read. It must be read once before."""

    seconds: int
    _signer: Signer | None = field(default=None, repr=False)
    _digest: bytes = field(default=b"", repr=False)

    @property
    def current(self) -> Signer:
        if self._signer is None:
            raise Unavailable
        return self._signer

    async def read(self, read: Read) -> None:
        """Take the key that the secret has now. Raises `Unavailable`; `NoKey`, which says nothing of what it has."""
        text = await read()
        digest = sha256(text.encode()).digest()
        if digest == self._digest:
            return  # with the same signer, which remembers its signatures
        self._signer = _signer(text, self.seconds)
        self._digest = digest
        log.info("Key of private pictures read from its secret", keyId=self._signer.key_id)

    async def follow(self, read: Read, every_seconds: float = READ_AGAIN_SECONDS) -> None:
        """Read it again and again, until it is cancelled. If it cannot be read, the key of before signs on."""
        while True:
            await asyncio.sleep(every_seconds)
            try:
                await self.read(read)
            except (NoKey, Unavailable) as error:
                why = type(error).__name__
                log.warning("Key of private pictures not read again, the one of before signs on", error=why)


def _signer(text: str, seconds: int) -> Signer:
    """Of `{"keyId": ..., "privateKey": ...}`. Raises `NoKey`."""
    try:
        content = json.loads(text)
        key_id, key = content["keyId"], content["privateKey"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise NoKey from None
    if not isinstance(key_id, str) or not isinstance(key, str) or re.fullmatch(KEY_ID, key_id) is None:
        raise NoKey
    return Signer(key_id, parsed_key(key.encode()), seconds)
