"""Verifies JWTs of an Amazon Cognito user pool, and finds their tenant and scopes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from service.auth.jwks import JwksCache
from service.auth.principal import Principal, Scope, is_tenant
from service.http.problems import NoTenant, Unauthenticated

#: As long as a header may be, in characters: a user may be in a hundred groups. Nothing longer is looked into.
MAX_TOKEN = 16 * 1024
MAX_KID = 128
#: How far clocks may be apart, in seconds.
LEEWAY_SECONDS = 30
#: The one algorithm that Cognito signs with (AWS, "Verifying JSON web tokens"); whatever a token says of itself.
ALGORITHM = "RS256"
#: Of users, access tokens name the client in one claim and id tokens in another.
_CLIENT_CLAIMS = {"access": "client_id", "id": "aud"}


@dataclass(frozen=True, slots=True, kw_only=True)
class CognitoConfig:
    """Which tokens are accepted, and what their claims mean.

    `tenant_claim` must not be writable by the app clients: by default a Cognito user may change every attribute of its
    own that its client may write (AWS, "Attribute permissions and scopes").
    """

    issuer: str
    client_ids: frozenset[str]
    tenant_claim: str
    tenant_group_prefix: str
    default_tenant: str | None
    #: What OAuth scopes of our resource server begin with; a scope of another one means nothing here.
    scope_prefix: str
    scope_map: Mapping[str, frozenset[Scope]]


class CognitoVerifier:
    """Verifies access and id tokens."""

    def __init__(self, config: CognitoConfig, keys: JwksCache) -> None:
        self._config = config
        self._keys = keys

    async def verify(self, token: str) -> Principal:
        """The caller with this token. Raises `Unauthenticated`, `NoTenant`, `Unavailable`."""
        claims = await self._claims(token)
        groups = _texts(claims.get("cognito:groups", []))
        return Principal(
            tenant=self._tenant(claims, groups),
            scopes=self._scopes(groups) | self._scopes(self._own_names(_text(claims.get("scope", "")))),
            subject=_subject(claims),
        )

    async def _claims(self, token: str) -> Mapping[str, Any]:
        if len(token) > MAX_TOKEN:
            raise Unauthenticated("token_too_long")
        key = await self._keys.key(_kid(token))
        if key is None:
            raise Unauthenticated("unknown_key")
        try:
            claims: Mapping[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=self._config.issuer,
                leeway=LEEWAY_SECONDS,
                # Which claim names the client depends on the kind of token.
                options={"require": ["exp", "iat", "iss", "sub", "token_use"], "verify_aud": False},
            )
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError) as error:
            raise Unauthenticated(type(error).__name__) from None
        self._check_client(claims)
        return claims

    def _check_client(self, claims: Mapping[str, Any]) -> None:
        client_claim = _CLIENT_CLAIMS.get(_text(claims["token_use"]))
        if client_claim is None:
            raise Unauthenticated("token_use")
        if _text(claims.get(client_claim, "")) not in self._config.client_ids:
            raise Unauthenticated("client")

    def _tenant(self, claims: Mapping[str, Any], groups: Iterable[str]) -> str:
        """The tenant: the claim, else the one group that names a tenant, else the default."""
        prefix = self._config.tenant_group_prefix
        named = {group.removeprefix(prefix) for group in groups if group.startswith(prefix)}
        if self._config.tenant_claim in claims:
            named = {_text(claims[self._config.tenant_claim])}
        elif not named and self._config.default_tenant is not None:
            named = {self._config.default_tenant}
        if len(named) != 1 or not is_tenant(tenant := named.pop()):
            raise NoTenant
        return tenant

    def _own_names(self, scope: str) -> list[str]:
        """OAuth scopes without the name of our resource server before them."""
        return [name.removeprefix(self._config.scope_prefix) for name in scope.split()]

    def _scopes(self, names: Iterable[str]) -> frozenset[Scope]:
        """By the map; a name that is ours needs no entry."""
        granted: set[Scope] = set()
        for name in names:
            granted |= self._config.scope_map.get(name, frozenset())
            granted |= {scope for scope in Scope if scope.value == name}
        return frozenset(granted)


def _kid(token: str) -> str:
    """The id of the key that a token names. Everything else in the header about keys is ignored."""
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError):
        raise Unauthenticated("malformed_token") from None
    kid = header.get("kid")
    if header.get("alg") != ALGORITHM or "crit" in header:
        raise Unauthenticated("algorithm")
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID:
        raise Unauthenticated("kid")
    return kid


def _subject(claims: Mapping[str, Any]) -> str:
    """A token of the client-credentials grant has no user: its subject is the client."""
    sub, client = _text(claims["sub"]), claims.get("client_id")
    if not sub or not sub.isprintable():
        raise Unauthenticated("sub")
    return f"client:{sub}" if sub == client else f"user:{sub}"


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise Unauthenticated("claim_type")
    return value


def _texts(value: object) -> list[str]:
    if not isinstance(value, list):
        raise Unauthenticated("claim_type")
    return [_text(each) for each in value]
