"""The OpenAPI document, and the page that shows it. This process serves everything that the page needs."""

from __future__ import annotations

import hashlib
import html
import json
import re
from collections.abc import Callable, Mapping
from functools import cache, partial
from http import HTTPStatus
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from aiohttp import hdrs, web

from processor.aside import aside
from processor.errors import NotFound
from service.config import SETTINGS
from service.http.call import unlisted
from service.http.problems import known_failures, known_problems
from service.http.rendering import revalidated

#: Makes the document of all calls. It is passed in and not imported, because these calls are among them.
Document = Callable[[], Mapping[str, Any]]
DOCUMENT = web.AppKey[Document]("document")

OURS = Path(__file__).parents[1] / "static"
#: The version comes from the distribution's metadata. Its module would import another web framework.
SWAGGER_UI = Path(str(distribution("drf-spectacular-sidecar").locate_file("drf_spectacular_sidecar"))).joinpath(
    "static/drf_spectacular_sidecar/swagger-ui-dist"
)
#: The files that the page loads, and where they are: in the service, or in the package of Swagger UI.
ASSETS = {
    "swagger-ui.css": (SWAGGER_UI, "text/css"),
    "swagger-ui-bundle.js": (SWAGGER_UI, "text/javascript"),
    "favicon-32x32.png": (SWAGGER_UI, "image/png"),
    "docs.css": (OURS, "text/css"),
    "docs.js": (OURS, "text/javascript"),
}
#: Allows only the page's own scripts and styles. Swagger UI sets `style` attributes, and its icons are `data:` URLs.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
#: The URL of an asset has a digest of its content, so it can be cached for a year.
ASSET_CACHE_CONTROL = "public, max-age=31536000, immutable"
#: The page and the document change with a deployment, so caches must revalidate them.
PAGE_CACHE_CONTROL = "no-cache"
#: Paths where people look for the page, with the redirect from there. It is relative, so that it also works behind a
#: prefix.
WAYS = {
    "/": "images/docs",
    "/docs": "images/docs",
    "/docs/": "../images/docs",
    "/images": "images/docs",
    "/images/": "docs",
    "/images/docs/": "../docs",
}

#: A name in Markdown, as in the OpenAPI document.
_CODE = re.compile(r"`([^`]+)`")

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Truss image service</title>
<link rel="icon" type="image/png" href="{favicon-32x32.png}">
<link rel="stylesheet" href="{swagger-ui.css}">
<link rel="stylesheet" href="{docs.css}">
</head>
<body>
<div id="swagger-ui"></div>
<section id="problems">
<h2>Problems</h2>
<p>A call that is refused is answered with an RFC 9457 problem document; its <code>type</code> leads to one of
these.</p>
<dl>
{problems}
</dl>
</section>
<section id="failures">
<h2>Failed jobs</h2>
<p>A job that failed says why in its status: <code>error.code</code> is one of these.</p>
<dl>
{failures}
</dl>
</section>
<script src="{swagger-ui-bundle.js}"></script>
<script src="{docs.js}"></script>
</body>
</html>
"""


@unlisted
async def openapi(request: web.Request) -> web.Response:
    # In a thread: the first time, the document is built from hundreds of models.
    document = await aside(partial(_as_json, request.app[DOCUMENT]), "")
    return _revalidated(request, document, "application/json")


@unlisted
async def page(request: web.Request) -> web.Response:
    response = _revalidated(request, _page(), "text/html")
    response.headers["Content-Security-Policy"] = PAGE_POLICY
    return response


@unlisted
async def lead_to_page(request: web.Request) -> web.Response:
    """`GET` of each of the `WAYS`. In the local mode, whoever opens the root wants to see pictures."""
    settings = request.app[SETTINGS]
    to_console = request.path == "/" and settings.on_this_machine and settings.console == "on"
    way = "images/console" if to_console else WAYS[request.path]
    return web.Response(status=HTTPStatus.FOUND, headers={hdrs.LOCATION: way})


@unlisted
async def asset(request: web.Request) -> web.Response:
    name = request.match_info["asset"]
    if name not in ASSETS:
        raise NotFound
    headers = {hdrs.CACHE_CONTROL: ASSET_CACHE_CONTROL}
    return web.Response(body=_asset(name), content_type=ASSETS[name][1], charset=_charset(name), headers=headers)


def _revalidated(request: web.Request, body: bytes, content_type: str) -> web.Response:
    response = revalidated(request, web.Response(body=body, content_type=content_type, charset="utf-8"))
    response.headers[hdrs.CACHE_CONTROL] = PAGE_CACHE_CONTROL
    return response


@cache
def _as_json(document: Document) -> bytes:
    return json.dumps(document(), ensure_ascii=False).encode()


@cache
def _page() -> bytes:
    text = _PAGE.replace("{problems}", "\n".join(_problem_rows()))
    text = text.replace("{failures}", "\n".join(_failure_rows()))
    for name in ASSETS:
        # Relative to /images/docs, so that it also works behind a prefix.
        text = text.replace(f"{{{name}}}", f"docs/{name}?v={_digest(_asset(name))}")
    return text.encode()


def _problem_rows() -> list[str]:
    return [
        f'<dt id="problem-{problem.code}"><code>{problem.code}</code> ({problem.status})</dt>'
        f"<dd>{_as_html(problem.detail)}</dd>"
        for problem in known_problems()
    ]


def _as_html(markdown: str) -> str:
    return _CODE.sub(r"<code>\1</code>", html.escape(markdown))


def _failure_rows() -> list[str]:
    return [
        f'<dt id="failure-{code}"><code>{code}</code></dt><dd>{_as_html(meaning)}</dd>'
        for code, meaning in known_failures()
    ]


@cache
def _asset(name: str) -> bytes:
    return (ASSETS[name][0] / name).read_bytes()


def _charset(name: str) -> str | None:
    return None if name.endswith(".png") else "utf-8"


def _digest(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()[:16]
