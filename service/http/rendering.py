"""An answer as an HTTP response."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from http import HTTPStatus

from aiohttp import ETag, web
from pydantic import BaseModel

from processor.aside import aside
from service.http.links import Links
from service.http.wire import as_json

#: The URLs of variants.
LINKS = web.AppKey("links", Links)
#: Rows that are written sooner than they are handed to another thread.
FEW_ROWS = 25
#: The same where URLs may have to be signed: each row has several, and each signature takes most of a millisecond.
FEW_SIGNED_ROWS = 3
#: For `render_rows`: an answer that is long, whatever it has.
ALWAYS_ASIDE = FEW_ROWS + 1


async def render_rows(request: web.Request, make: Callable[[], BaseModel], *, rows: int, tenant: str) -> web.Response:
    """The same for an answer with many rows, which takes tens of milliseconds and is written outside the event loop."""
    links = request.app[LINKS]
    if rows <= (FEW_ROWS if links.signer is None else FEW_SIGNED_ROWS):
        return render(request, make())
    body = await aside(lambda: as_json(make(), links), tenant)
    return web.Response(body=body, content_type="application/json", charset="utf-8")


def revalidated(request: web.Request, response: web.Response) -> web.Response:
    """The same with an ETag of its body; without the body (304) for whoever has it."""
    etag = hashlib.sha256(response.body or b"").hexdigest()[:16]  # type: ignore[arg-type]
    if is_known(request, etag):
        response = web.Response(status=HTTPStatus.NOT_MODIFIED)
    response.etag = ETag(value=etag)
    return response


def is_known(request: web.Request, etag: str) -> bool:
    """Whether the caller has the answer with this ETag, as its If-None-Match says."""
    return any(tag.value in (etag, "*") for tag in request.if_none_match or ())


def render(request: web.Request, answer: BaseModel, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    body = as_json(answer, request.app[LINKS])
    return web.Response(status=status, body=body, content_type="application/json", charset="utf-8")
