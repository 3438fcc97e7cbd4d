"""A small service that keeps what it is sent and behaves as the script says: calls of the API, and a bucket."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

_AT = "2026-01-02T03:04:05.678Z"
_MORE = {"contentType": "image/webp", "sha256": "9f86", "storedAt": _AT}
VARIANTS = {
    name: {"key": "k", "url": f"http://cdn/{name}.webp", "width": width, "height": height, "size": size, **_MORE}
    for name, (width, height, size) in {"thumbnail": (300, 200, 2048), "webp": (3000, 2000, 204800)}.items()
}
#: What jobs and upload URLs have beside what a test looks at.
_JOB: dict[str, Any] = {
    "originalKey": "k",
    "filename": "a.jpg",
    "metadata": {},
    **dict.fromkeys(("timestamp", "listedAt", "updatedAt"), _AT),
    "preset": "standard",
    "presetVersion": 1,
    "timings": None,
}
_URL: dict[str, Any] = {
    "post": None,
    "key": "k",
    "processingId": "img_1",
    "expiresIn": 3600,
    "processedImageUrl": "http://cdn/webp.webp",
    "processedImageUrls": {},
    "preset": "standard",
    "presetVersion": 1,
    "duplicateOf": None,
}
PART_BYTES = 2000
EXPIRED = "<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
SLOW_DOWN = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"

#: Answers that go before the ordinary one: a status, headers and a body; or 0, and the connection is broken.
Scripted = tuple[int, dict[str, str], str]


def problem(status: int, code: str, detail: str = "words", **headers: str) -> Scripted:
    body = {"type": f"#{code}", "status": status, "code": code, "detail": detail}
    return status, {"Content-Type": "application/problem+json", **headers}, json.dumps(body)


def busy(retry_after: str, status: int = 429) -> Scripted:
    return problem(status, "too_many_requests", **{"Retry-After": retry_after})


class ScriptedService:
    """`asked`, `uploads` and `calls` tell what came; `script` holds what goes before, by call."""

    def __init__(self) -> None:
        self.url = ""
        self.calls: Counter[str] = Counter()
        self.headers: list[dict[str, str]] = []
        self.asked: list[dict[str, Any]] = []
        #: The keys of uploads, and problems that go before the ordinary answer to one: None leaves it alone.
        self.keys: list[str] = []
        self.script_of_items: list[dict[str, Any] | None] = []
        self.uploads: list[tuple[dict[str, str], bytes]] = []
        self.script: dict[str, list[Scripted]] = {}
        self.always: dict[str, Scripted] = {}
        #: What a job goes through; each look takes it one on.
        self.statuses = ["pending", "processing", "completed"]
        #: What took the place of jobs, by their ids.
        self.superseded: dict[str, str] = {}
        self.failure = {"code": "corrupt_image", "message": "The image is damaged."}
        self.images: dict[str, dict[str, Any]] = {}
        self.looks: Counter[str] = Counter()
        self.answers: dict[str, dict[str, Any]] = {}
        self.parts: dict[int, bytes] = {}
        self.tells_missing_parts = True
        self.at_once: Counter[str] = Counter()
        self.most_at_once: Counter[str] = Counter()
        #: Waited for before an answer, by call.
        self.before: dict[str, Callable[[], Awaitable[object]]] = {}

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self._scripted], client_max_size=2**26)
        add = app.router.add_route
        add("POST", "/images/batch/upload-urls", self._issue, name="issue")
        add("POST", "/images/upload-url/{id}/refresh", self._refresh, name="refresh")
        add("PUT", "/bucket/{id}", self._upload, name="upload")
        add("GET", "/images/status/{job}", self._status, name="status")
        add("POST", "/images/batch/status", self._statuses, name="statuses")
        add("POST", "/images/process/{id}", self._process, name="process")
        add("POST", "/images/multipart", self._begin, name="begin")
        add("GET", "/images/multipart/{id}", self._arrived, name="arrived")
        add("POST", "/images/multipart/{id}/parts", self._sign, name="sign")
        add("PUT", "/bucket/{id}/{part}", self._part, name="part")
        add("POST", "/images/multipart/{id}/complete", self._complete, name="complete")
        return app

    @web.middleware
    async def _scripted(self, request: web.Request, handler: Any) -> web.StreamResponse:
        name = str(request.match_info.route.name)
        self.calls[name] += 1
        self.headers.append(dict(request.headers))
        self.at_once[name] += 1
        self.most_at_once[name] = max(self.most_at_once[name], self.at_once[name])
        await request.read()
        if name in self.before:
            await self.before[name]()
        self.at_once[name] -= 1
        scripted = self._next(name, request.match_info.get("part"))
        if scripted is None:
            return await self._replayed(request, handler)
        status, headers, body = scripted
        if not status:
            assert request.transport is not None
            request.transport.abort()
        return web.Response(status=status or 200, headers=headers, body=body.encode())

    def _next(self, name: str, part: str | None) -> Scripted | None:
        for key in (f"{name} {part}", name):
            if self.script.get(key):
                return self.script[key].pop(0)
            if key in self.always:
                return self.always[key]
        return None

    async def _replayed(self, request: web.Request, handler: Any) -> web.StreamResponse:
        key = request.headers.get("Idempotency-Key")
        if key in self.answers:
            return web.json_response(self.answers[key], headers={"Idempotent-Replayed": "true"})
        response: web.Response = await handler(request)
        if key is not None and response.status < 300:
            assert isinstance(response.body, bytes)
            self.answers[key] = json.loads(response.body)
        return response

    def _made(self, asked: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(asked)
        unique_id = f"u{len(self.asked)}"
        self.images[unique_id] = {"checksum": asked["checksumSha256"], "job": f"img_{len(self.asked)}", "object": False}
        return {"uniqueId": unique_id, "processingId": f"img_{len(self.asked)}"}

    def _signed(self, unique_id: str) -> dict[str, Any]:
        headers = {"Content-Type": "image/jpeg", "X-Extra": "1"}
        return {**_URL, "uniqueId": unique_id, "uploadUrl": f"{self.url}/bucket/{unique_id}", "headers": headers}

    async def _issue(self, request: web.Request) -> web.Response:
        """Each upload by itself, and once under its own key."""
        results = []
        for index, upload in enumerate((await request.json())["uploads"]):
            self.keys.append(upload["idempotencyKey"])
            asked = {name: value for name, value in upload.items() if name != "idempotencyKey"}
            refused = self.script_of_items.pop(0) if self.script_of_items else None
            if refused is not None:
                results.append({"index": index, "status": refused["status"], "answer": None, "problem": refused})
                results[-1] |= {"retryAfter": refused["retryAfter"]} if "retryAfter" in refused else {}
                continue
            replayed = self.keys[-1] in self.answers
            answer = self.answers[self.keys[-1]] if replayed else self._issued(asked)
            self.answers[self.keys[-1]] = answer
            results.append({"index": index, "status": 200, "answer": answer, "problem": None, "replayed": replayed})
        return web.json_response({"results": results})

    def _issued(self, asked: dict[str, Any]) -> dict[str, Any]:
        for unique_id, image in self.images.items():
            if asked["dedupe"] and image["checksum"] == asked["checksumSha256"] and image["job"] == "done":
                ids = {"uniqueId": unique_id, "processingId": image["done"], "duplicateOf": unique_id}
                return {**_URL, **ids, "uploadUrl": None, "headers": {}}
        made = self._made(asked)
        return {**self._signed(made["uniqueId"]), **made}

    async def _refresh(self, request: web.Request) -> web.Response:
        unique_id = request.match_info["id"]
        if self.images[unique_id]["object"]:
            return web.json_response({"code": "already_uploaded", "detail": "It is there."}, status=409)
        return web.json_response(self._signed(unique_id))

    async def _upload(self, request: web.Request) -> web.Response:
        image = self.images[request.match_info["id"]]
        if image["object"]:
            return web.Response(status=412)
        image["object"] = True
        self.uploads.append((dict(request.headers), await request.read()))
        return web.Response()

    async def _begin(self, request: web.Request) -> web.Response:
        asked = await request.json()
        made = self._made(asked)
        self.images[made["uniqueId"]]["size"] = asked["size"]
        return web.json_response({**self._parts(made["uniqueId"], None), **made}, status=201)

    def _parts(self, unique_id: str, numbers: list[int] | None) -> dict[str, Any]:
        size = self.images[unique_id]["size"]
        sizes = {n: min(PART_BYTES, size - at) for n, at in enumerate(range(0, size, PART_BYTES), start=1)}
        parts = [
            {"partNumber": n, "size": sizes[n], "url": f"{self.url}/bucket/{unique_id}/{n}", "headers": {}}
            for n in numbers or sizes
        ]
        return {**_URL, "uniqueId": unique_id, "partSize": PART_BYTES, "parts": parts}

    async def _arrived(self, request: web.Request) -> web.Response:
        """Which parts are there; or of none, as if nobody had looked."""
        unique_id = request.match_info["id"]
        numbers = [part["partNumber"] for part in self._parts(unique_id, None)["parts"]]
        arrived = {n: len(body) for n, body in sorted(self.parts.items())} if self.tells_missing_parts else {}
        told = {
            **_URL,
            "uniqueId": unique_id,
            "size": self.images[unique_id]["size"],
            "partSize": PART_BYTES,
            "parts": [{"partNumber": number, "size": size} for number, size in arrived.items()],
            "missingParts": [number for number in numbers if number not in arrived],
        }
        return web.json_response(told)

    async def _sign(self, request: web.Request) -> web.Response:
        unique_id, asked = request.match_info["id"], await request.json()
        return web.json_response(self._parts(unique_id, asked.get("partNumbers")))

    async def _part(self, request: web.Request) -> web.Response:
        self.parts[int(request.match_info["part"])] = await request.read()
        return web.Response()

    async def _complete(self, request: web.Request) -> web.Response:
        image = self.images[request.match_info["id"]]
        whole = b"".join(self.parts[number] for number in sorted(self.parts))
        if len(whole) < image["size"]:
            numbers = [part["partNumber"] for part in self._parts(request.match_info["id"], None)["parts"]]
            missing = [number for number in numbers if number not in self.parts]
            told = {"missingParts": missing} if self.tells_missing_parts else {}
            return web.json_response({"code": "upload_incomplete", "detail": "Parts are missing.", **told}, status=409)
        image["object"] = True
        self.uploads.append(({}, whole))
        return web.json_response({**_URL, "uniqueId": request.match_info["id"]})

    async def _process(self, request: web.Request) -> web.Response:
        unique_id = request.match_info["id"]
        answer = {**_URL, "uniqueId": unique_id, "processingId": f"img_again_{unique_id}"}
        return web.json_response(answer, status=202)

    async def _statuses(self, request: web.Request) -> web.Response:
        """Of an id that nobody made there is none."""
        names = (await request.json())["processingIds"]
        answers = {name: self._shown(name) if name.startswith("img_") else None for name in names}
        results = [
            {"index": index, "status": 200, "id": name, "answer": answer, "problem": None}
            for index, (name, answer) in enumerate(answers.items())
        ]
        return web.json_response({"results": results, "succeeded": len(results), "failed": 0})

    async def _status(self, request: web.Request) -> web.Response:
        return web.json_response(self._shown(request.match_info["job"]))

    def _shown(self, job: str) -> dict[str, Any]:
        unique_id, image = next(
            (
                (unique_id, image)
                for unique_id, image in self.images.items()
                if job in (image["job"], image.get("done"))
            ),
            ("u1", dict[str, Any](object=True)),
        )
        status = self.statuses[min(self.looks[job], len(self.statuses) - 1)] if image["object"] else "pending"
        if image["object"]:
            self.looks[job] += 1
        if status == "completed" and "job" in image:
            image.update(done=job, job="done")
        return {
            **_JOB,
            "processingId": job,
            "uniqueId": unique_id,
            "status": status,
            "processedImages": VARIANTS if status == "completed" else {},
            "error": self.failure if status == "failed" else None,
            "supersededBy": self.superseded.get(job),
        }

    def delete(self, unique_id: str) -> None:
        """The image is gone, and its job with it."""
        del self.images[unique_id]
