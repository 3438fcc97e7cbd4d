"""Follows what happens to images: a line for each event, once, whatever becomes of the connection."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from service.client.api import Api
from service.client.display import Report, bytes_in_words, is_colourful, painted, printable
from service.client.errors import Refused, Unusable

#: What every type of event begins with.
PREFIX = "image."
#: The ends of a job, and whether they are good.
ENDS = {"completed": True, "failed": False, "rejected": False, "superseded": False, "deleted": False}


@dataclass(slots=True, kw_only=True)
class Watcher:
    """Writes a line for each event; a job that ends badly, and a refusal, count as failed in the report."""

    api: Api
    report: Report
    #: Kinds of events that are shown; empty: all.
    kinds: frozenset[str] = frozenset()
    unique_id: str = ""
    #: The watch ends with this job.
    processing_id: str = ""
    #: Behind which event it begins; empty: now.
    last_id: str = ""
    #: The command that goes on; the id of an event follows it.
    go_on_with: str = "truss-image watch --after"

    async def watch(self) -> None:
        """Until it is cancelled, the job has ended, or the service is of no use."""
        try:
            if not self.processing_id or not await self._ended_before():
                await self._follow()
        except asyncio.CancelledError:
            if self.last_id:
                self.report.note(f"Go on behind the last event with: {self.go_on_with} {printable(self.last_id)}")
            raise
        except Refused as refused:
            self.report.tally.failed += 1
            self.report.note(f"Error: {printable(str(refused))}")
        except Unusable:
            return  # `api.unusable` says it at the end

    async def _ended_before(self) -> bool:
        """Tell the end of a job that is over. Else all that happened to it is told, from its beginning on."""
        path = f"/images/status/{quote(self.processing_id, safe='')}"
        job = await self.api.call("GET", path, expect=("status", "uniqueId", "updatedAt", "error"))
        kind = "superseded" if (job["error"] or {}).get("code") == "superseded" else job["status"]
        if kind in ENDS:
            self._tell({"type": PREFIX + kind, "time": job["updatedAt"], "subject": job["uniqueId"], "data": job})
            return True
        return False

    async def _follow(self) -> None:
        kinds = self.kinds | (set(ENDS) if self.kinds and self.processing_id else set())
        stream = self.api.images.events(
            types=[PREFIX + kind for kind in kinds],
            unique_id=self.unique_id or None,
            processing_id=self.processing_id or None,
            last_event_id=self.last_id,
            missed=self._missed,
        )
        with self.api.told():
            async with stream:
                try:
                    async for event in stream:
                        if self._tell(event.document):
                            return
                finally:
                    self.last_id = stream.last_event_id

    def _missed(self, since: datetime) -> None:
        moment = since.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self.report.note(f"What happened before {moment} is not told.")

    def _tell(self, event: Mapping[str, Any]) -> bool:
        """Whether the watched job has ended by that."""
        kind = event["type"].removeprefix(PREFIX)
        if not self.kinds or kind in self.kinds:
            self.report.write(
                json.dumps(event) if self.report.json_output else row(event, colour=is_colourful(sys.stdout))
            )
        over = bool(self.processing_id) and kind in ENDS
        self.report.tally.failed += over and not ENDS[kind]
        return over


def row(event: Mapping[str, Any], *, colour: bool = False) -> str:
    """An event on one line: when by the clock of this machine, what, which image, and more of it."""
    kind = event["type"].removeprefix(PREFIX)
    at = datetime.fromisoformat(event["time"]).astimezone()
    shown = f"{painted(f'{kind:<10}', kind, colour=colour)}  {printable(event['subject'])}"
    more = printable(_more(kind, event["data"]))
    return f"{at:%H:%M:%S}.{at.microsecond // 1000:03}  {shown}{f'  {more}' if more else ''}"


def _more(kind: str, data: Mapping[str, Any]) -> str:
    if kind == "variant":
        variant = data["variant"]
        where = variant.get("url") or variant["key"]  # a private one has no URL in an event
        return f"{variant['name']} {variant['width']}x{variant['height']} {_size([variant])}  {where}"
    if kind == "completed":
        variants = list(data["processedImages"].values())
        return f"{len(variants)} variants, {_size(variants)}"
    if kind == "superseded":
        return f"by {data['supersededBy']}"
    if kind in ("needs_review", "rejected"):
        return str(data.get("reason", ""))
    return str(data["error"]["code"]) if kind == "failed" else ""


def _size(variants: Sequence[Mapping[str, Any]]) -> str:
    return bytes_in_words(sum(variant["size"] for variant in variants))
