"""Keys by their text: what is believed, for how long, and what it costs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from processor import clock
from processor.errors import KeyEnded, Unavailable
from processor.ports.keys import ApiKey
from processor.stores.memory import MemoryKeyStore
from service.auth import api_keys
from service.auth.api_keys import CACHE_SECONDS, TOUCH_EVERY, ApiKeyVerifier, Minted, create, mint, rotate
from service.auth.principal import Principal, Scope
from service.http.problems import TooManyRequests, Unauthenticated


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


def minted_by(store: MemoryKeyStore) -> Minted:
    """A key that the service could have made, and that is not stored."""
    return mint(checksum_key=store._checksum_key, tenant="a", name="n", scopes=[])


def of_an_earlier_release(minted: Minted) -> str:
    """The text of a key as it was before there were checksums."""
    return minted.token[:-8]


async def test_a_key_proves_its_tenant_and_scopes(store: CountingStore) -> None:
    minted = minted_by(store)
    await store.add(replace(minted.key, tenant="acme", scopes=("images:read", "images:of-a-later-release")))
    principal = await ApiKeyVerifier(store).verify(minted.token)
    assert principal == Principal(tenant="acme", scopes=frozenset({Scope.READ}), subject=f"key:{minted.key.key_id}")


async def test_a_revocation_holds_as_soon_as_the_cache_has_run_out(store: CountingStore) -> None:
    watch, minted = Watch(), await create(store, tenant="acme", name="n", scopes=[Scope.READ])
    verifier = ApiKeyVerifier(store, monotonic=watch)
    await verifier.verify(minted.token)
    await store.revoke(minted.key.key_id, clock.now())
    watch.now = CACHE_SECONDS - 0.1
    await verifier.verify(minted.token)
    watch.now = CACHE_SECONDS
    with pytest.raises(Unauthenticated):
        await verifier.verify(minted.token)


async def test_an_expiry_holds_at_once(store: CountingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    minted = await create(store, tenant="acme", name="n", scopes=[Scope.READ], lifetime=timedelta(hours=1))
    verifier = ApiKeyVerifier(store)
    await verifier.verify(minted.token)
    later = clock.now() + timedelta(hours=1)
    monkeypatch.setattr(clock, "now", lambda: later)
    with pytest.raises(Unauthenticated):
        await verifier.verify(minted.token)


async def test_the_store_is_asked_once_in_a_while_also_for_keys_that_do_not_exist(store: CountingStore) -> None:
    known, unknown = await create(store, tenant="a", name="n", scopes=[]), minted_by(store)
    verifier = ApiKeyVerifier(store, monotonic=Watch())
    for _ in range(5):
        await verifier.verify(known.token)
        with pytest.raises(Unauthenticated):
            await verifier.verify(unknown.token)
    assert store.calls == {"get": 2, "touch": 1}


async def test_the_cache_has_an_end(store: CountingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api_keys, "CACHE_SIZE", 2)
    verifier = ApiKeyVerifier(store)
    for _ in range(10):
        with pytest.raises(Unauthenticated):
            await verifier.verify(minted_by(store).token)
    assert len(verifier._known) == 2


async def test_the_last_use_is_noted_once_an_hour_and_for_whoever_knows_the_secret_alone(
    store: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    minted, now = await create(store, tenant="acme", name="n", scopes=[]), clock.now()
    verifier = ApiKeyVerifier(store)
    front = minted.token[:-51]
    for guessed in (f"{front}{'x' * 43}", f"{front}{'x' * 51}", f"{minted.token[:-8]}{'x' * 8}"):
        with pytest.raises(Unauthenticated):
            await verifier.verify(guessed)
    assert store.calls["touch"] == 0
    for moment in (now, now + TOUCH_EVERY / 2, now + TOUCH_EVERY):
        monkeypatch.setattr(clock, "now", lambda moment=moment: moment)
        await verifier.verify(minted.token)
    assert store.calls["touch"] == 2


async def test_a_note_that_cannot_be_made_turns_nobody_away(store: CountingStore) -> None:
    minted = await create(store, tenant="acme", name="n", scopes=[])
    store.full = True
    await ApiKeyVerifier(store).verify(minted.token)


@given(st.text() | st.from_regex(r"truss_[a-z2-7]{16}_[A-Za-z0-9_-]{43}"))
async def test_no_text_that_was_not_made_is_ever_a_key(text: str) -> None:
    with pytest.raises(Unauthenticated):
        await ApiKeyVerifier(MemoryKeyStore()).verify(text)


async def test_a_key_is_kept_as_a_hash_and_shows_nothing_of_its_secret() -> None:
    minted = mint(checksum_key=b"k", tenant="acme", name="n", scopes=[Scope.WRITE, Scope.READ])
    secret = minted.token.split("_", 2)[2][:43]
    assert secret not in repr(minted)
    assert secret not in str(minted.key.digest)
    assert minted.key.scopes == ("images:read", "images:write")


async def test_rotation_renews_the_lifetime_and_keeps_the_rights(store: CountingStore) -> None:
    now = clock.now()
    old = (await create(store, tenant="acme", name="n", scopes=[Scope.READ], lifetime=timedelta(days=30))).key
    new = (await rotate(store, old, timedelta(hours=1))).key
    assert (new.tenant, new.name, new.scopes) == (old.tenant, old.name, old.scopes)
    assert new.expires_at is not None
    assert timedelta(days=30) <= new.expires_at - now < timedelta(days=30, minutes=1)
    ends = (await store.get(old.key_id)).expires_at
    assert ends is not None
    assert timedelta(hours=1) <= ends - now < timedelta(hours=1, minutes=1)


async def test_what_opens_nothing_any_more_is_not_replaced(store: CountingStore) -> None:
    old = (await create(store, tenant="acme", name="n", scopes=[Scope.READ], lifetime=timedelta(days=30))).key
    with pytest.raises(KeyEnded):
        await rotate(store, await store.revoke(old.key_id, clock.now()), timedelta(0))


async def test_a_key_whose_end_was_brought_forward_is_replaced_by_one_of_full_length(store: CountingStore) -> None:
    old = (await create(store, tenant="acme", name="n", scopes=[Scope.READ], lifetime=timedelta(days=30))).key
    await rotate(store, old, timedelta(hours=1))
    again = (await rotate(store, await store.get(old.key_id), timedelta(hours=1))).key
    assert again.lifetime == timedelta(days=30)
    assert again.expires_at == again.created_at + timedelta(days=30)


async def test_made_up_keys_are_known_without_asking_the_store_and_hold_up_nobody(store: CountingStore) -> None:
    """Not even who was never seen before, in the middle of a flood."""
    newcomer = await create(store, tenant="a", name="n", scopes=[])
    verifier = ApiKeyVerifier(store, monotonic=Watch())
    for _ in range(2 * api_keys.LOOKUP_BURST):
        with pytest.raises(Unauthenticated):
            await verifier.verify(minted_by(MemoryKeyStore()).token)
    assert store.calls["get"] == 0
    assert verifier._known == {}
    await verifier.verify(newcomer.token)


@given(st.integers(0, 74), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567ABCXYZ_-"))
async def test_a_key_with_one_character_changed_is_none_and_costs_no_look_up(position: int, other: str) -> None:
    store = CountingStore()
    token = (await create(store, tenant="a", name="n", scopes=[])).token
    changed = token[: position % len(token)] + other + token[position % len(token) + 1 :]
    assume(changed != token)
    with pytest.raises(Unauthenticated):
        await ApiKeyVerifier(store).verify(changed)
    assert store.calls["get"] == 0


async def test_processes_over_one_table_know_each_others_keys(store: CountingStore) -> None:
    minted = await create(store, tenant="a", name="n", scopes=[])
    for verifier in (ApiKeyVerifier(store), ApiKeyVerifier(store)):
        await verifier.verify(minted.token)


async def test_keys_of_earlier_releases_keep_working(store: CountingStore) -> None:
    minted = await create(store, tenant="acme", name="n", scopes=[Scope.READ])
    principal = await ApiKeyVerifier(store).verify(of_an_earlier_release(minted))
    assert (principal.tenant, principal.scopes) == ("acme", frozenset({Scope.READ}))


async def test_a_flood_of_made_up_keys_of_earlier_releases_is_held_off_the_store_and_known_callers_are_not(
    store: CountingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_keys, "LOOKUP_BURST", 5)
    watch, minted = Watch(), await create(store, tenant="a", name="n", scopes=[])
    known = of_an_earlier_release(minted)
    verifier = ApiKeyVerifier(store, monotonic=watch)
    await verifier.verify(known)
    held_off = 0
    for _ in range(20):
        try:
            await verifier.verify(of_an_earlier_release(minted_by(store)))
        except TooManyRequests:
            held_off += 1
        except Unauthenticated:
            pass
    assert held_off == 16
    monkeypatch.setattr(api_keys, "LOOKUPS_PER_SECOND", 0.001)
    watch.now = CACHE_SECONDS
    await verifier.verify(known)


async def test_a_key_that_is_revoked_while_it_is_rotated_leaves_no_other_behind(store: CountingStore) -> None:
    old = (await create(store, tenant="acme", name="n", scopes=[Scope.READ])).key
    await store.revoke(old.key_id, clock.now())  # after it was read
    with pytest.raises(KeyEnded):
        await rotate(store, old, timedelta(hours=1))
    assert [key for key in await store.list("acme") if key.holds(clock.now())] == []
