"""The errors of the commands; every message is fit for the user."""

from __future__ import annotations


class SubmitError(Exception):
    """A photo could not be submitted."""


class Refused(SubmitError):
    """The service refused this one request: `code` says why, for programs."""

    def __init__(self, code: str, detail: str) -> None:
        self.code = code
        super().__init__(f"{code}: {detail}" if detail else code)


class Unusable(SubmitError):
    """The service cannot be used at all: every other photo would end in the same way."""
