"""Tokens of a user pool, and everything that claims to be one."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st

from service.auth.cognito import CognitoConfig, CognitoVerifier
from service.auth.jwks import JwksCache
from service.auth.principal import Principal, Scope
from service.http.problems import NoTenant, Unauthenticated
from tests.searching import searching
from tests.unit.service.auth.issuer import CLIENT, ISSUER, Issuer, claims, jwk, private_key

SUB = claims()["sub"]


def config(**given: Any) -> CognitoConfig:
    return CognitoConfig(
        **{
            "issuer": ISSUER,
            "client_ids": frozenset({CLIENT}),
            "tenant_claim": "custom:tenant",
            "tenant_group_prefix": "tenant-",
            "default_tenant": None,
            "scope_prefix": "image-service/",
            "scope_map": {"editors": frozenset({Scope.READ, Scope.WRITE})},
        }
        | given
    )


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def verifier(issuer: Issuer) -> CognitoVerifier:
    return CognitoVerifier(config(), JwksCache(issuer))


async def test_an_access_token_proves_user_tenant_and_scopes(verifier: CognitoVerifier, issuer: Issuer) -> None:
    assert await verifier.verify(issuer.token()) == Principal(
        tenant="acme", scopes=frozenset({Scope.READ}), subject=f"user:{SUB}"
    )


async def test_an_id_token_names_its_client_and_tenant_otherwise(verifier: CognitoVerifier, issuer: Issuer) -> None:
    token = issuer.token(
        {
            "token_use": "id",
            "client_id": None,
            "aud": CLIENT,
            "custom:tenant": "globex",
            "cognito:groups": ["editors"],
            "scope": None,
        }
    )
    principal = await verifier.verify(token)
    assert principal.tenant == "globex"
    assert principal.scopes == {Scope.READ, Scope.WRITE}


async def test_a_client_of_its_own_is_a_client(verifier: CognitoVerifier, issuer: Issuer) -> None:
    verifier = CognitoVerifier(config(default_tenant="default"), JwksCache(issuer))
    token = issuer.token({"sub": CLIENT, "scope": "image-service/images:write openid", "cognito:groups": None})
    assert await verifier.verify(token) == Principal(
        tenant="default", scopes=frozenset({Scope.WRITE}), subject=f"client:{CLIENT}"
    )


async def test_a_token_of_just_now_by_a_clock_that_is_a_little_ahead_is_good(
    verifier: CognitoVerifier, issuer: Issuer
) -> None:
    now = int(time.time())
    await verifier.verify(issuer.token({"iat": now + 20, "nbf": now + 20}))
    await verifier.verify(issuer.token({"exp": now - 20}))


NOW = int(time.time())
#: Seconds that no run of the tests takes: NOW is when they were collected.
DAY = 86_400

KNOWN = {"alg": "RS256", "kid": "k0"}

#: Each is wrong in one way alone.
ATTACKS: dict[str, Callable[[Issuer], str]] = {
    "alg none": lambda _: unsigned("none"),
    "alg NoNe": lambda _: unsigned("NoNe"),
    "HS256 with the public key": lambda _: hs256(public_pem()),
    "unknown kid": lambda issuer: issuer.token(header={"kid": "other"}),
    "kid of another type": lambda _: raw({"alg": "RS256", "kid": 7}),
    "no kid": lambda _: jwt.encode(claims(), private_key(), algorithm="RS256"),
    "a kid of a kilobyte": lambda issuer: issuer.token(header={"kid": "k" * 1000}),
    "another's key under a known kid": lambda issuer: issuer.token(key=private_key(1)),
    "an embedded jwk": lambda issuer: issuer.token(key=private_key(1), header={"jwk": jwk(private_key(1), "k0")}),
    "a jku": lambda issuer: issuer.token(key=private_key(1), header={"jku": "http://127.0.0.1:9/jwks.json"}),
    "a critical extension": lambda issuer: issuer.token(header={"crit": ["exp"]}),
    "expired": lambda issuer: issuer.token({"exp": NOW - 60}),
    "not yet valid": lambda issuer: issuer.token({"nbf": NOW + DAY}),
    "issued in the future": lambda issuer: issuer.token({"iat": NOW + DAY}),
    "another pool": lambda issuer: issuer.token({"iss": ISSUER + "2"}),
    "another client": lambda issuer: issuer.token({"client_id": "other"}),
    "the client where an id token has it": lambda issuer: issuer.token({"client_id": None, "aud": CLIENT}),
    "an id token for another audience": lambda issuer: issuer.token({"token_use": "id", "aud": "other"}),
    "audiences as a list": lambda issuer: issuer.token({"token_use": "id", "aud": [CLIENT]}),
    "a refresh token": lambda issuer: issuer.token({"token_use": "refresh"}),
    "no use": lambda issuer: issuer.token({"token_use": None}),
    "no expiry": lambda issuer: issuer.token({"exp": None}),
    "no subject": lambda issuer: issuer.token({"sub": None}),
    "an empty subject": lambda issuer: issuer.token({"sub": ""}),
    "a subject with a line break": lambda issuer: issuer.token({"sub": "a\nb"}),
    "groups that are no list": lambda issuer: issuer.token({"cognito:groups": "tenant-acme"}),
    "a group that is no text": lambda issuer: issuer.token({"cognito:groups": ["tenant-acme", 7]}),
    "a scope that is no text": lambda issuer: issuer.token({"scope": 7}),
    "an expiry that is no number": lambda issuer: issuer.token({"exp": "tomorrow"}),
    "an endless expiry": lambda _: raw(KNOWN, claims_with('"exp": 1e999')),
    "an expiry that is not a number": lambda _: raw(KNOWN, claims_with('"exp": NaN')),
    "duplicated claims": lambda _: raw(KNOWN, claims_with(f'"client_id": "{CLIENT}", "client_id": "other"')),
    "a client in other letters": lambda issuer: issuer.token({"client_id": CLIENT.replace("e", "\u0435")}),
    "truncated": lambda issuer: issuer.token()[:-10],
    "four parts": lambda issuer: issuer.token() + ".x",
    "100 kB": lambda issuer: issuer.token({"scope": "x" * 100_000}),
    "claims changed after signing": lambda issuer: tampered(issuer.token()),
}


def encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def raw(header: Mapping[str, Any], body: bytes | None = None) -> str:
    """A token with a header and claims that no library would write; its signature is right."""
    signed = f"{encoded(json.dumps(header).encode())}.{encoded(body or json.dumps(claims()).encode())}"
    signature = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256).sign(signed.encode(), private_key())
    return f"{signed}.{encoded(signature)}"


def claims_with(text: str) -> bytes:
    """The usual claims and one more, as text that no library would write; the last of two counts."""
    return f"{json.dumps(claims())[:-1]}, {text}}}".encode()


def tampered(token: str) -> str:
    header, _, signature = token.split(".")
    return f"{header}.{encoded(json.dumps(claims(sub='admin')).encode())}.{signature}"


def public_pem() -> bytes:
    return (
        private_key()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )


def unsigned(algorithm: str) -> str:
    header = encoded(json.dumps({"alg": algorithm, "kid": "k0"}).encode())
    return f"{header}.{encoded(json.dumps(claims()).encode())}."


def hs256(secret: bytes) -> str:
    """The library refuses to sign so, so it is done by hand."""
    header = encoded(json.dumps({"alg": "HS256", "kid": "k0"}).encode())
    signed = f"{header}.{encoded(json.dumps(claims()).encode())}"
    algorithm = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    return f"{signed}.{encoded(algorithm.sign(signed.encode(), secret))}"


@pytest.mark.parametrize("name", ATTACKS)
async def test_whatever_is_not_a_token_for_us_is_refused(verifier: CognitoVerifier, issuer: Issuer, name: str) -> None:
    token = ATTACKS[name](issuer)
    with pytest.raises(Unauthenticated):
        await verifier.verify(token)


async def test_a_token_names_its_key_and_nothing_that_is_fetched(issuer: Issuer, verifier: CognitoVerifier) -> None:
    for name in ("a jku", "an embedded jwk", "unknown kid"):
        with pytest.raises(Unauthenticated):
            await verifier.verify(ATTACKS[name](issuer))
    assert issuer.fetches == 1


_PARTS = st.binary(max_size=60).map(encoded) | st.text(max_size=40)


@given(st.text() | st.lists(_PARTS, max_size=4).map(".".join))
@searching(300)
async def test_no_text_at_all_makes_anything_but_a_refusal(text: str) -> None:
    with pytest.raises(Unauthenticated):
        await CognitoVerifier(config(), JwksCache(Issuer())).verify(text)


@pytest.mark.parametrize(
    "given_claims",
    [
        {"cognito:groups": ["images:read"]},
        {"cognito:groups": None},
        {"cognito:groups": ["tenant-a", "tenant-b"]},
        {"cognito:groups": ["tenant-"]},
        {"cognito:groups": ["tenant-A#0"]},
        {"custom:tenant": ""},
        {"custom:tenant": "a" * 64},
        {"custom:tenant": "a/b"},
    ],
)
async def test_a_user_of_no_tenant_or_of_two_gets_in_nowhere(
    verifier: CognitoVerifier, issuer: Issuer, given_claims: dict[str, Any]
) -> None:
    with pytest.raises(NoTenant):
        await verifier.verify(issuer.token(given_claims))


async def test_the_claim_goes_before_the_group_and_the_group_before_the_default(issuer: Issuer) -> None:
    verifier = CognitoVerifier(config(default_tenant="everybody"), JwksCache(issuer))
    cases: list[dict[str, Any]] = [{"custom:tenant": "claimed"}, {}, {"cognito:groups": []}]
    tenants = [(await verifier.verify(issuer.token(case))).tenant for case in cases]
    assert tenants == ["claimed", "acme", "everybody"]


@pytest.mark.parametrize(
    ("groups", "scope", "granted"),
    [
        (["images:admin"], "", {Scope.ADMIN}),
        (["editors"], "", {Scope.READ, Scope.WRITE}),
        ([], "images:delete openid", {Scope.DELETE}),
        (["editors"], "image-service/images:delete", {Scope.READ, Scope.WRITE, Scope.DELETE}),
        (["image-service/images:admin"], "other-service/images:admin https://x/images:admin", set()),
        (["images:everything", "Images:read"], "aws.cognito.signin.user.admin images:", set()),
    ],
)
async def test_scopes_come_from_groups_and_oauth_scopes(
    verifier: CognitoVerifier, issuer: Issuer, groups: list[str], scope: str, granted: set[Scope]
) -> None:
    token = issuer.token({"scope": scope, "cognito:groups": ["tenant-acme", *groups]})
    assert (await verifier.verify(token)).scopes == granted
