"""`Idempotency-Key`: a POST that is repeated because its answer got lost is answered the same, and done once.

What is signed in an answer ends before the answer is forgotten: see docs/adr/0039-an-answer-is-a-promise.md.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from processor import clock
from processor.errors import AnswerNotKept, Busy, Unavailable
from processor.ports.replays import Repeatable, ReplayStore
from service.auth.middleware import find_principal, tenant_of
from service.http.body import raw_body
from service.http.near_misses import nearly
from service.http.problems import LONGEST_SHOWN, FieldError, InvalidRequest

REPLAYS = web.AppKey[ReplayStore]("replays")
#: Asked for a tenant's image before its URLs are given out once more; raises `ImageNotFound`.
STILL_THERE = web.AppKey[Callable[[str, str], Awaitable[object]]]("still_there")

KEY_HEADER = "Idempotency-Key"
REPLAYED_HEADER = "Idempotent-Replayed"
#: How much of its time a URL may have lost when it is answered once more as it is, as a part of one.
WORN = 0.1
#: Visible characters; quotes around them, which the draft asks for and few send, are not part of the key.
_KEY = re.compile(r'"?([!#-~]{1,255})"?')

_SECRET = web.RequestKey("answer_is_secret", bool)
_GOOD_FOR = web.RequestKey("answer_is_good_for_seconds", int)
_EARLIER = web.RequestKey("earlier_answer", Mapping[str, Any])


@web.middleware
async def replay(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Only what succeeded is kept: what failed did nothing, and may be tried again (draft-ietf-httpapi-idempotency)."""
    keys = request.headers.getall(KEY_HEADER, [])
    if request.method != hdrs.METH_POST or find_principal(request) is None:
        return await handler(request)
    if not keys:
        misspelled = nearly(KEY_HEADER, request.headers)
        if misspelled is not None:
            message = f"is not known here, but {KEY_HEADER} is"
            raise InvalidRequest([FieldError(field=misspelled[:LONGEST_SHOWN], message=message)])
        return await handler(request)
    repeatable = await _repeatable(request, keys)
    replays = request.app[REPLAYS]
    recorded = await replays.begin(repeatable)
    if recorded is not None:
        return await _replayed(request, handler, recorded.answer)
    try:
        response = await handler(request)
    except BaseException:
        with suppress(Unavailable, Busy):  # its lock runs out in a minute
            await replays.abandon(repeatable)
        raise
    with suppress(Unavailable, Busy):  # what is done is done, and its caller has the answer
        await replays.record(repeatable, _kept(request, response))
    return response


def keep_no_answer(request: web.Request) -> None:
    """The answer holds a secret that is kept nowhere: a repetition is told so."""
    request[_SECRET] = True


def good_for(request: web.Request, seconds: int) -> None:
    """The answer holds URLs that end. Once they have lost a tenth of their time, the handler answers a repetition: it
    finds the `earlier` answer then, and must make nothing new."""
    request[_GOOD_FOR] = seconds


def earlier(request: web.Request) -> Mapping[str, Any] | None:
    """What this request was answered before, when its URLs are to be signed anew."""
    return request.get(_EARLIER)


async def _repeatable(request: web.Request, keys: Sequence[str]) -> Repeatable:
    found = _KEY.fullmatch(keys[0]) if len(keys) == 1 else None
    if found is None:
        raise InvalidRequest([FieldError(field=KEY_HEADER, message="must be 1 to 255 visible ASCII characters")])
    principal = find_principal(request)
    caller = "" if principal is None else principal.subject
    return Repeatable(
        name=_digest(tenant_of(request), caller, found[1]),
        fingerprint=_digest(request.method, request.path_qs, await raw_body(request)),
    )


def _digest(*parts: str | bytes) -> str:
    """Lengths in front keep the parts apart."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


def _kept(request: web.Request, response: web.StreamResponse) -> bytes:
    if request.get(_SECRET, False) or not isinstance(response, web.Response) or not isinstance(response.body, bytes):
        return b""
    body = base64.b64encode(response.body).decode()
    kept = {"status": response.status, "contentType": response.content_type, "body": body}
    if _GOOD_FOR in request:
        kept["goodUntil"] = clock.now().timestamp() + request[_GOOD_FOR] * WORN
    return json.dumps(kept).encode()


async def _replayed(request: web.Request, handler: Handler, answer: bytes) -> web.StreamResponse:
    if not answer:
        raise AnswerNotKept
    kept = json.loads(answer)
    body = base64.b64decode(kept["body"])
    if kept.get("goodUntil", math.inf) <= clock.now().timestamp():
        request[_EARLIER] = json.loads(body)
        response = await handler(request)
        response.headers[REPLAYED_HEADER] = "true"
        return response
    if "goodUntil" in kept:
        await request.app[STILL_THERE](tenant_of(request), json.loads(body)["uniqueId"])
    return web.Response(
        status=kept["status"],
        body=body,
        content_type=kept["contentType"],
        charset="utf-8",
        headers={REPLAYED_HEADER: "true"},
    )
