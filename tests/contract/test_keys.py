"""What the API expects of the store of its keys."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import replace
from datetime import timedelta

import pytest

from processor import clock
from processor.errors import KeyNotFound, RecordChanged
from processor.ports.keys import ApiKey, KeyStore
from processor.stores.keys import DynamoKeyStore
from processor.stores.memory import MemoryKeyStore
from processor.stores.table import Table
from tests.contract.conftest import Backend
from tests.waiting import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")

NOW = clock.from_iso("2026-05-04T03:02:01.000Z")
FOREIGN = ["", "x", "KEY2345KEY234567", "a" * 17, "../secret_cursor", "a2345672345672é"]


@pytest.fixture
def keys(backend: Backend) -> KeyStore:
    if backend.service and backend.made:
        return DynamoKeyStore(Table(backend.service, backend.made.names.table))
    return MemoryKeyStore()


def key(tenant: str = "acme", **given: object) -> ApiKey:
    key_id = "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(16))
    made = ApiKey(key_id=key_id, tenant=tenant, name="n", scopes=("images:read",), digest="ab" * 32, created_at=NOW)
    return replace(made, **given)  # type: ignore[arg-type]


async def test_a_key_is_found_as_it_was_written(keys: KeyStore) -> None:
    plain, full = key(), key(expires_at=clock.now() + timedelta(days=1), scopes=("images:read", "images:write"))
    for each in (plain, full):
        await keys.add(each)
        found = await keys.get(each.key_id)
        assert found == replace(each, expires_at=found.expires_at)
        assert (found.expires_at is None) == (each.expires_at is None)


async def test_an_id_is_taken_once(keys: KeyStore) -> None:
    made = key()
    await keys.add(made)
    with pytest.raises(RecordChanged):
        await keys.add(replace(made, tenant="other"))
    assert (await keys.get(made.key_id)).tenant == "acme"


@pytest.mark.parametrize("key_id", ["q" * 16, *FOREIGN])
async def test_a_key_that_is_not_there_is_not_found_by_any_call(keys: KeyStore, key_id: str) -> None:
    for call in (keys.get(key_id), keys.revoke(key_id, NOW), keys.expire(key_id, NOW), keys.touch(key_id, NOW)):
        with pytest.raises(KeyNotFound):
            await call


async def test_a_key_is_revoked_once_and_for_all(keys: KeyStore) -> None:
    made, now = key(), clock.from_iso(clock.to_iso(clock.now()))
    await keys.add(made)
    assert (await keys.revoke(made.key_id, now)).revoked_at == now
    assert (await keys.revoke(made.key_id, now + timedelta(hours=1))).revoked_at == now
    assert not (await keys.get(made.key_id)).holds(now)


async def test_an_expiry_is_only_ever_brought_forward(keys: KeyStore) -> None:
    made, now = key(), clock.from_iso(clock.to_iso(clock.now()))
    await keys.add(made)
    assert (await keys.expire(made.key_id, now + timedelta(hours=2))).expires_at == now + timedelta(hours=2)
    assert (await keys.expire(made.key_id, now + timedelta(hours=1))).expires_at == now + timedelta(hours=1)
    assert (await keys.expire(made.key_id, now + timedelta(hours=2))).expires_at == now + timedelta(hours=1)


async def test_the_last_use_is_kept(keys: KeyStore) -> None:
    made = key()
    await keys.add(made)
    await keys.touch(made.key_id, NOW)
    assert (await keys.get(made.key_id)).last_used_at == NOW


async def test_a_tenant_sees_its_own_keys_newest_first_and_no_others(keys: KeyStore) -> None:
    mine, other = f"t{uuid.uuid4().hex[:8]}", f"t{uuid.uuid4().hex[:8]}"
    made = [key(mine, created_at=NOW + timedelta(seconds=n)) for n in range(3)]
    for each in [*made, key(other)]:
        await keys.add(each)

    async def all_listed() -> bool:
        return await keys.list(mine) == tuple(reversed(made))

    await eventually(all_listed, what="three keys")
    assert await keys.list("nobody") == ()
