"""Failed images: list them, and convert them again."""

from __future__ import annotations

from dataclasses import replace

from aiohttp import web
from structlog.contextvars import bind_contextvars

from processor.catalog.redrive import list_failed, redrive
from processor.ports.jobs import JobQuery
from service.auth.middleware import is_administrator, tenant_of
from service.calls.answers import FailedAnswer, RedriveAnswer
from service.calls.schemas import FailedQuery, RedriveRequest, read_body, read_query
from service.calls.use_cases import CATALOG
from service.config import SETTINGS
from service.http.body import json_body
from service.http.cursor import CURSORS
from service.http.rendering import render, render_large


async def list_failed_images(request: web.Request) -> web.Response:
    """`GET /images/failed`."""
    asked = read_query(FailedQuery, request.query)
    query = asked.to_query(tenant_of(request))
    catalog = request.app[CATALOG]
    after = await _opened(request, query, asked.last_key)
    page = await list_failed(catalog, replace(query, after=after), asked.code)
    last_key = await _sealed(request, query, page.next_after)
    # The queue is everybody's: its depth tells of other tenants.
    dead_letters = catalog.dead_letters if is_administrator(request) else None
    depth = None if dead_letters is None else await dead_letters.depth()
    base_url = request.app[SETTINGS].cloudfront_url
    return await render_large(lambda: FailedAnswer.of(page.jobs, last_key, base_url, depth).ignoring(asked.ignored))


async def redrive_failed_images(request: web.Request) -> web.Response:
    """`POST /images/failed/redrive`."""
    asked = read_body(RedriveRequest, await json_body(request))
    order = asked.to_order(tenant_of(request))
    after = await _opened(request, order.query, asked.last_key)
    done = await redrive(request.app[CATALOG], replace(order, after=after))
    bind_contextvars(dryRun=order.dry_run, redriven=done.redriven, messages=done.messages)
    last_key = await _sealed(request, order.query, done.next_after)
    return render(RedriveAnswer.of(done, last_key, dry_run=order.dry_run).ignoring(asked.ignored))


async def _opened(request: web.Request, query: JobQuery, last_key: str | None) -> str | None:
    return None if last_key is None else await request.app[CURSORS].open(last_key, query)


async def _sealed(request: web.Request, query: JobQuery, position: str | None) -> str | None:
    return None if position is None else await request.app[CURSORS].seal(query, position)
