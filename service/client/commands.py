"""What all commands have in common that ask the API and print its answers."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from service.client.api import Api
from service.client.display import Report, printable
from service.client.errors import Refused, Unusable


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
        key = secrets.token_hex(16) if method == "POST" else None
        try:
            return (await self.api.call(method, path, body=body, idempotency_key=key, expect=(expect,))).document
        except Refused as refused:
            self.report.tally.failed += 1
            self.clear()
            self.report.note(f"Error: {printable(str(refused))}")
        except Unusable:
            pass
        return None
