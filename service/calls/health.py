"""Health: a full check for people, and the smaller ones for the probes of Kubernetes."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Literal, Self

from aiohttp import web
from pydantic import Field

from processor import clock
from service.calls import groups, samples
from service.config import SETTINGS
from service.http.call import call, reply
from service.http.rendering import render
from service.http.wire import Answer, Time
from service.observe.health import DRAINING, HEALTH, LIVENESS, READINESS, Health, State


class HealthAnswer(Answer):
    """Whether the service can work."""

    status: Literal["healthy", "unhealthy", "draining"]
    service: str = Field(default="image-service")
    stage: str = Field(examples=["prod"])
    timestamp: Time
    checks: dict[str, State] = Field(
        description="What the service needs, by name; empty while draining, and where there is nothing to look at."
    )

    @classmethod
    def of(cls, states: Mapping[str, State], *, draining: bool, stage: str) -> Self:
        """Unhealthy as soon as one check fails."""
        well = all(state == "ok" for state in states.values())
        status: Literal["healthy", "unhealthy", "draining"] = "healthy" if well else "unhealthy"
        return cls(status="draining" if draining else status, stage=stage, timestamp=clock.now(), checks=dict(states))


HEALTHY = HealthAnswer(
    status="healthy",
    stage="prod",
    timestamp=samples.MADE_AT,
    checks={"sourceBucket": "ok", "processedBucket": "ok", "queue": "ok", "table": "ok", "worker": "ok"},
)
UNHEALTHY = HEALTHY.model_copy(update={"status": "unhealthy", "checks": {**HEALTHY.checks, "table": "failing"}})
LIVE = HEALTHY.model_copy(update={"checks": {"worker": "ok", "engine": "ok"}})
NOT_LIVE = LIVE.model_copy(update={"status": "unhealthy", "checks": {"worker": "ok", "engine": "failing"}})
READY = HEALTHY.model_copy(update={"checks": {"worker": "ok", "engine": "ok", "queue": "ok"}})
NOT_READY = READY.model_copy(update={"status": "unhealthy", "checks": {**READY.checks, "queue": "failing"}})

_UNWELL = "A check fails, or the process is ending"


@call(
    "getHealth",
    groups.SERVICE,
    reply("All is well", HEALTHY),
    reply(_UNWELL, UNHEALTHY, status=HTTPStatus.SERVICE_UNAVAILABLE),
    quiet=True,
)
async def health(request: web.Request) -> web.Response:
    """See whether the service and all that it needs can work."""
    return await _unless_draining(request, HEALTH)


@call(
    "getReadiness",
    groups.SERVICE,
    reply("All is well", READY),
    reply(_UNWELL, NOT_READY, status=HTTPStatus.SERVICE_UNAVAILABLE),
    quiet=True,
)
async def ready(request: web.Request) -> web.Response:
    """See whether to send requests to this process."""
    # An outage of AWS is no reason to stop requests: each answer reports the outage itself.
    return await _unless_draining(request, READINESS)


@call(
    "getLiveness",
    groups.SERVICE,
    reply("All is well", LIVE),
    reply(_UNWELL, NOT_LIVE, status=HTTPStatus.SERVICE_UNAVAILABLE),
    quiet=True,
)
async def live(request: web.Request) -> web.Response:
    """See whether this process needs a restart."""
    # It never calls AWS, because a restart would not help. A process that drains is alive.
    return _answer(request, await request.app[LIVENESS].states(), draining=False)


async def _unless_draining(request: web.Request, key: web.AppKey[Health]) -> web.Response:
    if request.app[DRAINING].is_set():
        return _answer(request, {}, draining=True)
    return _answer(request, await request.app[key].states(), draining=False)


def _answer(request: web.Request, states: Mapping[str, State], *, draining: bool) -> web.Response:
    """The same shape, well or not."""
    answer = HealthAnswer.of(states, draining=draining, stage=request.app[SETTINGS].stage)
    return render(request, answer, HTTPStatus.OK if answer.status == "healthy" else HTTPStatus.SERVICE_UNAVAILABLE)
