"""An answer as an HTTP response."""

from __future__ import annotations

from http import HTTPStatus

from aiohttp import web

from service.answers import Answer


def render(answer: Answer, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    """JSON in UTF-8."""
    return web.Response(status=status, body=answer.to_json(), content_type="application/json", charset="utf-8")
