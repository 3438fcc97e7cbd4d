"""Calls the API: with authentication, paced by one gate, with retries, and with errors that people understand."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar
from urllib.parse import urlsplit

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, wait_random_exponential

from service.client.address import is_loopback, without_credentials
from service.client.errors import Refused, SubmitError, Unusable
from service.client.gate import PATIENCE_SECONDS, Gate
from service.client.proxies import proxy_for

#: Time limit for one HTTP exchange with the API, in seconds. A preview may take 45.
CALL_TIMEOUT_SECONDS = 60.0
#: First and longest pause before a retry after a broken connection, in seconds.
BACKOFF_SECONDS = (0.5, 10.0)
#: Pause after an answer that the service is busy, without `Retry-After`. In seconds.
BUSY_SECONDS = 1.0
#: The service sends no larger answer. A larger one comes from something else.
MAX_ANSWER_BYTES = 8 * 1024 * 1024

KEY_VARIABLE = "TRUSS_IMAGE_API_KEY"

Done = TypeVar("Done")

_BUSY = frozenset({HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE})
_AWAY = frozenset({HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT})


class _Again(SubmitError):
    """The call may be repeated after `pause` seconds; None: after a growing pause."""

    def __init__(self, message: str, pause: float | None = None) -> None:
        self.pause = pause
        super().__init__(message)


class _NotReached(_Again):
    """There was no answer."""


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome is not None else None
    if isinstance(error, _Again) and error.pause is not None:
        return error.pause
    first, longest = BACKOFF_SECONDS
    return wait_random_exponential(multiplier=first, max=longest)(state)


#: Explanations of the HTTP client's errors, the specific ones first. The client's own messages are never shown, because
#: they may contain a URL with a password.
_EXPLANATIONS: tuple[tuple[type[Exception], type[SubmitError], str], ...] = (
    (aiohttp.ClientConnectorCertificateError, Unusable, "the certificate of {host} is not trusted: {why}"),
    (aiohttp.ClientConnectorSSLError, Unusable, "{url} does not speak TLS; perhaps it is http://"),
    (aiohttp.ClientConnectorDNSError, _NotReached, "there is no host {why}, or its name cannot be looked up"),
    (aiohttp.ClientProxyConnectionError, _NotReached, "the proxy that the environment names does not answer"),
    (aiohttp.ClientHttpProxyError, _NotReached, "the proxy that the environment names does not let through to {host}"),
    (aiohttp.InvalidURL, Unusable, "{url} is no URL that can be asked"),
    (TimeoutError, _NotReached, "no answer from {url} in time"),
    (aiohttp.ClientConnectorError, _NotReached, "nothing answers at {url} ({why}){start}"),
    (aiohttp.ClientResponseError, Unusable, "{url} answers, but does not speak HTTP; perhaps it is https://"),
    (aiohttp.ClientError, _NotReached, "{url} broke the connection{tls}"),
    (ValueError, Unusable, "the proxy that the environment names for {host} cannot be used: it must be an http:// URL"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """A successful answer. `replayed`: it was already given to an earlier request with the same `Idempotency-Key`."""

    document: Mapping[str, Any]
    replayed: bool = False


@dataclass(slots=True, kw_only=True)
class Api:
    """The service at `url`. The first call runs alone, because its result shows whether others can succeed."""

    session: aiohttp.ClientSession
    url: str
    api_key: str | None = field(default=None, repr=False)
    gate: Gate = field(default_factory=Gate)
    _first: asyncio.Lock = field(default_factory=asyncio.Lock)
    #: The reason why every further call would fail.
    unusable: Unusable | None = None

    @property
    def shown_url(self) -> str:
        """The URL without a password."""
        return without_credentials(self.url)

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        idempotency_key: str | None = None,
        expect: Sequence[str] = (),
    ) -> Answer:
        """A successful answer whose document has the fields `expect`.

        Raises `Refused` for an error of this call, `Unusable` for one that every other call would meet too.
        """
        headers = self._headers({"Idempotency-Key": idempotency_key})
        once = partial(self._once, method, path, body, headers, expect)
        if self.gate.answered_at is None:
            async with self._first:
                if self.gate.answered_at is None:
                    return await self._persist(once)
        return await self._persist(once)

    async def listen(self, path: str, *, last_id: str = "", silence_seconds: float) -> aiohttp.ClientResponse:
        """A stream of Server-Sent Events that has begun; reading it raises `TimeoutError` after so much silence.

        Whoever gets it closes it. Raises what `call` raises.
        """
        headers = self._headers({"Last-Event-ID": last_id or None})
        return await self._persist(partial(self._begin, path, headers, silence_seconds))

    def _headers(self, more: Mapping[str, str | None]) -> dict[str, str]:
        given = {**more, "X-Api-Key": self.api_key}
        return {name: value for name, value in given.items() if value is not None}

    async def _persist(self, once: Callable[[], Awaitable[Done]]) -> Done:
        began = time.monotonic()
        tries = AsyncRetrying(
            retry=retry_if_exception(lambda error: self._may_help(error, began)), wait=_pause, reraise=True
        )
        try:
            return await tries(once)
        except _Again as error:
            self.unusable = Unusable(str(error))
        except Unusable as error:
            self.unusable = error
        raise Unusable(str(self.unusable))

    def _may_help(self, error: BaseException, began: float) -> bool:
        if not isinstance(error, _Again) or not self.gate.is_patient(began):
            return False
        return not (isinstance(error, _NotReached) and self.gate.answered_at is None)

    async def _once(
        self, method: str, path: str, body: object, headers: Mapping[str, str], expect: Sequence[str]
    ) -> Answer:
        entered_at = await self.gate.enter()
        if self.unusable is not None:
            raise Unusable(str(self.unusable))
        try:
            async with self.session.request(
                method,
                self.url + path,
                json=body,
                headers=headers,
                allow_redirects=False,
                proxy=proxy_for(self.url),
                timeout=aiohttp.ClientTimeout(total=CALL_TIMEOUT_SECONDS, sock_connect=10),
            ) as response:
                return await self._read(response, entered_at, expect)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise self._explained(error) from None

    async def _begin(self, path: str, headers: Mapping[str, str], silence_seconds: float) -> aiohttp.ClientResponse:
        entered_at = await self.gate.enter()
        try:
            response = await self.session.get(
                self.url + path,
                headers=headers,
                allow_redirects=False,
                proxy=proxy_for(self.url),
                timeout=aiohttp.ClientTimeout(sock_connect=10, sock_read=silence_seconds),
            )
            if response.ok and response.content_type == "text/event-stream":
                self.gate.passed()
                return response
            async with response:
                await self._read(response, entered_at, ())
                raise Unusable(self._stranger(response))
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise self._explained(error) from None

    async def _read(self, response: aiohttp.ClientResponse, entered_at: float, expect: Sequence[str]) -> Answer:
        if HTTPStatus.MULTIPLE_CHOICES <= response.status < HTTPStatus.BAD_REQUEST:
            raise Unusable(self._redirected(response))
        document = _document(await self._body(response))
        wait = _retry_after(response)
        if response.status in _BUSY and (wait is None or wait <= PATIENCE_SECONDS):
            self.gate.close(BUSY_SECONDS if wait is None else wait, entered_at=entered_at)
            raise _Again(f"{self.shown_url} is busy ({_words(response, document)}); try again later", 0.0)
        if response.status in _AWAY:
            raise _Again(f"{self.shown_url} is away (HTTP {response.status}); try again later")
        if not response.ok:
            raise self._refusal(response, document, wait)
        if document is None or any(name not in document for name in expect):
            raise Unusable(self._stranger(response))
        self.gate.passed()
        return Answer(document=document, replayed=response.headers.get("Idempotent-Replayed") == "true")

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > MAX_ANSWER_BYTES:
                raise Unusable(self._stranger(response))
        return bytes(body)

    def _refusal(
        self, response: aiohttp.ClientResponse, document: Mapping[str, Any] | None, wait: float | None
    ) -> SubmitError:
        code = None if document is None else document.get("code")
        if document is None or not isinstance(code, str):
            return Unusable(self._stranger(response))
        if code == "request_in_progress":
            return _Again(_words(response, document), BUSY_SECONDS if wait is None else wait)
        if code == "not_found":
            return Unusable(f"{self.shown_url} has no {response.url.path}: is that the base URL of the service?")
        if response.status == HTTPStatus.UNAUTHORIZED:
            return Unusable(f"{_words(response, document)} {self._how_to_authenticate()}")
        if response.status == HTTPStatus.FORBIDDEN:
            changes = _scope_of_changes(response.method, response.url.path)
            reads = "/images/review" not in response.url.path and (
                response.method == "GET" or response.url.path.endswith(("/batch/status", "/plan"))
            )
            scope = "images:read" if reads else changes
            needs = f" The key needs the scopes images:read and {changes}; it lacks {scope}."
            return Unusable(_words(response, document) + (needs if code == "forbidden" else ""))
        self.gate.passed()
        again = "" if wait is None else f" Try again in {duration(wait)}."
        return Refused(code, f"{document.get('detail', response.reason)}{again}", document)

    def _how_to_authenticate(self) -> str:
        if self.api_key is None:
            return f"No key was sent: set {KEY_VARIABLE} to an API key of this service."
        return f"Look at {KEY_VARIABLE}: the key in it may be mistyped, expired, revoked, or another service's."

    def _redirected(self, response: aiohttp.ClientResponse) -> str:
        target = urlsplit(response.headers.get("Location", ""))
        where = f" to {target.scheme}://{target.netloc.rpartition('@')[2]}" if target.netloc else ""
        return f"{self.shown_url} redirects{where}; give the address behind it as --url"

    def _stranger(self, response: aiohttp.ClientResponse) -> str:
        kind = response.content_type or "no content type"
        return f"{self.shown_url} answers, but does not speak this API (HTTP {response.status}, {kind})"

    def _explained(self, error: Exception) -> SubmitError:
        host = urlsplit(self.url).hostname or ""
        kind, words = next((kind, words) for errors, kind, words in _EXPLANATIONS if isinstance(error, errors))
        strange = self.gate.answered_at is None and self.url.lower().startswith("http:")
        tls = "; perhaps it is https://" if strange else ""
        return kind(words.format(url=self.shown_url, host=host, why=_why(error), start=_how_to_start(host), tls=tls))


def _why(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return getattr(error.certificate_error, "verify_message", "") or "it cannot be verified"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return error.host
    number = getattr(error, "errno", None)
    return os.strerror(number) if number else "no connection"


def _scope_of_changes(method: str, path: str) -> str:
    if path.endswith("/batch/delete"):
        return "images:delete"
    if "/images/review" in path:
        return "images:review"
    return "images:admin" if "/images/presets" in path and method != "POST" else "images:write"


def _how_to_start(host: str) -> str:
    return "; start it with `make run`, or name another with --url" if is_loopback(host) else ""


def _document(body: bytes) -> Mapping[str, Any] | None:
    try:
        document = json.loads(body)
    except ValueError:
        return None
    return document if isinstance(document, dict) else None


def _words(response: aiohttp.ClientResponse, document: Mapping[str, Any] | None) -> str:
    if document is None or not isinstance(document.get("code"), str):
        return f"HTTP {response.status}"
    return f"{document['code']}: {document.get('detail', response.reason)}"


def _retry_after(response: aiohttp.ClientResponse) -> float | None:
    """Seconds to wait (RFC 9110, 10.2.3). A date is compared with the sender's clock."""
    text = response.headers.get("Retry-After", "").strip()
    if text.isascii() and text.isdecimal():
        return float(text)
    then = _moment(text)
    if then is None:
        return None
    now = _moment(response.headers.get("Date", "")) or datetime.now(UTC)
    return max(0.0, (then - now).total_seconds())


def _moment(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def duration(seconds: float) -> str:
    """In words."""
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 120 else f"{minutes} min" if minutes < 120 else f"{minutes / 60:.0f} h"  # noqa: PLR2004
