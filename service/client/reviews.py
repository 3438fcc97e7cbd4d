"""Reviews from the command line: listed, shown, decided."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from service.client.commands import Commands
from service.client.display import printable

_PATH = "/images/review"


@dataclass(slots=True, kw_only=True)
class ReviewCommands(Commands):
    """What the commands do."""

    async def show_all(self) -> None:
        """A row for each image that waits."""
        async for page in self.pages(_PATH, {"limit": 100}, "images"):
            for held in page["images"]:
                ids = f"{held['uniqueId']}  {held['processingId']}"
                state = "approved, not published yet" if held["approved"] else held["reason"]
                self.write(held, printable(f"{ids}  {held['askedAt']}  {state}  {held['filename']}"))

    async def show(self, unique_id: str, *, clear: bool = False) -> None:
        """The ids and the reason, then a row with the URL of each variant; without one of what is blurred at first."""
        held = await self.ask("GET", _path(unique_id) + ("?clear=true" if clear else ""), "variants")
        if held is None:
            return
        rows = [f"{held['uniqueId']}  {held['processingId']}  {held['reason']}  {held['filename']}"]
        for variant in held["variants"]:
            size = f"{variant['width']} x {variant['height']}  {variant['size']:,} bytes"
            rows.append(f"{variant['name']}  {size}  {variant['url'] or 'blurred; --clear shows it'}")
        self.write(held, "\n".join(map(printable, rows)))

    async def decide(self, decision: str, unique_id: str, processing_id: str, comment: str) -> None:
        """Tell the status that the job has now."""
        body = {"decision": decision, "processingId": processing_id} | ({"comment": comment} if comment else {})
        job = await self.ask("POST", _path(unique_id), "status", body=body)
        if job is not None:
            self.write(job, printable(f"{job['uniqueId']}  {job['processingId']}  {job['status']}"))


def _path(unique_id: str) -> str:
    return f"{_PATH}/{quote(unique_id, safe='')}"
