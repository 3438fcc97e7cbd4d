"""An answer as an HTTP response."""

from __future__ import annotations

from http import HTTPStatus
from typing import Protocol

from aiohttp import web


class Answered(Protocol):
    """Whatever knows itself as JSON."""

    def to_json(self) -> bytes:
        """The body."""
        ...


def render(answer: Answered, status: HTTPStatus = HTTPStatus.OK) -> web.Response:
    """JSON in UTF-8."""
    return web.Response(status=status, body=answer.to_json(), content_type="application/json", charset="utf-8")
