"""Whether the service can work."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from service.answers import HealthAnswer
from service.handlers.rendering import render
from service.keys import DRAINING, HEALTH, SETTINGS


async def health(request: web.Request) -> web.Response:
    """`GET /images/health`: the same shape, well or not."""
    draining = request.app[DRAINING].is_set()
    states = {} if draining else await request.app[HEALTH].states()
    answer = HealthAnswer.of(states, draining=draining, stage=request.app[SETTINGS].stage)
    return render(answer, HTTPStatus.OK if answer.status == "healthy" else HTTPStatus.SERVICE_UNAVAILABLE)
