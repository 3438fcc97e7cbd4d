"""API keys: make, list, replace and revoke those of a tenant."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus

import structlog
from aiohttp import web

from processor import clock
from processor.errors import KeyNotFound
from processor.ports.keys import ApiKey
from service.auth import api_keys
from service.auth.api_keys import KEY_STORE
from service.auth.middleware import tenant_of
from service.calls.keys_wire import ApiKeyAnswer, ApiKeyList, NewApiKeyAnswer, NewApiKeyRequest, RotateRequest
from service.calls.schemas import read_body
from service.http.body import json_body, optional_json_body
from service.http.rendering import render
from service.idempotency import keep_no_answer

log = structlog.get_logger(__name__)


async def list_keys(request: web.Request) -> web.Response:
    """`GET /images/keys`."""
    return render(ApiKeyList.of(await request.app[KEY_STORE].list(tenant_of(request))))


async def create(request: web.Request) -> web.Response:
    """`POST /images/keys`."""
    asked = read_body(NewApiKeyRequest, await json_body(request))
    minted = await api_keys.create(
        request.app[KEY_STORE],
        tenant=tenant_of(request),
        name=asked.name,
        scopes=asked.scopes,
        lifetime=None if asked.expires_in is None else timedelta(seconds=asked.expires_in),
    )
    log.info("API key created", keyId=minted.key.key_id, scopes=minted.key.scopes)
    keep_no_answer(request)
    return render(NewApiKeyAnswer.of_minted(minted).ignoring(asked.ignored), HTTPStatus.CREATED)


async def rotate(request: web.Request) -> web.Response:
    """`POST /images/keys/{keyId}/rotate`."""
    asked = read_body(RotateRequest, await optional_json_body(request))
    old = await _own_key(request)
    minted = await api_keys.rotate(request.app[KEY_STORE], old, timedelta(seconds=asked.grace))
    log.info("API key rotated", keyId=old.key_id, newKeyId=minted.key.key_id)
    keep_no_answer(request)
    return render(NewApiKeyAnswer.of_minted(minted).ignoring(asked.ignored), HTTPStatus.CREATED)


async def revoke(request: web.Request) -> web.Response:
    """`DELETE /images/keys/{keyId}`."""
    key = await _own_key(request)
    revoked = await request.app[KEY_STORE].revoke(key.key_id, clock.now())
    log.info("API key revoked", keyId=key.key_id)
    return render(ApiKeyAnswer.of(revoked))


async def _own_key(request: web.Request) -> ApiKey:
    """Another tenant's key is as good as none. Raises `KeyNotFound`."""
    key = await request.app[KEY_STORE].get(request.match_info["keyId"])
    if key.tenant != tenant_of(request):
        raise KeyNotFound
    return key
