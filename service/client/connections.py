"""Connections of the client: through the proxies of the environment, and ended at once where no try can succeed."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Sequence
from http import HTTPStatus
from urllib.parse import urlsplit

import httpx

from service.client.address import is_loopback, without_credentials
from service.client.errors import SubmitError, Unusable
from service.client.proxies import proxy_for
from truss_image_client.errors import causes

#: Time limit for one HTTP exchange with the API, in seconds. A preview may take 45.
CALL_TIMEOUT_SECONDS = 60.0
#: The same until a connection stands.
CONNECT_SECONDS = 10.0

_NO_WAY = "the proxy that the environment names for {host} cannot be used: it must be an http:// URL"


class Connections(httpx.AsyncBaseTransport):
    """To the service at `url`, and to the storage. When the service can never be used, `unusable` says why, and no
    further call leaves."""

    def __init__(self, url: str) -> None:
        self.unusable: Unusable | None = None
        self._url = url
        self._host = urlsplit(url).netloc.rpartition("@")[2].lower()
        self._answered = False
        self._trusted = ssl.create_default_context()
        self._ways: dict[str | None, httpx.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.netloc.decode().lower() != self._host:
            return await self._send(request)
        if self.unusable is not None:
            raise Unusable(str(self.unusable))
        try:
            response = await self._send(request)
        except httpx.TransportError as error:
            told = explained(error, self._url, answered=self._answered)
            # A service that never answered is not waited for.
            if isinstance(told, Unusable) or not self._answered:
                raise self.is_unusable(str(told)) from error
            raise
        if (
            HTTPStatus.MULTIPLE_CHOICES <= response.status_code < HTTPStatus.BAD_REQUEST
            and response.has_redirect_location
        ):
            await response.aclose()
            raise self.is_unusable(_redirected(self._url, response))
        self._answered |= response.status_code < HTTPStatus.INTERNAL_SERVER_ERROR
        return response

    def is_unusable(self, words: str) -> Unusable:
        """Note it, and return what to raise."""
        self.unusable = self.unusable or Unusable(words)
        return Unusable(words)

    async def aclose(self) -> None:
        for each in self._ways.values():
            await each.aclose()

    async def _send(self, request: httpx.Request) -> httpx.Response:
        host = request.url.host
        try:
            proxy = proxy_for(str(request.url))
        except ValueError:
            words = _NO_WAY.format(host=host)
            ours = request.url.netloc.decode().lower() == self._host
            raise self.is_unusable(words) if ours else SubmitError(words) from None
        try:
            return await self._way(proxy).handle_async_request(request)
        except httpx.ConnectError as error:
            if proxy is None or any(isinstance(each, ssl.SSLError) for each in causes(error)):
                raise
            raise _NoProxy("no connection", request=request) from error
        except httpx.RemoteProtocolError as error:
            if str(error).startswith("Server disconnected"):
                raise
            raise _NoHttp(str(error), request=request) from error

    def _way(self, proxy: str | None) -> httpx.AsyncHTTPTransport:
        if proxy not in self._ways:
            limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=15.0)
            self._ways[proxy] = httpx.AsyncHTTPTransport(verify=self._trusted, proxy=proxy, limits=limits)
        return self._ways[proxy]


def explained(error: BaseException, url: str, *, answered: bool) -> SubmitError:
    """Why there was no answer; `Unusable` where a second try would meet the same.

    The messages of the HTTP client are never shown, because they may contain a URL with a password.
    """
    found = list(causes(error))
    for kind, explanation, words in _EXPLANATIONS:
        each = next((each for each in found if isinstance(each, kind)), None)
        if each is not None:
            host = urlsplit(url).hostname or ""
            strange = not answered and url.lower().startswith("http:")
            return explanation(
                words.format(
                    url=without_credentials(url),
                    host=host,
                    why=_why(each, found),
                    start="; start it with `make run`, or name another with --url" if is_loopback(host) else "",
                    tls="; perhaps it is https://" if strange else "",
                )
            )
    raise error


class _NoHttp(httpx.RemoteProtocolError):
    """What answers speaks something else."""


class _NoProxy(httpx.ProxyError):
    """The proxy itself cannot be reached."""


#: The specific ones first.
_EXPLANATIONS: tuple[tuple[type[BaseException], type[SubmitError], str], ...] = (
    (ssl.SSLCertVerificationError, Unusable, "the certificate of {host} is not trusted: {why}"),
    (ssl.SSLError, Unusable, "{url} does not speak TLS; perhaps it is http://"),
    (_NoProxy, SubmitError, "the proxy that the environment names does not answer"),
    (httpx.ProxyError, SubmitError, "the proxy that the environment names does not let through to {host}"),
    (httpx.TimeoutException, SubmitError, "no answer from {url} in time"),
    (socket.gaierror, SubmitError, "there is no host {host}, or its name cannot be looked up"),
    (httpx.ConnectError, SubmitError, "nothing answers at {url} ({why}){start}"),
    (httpx.UnsupportedProtocol, Unusable, "{url} is no URL that can be asked"),
    (_NoHttp, Unusable, "{url} answers, but does not speak HTTP; perhaps it is https://"),
    (httpx.RequestError, SubmitError, "{url} broke the connection{tls}"),
)


def _why(error: BaseException, found: Sequence[BaseException]) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message or "it cannot be verified"
    numbers = [each.errno for each in found if isinstance(each, OSError) and each.errno]
    return os.strerror(numbers[-1]) if numbers else "no connection"


def _redirected(url: str, response: httpx.Response) -> str:
    target = urlsplit(response.headers.get("Location", ""))
    where = f" to {target.scheme}://{target.netloc.rpartition('@')[2]}" if target.netloc else ""
    return f"{without_credentials(url)} redirects{where}; give the address behind it as --url"
