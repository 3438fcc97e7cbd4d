"""What a tenant may use, and has used."""

from __future__ import annotations

import structlog
from aiohttp import web

from service.auth.middleware import tenant_of
from service.config import SETTINGS
from service.handlers.rendering import render
from service.limits.middleware import QUOTA
from service.limits.wire import LimitsAnswer, OverridesRequest
from service.reading import json_body
from service.schemas import read_body

log = structlog.get_logger(__name__)


async def show(request: web.Request) -> web.Response:
    """`GET /images/limits`."""
    usage, limits = await request.app[QUOTA].state(tenant_of(request))
    return render(LimitsAnswer.of(usage, limits, request.app[SETTINGS]))


async def override(request: web.Request) -> web.Response:
    """`PUT /images/limits`."""
    asked = read_body(OverridesRequest, await json_body(request))
    quota = request.app[QUOTA]
    overrides = asked.to_overrides()
    await quota.store.set_overrides(tenant_of(request), overrides)
    log.info("Limits overridden")
    usage = (await quota.store.get(tenant_of(request))).usage
    answer = LimitsAnswer.of(usage, overrides.over(quota.defaults), request.app[SETTINGS])
    return render(answer.ignoring(asked.ignored))
