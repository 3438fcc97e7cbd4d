"""Keys by their text: what is believed, for how long, and what it costs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor import clock
from processor.access import ApiKey
from processor.errors import KeyEnded, Unavailable
from processor.stores.memory import MemoryKeyStore
from service.auth import api_keys
from service.auth.api_keys import CACHE_SECONDS, TOUCH_EVERY, ApiKeyVerifier, mint, rotate
from service.auth.principal import Principal, Scope
from service.problems import TooManyRequests, Unauthenticated


class CountingStore(MemoryKeyStore):
    """Counts calls; notes nothing while it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Counter[str] = Counter()
        self.full = False

    async def get(self, key_id: str) -> ApiKey:
        self.calls["get"] += 1
        return await super().get(key_id)

    async def touch(self, key_id: str, at: datetime) -> None:
        self.calls["touch"] += 1
        if self.full:
            raise Unavailable
        self._keys[key_id] = replace(self._keys[key_id], last_used_at=at)


class Watch:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def store() -> CountingStore:
    return CountingStore()


async def test_a_key_proves_its_tenant_and_scopes(store: CountingStore) -> None:
    minted = mint(tenant="acme", name="n", scopes=[Scope.READ])
    await store.add(replace(minted.key, scopes=("images:read", "images:of-a-later-release")))
    principal = await ApiKeyVerifier(store).verify(minted.token)
    assert principal == Principal(tenant="acme", scopes=frozenset({Scope.READ}), subject=f"key:{minted.key.key_id}")


async def test_a_revocation_holds_as_soon_as_the_cache_has_run_out(store: CountingStore) -> None:
    watch, minted = Watch(), mint(tenant="acme", name="n", scopes=[Scope.READ])
    await store.add(minted.key)
    verifier = ApiKeyVerifier(store, monotonic=watch)
    await verifier.verify(minted.token)
    await store.revoke(minted.key.key_id, clock.now())
    watch.now = CACHE_SECONDS - 0.1
    await verifier.verify(minted.token)
    watch.now = CACHE_SECONDS
    with pytest.raises(Unauthenticated):
        await verifier.verify(minted.token)


async def test_an_expiry_holds_at_once(store: CountingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    minted = mint(tenant="acme", name="n", scopes=[Scope.READ], lifetime=timedelta(hours=1))
    await store.add(minted.key)
    verifier = ApiKeyVerifier(store)
    await verifier.verify(minted.token)
    later = clock.now() + timedelta(hours=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    with pytest.raises(Unauthenticated):
        await verifier.verify(minted.token)


async def test_the_store_is_asked_once_in_a_while_also_for_keys_that_do_not_exist(store: CountingStore) -> None:
    known, unknown = mint(tenant="a", name="n", scopes=[]), mint(tenant="a", name="n", scopes=[])
    await store.add(known.key)
    verifier = ApiKeyVerifier(store, monotonic=Watch())
    for _ in range(5):
        await verifier.verify(known.token)
        with pytest.raises(Unauthenticated):
            await verifier.verify(unknown.token)
    assert store.calls == {"get": 2, "touch": 1}


async def test_the_cache_has_an_end(store: CountingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_keys, "CACHE_SIZE", 2)
    verifier = ApiKeyVerifier(store)
    for minted in [mint(tenant="a", name="n", scopes=[]) for _ in range(10)]:
        with pytest.raises(Unauthenticated):
            await verifier.verify(minted.token)
    assert len(verifier._known) == 2


async def test_the_last_use_is_noted_once_an_hour_and_for_whoever_knows_the_secret_alone(
    store: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    minted, now = mint(tenant="acme", name="n", scopes=[]), clock.now()
    await store.add(minted.key)
    verifier = ApiKeyVerifier(store)
    guessed = f"{minted.token[:-43]}{'x' * 43}"
    with pytest.raises(Unauthenticated):
        await verifier.verify(guessed)
    assert store.calls["touch"] == 0
    for moment in (now, now + TOUCH_EVERY / 2, now + TOUCH_EVERY):
        monkeypatch.setattr(clock, "now", lambda moment=moment: moment)
        await verifier.verify(minted.token)
    assert store.calls["touch"] == 2


async def test_a_note_that_cannot_be_made_turns_nobody_away(store: CountingStore) -> None:
    minted = mint(tenant="acme", name="n", scopes=[])
    await store.add(minted.key)
    store.full = True
    await ApiKeyVerifier(store).verify(minted.token)


@given(st.text() | st.from_regex(r"truss_[a-z2-7]{16}_[A-Za-z0-9_-]{43}"))
async def test_no_text_that_was_not_made_is_ever_a_key(text: str) -> None:
    with pytest.raises(Unauthenticated):
        await ApiKeyVerifier(MemoryKeyStore()).verify(text)


async def test_a_key_is_kept_as_a_hash_and_shows_nothing_of_its_secret() -> None:
    minted = mint(tenant="acme", name="n", scopes=[Scope.WRITE, Scope.READ])
    secret = minted.token.split("_", 2)[2]
    assert secret not in repr(minted)
    assert secret not in str(minted.key.digest)
    assert minted.key.scopes == ("images:read", "images:write")


async def test_rotation_renews_the_lifetime_and_keeps_the_rights(store: CountingStore) -> None:
    now = clock.now()
    old = mint(tenant="acme", name="n", scopes=[Scope.READ], lifetime=timedelta(days=30), now=now).key
    await store.add(old)
    new = (await rotate(store, old, timedelta(hours=1))).key
    assert (new.tenant, new.name, new.scopes) == (old.tenant, old.name, old.scopes)
    assert new.expires_at is not None
    assert timedelta(days=30) <= new.expires_at - now < timedelta(days=30, minutes=1)
    ends = (await store.get(old.key_id)).expires_at
    assert ends is not None
    assert timedelta(hours=1) <= ends - now < timedelta(hours=1, minutes=1)


async def test_what_opens_nothing_any_more_is_not_replaced(store: CountingStore) -> None:
    old = mint(tenant="acme", name="n", scopes=[Scope.READ], lifetime=timedelta(days=30)).key
    await store.add(old)
    with pytest.raises(KeyEnded):
        await rotate(store, await store.revoke(old.key_id, clock.now()), timedelta(0))


async def test_a_key_whose_end_was_brought_forward_is_replaced_by_one_of_full_length(store: CountingStore) -> None:
    old = mint(tenant="acme", name="n", scopes=[Scope.READ], lifetime=timedelta(days=30)).key
    await store.add(old)
    await rotate(store, old, timedelta(hours=1))
    again = (await rotate(store, await store.get(old.key_id), timedelta(hours=1))).key
    assert again.lifetime == timedelta(days=30)
    assert again.expires_at == again.created_at + timedelta(days=30)


async def test_a_flood_of_made_up_keys_is_held_off_the_store_and_known_callers_are_not(
    store: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_keys, "LOOKUP_BURST", 5)
    watch, known = Watch(), mint(tenant="a", name="n", scopes=[])
    await store.add(known.key)
    verifier = ApiKeyVerifier(store, monotonic=watch)
    await verifier.verify(known.token)
    held_off = 0
    for _ in range(20):
        try:
            await verifier.verify(mint(tenant="a", name="n", scopes=[]).token)
        except TooManyRequests:
            held_off += 1
        except Unauthenticated:
            pass
    assert held_off == 16
    monkeypatch.setattr(api_keys, "LOOKUPS_PER_SECOND", 0.001)
    watch.now = CACHE_SECONDS
    await verifier.verify(known.token)
