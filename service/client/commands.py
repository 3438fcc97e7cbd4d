"""What all commands have in common that ask the API and print its answers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from service.client.api import Api
from service.client.display import Report, printable
from service.client.errors import SubmitError, Unusable


@dataclass(slots=True, kw_only=True)
class Commands:
    """A call that was refused is reported, and counted as failed in the report."""

    api: Api
    report: Report

    def write(self, document: Mapping[str, Any], text: str) -> None:
        """The text, or the whole document as JSON."""
        self.report.write(json.dumps(document) if self.report.json_output else text)

    def clear(self) -> None:
        """Take a line of progress away, where a command draws one."""

    async def ask(self, method: str, path: str, expect: str, *, body: object = None) -> Mapping[str, Any] | None:
        """The answer. None if the call was refused, which is reported here, or if `api.unusable` says why not."""
        try:
            return await self.api.call(method, path, body=body, expect=(expect,))
        except SubmitError as error:
            self.refused(error)
        return None

    async def pages(self, path: str, query: Mapping[str, Any], expect: str) -> AsyncIterator[Mapping[str, Any]]:
        """The pages of a list, as far as somebody reads."""
        last_key: str | None = ""
        while last_key is not None:
            asked = {**query, **({"lastKey": last_key} if last_key else {})}
            page = await self.ask("GET", f"{path}?{urlencode(asked)}", expect)
            if page is None:
                return
            yield page
            last_key = page["lastEvaluatedKey"]

    def refused(self, error: SubmitError) -> None:
        """Report and count it, unless `api.unusable` says at the end why everything is refused."""
        if not isinstance(error, Unusable):
            self.report.tally.failed += 1
            self.clear()
            self.report.note(f"Error: {printable(str(error))}")
