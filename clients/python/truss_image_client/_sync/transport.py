"""One call over HTTP: with authentication, with retries by the service's words, and with errors that say why.

Generated from `_async` by `python -m clients.generate`: do not edit.
"""

from __future__ import annotations

import json
import ssl
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from time import monotonic
from typing import Any, Protocol, TypeVar

import httpx

from truss_image_client._sync.gate import Gate
from truss_image_client._sync.together import pause
from truss_image_client.errors import ApiError, NotReached, NotThisService, TrussImageError, causes, refusal
from truss_image_client.models import Problem
from truss_image_client.retrying import AWAY, BUSY, backoff, pause_after, retry_after
from truss_image_client.wire import Answer, read

#: The service sends no larger answer. A larger one comes from something else. In bytes.
MAX_ANSWER_BYTES = 8 * 1024 * 1024

T = TypeVar("T")


class Page(Protocol):
    """One page of a list."""

    @property
    def last_evaluated_key(self) -> str | None:
        """Where the next page begins."""


P = TypeVar("P", bound=Page)


@dataclass(frozen=True, slots=True)
class _Failure:
    """A call that failed. `rest`: seconds to wait before it is repeated; None: that does not help.

    `concerns_all`: all other calls wait too.
    """

    failure: TrussImageError
    rest: float | None
    concerns_all: bool = False


class Transport:
    """The service at a base URL."""

    def __init__(
        self, http: httpx.Client, base_url: str, credentials: Callable[[], Mapping[str, str]], patience: float
    ) -> None:
        self.http = http
        self.gate = Gate(patience)
        self._base_url = base_url.rstrip("/")
        self._credentials = credentials

    def call(
        self,
        kind: type[T],
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
    ) -> T:
        """The answer as a model."""
        answer = self.send(method, path, query=query, body=body, idempotency_key=idempotency_key)
        return answer.model(kind)

    def pages(self, kind: type[P], path: str, query: Mapping[str, Any]) -> Iterator[P]:
        """The pages of a list, as far as the caller reads."""
        last_key: str | None = ""
        while last_key is not None:
            asked = {**query, "lastKey": last_key} if last_key else query
            page = self.call(kind, "GET", path, query=asked)
            yield page
            last_key = page.last_evaluated_key

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: object = None,
        idempotency_key: str | None = None,
        keyed: bool = True,
        etag: str = "",
    ) -> Answer:
        """The answer as it came. A POST has the same idempotency key at every try, so nothing is done twice; one that
        is not `keyed` has none."""
        given = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())} if method == "POST" and keyed else {}
        headers = {**given, **({"If-None-Match": etag} if etag else {})}
        request = self._request(method, path, query=query, body=body, headers=headers)
        return self._persist(request, _answer)

    def listen(self, path: str, query: Mapping[str, Any], *, last_id: str, silence: float) -> httpx.Response:
        """A stream of Server-Sent Events that has begun; reading it fails after so many seconds of silence.

        Whoever gets it closes it.
        """
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last_id} if last_id else {})}
        timeout = httpx.Timeout(silence, connect=10.0)
        request = self._request("GET", path, query=query, headers=headers, timeout=timeout)
        return self._persist(request, _stream)

    def _request(
        self, method: str, path: str, *, query: Mapping[str, Any] | None, headers: Mapping[str, str], **options: Any
    ) -> httpx.Request:
        body = options.pop("body", None)
        return self.http.build_request(
            method,
            self._url(path),
            params={name: _in_query(value) for name, value in query.items()} if query else None,
            json=body,
            headers={**self._credentials(), **headers},
            **options,
        )

    def _url(self, path: str) -> httpx.URL:
        try:
            return httpx.URL(self._base_url + path)
        except httpx.InvalidURL:
            raise NotThisService("the base URL is no URL") from None

    def _persist(self, request: httpx.Request, take: Callable[[httpx.Response], T]) -> T:
        """What is taken of the first response that is good."""
        began, tries = monotonic(), 0
        while True:
            entered_at = self.gate.enter()
            found = self._once(request, take, tries)
            if not isinstance(found, _Failure):
                self.gate.passed()
                return found
            if found.rest is None or not self.gate.may_wait(found.rest, since=began):
                raise found.failure
            tries += 1
            if found.concerns_all:
                self.gate.close(found.rest, entered_at=entered_at)
            else:
                pause(found.rest)

    def _once(self, request: httpx.Request, take: Callable[[httpx.Response], T], tries: int) -> T | _Failure:
        try:
            response = self.http.send(request, stream=True)
            if response.is_success or response.status_code == HTTPStatus.NOT_MODIFIED:
                return take(response)
            refused = _refusal(response)
        except (httpx.TransportError, httpx.DecodingError) as error:
            return self._not_reached(error, tries)
        code = refused.code if isinstance(refused, ApiError) else ""
        rest = pause_after(response.status_code, code, response.headers, tries)
        return _Failure(refused, rest, concerns_all=response.status_code in BUSY)

    def _not_reached(self, error: httpx.RequestError, tries: int) -> _Failure:
        failure = NotReached(f"{error.request.url.host} was not reached ({type(error).__name__})")
        failure.__cause__ = error
        return _Failure(failure, None if _is_for_good(error) else backoff(tries))


def problem_of(document: Mapping[str, Any], status: int = 0, request_id: str = "") -> Problem:
    """A problem, also one that a proxy has shortened. Raises `NotThisService`."""
    told = {"type": "", "title": "", "detail": "", "status": status, "requestId": request_id, **document}
    return read(Problem, {"error": told["detail"], **told})


def _is_for_good(error: BaseException) -> bool:
    """A certificate that is not trusted today is not trusted in a second either."""
    if isinstance(error, httpx.UnsupportedProtocol):
        return True
    return any(isinstance(each, ssl.SSLCertVerificationError) for each in causes(error))


def _in_query(value: Any) -> Any:
    """Truth is written in small letters."""
    return str(value).lower() if isinstance(value, bool) else value


def _content(response: httpx.Response) -> bytes:
    """All of it; the response is closed."""
    content = bytearray()
    try:
        for chunk in response.iter_bytes():
            content += chunk
            if len(content) > MAX_ANSWER_BYTES:
                raise _stranger(response)
    finally:
        response.close()
    return bytes(content)


def _answer(response: httpx.Response) -> Answer:
    content = _content(response)
    try:
        document = json.loads(content) if content else None
    except ValueError:
        raise _stranger(response) from None
    return Answer(
        status=response.status_code,
        document=document,
        etag=response.headers.get("ETag", ""),
        replayed=response.headers.get("Idempotent-Replayed") == "true",
        stranger=_stranger(response),
    )


def _stream(response: httpx.Response) -> httpx.Response:
    if response.headers.get("content-type", "").partition(";")[0] == "text/event-stream":
        return response
    response.close()
    raise _stranger(response)


def _refusal(response: httpx.Response) -> TrussImageError:
    content, request = _content(response), response.request
    try:
        problem = problem_of(json.loads(content), response.status_code, response.headers.get("X-Request-Id", ""))
    except (ValueError, TypeError, NotThisService):
        return _away(response) if response.status_code in AWAY else _stranger(response)
    return refusal(problem, retry_after(response.headers), call=f"{request.method} {request.url.path}")


def _stranger(response: httpx.Response) -> NotThisService:
    kind = response.headers.get("content-type", "no content type").partition(";")[0]
    host, answer = response.request.url.host, f"HTTP {response.status_code}, {kind}"
    return NotThisService(f"{host} answers, but does not speak this API ({answer}): look at the base URL", answer)


def _away(response: httpx.Response) -> NotReached:
    status = response.status_code
    return NotReached(f"{response.request.url.host} is away (HTTP {status})", status)
