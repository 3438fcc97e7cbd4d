"""The items of a batch: each is a call of its own, for the limits and for the turns of its tenant."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import structlog
from aiohttp import web

from processor.errors import TrussError, Unavailable
from service.auth.middleware import tenant_of
from service.http.problems import TooManyRequests, problem_of
from service.limits.lines import REQUESTS
from service.limits.middleware import count_item
from service.observe.probes import PROBES

#: Items of one batch in work at once: fewer than its tenant may have, so that other requests come between.
AT_ONCE = 4
#: After so many seconds no item is begun any more: a load balancer gives up after a minute.
SECONDS = 40.0

Item = TypeVar("Item")
Result = TypeVar("Result")

log = structlog.get_logger(__name__)


async def each(
    request: web.Request, call: str, work: Callable[[Item], Awaitable[Result]], items: Sequence[Item]
) -> list[Result | Exception]:
    """What `work` returned or raised for each item, in their order; probes know it as `call`.

    An item that passes a limit of requests is not begun, nor is one for which there was no time: it is told
    `TooManyRequests` or `Unavailable`. Who hangs up ends nothing: what is begun is done, so that it may be answered to
    a repetition.
    """
    until = time.monotonic() + SECONDS
    places = asyncio.Semaphore(AT_ONCE)
    lines, probes, tenant = request.app[REQUESTS], request.app[PROBES], tenant_of(request)

    async def in_turn(item: Item, refusal: TooManyRequests | None) -> Result:
        if refusal is not None:
            raise refusal
        async with places, lines.place(tenant):
            if time.monotonic() >= until:
                raise Unavailable
            return await work(item)

    async def one(item: Item, refusal: TooManyRequests | None) -> Result | Exception:
        with probes.span("item", call=call, code="") as span:
            try:
                return await in_turn(item, refusal)
            except Exception as error:
                if not isinstance(error, TrussError):
                    log.exception("Item of a batch failed")
                span.facts["code"] = problem_of(error).code
                return error

    refusals = _refusals(request, len(items))
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(*each)) for each in zip(items, refusals, strict=True)]
    return [task.result() for task in tasks]


def _refusals(request: web.Request, count: int) -> list[TooManyRequests | None]:
    """For each item, why it may not pass now. Once one may not, those behind it do not overtake it."""
    for number in range(count):
        try:
            count_item(request)
        except TooManyRequests as refusal:
            return [None] * number + [refusal] * (count - number)
    return [None] * count
