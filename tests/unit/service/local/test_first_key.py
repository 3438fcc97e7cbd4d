"""The first key of a local mode that asks for keys."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from processor import clock
from processor.stores.memory import MemoryKeyStore
from service.auth.api_keys import ApiKeyVerifier, create
from service.auth.principal import Scope
from service.local import LocalError
from service.local.first_key import KEY_FILE, first_key


async def test_a_first_key_opens_everything_and_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    store = MemoryKeyStore()
    first = await first_key(store, tmp_path)
    assert first.token is not None
    assert first.path.read_text() == f"{first.token}\n"
    assert stat.S_IMODE(first.path.stat().st_mode) == 0o600
    assert Scope.ADMIN in (await ApiKeyVerifier(store).verify(first.token)).scopes
    assert first.token not in repr(first)


async def test_the_next_start_finds_it_and_does_not_show_it_again(tmp_path: Path) -> None:
    store = MemoryKeyStore()
    first = await first_key(store, tmp_path)
    again = await first_key(store, tmp_path)
    assert again.token is None
    assert again.path.read_text() == f"{first.token}\n"
    assert len(await store.list("default")) == 1


@pytest.mark.parametrize("case", ["revoked", "unknown", "too little", "no key"])
async def test_a_key_that_does_not_open_everything_is_replaced(tmp_path: Path, case: str) -> None:
    store = MemoryKeyStore()
    path = tmp_path / KEY_FILE
    if case == "revoked":
        await first_key(store, tmp_path)
        (key,) = await store.list("default")
        await store.revoke(key.key_id, clock.now())
    elif case == "no key":
        path.write_bytes(b"\xff\x00")
        path.chmod(0o644)
    else:
        elsewhere = store if case == "too little" else MemoryKeyStore()
        scope = Scope.READ if case == "too little" else Scope.ADMIN
        path.write_text((await create(elsewhere, tenant="default", name="n", scopes=[scope])).token)
    first = await first_key(store, tmp_path)
    assert first.token is not None
    assert path.read_text() == f"{first.token}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_a_key_that_cannot_be_kept_is_an_error_that_names_the_folder(tmp_path: Path) -> None:
    (tmp_path / KEY_FILE).mkdir()
    with pytest.raises(LocalError, match=str(tmp_path)):
        await first_key(MemoryKeyStore(), tmp_path)
