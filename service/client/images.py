"""List, convert or delete many images, by their ids or by a filter."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from service.client.commands import Commands
from service.client.display import is_terminal, printable
from service.client.gate import PATIENCE_SECONDS

#: The most images in one call.
BATCH = 100
#: The rows on one page of a list.
PAGE = 100
#: How often an image is tried if the service says when it may succeed.
ROUNDS = 5
#: Time between two looks at a bulk job, in seconds.
LOOK_SECONDS = 1.0
#: The states of a bulk job that has not ended.
OPEN = frozenset({"queued", "running", "cancelling"})


@dataclass(slots=True, kw_only=True)
class Images(Commands):
    """The work of the commands. Each command writes its rows as they come. The report counts the failures."""

    _drawn: bool = field(default=False)

    async def show(self, chosen: Mapping[str, str], most: int | None) -> None:
        """Write a row for each image that matches, newest first, and at most `most` rows (None: all)."""
        path = "/images/failed" if "code" in chosen else "/images/list"
        asked = {name: value for name, value in chosen.items() if path == "/images/list" or name != "status"}
        left = most
        while left is None or left > 0:
            page = await self.ask("GET", f"{path}?{urlencode({**asked, 'limit': min(PAGE, left or PAGE)})}", "images")
            if page is None:
                return
            for image in page["images"]:
                self.report.write(json.dumps(image) if self.report.json_output else _listed(image))
            left = None if left is None else left - len(page["images"])
            if page["lastEvaluatedKey"] is None:
                return
            asked["lastKey"] = page["lastEvaluatedKey"]

    async def usage(self, chosen: Mapping[str, str]) -> None:
        """A row for each day and API key, and one for all."""
        query = f"?{urlencode(chosen)}" if chosen else ""
        used = await self.ask("GET", f"/images/usage{query}", "days")
        if used is None:
            return
        if self.report.json_output:
            self.report.write(json.dumps(used))
            return
        self.report.write(_columns(*_USED.values()))
        for day in used["days"]:
            for key in day["keys"]:
                self.report.write(_used(day["day"], key["keyId"] or "-", key))
        self.report.write(_used("total", "", used["total"]))

    async def each(self, operation: str, unique_ids: Sequence[str], more: Mapping[str, Any]) -> None:
        """Run the operation on every image, a hundred in a call. Images that may succeed later are tried again."""
        for start in range(0, len(unique_ids), BATCH):
            waiting = list(unique_ids[start : start + BATCH])
            for left in reversed(range(ROUNDS)):
                waiting, wait = await self._batch(operation, waiting, more, last=not left)
                if not waiting:
                    break
                await asyncio.sleep(wait)

    async def _batch(
        self, operation: str, unique_ids: Sequence[str], more: Mapping[str, Any], *, last: bool
    ) -> tuple[list[str], float]:
        """The images to try again, and the seconds to wait before that."""
        asked = {"uniqueIds": unique_ids, **more}
        answer = await self.ask("POST", f"/images/batch/{operation}", "results", body=asked)
        again: list[str] = []
        wait = 0.0
        for result in () if answer is None else answer["results"]:
            pause = result.get("retryAfter")
            if pause is not None and pause <= PATIENCE_SECONDS and not last:
                again.append(result["id"])
                wait = max(wait, float(pause))
                continue
            error = _words(result["problem"], "detail")
            self._row(operation, result["id"], error, (result["answer"] or {}).get("processingId"))
        return again, wait

    async def matching(self, operation: str, chosen: Mapping[str, Any], more: Mapping[str, Any]) -> None:
        """Start a bulk job, and follow it to its end."""
        started = await self.ask("POST", f"/images/batch/{operation}", "batchId", body={"filter": chosen, **more})
        if started is not None:
            await self.follow(started["batchId"])

    async def rest(self, batch_id: str, *, paused: bool) -> None:
        """Pause a bulk job, or follow it on."""
        told = await self.ask("PATCH", _path(batch_id), "state", body={"paused": paused})
        if told is not None and paused:
            self.report.note(f"{told['operation']} paused: {_counts(told)}")
        elif told is not None:
            await self.follow(batch_id)

    async def cancel(self, batch_id: str) -> None:
        cancelled = await self.ask("DELETE", _path(batch_id), "state")
        if cancelled is not None:
            await self.follow(batch_id)

    async def follow(self, batch_id: str) -> None:
        """Wait for the end of a bulk job. Then write the failures, or with `--json` all results.

        If the command is interrupted, the bulk job goes on in the service.
        """
        try:
            job = await self._ended(batch_id)
        except asyncio.CancelledError:
            self.clear()
            self.report.note(f"The bulk job goes on. Look again with: truss-image bulk {printable(batch_id)}")
            raise
        if job is None:
            return
        async for result in self._results(batch_id):
            error = _words(result["error"], "message")
            if error or self.report.json_output:
                self._row(job["operation"], result["uniqueId"], error, result["newProcessingId"])
        if job["state"] != "completed":
            self.report.tally.failed += 1
        if self.report.json_output:
            self.report.write(json.dumps({"total": job}))
        else:
            self.report.note(f"{job['operation']} {job['state']}: {_counts(job)}")

    async def _ended(self, batch_id: str) -> Mapping[str, Any] | None:
        while True:
            job = await self.ask("GET", _path(batch_id), "state")
            if job is None or job["state"] not in OPEN:
                self.clear()
                return job
            self._draw(f"{job['operation']} {job['state']}: {_counts(job)}{_rests(job)}")
            await asyncio.sleep(LOOK_SECONDS)

    async def _results(self, batch_id: str) -> Any:
        last_key: str | None = ""
        while last_key is not None:
            query = f"?{urlencode({'lastKey': last_key})}" if last_key else ""
            page = await self.ask("GET", f"{_path(batch_id)}/results{query}", "results")
            if page is None:
                return
            for result in page["results"]:
                yield result
            last_key = page["lastEvaluatedKey"]

    def _row(self, operation: str, unique_id: str, error: str, processing_id: str | None) -> None:
        self.report.tally.failed += bool(error)
        if self.report.json_output:
            status = "failed" if error else _DONE.get(operation, "done")
            row = {"uniqueId": unique_id, "status": status, "processingId": processing_id, "error": error or None}
            self.report.write(json.dumps(row))
            return
        done = f"{_DONE.get(operation, 'done')} {printable(unique_id)}{f'  {processing_id}' if processing_id else ''}"
        self.report.write(f"failed {printable(unique_id)}: {printable(error)}" if error else done)

    def _draw(self, text: str) -> None:
        """Show one line of progress if standard error is a terminal."""
        if is_terminal(sys.stderr):
            sys.stderr.write(f"\r\x1b[K{text}")
            sys.stderr.flush()
            self._drawn = True

    def clear(self) -> None:
        if self._drawn:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._drawn = False


#: The columns of a table of use, by the fields of an answer.
_USED = {
    "day": "day",
    "keyId": "key",
    "completed": "completed",
    "failed": "failed",
    "cpuMs": "CPU ms",
    "megapixels": "megapixels",
    "bytesIn": "bytes in",
    "bytesOut": "bytes out",
    "bytesSaved": "bytes saved",
}


def _used(day: str, key: str, used: Mapping[str, Any]) -> str:
    return printable(_columns(day, key, *(used[name] for name in list(_USED)[2:])))


def _columns(day: object, key: object, *counts: object) -> str:
    return f"{day!s:<10}  {key!s:<16}" + "".join(f"  {count!s:>14}" for count in counts)


_DONE = {"delete": "deleted", "process": "processing", "backfill": "processing"}


def unique_ids_in(lines: Iterator[str]) -> Iterator[str]:
    """The first word of each line. Empty lines are skipped."""
    for line in lines:
        words = line.split()
        if words:
            yield words[0]


def _path(batch_id: str) -> str:
    return f"/images/batch/{quote(batch_id, safe='')}"


def _listed(image: Mapping[str, Any]) -> str:
    error = f"  {image['error']['code']}" if image["error"] else ""
    return printable(f"{image['uniqueId']}  {image['status']:<10}  {image['listedAt']}  {image['filename']}{error}")


def _counts(job: Mapping[str, Any]) -> str:
    return f"{job['done']} done, {job['failed']} failed of {job['found']} found"


def _rests(job: Mapping[str, Any]) -> str:
    until = f" until {job['pausedUntil']}" if job.get("pausedUntil") else ""
    return f", rests{until} ({job['pausedFor']})" if job.get("pausedFor") else ""


def _words(problem: Mapping[str, Any] | None, text: str) -> str:
    return "" if problem is None else f"{problem['code']}: {problem[text]}"
