"""`Idempotency-Key`: a repeated POST gets the first answer, and is carried out once.

The URLs in an answer expire before the answer is forgotten: see docs/adr/0039-an-answer-is-a-promise.md.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from processor import clock
from processor.errors import AnswerNotKept, Busy, ImageNotFound, Unavailable
from processor.ports.replays import Repeatable, ReplayStore
from service.auth.middleware import find_principal, subject_of, tenant_of
from service.http.body import raw_body
from service.http.call import is_done_anew
from service.http.near_misses import nearly
from service.http.problems import LONGEST_SHOWN, FieldError, InvalidRequest

REPLAYS = web.AppKey[ReplayStore]("replays")
#: Asked for a tenant's image before its URLs are given out once more; raises `ImageNotFound`.
STILL_THERE = web.AppKey[Callable[[str, str], Awaitable[object]]]("still_there")

KEY_HEADER = "Idempotency-Key"
REPLAYED_HEADER = "Idempotent-Replayed"
#: How much of its time a URL may have lost when it is answered once more as it is, as a part of one.
WORN = 0.1
#: What is longer, in bytes, is kept packed: an item of the table has 400 KB, and answers of batches may have more.
LONG_BYTES = 32 * 1024
#: What is still longer then is not kept.
MOST_KEPT_BYTES = 300 * 1024
#: Visible characters; quotes around them, which the draft asks for and few send, are not part of the key.
_KEY = re.compile(r'"?([!#-~]{1,255})"?')
#: The same for an item of a batch, which has no reason for quotes.
ITEM_KEY = "^[!#-~]{1,255}$"

Made = TypeVar("Made")

_SECRET = web.RequestKey("answer_is_secret", bool)
_GOOD_FOR = web.RequestKey("answer_is_good_for_seconds", int)
_IMAGES = web.RequestKey("images_of_the_answer", tuple)
_EARLIER = web.RequestKey("earlier_answer", Mapping[str, Any])


@web.middleware
async def replay(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer a repeated request. Only successes are stored: a failed request did nothing, and may be retried
    (draft-ietf-httpapi-idempotency)."""
    keys = request.headers.getall(KEY_HEADER, [])
    if request.method != hdrs.METH_POST or find_principal(request) is None:
        return await handler(request)
    if not keys:
        misspelled = nearly(KEY_HEADER, request.headers)
        if misspelled is not None:
            message = f"is not known here, but {KEY_HEADER} is"
            raise InvalidRequest([FieldError(field=misspelled[:LONGEST_SHOWN], message=message)])
        return await handler(request)
    if is_done_anew(request):  # before its body is read, which only its own bounds may allow
        return await handler(request)
    repeatable = await _repeatable(request, keys)
    recorded = await request.app[REPLAYS].begin(repeatable)
    if recorded is not None:
        return await _replayed(request, handler, recorded.answer)
    return await _first(
        request, repeatable, make=lambda: handler(request), kept=lambda response: _kept(request, response)
    )


async def once(
    request: web.Request,
    key: str,
    asked: bytes,
    *,
    make: Callable[[], Awaitable[Made]],
    kept: Callable[[Made], Mapping[str, Any]],
    again: Callable[[Mapping[str, Any]], Awaitable[Made]],
) -> tuple[Made, bool]:
    """One item of a batch under a key of its own, and whether it was made before: it is made once, whatever stands
    beside it. `asked` is the item as it came; `kept` is what `again` needs to answer a repetition.

    Raises `RequestInProgress`, `IdempotencyKeyReused`.
    """
    repeatable = Repeatable(
        name=_digest(tenant_of(request), subject_of(request), key), fingerprint=_digest("item", request.path, asked)
    )
    recorded = await request.app[REPLAYS].begin(repeatable)
    if recorded is not None:
        return await again(json.loads(recorded.answer)), True

    async def record(made: Made) -> bytes:
        return json.dumps(kept(made)).encode()

    return await _first(request, repeatable, make=make, kept=record), False


async def _first(
    request: web.Request,
    repeatable: Repeatable,
    *,
    make: Callable[[], Awaitable[Made]],
    kept: Callable[[Made], Awaitable[bytes]],
) -> Made:
    replays = request.app[REPLAYS]
    try:
        made = await make()
    except BaseException:
        with suppress(Unavailable, Busy):  # its lock runs out in a minute
            await replays.abandon(repeatable)
        raise
    with suppress(Unavailable, Busy):  # what is done is done, and its caller has the answer
        await replays.record(repeatable, await kept(made))
    return made


def keep_no_answer(request: web.Request) -> None:
    """Do not store the answer, because it contains a secret: a repeated request gets an error that says so."""
    request[_SECRET] = True


def good_for(request: web.Request, seconds: int, images: Sequence[str] = ()) -> None:
    """Say that the URLs in the answer expire. When a tenth of their time is over, the handler answers a repeated
    request: it finds the `earlier` answer then, and must create nothing. For a batch of `images`, the same holds when
    one of them is deleted."""
    request[_GOOD_FOR] = seconds
    if images:
        request[_IMAGES] = tuple(images)


def earlier(request: web.Request) -> Mapping[str, Any] | None:
    """The earlier answer to this request, if its URLs must be signed again."""
    return request.get(_EARLIER)


async def _repeatable(request: web.Request, keys: Sequence[str]) -> Repeatable:
    found = _KEY.fullmatch(keys[0]) if len(keys) == 1 else None
    if found is None:
        raise InvalidRequest([FieldError(field=KEY_HEADER, message="must be 1 to 255 visible ASCII characters")])
    return Repeatable(
        name=_digest(tenant_of(request), subject_of(request), found[1]),
        fingerprint=_digest(request.method, request.path_qs, await raw_body(request)),
    )


def _digest(*parts: str | bytes) -> str:
    """A digest of several texts; their lengths in front keep them apart."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.hexdigest()


async def _kept(request: web.Request, response: web.StreamResponse) -> bytes:
    if request.get(_SECRET, False) or not isinstance(response, web.Response) or not isinstance(response.body, bytes):
        return b""
    kept: dict[str, Any] = {"status": response.status, "contentType": response.content_type}
    if _GOOD_FOR in request:
        kept["goodUntil"] = clock.now().timestamp() + request[_GOOD_FOR] * WORN
    images = request.get(_IMAGES)
    if images is not None:
        kept["images"] = images
    if len(response.body) <= LONG_BYTES:
        return json.dumps({**kept, "body": base64.b64encode(response.body).decode()}).encode()
    packed = await asyncio.to_thread(zlib.compress, response.body)
    record = json.dumps({**kept, "packed": base64.b64encode(packed).decode()}).encode()
    return record if len(record) <= MOST_KEPT_BYTES else b""


async def _replayed(request: web.Request, handler: Handler, answer: bytes) -> web.StreamResponse:
    if not answer:
        raise AnswerNotKept
    kept = json.loads(answer)
    packed = kept.get("packed")
    body = base64.b64decode(kept["body"]) if packed is None else await asyncio.to_thread(_unpacked, packed)
    if "goodUntil" in kept and not await _holds(request, kept, body):
        request[_EARLIER] = json.loads(body)
        response = await handler(request)
        response.headers[REPLAYED_HEADER] = "true"
        return response
    return web.Response(
        status=kept["status"],
        body=body,
        content_type=kept["contentType"],
        charset="utf-8",
        headers={REPLAYED_HEADER: "true"},
    )


def _unpacked(packed: str) -> bytes:
    return zlib.decompress(base64.b64decode(packed))


async def _holds(request: web.Request, kept: Mapping[str, Any], body: bytes) -> bool:
    """Whether the URLs of an answer may be given out once more as they are. Raises `ImageNotFound` where there is one
    image, and that is deleted; of a batch the handler tells which."""
    if kept["goodUntil"] <= clock.now().timestamp():
        return False
    still_there, tenant = request.app[STILL_THERE], tenant_of(request)
    if "images" not in kept:
        await still_there(tenant, json.loads(body)["uniqueId"])
        return True
    with suppress(ImageNotFound):
        for unique_id in kept["images"]:
            await still_there(tenant, unique_id)
        return True
    return False
