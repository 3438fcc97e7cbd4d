"""What happens to an image that its tenant may be told of, and the moments of a job that its record keeps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self

from processor import clock


class Kind(StrEnum):
    """What may have happened, as it is called on the wire."""

    UPLOADED = "image.uploaded"  # the source is there, the job is queued
    PROCESSING = "image.processing"  # a worker has begun, or begun anew
    VARIANT = "image.variant"  # one is stored, and its URL works
    NEEDS_REVIEW = "image.needs_review"  # every variant is stored where only reviewers see it; there is a reason
    COMPLETED = "image.completed"  # every variant is stored
    REJECTED = "image.rejected"  # a reviewer said no
    FAILED = "image.failed"  # there is a code that says why
    SUPERSEDED = "image.superseded"  # another job took its place before it had ended
    DELETED = "image.deleted"  # there is nothing left of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One entry of a job's journal: what happened, and when, by the clock of whoever wrote it.

    `code` says why a job failed, or why a review is needed.
    """

    kind: Kind
    at: datetime
    code: str = ""

    def to_text(self) -> str:
        """As records have it: `2026-01-02T03:04:05.678Z image.failed corrupt_image`."""
        return " ".join((clock.to_iso(self.at), self.kind, *([self.code] if self.code else ())))

    @classmethod
    def from_text(cls, text: str) -> Self:
        """The inverse. Raises `ValueError`."""
        at, kind, *code = text.split(" ", 2)
        return cls(kind=Kind(kind), at=clock.from_iso(at), code="".join(code))
