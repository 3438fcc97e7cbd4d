"""One call over HTTP: with authentication, with retries by the service's words, and with errors that say why."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Protocol, TypeVar

import httpx

from truss_image_client._async.together import pause
from truss_image_client.errors import ApiError, NotReached, NotThisService, TrussImageError, refusal
from truss_image_client.models import Problem
from truss_image_client.retrying import backoff, pause_after, retry_after
from truss_image_client.wire import read

T = TypeVar("T")


class Page(Protocol):
    """One page of a list."""

    @property
    def last_evaluated_key(self) -> str | None:
        """Where the next page begins."""


P = TypeVar("P", bound=Page)


@dataclass(frozen=True, slots=True)
class Answer:
    """A call that succeeded. `replayed`: an earlier call with the same idempotency key had this answer."""

    status: int
    document: Any
    etag: str
    replayed: bool


@dataclass(frozen=True, slots=True)
class _Failure:
    """A call that failed. `rest`: seconds to wait before it is repeated; None: that does not help."""

    failure: TrussImageError
    rest: float | None


class AsyncTransport:
    """The service at a base URL. `patience`: how long one call may wait in all until it is repeated, in seconds."""

    def __init__(
        self, http: httpx.AsyncClient, base_url: str, credentials: Callable[[], Mapping[str, str]], patience: float
    ) -> None:
        self.http = http
        self._base_url = base_url.rstrip("/")
        self._credentials = credentials
        self._patience = patience

    async def call(
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
        answer = await self.send(method, path, query=query, body=body, idempotency_key=idempotency_key)
        return read(kind, answer.document)

    async def pages(self, kind: type[P], path: str, query: Mapping[str, Any]) -> AsyncIterator[P]:
        """The pages of a list, as far as the caller reads."""
        last_key: str | None = ""
        while last_key is not None:
            asked = {**query, "lastKey": last_key} if last_key else query
            page = await self.call(kind, "GET", path, query=asked)
            yield page
            last_key = page.last_evaluated_key

    async def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Mapping[str, Any] | None = None,
        idempotency_key: str | None = None,
        etag: str = "",
    ) -> Answer:
        """The answer as it came. A POST has the same idempotency key at every try, so nothing is done twice."""
        given = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())} if method == "POST" else {}
        request = self.http.build_request(
            method,
            self._url(path),
            params={name: _in_query(value) for name, value in (query or {}).items()},
            json=body,
            headers={**self._credentials(), **given, **({"If-None-Match": etag} if etag else {})},
        )
        began, tries = time.monotonic(), 0
        while True:
            answer = await self._once(request, tries)
            if isinstance(answer, Answer):
                return answer
            if answer.rest is None or time.monotonic() - began + answer.rest > self._patience:
                raise answer.failure
            tries += 1
            await pause(answer.rest)

    def _url(self, path: str) -> httpx.URL:
        try:
            return httpx.URL(self._base_url + path)
        except httpx.InvalidURL:
            raise NotThisService("the base URL is no URL") from None

    async def _once(self, request: httpx.Request, tries: int) -> Answer | _Failure:
        try:
            response = await self.http.send(request)
        except httpx.TransportError as error:
            words = f"{self._base_url} was not reached ({type(error).__name__})"
            return _Failure(NotReached(words), backoff(tries))
        if response.is_success or response.status_code == HTTPStatus.NOT_MODIFIED:
            return _answer(response)
        refused = _refusal(response)
        return _Failure(refused, pause_after(response.status_code, _code(refused), response.headers, tries))


def _in_query(value: Any) -> Any:
    """Truth is written in small letters."""
    return str(value).lower() if isinstance(value, bool) else value


def _answer(response: httpx.Response) -> Answer:
    return Answer(
        status=response.status_code,
        document=_document(response) if response.content else None,
        etag=response.headers.get("ETag", ""),
        replayed=response.headers.get("Idempotent-Replayed") == "true",
    )


def _document(response: httpx.Response) -> Any:
    try:
        return response.json()
    except ValueError:
        raise NotThisService(_stranger(response)) from None


def _refusal(response: httpx.Response) -> TrussImageError:
    try:
        problem = read(Problem, response.json())
    except (ValueError, NotThisService):
        return NotThisService(_stranger(response))
    return refusal(problem, retry_after(response.headers))


def _code(refused: TrussImageError) -> str:
    return refused.code if isinstance(refused, ApiError) else ""


def _stranger(response: httpx.Response) -> str:
    kind = response.headers.get("content-type", "no content type")
    host = response.request.url.host
    return f"{host} answers, but does not speak this API (HTTP {response.status_code}, {kind}): look at the base URL"
