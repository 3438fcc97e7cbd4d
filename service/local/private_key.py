"""The key that signs the URLs of private pictures in the local mode, made at the first start."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from service.http.links import KEY_BITS, NoKey, read_key
from service.local.folder import told

#: Holds the key, for its owner alone.
KEY_FILE = "private-key.pem"
#: What the local viewer calls it.
KEY_ID = "LOCAL"


def local_private_key(folder: Path) -> Path:
    """The key of an earlier start, or a new one. Raises `LocalError` if the folder cannot be written."""
    path = folder / KEY_FILE
    try:
        read_key(str(path))
    except NoKey:
        key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
        text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        with told(folder):
            path.unlink(missing_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(text)
    return path
