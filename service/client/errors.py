"""The errors of the client; every message is fit for the user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class SubmitError(Exception):
    """A photo could not be submitted."""


class Refused(SubmitError):
    """The service refused this one request: `code` says why, for programs, and `problem` is all that it said."""

    def __init__(self, code: str, detail: str, problem: Mapping[str, Any]) -> None:
        self.code, self.problem = code, problem
        super().__init__(f"{code}: {detail}" if detail else code)


class Unusable(SubmitError):
    """The service cannot be used at all: every other photo would end in the same way."""


class UrlExpired(SubmitError):
    """The URL for an upload has run out."""
