"""Asks for upload URLs, many in a call: what comes while a call is under way goes with the next one."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from service.client.api import BUSY_SECONDS, Answer, Api, duration
from service.client.errors import Refused, SubmitError, Unusable
from service.client.gate import PATIENCE_SECONDS

PATH = "/images/batch/upload-urls"
#: Uploads in one call, and bytes of its body: the API takes 100, and 64 KiB.
MOST = 100
MOST_BYTES = 48 * 1024
#: What passes by itself.
_PASSING = frozenset({"request_in_progress", "too_many_requests", "unavailable"})


#: What became of one upload; or None, and how long to wait before it is asked for again, in seconds.
_Outcome = tuple[Answer | SubmitError | None, float | None]


@dataclass(slots=True, eq=False)
class _Waiting:
    asked: Mapping[str, Any]
    outcome: Answer | SubmitError | None = None


@dataclass(slots=True, kw_only=True)
class UploadUrls:
    """One call at a time. Each upload has an idempotency key of its own, so it may be asked for again beside others."""

    api: Api
    _waiting: list[_Waiting] = field(default_factory=list)
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def ask(self, asked: Mapping[str, Any], key: str) -> Answer:
        """What `POST /images/upload-url` answers. Raises `Refused`, `Unusable`."""
        one = _Waiting({**asked, "idempotencyKey": key})
        self._waiting.append(one)
        try:
            while one.outcome is None:
                async with self._turn:
                    if one.outcome is None:
                        await self._ask_for(self._next())
        finally:
            self._waiting.remove(one)
        if isinstance(one.outcome, SubmitError):
            raise one.outcome
        return one.outcome

    def _next(self) -> list[_Waiting]:
        """Those that have waited longest, as many as one call takes."""
        chosen: list[_Waiting] = []
        room = MOST_BYTES
        for each in [each for each in self._waiting if each.outcome is None][:MOST]:
            room -= len(json.dumps(each.asked)) + 2
            if chosen and room < 0:
                break
            chosen.append(each)
        return chosen

    async def _ask_for(self, some: Sequence[_Waiting]) -> None:
        entered_at = self.api.gate.monotonic()
        for each, (outcome, wait) in zip(some, await self._outcomes(some), strict=True):
            each.outcome = outcome
            if wait is not None:
                self.api.gate.close(wait, entered_at=entered_at)
            if isinstance(outcome, Unusable):
                self.api.unusable = outcome

    async def _outcomes(self, some: Sequence[_Waiting]) -> list[_Outcome]:
        body = {"uploads": [each.asked for each in some]}
        try:
            results = (await self.api.call("POST", PATH, body=body, expect=("results",))).document["results"]
            found = [_outcome(result) for result in results]
        except SubmitError as error:
            return [(error, None)] * len(some)
        except (LookupError, TypeError, AttributeError):
            found = []
        stranger = Unusable(f"{self.api.shown_url} answers, but does not speak this API")
        return found if len(found) == len(some) else [(stranger, None)] * len(some)


def _outcome(result: Mapping[str, Any]) -> _Outcome:
    problem, wait = result["problem"], result.get("retryAfter")
    if problem is None:
        return _answer(result), None
    if problem["code"] in _PASSING and (wait is None or wait <= PATIENCE_SECONDS):
        return None, BUSY_SECONDS if wait is None else float(wait)
    again = "" if wait is None else f" Try again in {duration(wait)}."
    return Refused(problem["code"], f"{problem['detail']}{again}", problem), None


def _answer(result: Mapping[str, Any]) -> Answer | SubmitError:
    answer = result["answer"]
    if "idempotencyKey" in (answer.get("ignored") or ()):
        return Unusable("the service is of an earlier release, where a repeated run might store photos twice")
    for name in ("processingId", "uniqueId", "uploadUrl", "headers"):
        answer[name]
    return Answer(document=answer, replayed=result.get("replayed") is True)
