"""The kinds of credentials, and which of them are accepted."""

from __future__ import annotations

from typing import Protocol

from aiohttp import hdrs, web
from multidict import CIMultiDictProxy

from service.auth.principal import DEFAULT_TENANT, Principal, Scope
from service.http.problems import Unauthenticated

API_KEY_HEADER = "X-Api-Key"
#: Whoever calls where nobody is asked who it is.
ANONYMOUS = Principal(tenant=DEFAULT_TENANT, scopes=frozenset(Scope), subject="anonymous")


class Verifier(Protocol):
    """Verifies one kind of credentials."""

    async def verify(self, credential: str, /) -> Principal:
        """Raises `Unauthenticated`, `Unavailable`."""
        ...


class Authenticator:
    """Finds the credentials of a request and verifies them. Without a verifier, that kind is not accepted."""

    def __init__(self, *, bearer: Verifier | None, api_key: Verifier | None) -> None:
        self._bearer = bearer
        self._api_key = api_key

    async def authenticate(self, headers: CIMultiDictProxy[str]) -> Principal:
        """The caller. Exactly one credential must be sent: with two, it is unclear which one counts.

        Raises `Unauthenticated`, `NoTenant`, `Unavailable`.
        """
        bearers = headers.getall(hdrs.AUTHORIZATION, []) if self._bearer else []
        keys = headers.getall(API_KEY_HEADER, []) if self._api_key else []
        if len(bearers) + len(keys) != 1:
            raise Unauthenticated("ambiguous" if bearers or keys else "missing")
        if self._api_key and keys:
            return await self._api_key.verify(keys[0])
        scheme, _, token = bearers[0].partition(" ")
        if self._bearer is None or scheme.lower() != "bearer":
            raise Unauthenticated("scheme")
        return await self._bearer.verify(token.strip())


class Open:
    """Accepts everybody without credentials: for one person on one machine."""

    async def authenticate(self, headers: CIMultiDictProxy[str]) -> Principal:
        del headers
        return ANONYMOUS


AUTHENTICATOR = web.AppKey[Authenticator | Open]("authenticator")
