"""URLs of variants: where they begin, and the signature without which nobody reads a private one.

docs/adr/0114-private-by-signed-urls.md says what is signed, and for how long.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from processor.images import is_private

#: A URL changes so many times in its lifetime. In between it is the same in every answer, for caches and ETags.
STEPS = 4
#: Signatures that are remembered: one takes a millisecond, and a page of a list has hundreds.
REMEMBERED = 8192
#: What CloudFront puts in place of characters that mean something in a query (AWS, "Create a signed URL using a canned
#: policy").
_QUERY_SAFE = bytes.maketrans(b"+=/", b"-_~")
_BASE64 = bytes.maketrans(b"-_~", b"+=/")


class NoKey(Exception):
    """This is no RSA key in PEM that CloudFront knows."""


@dataclass(frozen=True, slots=True, eq=False)
class Signer:
    """Signs URLs as CloudFront checks them: with a canned policy. `seconds` is the longest that one holds."""

    key_id: str
    key: rsa.RSAPrivateKey = field(repr=False)
    seconds: int

    @property
    def current(self) -> Signer:
        """Itself: its key stays."""
        return self

    def expiry(self, now: float) -> int:
        """When a URL that is asked for now ends, in seconds since the epoch: in three quarters of `seconds` or more."""
        step = max(1, self.seconds // STEPS)
        return int(now) // step * step + self.seconds

    def signed(self, url: str, expires: int) -> str:
        """The URL with its signature."""
        return f"{url}?Expires={expires}&Signature={self._signature(url, expires)}&Key-Pair-Id={self.key_id}"

    def admits(self, url: str, query: Mapping[str, str], now: float) -> bool:
        """Whether this query lets its bearer read the URL now; for the local mode, in the place of CloudFront."""
        expires, signature = query.get("Expires", ""), query.get("Signature", "")
        if query.get("Key-Pair-Id") != self.key_id or not expires.isascii() or not expires.isdecimal():
            return False
        if len(expires) > len(str(2**53)) or int(expires) <= now:
            return False
        try:
            found = base64.b64decode(signature.encode().translate(_BASE64), validate=True)
            self.key.public_key().verify(found, _policy(url, int(expires)), padding.PKCS1v15(), SHA1())  # noqa: S303
        except (ValueError, InvalidSignature):
            return False
        return True

    def _signature(self, url: str, expires: int) -> str:
        return _sign(self, url, expires)


@lru_cache(maxsize=REMEMBERED)
def _sign(signer: Signer, url: str, expires: int) -> str:
    # CloudFront asks for SHA-1 here. A signature is made of our own text alone, so nobody can prepare a collision.
    signature = signer.key.sign(_policy(url, expires), padding.PKCS1v15(), SHA1())  # noqa: S303
    return base64.b64encode(signature).translate(_QUERY_SAFE).decode()


def _policy(url: str, expires: int) -> bytes:
    """Without a space, and in this order."""
    condition = {"DateLessThan": {"AWS:EpochTime": expires}}
    statement = {"Statement": [{"Resource": url, "Condition": condition}]}
    return json.dumps(statement, separators=(",", ":")).encode()


class Signing(Protocol):
    """What knows the signer of now."""

    @property
    def current(self) -> Signer: ...


@dataclass(frozen=True, slots=True)
class Links:
    """Makes the URLs of variants. `base` has no slash at the end. Without a signer, private ones lead to a 403."""

    base: str
    signer: Signing | None = None
    #: The time that all URLs of an answer are signed at, so that they end together.
    at: float | None = None

    def now(self) -> Links:
        """The same, for one answer, which one key signs."""
        return replace(self, at=time.time(), signer=None if self.signer is None else self.signer.current)

    def url(self, key: str) -> str:
        url = f"{self.base}/{key}"
        expires = self._expiry(key)
        return url if self.signer is None or expires is None else self.signer.current.signed(url, expires)

    def expires_at(self, key: str) -> datetime | None:
        """When the URL of a key ends; None: never."""
        expires = self._expiry(key)
        return None if expires is None else datetime.fromtimestamp(expires, UTC)

    def _expiry(self, key: str) -> int | None:
        if self.signer is None or not is_private(key):
            return None
        return self.signer.current.expiry(time.time() if self.at is None else self.at)


def read_key(path: str) -> rsa.RSAPrivateKey:
    """Raises `NoKey`, and says nothing of what the file has."""
    try:
        pem = Path(path).read_bytes()
    except (OSError, ValueError):
        raise NoKey from None
    return parsed_key(pem)


def parsed_key(pem: bytes) -> rsa.RSAPrivateKey:
    """The same of the text itself."""
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise NoKey from None
    if not isinstance(key, rsa.RSAPrivateKey) or key.key_size != KEY_BITS:
        raise NoKey
    return key


#: What CloudFront takes (AWS, "Create key pairs for your signers").
KEY_BITS = 2048
