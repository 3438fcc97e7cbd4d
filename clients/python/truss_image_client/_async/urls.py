"""Asks for upload URLs, many in a call: what comes while a call is under way goes with the next one."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

from truss_image_client._async.together import Turn
from truss_image_client._async.transport import AsyncTransport, problem_of
from truss_image_client.errors import NotThisService, OlderRelease, TrussImageError, refusal
from truss_image_client.models import UploadUrl
from truss_image_client.retrying import BUSY_SECONDS
from truss_image_client.wire import Answer, read

PATH = "/images/batch/upload-urls"
#: Uploads in one call, and bytes of its body: the API takes 100, and 64 KiB.
MOST = 100
MOST_BYTES = 48 * 1024
#: What passes by itself.
_PASSING = frozenset({"request_in_progress", "too_many_requests", "unavailable"})


@dataclass(frozen=True, slots=True)
class Issued:
    """What the service answers for one upload. `replayed`: an earlier one with the same key had this answer."""

    answer: UploadUrl
    replayed: bool


@dataclass(slots=True, eq=False)
class _Waiting:
    asked: Mapping[str, Any]
    began: float
    outcome: Issued | TrussImageError | None = None


class AsyncUploadUrls:
    """One call at a time. Each upload has an idempotency key of its own, so it may be asked for again beside others."""

    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport
        self._waiting: list[_Waiting] = []
        self._lock = threading.Lock()
        self._turn = Turn()
        self._passed_at = monotonic()

    async def ask(self, asked: Mapping[str, Any], idempotency_key: str | None) -> Issued:
        """What `POST /images/upload-url` would answer."""
        one = _Waiting({**asked, "idempotencyKey": idempotency_key or str(uuid.uuid4())}, monotonic())
        with self._lock:
            self._waiting.append(one)
        try:
            while one.outcome is None:
                async with self._turn:
                    if one.outcome is None:
                        await self._ask_for(self._next())
        finally:
            with self._lock:
                self._waiting.remove(one)
        if isinstance(one.outcome, TrussImageError):
            raise one.outcome
        return one.outcome

    def _next(self) -> list[_Waiting]:
        """Those that have waited longest, as many as one call takes."""
        with self._lock:
            waiting = [each for each in self._waiting if each.outcome is None]
        chosen: list[_Waiting] = []
        room = MOST_BYTES
        for each in waiting[:MOST]:
            room -= len(json.dumps(each.asked)) + 2
            if chosen and room < 0:
                break
            chosen.append(each)
        return chosen

    async def _ask_for(self, some: Sequence[_Waiting]) -> None:
        entered_at = monotonic()
        body = {"uploads": [each.asked for each in some]}
        outcomes: Sequence[Issued | TrussImageError | float]
        try:
            answer = await self._transport.send("POST", PATH, body=body, keyed=False)
            outcomes = self._outcomes(some, answer)
        except TrussImageError as error:
            outcomes = [error] * len(some)
        for each, outcome in zip(some, outcomes, strict=True):
            if isinstance(outcome, float):
                self._transport.gate.close(outcome, entered_at=entered_at)
            else:
                each.outcome = outcome

    def _outcomes(self, some: Sequence[_Waiting], answer: Answer) -> list[Issued | TrussImageError | float]:
        try:
            results = answer.document["results"]
            return [self._outcome(each, result) for each, result in zip(some, results, strict=True)]
        except (LookupError, TypeError, AttributeError, ValueError, NotThisService) as error:
            raise answer.stranger from error

    def _outcome(self, one: _Waiting, result: Mapping[str, Any]) -> Issued | TrussImageError | float:
        """What became of one upload; or how long to wait before it is asked for again, in seconds."""
        if result["problem"] is None:
            self._passed_at = monotonic()
            return _issued(result)
        told = result.get("retryAfter")
        wait = BUSY_SECONDS if told is None else float(told)
        patience = self._transport.gate.patience
        waited = monotonic() - max(one.began, self._passed_at)
        if result["problem"]["code"] in _PASSING and wait <= patience and waited < patience:
            return wait
        return refusal(problem_of(result["problem"]), None if told is None else wait, call=f"POST {PATH}")


def _issued(result: Mapping[str, Any]) -> Issued | OlderRelease:
    answer = result["answer"]
    if "idempotencyKey" in (answer.get("ignored") or ()):
        return OlderRelease("the service is of an earlier release, where a repeated run might store photos twice")
    return Issued(read(UploadUrl, answer), replayed=result.get("replayed") is True)
