"""List, convert or delete many images, by their ids or by a filter."""

from __future__ import annotations

import asyncio
import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode

from service.client.commands import Commands
from service.client.display import is_terminal, printable
from service.client.errors import SubmitError
from truss_image_client import document
from truss_image_client.models import BulkJob, DeleteResult, ProcessResult

#: The most images in one call.
BATCH = 100
#: The rows on one page of a list.
PAGE = 100


@dataclass(slots=True, kw_only=True)
class Images(Commands):
    """The work of the commands. Each command writes its rows as they come. The report counts the failures."""

    _drawn: bool = field(default=False)

    async def show(self, chosen: Mapping[str, str], most: int | None) -> None:
        """Write a row for each image that matches, newest first, and at most `most` rows (None: all)."""
        path = "/images/failed" if "code" in chosen else "/images/list"
        asked = {name: value for name, value in chosen.items() if path == "/images/list" or name != "status"}
        left = math.inf if most is None else most
        async for page in self.pages(path, {**asked, "limit": int(min(PAGE, left))}, "images"):
            for image in page["images"][: int(min(PAGE, left))]:
                self.report.write(json.dumps(image) if self.report.json_output else _listed(image))
                left -= 1
            if left <= 0:
                return

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
        images = self.api.images
        for start in range(0, len(unique_ids), BATCH):
            some = unique_ids[start : start + BATCH]
            results: Sequence[DeleteResult | ProcessResult]
            try:
                with self.api.told():
                    if operation == "delete":
                        results = await images.delete_images(some)
                    else:
                        results = await images.process_images(some, **more)
            except SubmitError as refused:
                self.refused(refused)
                continue
            for result in results:
                error = f"{result.problem.code}: {result.problem.detail}" if result.problem else ""
                self._row(operation, result.id, error, _job_of(result))

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
            with self.api.told():
                job = await self.api.images.wait_for_batch(batch_id, timeout=math.inf, progress=self._show_progress)
                self.clear()
                await self._show_results(job)
        except asyncio.CancelledError:
            self.clear()
            self.report.note(f"The bulk job goes on. Look again with: truss-image bulk {printable(batch_id)}")
            raise
        except SubmitError as error:
            self.refused(error)
            return
        if job.state != "completed":
            self.report.tally.failed += 1
        if self.report.json_output:
            self.report.write(json.dumps({"total": document(job)}))
        else:
            self.report.note(f"{job.operation} {job.state}: {_counts(document(job))}")

    async def _show_results(self, job: BulkJob) -> None:
        async for result in self.api.images.list_batch_results(job.batch_id):
            error = f"{result.error.code}: {result.error.message}" if result.error else ""
            if error or self.report.json_output:
                self._row(job.operation, result.unique_id, error, result.new_processing_id)

    def _show_progress(self, job: BulkJob) -> None:
        told = document(job)
        self._draw(f"{job.operation} {job.state}: {_counts(told)}{_rests(told)}")

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


def _job_of(result: DeleteResult | ProcessResult) -> str | None:
    return result.answer.processing_id if isinstance(result, ProcessResult) and result.answer else None
