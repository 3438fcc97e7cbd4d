"""The ways in, and which of them are open."""

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
    """Knows one kind of credentials."""

    async def verify(self, credential: str, /) -> Principal:
        """Raises `Unauthenticated`, `Unavailable`."""
        ...


class Authenticator:
    """Finds the credentials of a request and has them verified. None for a verifier: that way is closed."""

    def __init__(self, *, bearer: Verifier | None, api_key: Verifier | None) -> None:
        self._bearer = bearer
        self._api_key = api_key

    async def authenticate(self, headers: CIMultiDictProxy[str]) -> Principal:
        """Who calls. Raises `Unauthenticated`, `NoTenant`, `Unavailable`.

        One credential, sent once: whoever sends two leaves it to others to decide which one counts.
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
    """Asks nobody who it is: for one machine, and one person at it."""

    async def authenticate(self, headers: CIMultiDictProxy[str]) -> Principal:
        del headers
        return ANONYMOUS


AUTHENTICATOR = web.AppKey[Authenticator | Open]("authenticator")
