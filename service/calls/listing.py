"""The list of images."""

from __future__ import annotations

from dataclasses import replace

from aiohttp import web

from service.auth.middleware import tenant_of
from service.calls.answers import ListAnswer
from service.calls.schemas import ListQuery, read_query
from service.calls.use_cases import CATALOG
from service.config import SETTINGS
from service.http.cursor import CURSORS
from service.http.rendering import render_large


async def list_images(request: web.Request) -> web.Response:
    """`GET /images/list`."""
    asked = read_query(ListQuery, request.query)
    query = asked.to_query(tenant_of(request))
    cursors = request.app[CURSORS]
    after = None if asked.last_key is None else await cursors.open(asked.last_key, query)
    page = await request.app[CATALOG].list(replace(query, after=after))
    last_key = None if page.next_after is None else await cursors.seal(query, page.next_after)
    base_url = request.app[SETTINGS].cloudfront_url
    return await render_large(lambda: ListAnswer.of(page.jobs, last_key, base_url).ignoring(asked.ignored))
