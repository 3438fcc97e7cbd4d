"""Whether the service can work: for people, and for Kubernetes, which asks for less."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

from service.calls.answers import HealthAnswer
from service.config import SETTINGS
from service.http.rendering import render
from service.observe.health import DRAINING, HEALTH, LIVENESS, READINESS, Health, State


async def health(request: web.Request) -> web.Response:
    """`GET /images/health`: whether the service and all that it needs of AWS are there."""
    return await _unless_draining(request, HEALTH)


async def ready(request: web.Request) -> web.Response:
    """`GET /images/ready`: whether to send requests here. An outage of AWS is no reason not to: each answer tells."""
    return await _unless_draining(request, READINESS)


async def live(request: web.Request) -> web.Response:
    """`GET /images/live`: whether a restart would mend nothing. It never asks AWS, and a process that drains lives."""
    return _answer(request, await request.app[LIVENESS].states(), draining=False)


async def _unless_draining(request: web.Request, key: web.AppKey[Health]) -> web.Response:
    if request.app[DRAINING].is_set():
        return _answer(request, {}, draining=True)
    return _answer(request, await request.app[key].states(), draining=False)


def _answer(request: web.Request, states: Mapping[str, State], *, draining: bool) -> web.Response:
    """The same shape, well or not."""
    answer = HealthAnswer.of(states, draining=draining, stage=request.app[SETTINGS].stage)
    return render(answer, HTTPStatus.OK if answer.status == "healthy" else HTTPStatus.SERVICE_UNAVAILABLE)
