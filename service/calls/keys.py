"""Calls for the API keys of a tenant: make, list, replace and revoke them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from http import HTTPStatus
from typing import Annotated, Self

import structlog
from aiohttp import web
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field

from processor import clock
from processor.errors import KeyEnded, KeyNotFound
from processor.ports.keys import ApiKey
from service.auth import api_keys
from service.auth.api_keys import KEY_STORE, Minted
from service.auth.middleware import tenant_of
from service.auth.principal import DEFAULT_GRACE_SECONDS, Scope
from service.calls import groups
from service.http.body import json_body, optional_json_body
from service.http.call import PathPart, call, reply
from service.http.rendering import render, render_rows
from service.http.wire import Answer, Heard, Question, Time, printable
from service.idempotency import keep_no_answer
from service.limits.long_bodies import asked_by
from service.limits.long_pages import page_turn

log = structlog.get_logger(__name__)

#: Longest life of a key that has an end, in seconds: ten years.
MAX_KEY_SECONDS = 10 * 366 * 24 * 3600
#: The longest time for which a replaced key still works, in seconds: thirty days.
MAX_GRACE_SECONDS = 30 * 24 * 3600

KEY_ID = PathPart("keyId", "As answered when the key was made.", r"^[a-z2-7]{16}$")


def _scope(value: object) -> object:
    """Converts text to the enumeration: JSON has none, so a strict model would refuse every value."""
    return Scope(value) if isinstance(value, str) and value in list(Scope) else value


KeyId = Annotated[str, Field(examples=["k3v7q2mzt5x6wabn"])]
ScopeName = Annotated[Scope, BeforeValidator(_scope)]


class NewApiKeyRequest(Question):
    """The name and the rights of a new key."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "importer", "scopes": ["images:read", "images:write"], "expiresIn": 7776000}]
        }
    )

    name: Annotated[str, Field(min_length=1, max_length=100), AfterValidator(printable)] = Field(
        description="What it is for, for people.", examples=["importer"]
    )
    scopes: Annotated[list[ScopeName], Field(min_length=1)] = Field(
        description="What it allows.", examples=[[Scope.READ, Scope.WRITE]]
    )
    expires_in: int | None = Field(
        default=None, ge=60, le=MAX_KEY_SECONDS, description="Seconds until it ends; without it, never."
    )


class RotateRequest(Question):
    """The time for which the old key still works."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"grace": DEFAULT_GRACE_SECONDS}]})

    grace: int = Field(
        default=DEFAULT_GRACE_SECONDS, ge=0, le=MAX_GRACE_SECONDS, description="Seconds until the old key ends."
    )


class ApiKeyAnswer(Answer):
    """The record of a key. It does not have the key's text."""

    key_id: KeyId
    tenant: str = Field(examples=["acme"])
    name: str = Field(examples=["importer"])
    scopes: list[str] = Field(examples=[[Scope.READ, Scope.WRITE]])
    created_at: Time
    expires_at: Time | None
    revoked_at: Time | None
    last_used_at: Time | None = Field(description="To the hour.")

    @classmethod
    def of(cls, key: ApiKey) -> Self:
        return cls(
            key_id=key.key_id,
            tenant=key.tenant,
            name=key.name,
            scopes=list(key.scopes),
            created_at=key.created_at,
            expires_at=key.expires_at,
            revoked_at=key.revoked_at,
            last_used_at=key.last_used_at,
        )


class NewApiKeyAnswer(ApiKeyAnswer, Heard):
    """A new key, with its text."""

    key: str = Field(
        description="Send it as `X-Api-Key`. It is shown this once, and kept nowhere.",
        examples=["truss_k3v7q2mzt5x6wabn_EXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE-EXA"],
    )

    @classmethod
    def of_minted(cls, minted: Minted) -> Self:
        """The answer with the key's text. No other answer has it."""
        return cls(**ApiKeyAnswer.of(minted.key).model_dump(), key=minted.token)


class ApiKeyList(Answer):
    """The keys of a tenant, newest first. Ended keys stay for thirty days."""

    keys: list[ApiKeyAnswer]
    count: int

    @classmethod
    def of(cls, keys: Sequence[ApiKey]) -> Self:
        return cls(keys=[ApiKeyAnswer.of(key) for key in keys], count=len(keys))


_KEY = ApiKey(
    key_id="k3v7q2mzt5x6wabn",
    tenant="acme",
    name="importer",
    scopes=(Scope.READ, Scope.WRITE),
    digest="",
    created_at=clock.from_iso("2026-01-02T03:04:05.678Z"),
    last_used_at=clock.from_iso("2026-01-02T10:00:00.000Z"),
)
_REVOKED = replace(_KEY, revoked_at=clock.from_iso("2026-02-03T04:05:06.789Z"))
KEYS = ApiKeyList.of([_KEY])
REVOKED_KEY = ApiKeyAnswer.of(_REVOKED)
NEW_KEY = NewApiKeyAnswer.of_minted(
    Minted(
        key=replace(_KEY, last_used_at=None),
        token="truss_k3v7q2mzt5x6wabn_EXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE-EXAMPLE-EXA",  # noqa: S106 - opens nothing
    )
)


@call("listApiKeys", groups.ACCESS, reply("The keys", KEYS))
async def list_keys(request: web.Request) -> web.Response:
    """List the tenant's API keys, newest first."""
    tenant = tenant_of(request)
    async with page_turn(request):
        keys = await request.app[KEY_STORE].list(tenant)
        return await render_rows(request, lambda: ApiKeyList.of(keys), rows=len(keys), tenant=tenant)


@call("createApiKey", groups.ACCESS, reply("The key", NEW_KEY, status=HTTPStatus.CREATED), body=NewApiKeyRequest)
async def create(request: web.Request) -> web.Response:
    """Make an API key.

    Its text is in this answer alone.
    """
    asked = await asked_by(request, NewApiKeyRequest, await json_body(request))
    minted = await api_keys.create(
        request.app[KEY_STORE],
        tenant=tenant_of(request),
        name=asked.name,
        scopes=asked.scopes,
        lifetime=None if asked.expires_in is None else timedelta(seconds=asked.expires_in),
    )
    log.info("API key created", keyId=minted.key.key_id, scopes=minted.key.scopes)
    keep_no_answer(request)
    return render(request, NewApiKeyAnswer.of_minted(minted).ignoring(asked.ignored), HTTPStatus.CREATED)


@call(
    "rotateApiKey",
    groups.ACCESS,
    reply("The new key", NEW_KEY, status=HTTPStatus.CREATED),
    path=(KEY_ID,),
    body=RotateRequest,
    body_required=False,
    problems=(KeyNotFound, KeyEnded),
)
async def rotate(request: web.Request) -> web.Response:
    """Replace an API key by one with the same rights.

    The old key still works for `grace` seconds, or until its own end if that is sooner.
    """
    asked = await asked_by(request, RotateRequest, await optional_json_body(request))
    old = await _own_key(request)
    minted = await api_keys.rotate(request.app[KEY_STORE], old, timedelta(seconds=asked.grace))
    log.info("API key rotated", keyId=old.key_id, newKeyId=minted.key.key_id)
    keep_no_answer(request)
    return render(request, NewApiKeyAnswer.of_minted(minted).ignoring(asked.ignored), HTTPStatus.CREATED)


@call("revokeApiKey", groups.ACCESS, reply("The ended key", REVOKED_KEY), path=(KEY_ID,), problems=(KeyNotFound,))
async def revoke(request: web.Request) -> web.Response:
    """End an API key now.

    It may still work for half a minute. Repeating the call changes nothing.
    """
    key = await _own_key(request)
    revoked = await request.app[KEY_STORE].revoke(key.key_id, clock.now())
    log.info("API key revoked", keyId=key.key_id)
    return render(request, ApiKeyAnswer.of(revoked))


async def _own_key(request: web.Request) -> ApiKey:
    """Raises `KeyNotFound`, also if the key belongs to another tenant."""
    key = await request.app[KEY_STORE].get(request.match_info[KEY_ID.name])
    if key.tenant != tenant_of(request):
        raise KeyNotFound
    return key
