"""The service, asked by the client for Python, with errors that people understand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import httpx

from service.client.address import without_credentials
from service.client.connections import CALL_TIMEOUT_SECONDS, CONNECT_SECONDS, Connections, explained
from service.client.errors import Refused, SubmitError, Unusable
from truss_image_client import (
    Answer,
    ApiError,
    AsyncClient,
    NotReached,
    NotThisService,
    OlderRelease,
    TrussImageError,
)
from truss_image_client.retrying import AWAY, BUSY

#: How long a command goes on asking while no call at all gets through, in seconds.
PATIENCE_SECONDS = 120.0

KEY_VARIABLE = "TRUSS_IMAGE_API_KEY"


@dataclass(slots=True, kw_only=True)
class Api:
    """The service at `url`. `images` asks it; what that raises is told within `told`."""

    images: AsyncClient
    url: str
    connections: Connections
    has_key: bool = field(default=False)

    @property
    def unusable(self) -> Unusable | None:
        """The reason why every further call would fail."""
        return self.connections.unusable

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        idempotency_key: str | None = None,
        expect: Sequence[str] = (),
    ) -> Mapping[str, Any]:
        """A successful answer with the fields `expect`, as it came.

        Raises `Refused` for an error of this call, `Unusable` for one that every other call would meet too.
        """
        with self.told():
            answer = await self.images.request(method, path, body=body, idempotency_key=idempotency_key)
            return _fields_of(answer, expect)

    @contextmanager
    def told(self) -> Iterator[None]:
        """Raise what the client raises as `Refused`, `Unusable`, or another `SubmitError`."""
        try:
            yield
        except Unusable as error:
            raise self.connections.is_unusable(str(error)) from None
        except ApiError as error:
            raise self._refusal(error) from None
        except NotReached as error:
            raise self.connections.is_unusable(self._not_reached(error)) from None
        except OlderRelease as error:
            raise self.connections.is_unusable(str(error)) from None
        except NotThisService as error:
            words = f"{self.shown_url} answers, but does not speak this API"
            raise self.connections.is_unusable(f"{words} ({error.answer})" if error.answer else words) from None
        except TrussImageError as error:
            raise SubmitError(str(error)) from None

    @property
    def shown_url(self) -> str:
        """The URL without a password."""
        return without_credentials(self.url)

    def _not_reached(self, error: NotReached) -> str:
        if error.status is not None or error.__cause__ is None:
            return f"{self.shown_url} is away (HTTP {error.status}); try again later"
        return str(explained(error.__cause__, self.url, answered=True))

    def _refusal(self, error: ApiError) -> SubmitError:
        words, wait = f"{error.code}: {error.problem.detail}", error.retry_after
        if error.status in BUSY and (wait is None or wait <= PATIENCE_SECONDS):
            return self.connections.is_unusable(f"{self.shown_url} is busy ({words}); try again later")
        if error.status in AWAY:
            return self.connections.is_unusable(f"{self.shown_url} is away (HTTP {error.status}); try again later")
        told = self._told_to_all(error, words)
        if told is not None:
            return self.connections.is_unusable(told)
        again = "" if wait is None else f" Try again in {duration(wait)}."
        return Refused(error.code, f"{error.problem.detail}{again}")

    def _told_to_all(self, error: ApiError, words: str) -> str | None:
        """What to say where every other call would be refused too."""
        method, _, path = error.call.partition(" ")
        if error.code == "not_found":
            return f"{self.shown_url} has no {path}: is that the base URL of the service?"
        if error.code == "request_in_progress":
            return words
        if error.status == HTTPStatus.UNAUTHORIZED:
            return f"{words} {self._how_to_authenticate()}"
        if error.status == HTTPStatus.FORBIDDEN:
            return words + (_lacking(method, path) if error.code == "forbidden" else "")
        return None

    def _how_to_authenticate(self) -> str:
        if not self.has_key:
            return f"No key was sent: set {KEY_VARIABLE} to an API key of this service."
        return f"Look at {KEY_VARIABLE}: the key in it may be mistyped, expired, revoked, or another service's."


def _fields_of(answer: Answer, expect: Sequence[str]) -> Mapping[str, Any]:
    document = answer.document
    if not isinstance(document, dict) or any(name not in document for name in expect):
        raise answer.stranger
    return document


def _lacking(method: str, path: str) -> str:
    changes = _scope_of_changes(method, path)
    reads = "/images/review" not in path and (method == "GET" or path.endswith(("/batch/status", "/plan")))
    return f" The key needs the scopes images:read and {changes}; it lacks {'images:read' if reads else changes}."


def _scope_of_changes(method: str, path: str) -> str:
    if path.endswith("/batch/delete"):
        return "images:delete"
    if "/images/review" in path:
        return "images:review"
    return "images:admin" if "/images/presets" in path and method != "POST" else "images:write"


def duration(seconds: float) -> str:
    """In words."""
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 120 else f"{minutes} min" if minutes < 120 else f"{minutes / 60:.0f} h"  # noqa: PLR2004


@asynccontextmanager
async def open_api(url: str, api_key: str | None) -> AsyncIterator[Api]:
    """The service at a base URL, over connections of its own."""
    connections = Connections(url)
    timeout = httpx.Timeout(CALL_TIMEOUT_SECONDS, connect=CONNECT_SECONDS, pool=None)
    async with httpx.AsyncClient(transport=connections, timeout=timeout, trust_env=False) as http:
        images = AsyncClient(url, api_key=api_key or "", patience=PATIENCE_SECONDS, http=http)
        yield Api(images=images, url=url, connections=connections, has_key=api_key is not None)
