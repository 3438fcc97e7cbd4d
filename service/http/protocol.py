"""Below the application: the limits of a request's size, and the answers to malformed requests."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import structlog
from aiohttp import hdrs, http_exceptions, web

from processor.errors import TrussError
from service.http.cors import CORS
from service.http.middleware import complete_headers, request_id_of
from service.http.problems import HeadersTooLarge, InvalidBody, MalformedRequest, UriTooLong, problem_of
from service.http.urls import ANY
from service.observe.probes import PROBES

#: Longest path with its query, in bytes: what a load balancer lets through (AWS, "Quotas for your Application Load
#: Balancers").
MAX_TARGET_BYTES = 16 * 1024
#: Longest header, name and value together. A load balancer lets as much through; a token that names a hundred groups
#: takes half of it. Not the same as the one above: aiohttp tells by the number alone which was exceeded.
MAX_FIELD_BYTES = 16 * 1024 + 256
#: Most headers; proxies add some to what a client sends.
MAX_FIELDS = 128
#: What the server is told of them.
SERVER_OPTIONS = {
    "max_line_size": MAX_TARGET_BYTES,
    "max_field_size": MAX_FIELD_BYTES,
    "max_headers": MAX_FIELDS,
    "auto_decompress": False,  # `body` unpacks, and not more than may be
}

log = structlog.get_logger(__name__)


class ApiRunner(web.AppRunner):
    """Runs the application with these limits, and answers with a problem where aiohttp would answer by itself."""

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(made, self.app, self._kwargs | SERVER_OPTIONS)


class _Server(web.Server):
    """Makes connections of ours."""

    def __init__(self, made: web.Server, app: web.Application, options: Mapping[str, Any]) -> None:
        super().__init__(made.request_handler, request_factory=made.request_factory)
        self._app = app
        self._options = options

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, self._app, self._options)


class _Refusal(web.Response):
    """An answer that no application prepares, so nobody else takes the server's name out of it."""

    def __init__(self, answer: web.Response) -> None:
        super().__init__(status=answer.status, headers=answer.headers, body=answer.body)

    async def _prepare_headers(self) -> None:
        await super()._prepare_headers()
        self.headers.popall(hdrs.SERVER, None)


class _Connection(web.RequestHandler):
    """One connection of a client."""

    def __init__(self, server: web.Server, app: web.Application, options: Mapping[str, Any]) -> None:
        super().__init__(server, loop=asyncio.get_running_loop(), **options)
        self._app = app

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        """Send it; what aiohttp refuses before the first middleware is a problem, too."""
        if isinstance(resp, web.HTTPException):
            resp = problem_of(resp).to_response(request_id_of(request))
        return await super().finish_response(request, resp, start_time)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = HTTPStatus.INTERNAL_SERVER_ERROR,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """A problem that repeats nothing of what was sent, which may hold a token; the connection is closed."""
        del status, message  # the first is always 400, the second begins with what was sent
        if request.writer.output_size > 0:
            raise ConnectionError("Half an answer was sent already")
        error = refusal(exc)
        problem, request_id = problem_of(error), request_id_of(request)
        if problem.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("Request failed", requestId=request_id, exc_info=exc)
        else:
            log.info("Request not understood", requestId=request_id, status=int(problem.status), code=problem.code)
        with self._app[PROBES].span("malformed request", status=int(problem.status)):
            response = _Refusal(problem.to_response(request_id))
        complete_headers(request, response)
        # Which page it came from was not read, and what is said here is no secret.
        if self._app[CORS].origins:
            response.headers.setdefault(hdrs.ACCESS_CONTROL_ALLOW_ORIGIN, ANY)
        response.force_close()
        return response


def refusal(error: BaseException | None) -> TrussError:
    """An error of aiohttp's parser, as an error of ours."""
    if isinstance(error, http_exceptions.LineTooLong):
        if error.args[1] == MAX_TARGET_BYTES:
            return UriTooLong(f"The path and query are longer than {MAX_TARGET_BYTES} bytes.", limit=MAX_TARGET_BYTES)
        return HeadersTooLarge(f"A header is longer than {MAX_FIELD_BYTES} bytes.", limit=MAX_FIELD_BYTES)
    if isinstance(error, http_exceptions.BadHttpMessage) and error.message == "Too many headers received":
        return HeadersTooLarge(f"There are more than {MAX_FIELDS} headers.", limit=MAX_FIELDS)
    if isinstance(error, http_exceptions.ContentEncodingError):
        return InvalidBody()
    if isinstance(error, http_exceptions.HttpProcessingError):
        return MalformedRequest()
    return TrussError()
