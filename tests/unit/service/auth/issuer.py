"""An issuer of tokens, honest or not."""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

ISSUER = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_Pool"
CLIENT = "6h1example"


@functools.cache
def private_key(number: int = 0, bits: int = 2048) -> rsa.RSAPrivateKey:
    """The same for the same number; making one takes a while."""
    del number
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def jwk(key: rsa.RSAPrivateKey, kid: str, **given: Any) -> dict[str, Any]:
    found = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
    return {**found, "kid": kid, "use": "sig", "alg": "RS256", **given}


def claims(**given: Any) -> dict[str, Any]:
    """An access token's; None takes one away."""
    now = int(time.time())
    usual = {
        "iss": ISSUER,
        "sub": "11111111-2222-3333-4444-555555555555",
        "token_use": "access",
        "client_id": CLIENT,
        "scope": "openid",
        "iat": now,
        "exp": now + 3600,
        "cognito:groups": ["tenant-acme", "images:read"],
    }
    return {name: value for name, value in (usual | given).items() if value is not None}


@dataclass
class Issuer:
    """Signs with the first of its keys; counts who asks for them."""

    keys: dict[str, rsa.RSAPrivateKey] = field(default_factory=lambda: {"k0": private_key()})
    away: Exception | None = None
    document: bytes | None = None
    fetches: int = 0

    async def __call__(self) -> bytes:
        self.fetches += 1
        if self.away is not None:
            raise self.away
        return self.document or json.dumps({"keys": [jwk(key, kid) for kid, key in self.keys.items()]}).encode()

    def token(
        self, changes: Mapping[str, Any] | None = None, *, header: Mapping[str, Any] | None = None, key: Any = None
    ) -> str:
        """A token with these claims changed; None takes one away."""
        kid, own = next(iter(self.keys.items()))
        signed = claims(**(changes or {}))
        return jwt.encode(signed, key or own, algorithm="RS256", headers={"kid": kid, **(header or {})})
