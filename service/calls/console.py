"""The page for people at `/images/console`. It is files alone: whatever it shows, it asks of the API as its viewer."""

from __future__ import annotations

import hashlib
import html
import json
import re
from functools import cache
from pathlib import Path

from aiohttp import hdrs, web
from yarl import URL

from processor.errors import NotFound
from service.auth.settings import AuthMode
from service.calls.docs import ASSET_CACHE_CONTROL, PAGE_CACHE_CONTROL
from service.config import SETTINGS, Settings
from service.http.call import unlisted
from service.http.rendering import revalidated

FILES = Path(__file__).parents[1] / "console"
CONTENT_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
#: What a module imports at once.
_IMPORT = re.compile(r'^import .* from "\./(\w+\.js)";$', re.MULTILINE)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>Truss images</title>
<link rel="icon" type="image/svg+xml" href="{folder}/icon.svg">
<link rel="stylesheet" href="{folder}/console.css">
{preloads}
<script type="module" src="{folder}/main.js"></script>
</head>
<body data-config="{config}">
<noscript><p>This page needs JavaScript. The API does not: see <a href="docs">its reference</a>.</p></noscript>
</body>
</html>
"""


@unlisted
async def page(request: web.Request) -> web.Response:
    settings = _switched_on(request)
    response = revalidated(request, web.Response(body=_page(settings), content_type="text/html", charset="utf-8"))
    response.headers[hdrs.CACHE_CONTROL] = PAGE_CACHE_CONTROL
    response.headers["Content-Security-Policy"] = _policy(settings)
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


@unlisted
async def asset(request: web.Request) -> web.Response:
    _switched_on(request)
    name = request.match_info["asset"]
    body = _files().get(name)
    if body is None:
        raise NotFound
    # While a new release rolls out, a page of one pod may ask another for its files: they must not stay in a cache.
    is_current = request.match_info["release"] == _release()
    caching = ASSET_CACHE_CONTROL if is_current else PAGE_CACHE_CONTROL
    content_type = CONTENT_TYPES[Path(name).suffix]
    return web.Response(body=body, content_type=content_type, charset="utf-8", headers={hdrs.CACHE_CONTROL: caching})


def _switched_on(request: web.Request) -> Settings:
    settings = request.app[SETTINGS]
    if settings.console == "off":
        raise NotFound
    return settings


@cache
def _files() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(FILES.iterdir()) if path.suffix in CONTENT_TYPES}


@cache
def _release() -> str:
    """A digest of all files. It is part of their URLs, so they can be cached for a year."""
    digest = hashlib.sha256()
    for name, body in _files().items():
        digest.update(f"{name} {len(body)} ".encode() + body)
    return digest.hexdigest()[:16]


@cache
def _imported(name: str) -> frozenset[str]:
    """A module and all that it imports at once; a view is imported when somebody opens it."""
    found = {name}
    for each in _IMPORT.findall(_files()[name].decode()):
        found |= _imported(each)
    return frozenset(found)


def _page(settings: Settings) -> bytes:
    folder = f"console/{_release()}"  # relative to /images/console, so that it also works behind a prefix
    modules = sorted(_imported("main.js") - {"main.js"})
    text = _PAGE.format(
        folder=folder,
        preloads="\n".join(f'<link rel="modulepreload" href="{folder}/{name}">' for name in modules),
        config=html.escape(json.dumps(_config(settings)), quote=True),
    )
    return text.encode()


def _config(settings: Settings) -> dict[str, object]:
    """What the page has to know before anybody has signed in. It is public."""
    modes = settings.auth_modes
    with_pool = AuthMode.COGNITO in modes and settings.console_sign_in_url and settings.console_client_id
    return {
        "stage": settings.stage,
        "open": AuthMode.NONE in modes,
        "keys": AuthMode.API_KEY in modes,
        "signIn": {"url": settings.console_sign_in_url, "clientId": settings.console_client_id} if with_pool else None,
        "maxBytes": settings.max_upload_bytes,
    }


def _policy(settings: Settings) -> str:
    """Scripts and styles of the service alone; uploads to the source bucket; pictures of the distribution, and for
    reviewers of the other bucket."""
    tokens = settings.origins_of_sign_in()
    pictures = [str(URL(settings.cloudfront_url).origin()), *_bucket_origins(settings, settings.processed_bucket)]
    return "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            " ".join(["img-src 'self' data: blob:", *pictures]),
            " ".join(["connect-src 'self'", *_bucket_origins(settings, settings.source_bucket), *tokens]),
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
        ]
    )


def _bucket_origins(settings: Settings, bucket: str) -> list[str]:
    """Where presigned URLs lead: the endpoint that they name, or the bucket's own address."""
    endpoint = settings.s3_public_endpoint_url or settings.aws_endpoint_url
    if endpoint is not None:
        return [str(URL(endpoint).origin())]
    return [f"https://{bucket}.s3.{settings.aws_region}.amazonaws.com", f"https://{bucket}.s3.amazonaws.com"]
