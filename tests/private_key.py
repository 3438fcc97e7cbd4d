"""A key that signs URLs of private pictures, made for the tests."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

KEY_ID = "K2JCJMDEHXQW5F"


def rsa_key(bits: int = 2048, number: int = 0) -> rsa.RSAPrivateKey:
    """The same for the same arguments."""
    return _made(bits, number)


@cache
def _made(bits: int, number: int) -> rsa.RSAPrivateKey:
    """Each takes a while to make."""
    del number
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def written(folder: Path, key: rsa.RSAPrivateKey | None = None) -> Path:
    """The file of a key."""
    path = folder / "private-key.pem"
    path.write_bytes((key or rsa_key()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path
