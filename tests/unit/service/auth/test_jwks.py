"""The issuer's keys: fetched seldom, and kept through an outage."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from typing import Any

import pytest

from processor.errors import Unavailable
from service.auth.jwks import FLOOR_SECONDS, FRESH_SECONDS, RETRY_SECONDS, STALE_SECONDS, JwksCache, usable_keys
from tests.unit.service.auth.issuer import Issuer, jwk, private_key


class Watch:
    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
def cache(issuer: Issuer, watch: Watch) -> JwksCache:
    return JwksCache(issuer, monotonic=watch)


async def test_a_key_is_fetched_once_and_anew_when_it_is_old(cache: JwksCache, issuer: Issuer, watch: Watch) -> None:
    for now in (0, FRESH_SECONDS - 1, FRESH_SECONDS, FRESH_SECONDS + 1):
        watch.now = now
        assert await cache.key("k0") is not None
    assert issuer.fetches == 2


async def test_many_who_wait_share_one_fetch(cache: JwksCache, issuer: Issuer) -> None:
    keys = await asyncio.gather(*(cache.key("k0") for _ in range(20)))
    assert all(keys)
    assert issuer.fetches == 1


async def test_a_new_key_of_the_issuer_is_found_when_a_token_names_it(
    cache: JwksCache, issuer: Issuer, watch: Watch
) -> None:
    await cache.key("k0")
    issuer.keys["k1"] = private_key(1)
    watch.now = FLOOR_SECONDS
    assert await cache.key("k1") is not None


async def test_keys_that_do_not_exist_make_no_more_than_one_fetch_in_a_while(
    cache: JwksCache, issuer: Issuer, watch: Watch
) -> None:
    for number in range(100):
        assert await cache.key(f"made-up-{number}") is None
    assert issuer.fetches == 1
    watch.now = FLOOR_SECONDS
    await cache.key("made-up")
    assert issuer.fetches == 2


async def test_known_keys_are_used_through_an_outage_but_not_for_ever(
    cache: JwksCache, issuer: Issuer, watch: Watch
) -> None:
    await cache.key("k0")
    issuer.away = Unavailable()
    watch.now = STALE_SECONDS - 1
    assert await cache.key("k0") is not None
    watch.now = STALE_SECONDS
    with pytest.raises(Unavailable):
        await cache.key("k0")
    issuer.away = None
    watch.now += FLOOR_SECONDS
    assert await cache.key("k0") is not None


async def test_one_failure_locks_nobody_out_for_long(cache: JwksCache, issuer: Issuer, watch: Watch) -> None:
    issuer.away = Unavailable()
    with pytest.raises(Unavailable):
        await cache.key("k0")
    issuer.away = None
    watch.now = RETRY_SECONDS
    assert await cache.key("k0") is not None


async def test_an_outage_is_asked_about_less_and_less_often(cache: JwksCache, issuer: Issuer, watch: Watch) -> None:
    issuer.away = Unavailable()
    tries = []
    for tenth in range(3000):
        watch.now = tenth / 10
        before = issuer.fetches
        with pytest.raises(Unavailable):
            await cache.key("k0")
        if issuer.fetches > before:
            tries.append(watch.now)
    pauses = [later - earlier for earlier, later in pairwise(tries)]
    assert pauses == sorted(pauses)
    assert pauses[0] == pytest.approx(RETRY_SECONDS)
    assert pauses[-1] == pytest.approx(FLOOR_SECONDS)


async def test_after_an_outage_a_new_key_is_looked_for_no_more_often_than_before(
    cache: JwksCache, issuer: Issuer, watch: Watch
) -> None:
    issuer.away = Unavailable()
    with pytest.raises(Unavailable):
        await cache.key("k0")
    issuer.away = None
    watch.now = RETRY_SECONDS
    for number in range(100):
        assert await cache.key(f"made-up-{number}") is None
    assert issuer.fetches == 2


async def test_without_any_keys_nobody_can_know(cache: JwksCache, issuer: Issuer) -> None:
    issuer.away = Unavailable()
    for _ in range(3):
        with pytest.raises(Unavailable):
            await cache.key("k0")
    assert issuer.fetches == 1


@pytest.mark.parametrize(
    "document",
    [b"", b"not json", b"[]", b"null", b'{"keys": 1}', b'{"keys": []}', b'{"keys": [1]}', b"\xff", b"[" * 100_000],
)
async def test_a_document_that_is_no_key_set_takes_no_key_away(
    cache: JwksCache, issuer: Issuer, watch: Watch, document: bytes
) -> None:
    await cache.key("k0")
    issuer.document = document
    watch.now = FRESH_SECONDS
    assert await cache.key("k0") is not None


@pytest.mark.parametrize(
    "changed",
    [
        {"kty": "EC"},
        {"use": "enc"},
        {"alg": "RS512"},
        {"alg": "HS256"},
        {"kid": 7},
        {"n": "AQAB"},
        {"n": None},
        {"e": "!"},
    ],
)
def test_a_key_that_cannot_sign_tokens_is_left_out_and_the_others_stay(changed: dict[str, Any]) -> None:
    good, bad = jwk(private_key(), "good"), jwk(private_key(1), "bad") | changed
    assert set(usable_keys(json.dumps({"keys": [bad, good]}).encode())) == {"good"}


def test_a_short_key_is_no_key() -> None:
    with pytest.raises(Unavailable):
        usable_keys(json.dumps({"keys": [jwk(private_key(2, 1024), "short")]}).encode())
