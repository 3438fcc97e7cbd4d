"""The first administrator's key of a local mode that asks for keys: without it everybody would be locked out."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from processor.ports.keys import KeyStore
from service.auth.api_keys import ApiKeyVerifier, create
from service.auth.principal import DEFAULT_TENANT, Scope
from service.http.problems import Unauthenticated
from service.local.folder import told

#: Holds the key's text, for its owner alone.
KEY_FILE = "admin-key"


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstKey:
    """Where the key is; `token` is its text while it is new, to be shown this once."""

    path: Path
    token: str | None = field(default=None, repr=False)


async def first_key(store: KeyStore, folder: Path) -> FirstKey:
    """The key of an earlier start while it opens everything, or a new one. Raises `LocalError`, `Unavailable`."""
    path = folder / KEY_FILE
    with told(folder):
        token = path.read_text(errors="replace").strip() if path.exists() else ""
    if await _opens_everything(store, token):
        return FirstKey(path=path)
    minted = await create(store, tenant=DEFAULT_TENANT, name="first", scopes=[Scope.ADMIN])
    with told(folder):
        path.unlink(missing_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(f"{minted.token}\n")
    return FirstKey(path=path, token=minted.token)


async def _opens_everything(store: KeyStore, token: str) -> bool:
    try:
        principal = await ApiKeyVerifier(store).verify(token)
    except Unauthenticated:
        return False
    return Scope.ADMIN in principal.scopes
